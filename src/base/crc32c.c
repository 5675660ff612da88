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

__attribute__((target("sse4.2"))) uint32_t pfs_crc32c_hardware(uint32_t crc, const void *data,
							       size_t len)
{
	const unsigned char *p = data;
	uint64_t r = ~crc;

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
