/*
 * Telling the kernel what changed behind its back.
 *
 * On threads of their own that serve no request and hold no lock: an
 * invalidation of names or bytes waits for the directory or the pages it
 * concerns, and whoever has those may be waiting for us.
 */
#ifndef PFS_FUSE_NOTIFY_H
#define PFS_FUSE_NOTIFY_H

#include "fuse/mount.h"

int pfs_notify_start(struct pfs_mount *m, struct pfs_error *err);
void pfs_notify_stop(struct pfs_mount *m);

/*
 * Size and times of a file may be others than the kernel was told. Waits for
 * nobody: also for a thread that serves a request.
 */
void pfs_notify_attributes(struct pfs_mount *m, fuse_ino_t ino);

/* Whether this kernel can forget all names at once, which `lost` changes need. */
bool pfs_notify_can_forget_all(struct pfs_mount *m);

#endif
