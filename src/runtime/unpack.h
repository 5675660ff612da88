/*
 * Layers into snapshots, bottom up, each named by what lies under it.
 *
 * Threads: any; two who unpack the same layer at once both succeed.
 */
#ifndef PFS_RUNTIME_UNPACK_H
#define PFS_RUNTIME_UNPACK_H

#include "runtime/room.h"
#include "runtime/ctrd.h"

/* Make sure that the snapshot config->top_chain exists and lives as long as the config's blob. */
int pfs_unpack(struct pfs_ctrd *c, const char *lease, const struct pfs_manifest *manifest,
	       const struct pfs_imageconfig *config, struct pfs_error *err);

/* Is this snapshot there? PFS_E_NOTFOUND if not. */
int pfs_snapshot_check(struct pfs_ctrd *c, const char *lease, const char *name,
		       struct pfs_error *err);

int pfs_snapshot_remove(struct pfs_ctrd *c, const char *key, struct pfs_error *err);

#endif
