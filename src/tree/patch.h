/*
 * Changes at many paths of one tree: one new root.
 *
 * Each directory on the way is edited once, the deepest first.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_PATCH_H
#define PFS_TREE_PATCH_H

#include "tree/tree.h"

struct pfs_patch {
	const char *path;              /* "a/b/c" */
	const struct pfs_entry *entry; /* what it shall be, but for the name; NULL: gone */
};

/*
 * In any order; no path twice, none below another. The directories that hold
 * them have to be there: PFS_E_NOTFOUND, PFS_E_NOTDIR. Nodes are put, not synced.
 */
int pfs_patch_apply(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_patch *list,
		    size_t n, struct pfs_id *out, struct pfs_error *err);

#endif
