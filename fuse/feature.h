/* What the driver and the kernel may agree on: its names, and the agreement. */
#ifndef PFS_FUSE_FEATURE_H
#define PFS_FUSE_FEATURE_H

#include "fuse/mount.h"

/* Before the session is made: what is asked for, less what this machine does not have. */
void pfs_feature_want(struct pfs_mount *m);

/* In init: ask for what is wanted and the kernel has, and note what came of it. */
void pfs_feature_negotiate(struct pfs_mount *m, struct fuse_conn_info *conn);

/* Which are switched on, a bit each, as pfs-handover(5) numbers them. */
uint32_t pfs_feature_bits(const struct pfs_fuse_options *o);
void pfs_feature_set_bits(struct pfs_fuse_options *o, uint32_t bits);

/* Write mount->features. */
void pfs_feature_describe(struct pfs_mount *m);

#endif
