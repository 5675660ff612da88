/*
 * The file STORE: who this store is and its secret, twice, pfs-pack(5).
 *
 * It is written once, when the store is made, and again only to mend it.
 */
#ifndef PFS_STORE_SUPERBLOCK_H
#define PFS_STORE_SUPERBLOCK_H

#include "store/room.h"
#include "format/packhdr.h"

/*
 * The superblock of the store in `dir`; from copy B when A is damaged. 1 when one of
 * the two is damaged. PFS_E_NOTFOUND: no file.
 */
int pfs_superblock_load(int dir, struct pfs_superblock *out, struct pfs_error *err);

/* Make one with a new name and secret, durable when this returns. */
int pfs_superblock_create(int dir, struct pfs_superblock *out, struct pfs_error *err);

/* Write both copies anew, when one was damaged; durable when this returns. */
int pfs_superblock_write(int dir, const struct pfs_superblock *s, struct pfs_error *err);

/* One copy (0 or 1) by itself, for checking. */
int pfs_superblock_load_copy(int dir, int copy, struct pfs_superblock *out, struct pfs_error *err);

#endif
