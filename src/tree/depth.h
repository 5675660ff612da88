/*
 * How deep a directory goes.
 *
 * A directory tells how many names are in it and below, and with that how many
 * levels there are at most: most are left unread.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_DEPTH_H
#define PFS_TREE_DEPTH_H

#include "tree/tree.h"

/* Whether a directory is more than `levels` below `dir`: 1 or 0. `levels` < PFS_TREE_DEPTH_MAX. */
int pfs_depth_passes(struct pfs_store *st, const struct pfs_id *dir, unsigned levels,
		     struct pfs_error *err);

#endif
