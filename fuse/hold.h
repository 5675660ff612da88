/* Giving a mount to another process, and taking it over: see fuse.h. */
#ifndef PFS_FUSE_HOLD_H
#define PFS_FUSE_HOLD_H

#include "fuse/handover.h"
#include "fuse/mount.h"

/* No thread of the mount runs: all that it has, in a file in memory; its descriptor. */
int pfs_hold_write(struct pfs_mount *m, struct pfs_error *err);

/* Read it; `out` borrows from `data`, which the caller frees. */
int pfs_hold_read(int state, void **data, struct pfs_handover *out, struct pfs_error *err);

/* Inodes and open files as they were, before any thread of the mount runs. */
int pfs_hold_restore(struct pfs_mount *m, const struct pfs_handover *h, struct pfs_error *err);

#endif
