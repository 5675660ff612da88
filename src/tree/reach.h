/*
 * Everything that can be reached from a root: nodes, chunks, attribute sets.
 *
 *	struct pfs_reach r = { .st = st, .visit = mark, .arg = &marks };
 *
 *	rc = pfs_reach_dir(&r, &commit.root, err);      and other roots
 *	pfs_reach_fini(&r);
 *
 * `visit` is told of each id before it is read, and decides whether the walk
 * goes on below it: whoever answers 0 for what it was told before has each
 * subtree read once, however many versions share it. Parents come before their
 * children; nothing else is said of the order.
 *
 * Memory: the ids of a path's siblings, whatever the size of the tree.
 *
 * Threads: one at a time per walk.
 */
#ifndef PFS_TREE_REACH_H
#define PFS_TREE_REACH_H

#include "tree/entry.h"
#include "store/store.h"

/* An id that was met and not looked at yet. */
struct pfs_reach_item {
	struct pfs_id id;
	enum pfs_kind kind;
};

struct pfs_reach {
	struct pfs_store *st;

	/* 1: go on below it (if it has a below), 0: it is known, negative: end the walk. */
	int (*visit)(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err);

	/*
	 * This node, which visit let pass, cannot be read: 0 to do without what is
	 * below it, negative to end the walk. NULL: it ends with why.
	 */
	int (*broken)(void *arg, enum pfs_kind kind, const struct pfs_id *id,
		      const struct pfs_error *why, struct pfs_error *err);
	void *arg;

	struct pfs_reach_item *stack; /* owned; the walk's, empty between calls */
	size_t n, cap;
	bool ended; /* by visit or for want of memory, not by a node */
};

void pfs_reach_fini(struct pfs_reach *r);

/* One object and what is below it; the zero id is nothing. */
int pfs_reach_object(struct pfs_reach *r, enum pfs_kind kind, const struct pfs_id *id,
		     struct pfs_error *err);

/* A directory, the bytes of a file. */
int pfs_reach_dir(struct pfs_reach *r, const struct pfs_id *dir, struct pfs_error *err);
int pfs_reach_content(struct pfs_reach *r, const struct pfs_content *content,
		      struct pfs_error *err);

#endif
