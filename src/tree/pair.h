/*
 * Two directories side by side, without reading what is equal: what compare
 * and merge stand on. Private to the room.
 *
 * Where both walks stand before equal nodes, at any level, both skip them;
 * otherwise the higher one descends, until names can be compared. Boundaries
 * differ only near changes, so the walks meet again a node or two behind each.
 *
 * Threads: one at a time per pair.
 */
#ifndef PFS_TREE_PAIR_H
#define PFS_TREE_PAIR_H

#include "tree/walk.h"

struct pfs_pair_side {
	struct pfs_walk walk;
	bool has; /* the walk stands on an item that is not done with */
};

struct pfs_pair {
	struct pfs_pair_side a, b;
};

/* Before the first names. Nothing is held on failure. */
int pfs_pair_init(struct pfs_pair *p, struct pfs_store *st, const struct pfs_id *a,
		  const struct pfs_id *b, struct pfs_error *err);
void pfs_pair_fini(struct pfs_pair *p);

/*
 * The next name outside equal nodes: 1 and its entries, borrowed until the
 * next call, NULL on the side that does not have it; 0 at the end. They may
 * be equal: only whole nodes are skipped. What failed goes on failing.
 */
int pfs_pair_next(struct pfs_pair *p, const struct pfs_treenode_entry **out_a,
		  const struct pfs_treenode_entry **out_b, struct pfs_error *err);

#endif
