/* The folder to mount on: what is there already, and what of it is in the way. */
#ifndef PFS_FUSE_MOUNTPOINT_H
#define PFS_FUSE_MOUNTPOINT_H

#include "fuse/handover.h"
#include "fuse/mount.h"

/*
 * Make the folder when it is not there, take away dead mounts of pfs, and set
 * mount->mountpoint. PFS_E_BUSY: something lives there, or is dead and not ours.
 */
int pfs_mountpoint_prepare(struct pfs_mount *m, const char *path, struct pfs_error *err);

/*
 * The mount that another process had goes on: at the same path, and still there, as
 * `device` tells, the descriptor that it is asked by. Nothing is asked of the mount
 * itself, which nobody serves just now. Sets mount->mountpoint and mount->dev.
 * PFS_E_CONFLICT.
 */
int pfs_mountpoint_take(struct pfs_mount *m, const char *path, const struct pfs_handover *h,
			int device, struct pfs_error *err);

/*
 * Take away what is mounted at `path` if it is ours: not what somebody mounted there after ours
 * was taken away, or on top of it. `dev` is the number of ours, 0 when it is not known; `device`
 * the descriptor that it is asked by. Only what has its number when it is gone is asked
 * anything, to see that it is dead. Who may not do it himself asks fusermount3(1). 0, or -1
 * with errno.
 */
int pfs_mountpoint_leave(const char *path, dev_t dev, int device);

#endif
