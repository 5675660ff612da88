/* The folder to mount on: what is there already, and what of it is in the way. */
#ifndef PFS_FUSE_MOUNTPOINT_H
#define PFS_FUSE_MOUNTPOINT_H

#include "fuse/mount.h"

/*
 * Make the folder when it is not there, take away dead mounts of pfs, and set
 * mount->mountpoint. PFS_E_BUSY: something lives there, or is dead and not ours.
 */
int pfs_mountpoint_prepare(struct pfs_mount *m, const char *path, struct pfs_error *err);

/*
 * A mount that another process had at `was` (not terminated) goes on: the same
 * path, and it is still there. Nothing is asked of the mount itself, which nobody
 * serves just now. PFS_E_CONFLICT.
 */
int pfs_mountpoint_take(struct pfs_mount *m, const char *path, const unsigned char *was,
			size_t was_len, struct pfs_error *err);

#endif
