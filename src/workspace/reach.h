/*
 * What a workspace keeps in the store: where a collection begins, besides commits.
 *
 * That is the tree it stands on and every content, directory and attribute set
 * of a node in memory or in the journal, also of nodes without a name that
 * somebody has open. What a seal has put and not yet named is not among them:
 * its session keeps that (store/session.h).
 *
 * Threads: any.
 */
#ifndef PFS_WORKSPACE_REACH_H
#define PFS_WORKSPACE_REACH_H

#include "workspace/workspace.h"

/* Told of each, perhaps more than once, without any lock held. Negative ends it. */
typedef int pfs_workspace_root_fn(void *arg, enum pfs_kind kind, const struct pfs_id *id,
				  struct pfs_error *err);

int pfs_workspace_reach(struct pfs_workspace *ws, pfs_workspace_root_fn *each, void *arg,
			struct pfs_error *err);

/* The same of one that is not open, and that nobody opens meanwhile. A folder that was never one
 * keeps nothing. */
int pfs_workspace_reach_closed(const char *folder, pfs_workspace_root_fn *each, void *arg,
			       struct pfs_error *err);

/* Bytes on disk that removing the folder gives back: not those of files that the store has adopted. */
int pfs_workspace_disk_bytes(const char *folder, uint64_t *out, struct pfs_error *err);

#endif
