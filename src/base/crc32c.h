/*
 * CRC32C (Castagnoli), the checksum of our formats.
 *
 * The processor's instruction where there is one, a table elsewhere; both give
 * the same number. Start with 0 and feed the result back to go on:
 *
 *	crc = pfs_crc32c(0, head, head_len);
 *	crc = pfs_crc32c(crc, body, body_len);
 *
 * Threads: any.
 */
#ifndef PFS_BASE_CRC32C_H
#define PFS_BASE_CRC32C_H

#include "base/room.h"

uint32_t pfs_crc32c(uint32_t crc, const void *data, size_t len);

/* The two ways by name, for the test that holds them against each other. */
uint32_t pfs_crc32c_table(uint32_t crc, const void *data, size_t len);
bool pfs_crc32c_has_hardware(void);
uint32_t pfs_crc32c_hardware(uint32_t crc, const void *data,
			     size_t len); /* only when it is there */

#endif
