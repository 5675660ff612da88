/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): the keyed hash behind node
 * boundaries. Keyed, so that nobody can choose names that make odd trees.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_SIPHASH_H
#define PFS_TREE_SIPHASH_H

#include "tree/room.h"
#include <stddef.h>
#include <stdint.h>

/* The hash of the byte `first` followed by `data`. */
uint64_t pfs_siphash(const unsigned char key[16], uint8_t first, const void *data, size_t len);

#endif
