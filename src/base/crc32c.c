#include "base/crc32c.h"
#include "base/endian.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* Castagnoli, bits reversed */

/* table[k][b]: what byte b does to the register when k zero bytes follow it. */
static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t r = b;

		for (int bit = 0; bit < 8; bit++)
			r = r & 1 ? (r >> 1) ^ POLYNOMIAL : r >> 1;
		table[0][b] = r;
	}
	for (int k = 1; k < 8; k++)
		for (uint32_t b = 0; b < 256; b++)
			table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xff];
}

uint32_t pfs_crc32c_table(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *p = data;

	pthread_once(&table_once, make_table);
	crc = ~crc;
	for (; len >= 8; len -= 8, p += 8) {
		uint32_t low = pfs_get_le32(p) ^ crc;
		uint32_t high = pfs_get_le32(p + 4);

		crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^
		      table[5][(low >> 16) & 0xff] ^ table[4][low >> 24] ^ table[3][high & 0xff] ^
		      table[2][(high >> 8) & 0xff] ^ table[1][(high >> 16) & 0xff] ^
		      table[0][high >> 24];
	}
	for (; len; len--)
		crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
bool pfs_crc32c_has_hardware(void)
{
	return __builtin_cpu_supports("sse4.2");
}

/*
 * The instruction takes three cycles and one can begin in each, so three stretches
 * are worked on at once; behind[] then moves a register past the next stretch.
 */
#define STRETCH 4096u

static uint32_t
	behind[4][256]; /* what byte b at place k of the register is a stretch of zeros later */
static pthread_once_t behind_once = PTHREAD_ONCE_INIT;

static void make_behind(void)
{
	static const unsigned char zeros[STRETCH];
	uint32_t later[32];

	/* A checksum of zeros, without the two inversions. */
	for (unsigned bit = 0; bit < 32; bit++)
		later[bit] = ~pfs_crc32c_table(~(1u << bit), zeros, STRETCH);
	for (unsigned k = 0; k < 4; k++)
		for (unsigned b = 0; b < 256; b++)
			for (unsigned bit = 0; bit < 8; bit++)
				behind[k][b] ^= b >> bit & 1 ? later[8 * k + bit] : 0;
}

static uint32_t move_on(uint32_t r)
{
	return behind[0][r & 0xff] ^ behind[1][r >> 8 & 0xff] ^ behind[2][r >> 16 & 0xff] ^
	       behind[3][r >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t three_stretches(uint32_t crc,
								  const unsigned char *p)
{
	uint64_t a = crc, b = 0, c = 0;

	for (size_t i = 0; i < STRETCH; i += 8) {
		a = _mm_crc32_u64(a, pfs_get_le64(p + i));
		b = _mm_crc32_u64(b, pfs_get_le64(p + STRETCH + i));
		c = _mm_crc32_u64(c, pfs_get_le64(p + 2 * STRETCH + i));
	}
	return move_on(move_on((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) uint32_t pfs_crc32c_hardware(uint32_t crc, const void *data,
							       size_t len)
{
	const unsigned char *p = data;
	uint64_t r = (uint32_t)~crc;

	if (len >= 3 * STRETCH)
		pthread_once(&behind_once, make_behind);
	for (; len >= 3 * STRETCH; len -= 3 * STRETCH, p += 3 * STRETCH)
		r = three_stretches((uint32_t)r, p);
	for (; len >= 8; len -= 8, p += 8)
		r = _mm_crc32_u64(r, pfs_get_le64(p));
	for (; len; len--)
		r = _mm_crc32_u8((uint32_t)r, *p++);
	return ~(uint32_t)r;
}
#else
bool pfs_crc32c_has_hardware(void)
{
	return false;
}

uint32_t pfs_crc32c_hardware(uint32_t crc, const void *data, size_t len)
{
	return pfs_crc32c_table(crc, data, len);
}
#endif

uint32_t pfs_crc32c(uint32_t crc, const void *data, size_t len)
{
	return pfs_crc32c_has_hardware() ? pfs_crc32c_hardware(crc, data, len)
					 : pfs_crc32c_table(crc, data, len);
}
