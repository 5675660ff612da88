/*
 * One level of a sequence under a row of changes: which old nodes go, which
 * new ones come. Private to the room; pfs_seqlevel_root() stacks levels to a tree.
 *
 * The same thing for the items of a sequence as level.h is for names: each
 * cluster of changes is one zone, from a boundary that lies a reach before the
 * first change to one that lies a reach behind the last. Nodes outside zones
 * are neither read nor written. New items stream through: a level keeps the
 * items of the nodes it is at, and what the level above has to change.
 *
 *	init ──▶ open, add* , close ──▶ open, add*, close ... ──▶ finish
 *
 * Places are bytes of the old file.
 *
 * Threads: one at a time per level.
 */
#ifndef PFS_TREE_SEQLEVEL_H
#define PFS_TREE_SEQLEVEL_H

#include "tree/seqwalk.h"
#include "tree/split.h"

/* Bytes [from, to) of the old file are held by other items now. */
struct pfs_seqchange {
	uint64_t from, to;
	size_t first, n; /* in `items` of the list */
};

struct pfs_seqchanges {
	struct pfs_seqchange *list;
	size_t n, cap;
	struct pfs_seqnode_entry *items;
	size_t n_items, items_cap;
};

void pfs_seqchanges_fini(struct pfs_seqchanges *c);

struct pfs_seqzone;

struct pfs_seqlevel {
	struct pfs_store *st;
	struct pfs_seqwalk *old; /* borrowed */
	unsigned level;
	struct pfs_seqzone *zone; /* what is being rebuilt, or NULL */

	/* What came out. */
	struct pfs_seqchanges above; /* changes for the level above */
	bool covered;                /* one zone took in the whole level */
	bool heavy; /* it weighs more than a level that is a single node may, or what it weighed */
};

void pfs_seqlevel_init(struct pfs_seqlevel *l, struct pfs_store *st, struct pfs_seqwalk *old,
		       unsigned level);
void pfs_seqlevel_fini(struct pfs_seqlevel *l);

/* A change begins at `from`, where an old item begins; not before the last one's end. */
int pfs_seqlevel_open(struct pfs_seqlevel *l, uint64_t from, struct pfs_error *err);

/* The next new item. */
int pfs_seqlevel_add(struct pfs_seqlevel *l, const struct pfs_seqnode_entry *e,
		     struct pfs_error *err);

/* The old items up to `to` are gone; there the next one begins, or the file ends. */
int pfs_seqlevel_close(struct pfs_seqlevel *l, uint64_t to, struct pfs_error *err);

/* There are no more changes. */
int pfs_seqlevel_finish(struct pfs_seqlevel *l, struct pfs_error *err);

/*
 * Instead of all these, above level 0: boundaries depend on seeds, and where
 * every new item has that of the old one in its place, the nodes that hold them
 * are written again and no others are read. 1, or 0 when there is more to do.
 */
int pfs_seqlevel_in_place(struct pfs_seqlevel *l, const struct pfs_seqchanges *in,
			  struct pfs_error *err);

/*
 * Finish a level 0 and all levels above it: the root of the new sequence, which
 * must not be nothing. `base` is the old root.
 */
int pfs_seqlevel_root(struct pfs_seqlevel *l, const struct pfs_id *base, struct pfs_id *out,
		      struct pfs_error *err);

#endif
