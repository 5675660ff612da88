/*
 * LEB128 numbers: seven bits a byte, low first. Only the shortest form is
 * accepted, so a number has exactly one encoding and formats stay canonical.
 */
#ifndef PFS_BASE_VARINT_H
#define PFS_BASE_VARINT_H

#include "base/room.h"

#define PFS_VARINT_SIZE_MAX 10

/* Bytes that `v` takes. */
size_t pfs_varint_size(uint64_t v);

/* Write `v` at `p` (room for PFS_VARINT_SIZE_MAX); returns the bytes used. */
size_t pfs_varint_encode(unsigned char *p, uint64_t v);

/* Read from [p, p+len); returns the bytes used, 0 when cut short, too long or not the shortest form. */
size_t pfs_varint_decode(const unsigned char *p, size_t len, uint64_t *out);

static inline uint64_t pfs_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t pfs_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
