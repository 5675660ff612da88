/*
 * One level of a directory's tree under a batch of changes: which old nodes go,
 * which new ones come. Private to the room; edit.c stacks levels to a tree.
 *
 * Boundaries are local maxima, so a change moves them only near it. Each
 * cluster of changes is one zone: from a boundary that lies a reach before
 * the first change to one that lies a reach behind the last. Nodes outside
 * zones are neither read nor written.
 *
 *	old  ──┤ n1 ├──┤ n2 ├─x─┤ n3 ├──┤ n4 ├──      x: a change
 *	               s──── zone ────t
 *	new  ──┤ n1 ├──┤ m1 ├──┤ m2 ├──┤ n4 ├──      n2, n3 gone; m1, m2 new
 *
 * Threads: one at a time per level.
 */
#ifndef PFS_TREE_LEVEL_H
#define PFS_TREE_LEVEL_H

#include "tree/walk.h"
#include "tree/tree.h"

/* What becomes of one name at one level. */
struct pfs_change {
	char *name; /* owned when it came out of a level */
	size_t name_len;
	bool present;
	struct pfs_treenode_entry e; /* e.name is `name` */
};

/* Sorted by name without doubles: a caller's edits as they are, or a list of our own. */
struct pfs_changes {
	const struct pfs_edit *edits; /* borrowed; NULL: list */
	struct pfs_change *list;
	size_t n, cap;
};

void pfs_changes_fini(struct pfs_changes *c);

struct pfs_level {
	struct pfs_store *st;
	struct pfs_walk *old; /* borrowed */
	unsigned level;
	bool exists; /* the old tree reaches up to this level */

	/* What came out. */
	struct pfs_changes above; /* changes for the level above */
	size_t removed, added;    /* nodes */
	struct pfs_id first;      /* of the nodes added last: the root, when it is all there is */
	bool covered;             /* one zone took in the whole level */
	bool in_place;            /* there are as many nodes as before, under the same names */
};

/* Apply `in`. With `whole` the level is read and built in one zone. */
int pfs_level_apply(struct pfs_level *l, const struct pfs_changes *in, bool whole,
		    struct pfs_error *err);

#endif
