/*
 * Every name below a directory that has a number of a group of hard links.
 *
 * Reads every directory, but those known to have no such name in or below them:
 * directories do not change, so what is known of one holds for ever.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_LINKWALK_H
#define PFS_TREE_LINKWALK_H

#include "base/idset.h"
#include "tree/tree.h"

struct pfs_linkwalk {
	/* In path order; both are borrowed for the call. Non-zero ends the walk. */
	int (*each)(void *arg, const char *path, const struct pfs_entry *e, struct pfs_error *err);
	void *arg;
	struct pfs_idset *without; /* directories without such names, which grows; NULL: none */
};
int pfs_linkwalk(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_linkwalk *w,
		 struct pfs_error *err);

#endif
