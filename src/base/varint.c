#include "base/varint.h"

size_t pfs_varint_size(uint64_t v)
{
	size_t n = 1;

	while (v >= 0x80) {
		v >>= 7;
		n++;
	}
	return n;
}

size_t pfs_varint_encode(unsigned char *p, uint64_t v)
{
	size_t n = 0;

	while (v >= 0x80) {
		p[n++] = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (unsigned char)v;
	return n;
}

size_t pfs_varint_decode(const unsigned char *p, size_t len, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len && i < PFS_VARINT_SIZE_MAX; i++) {
		uint64_t bits = p[i] & 0x7f;

		if (i == 9 && bits > 1)
			return 0; /* past 64 bits */
		v |= bits << (7 * i);
		if (p[i] & 0x80)
			continue;
		if (i > 0 && p[i] == 0)
			return 0; /* not the shortest form */
		*out = v;
		return i + 1;
	}
	return 0;
}
