/*
 * Where a row of items is cut into nodes: at local maxima of keyed priorities
 * (pfs-tree(5), NODE BOUNDARIES). The same rule for names and for chunks.
 *
 * Feed items in order, ask after each which nodes are now certain:
 *
 *	init ──▶ add, next* ──▶ add, next* ... ──▶ finish, next*
 *
 * A node is certain once PFS_SPLIT_REACH of weight behind its end was seen, so
 * at most nine times that much is undecided. What is fed and what comes out
 * are counts; the items stay with the caller.
 *
 * Threads: one at a time per split.
 */
#ifndef PFS_TREE_SPLIT_H
#define PFS_TREE_SPLIT_H

#include "tree/room.h"
#include "base/error.h"
#include "base/ring.h"

#ifndef PFS_SPLIT_REACH       /* given from outside by tests that want many nodes of few items */
#define PFS_SPLIT_REACH 4096u /* h: how far an end dominates */
#endif
#define PFS_SPLIT_WEIGHT_MAX (8u * PFS_SPLIT_REACH) /* longer stretches are cut by force */
#define PFS_SPLIT_SINGLE     (4u * PFS_SPLIT_REACH) /* a whole level up to this is one node */

struct pfs_split_item {
	uint64_t end; /* sum of weights up to and with this item */
	uint64_t priority;
	uint64_t index; /* of the item; starts at 1 */
	bool left_ok;   /* nothing within reach before it is as high */
};

struct pfs_split_queue PFS_RING(struct pfs_split_item);

struct pfs_split {
	bool whole; /* starts where the level starts */
	bool finished;
	uint64_t pos;     /* weight fed so far */
	uint64_t fed;     /* items fed so far */
	uint64_t cut_pos; /* end of the last node that was handed out */
	uint64_t cut_index;
	struct pfs_split_queue maxima; /* falling priorities; who may still become a boundary */
	struct pfs_split_queue bounds; /* local maxima that are certain, not yet reached by `cut` */
	struct pfs_split_queue ends;   /* where items end, from the last cut on */
};

/* From the start of a level. */
void pfs_split_init(struct pfs_split *s);

/* From a boundary inside a level; `priority` is that of the item it stands behind. */
int pfs_split_init_after(struct pfs_split *s, uint64_t priority, struct pfs_error *err);

void pfs_split_fini(struct pfs_split *s);

int pfs_split_add(struct pfs_split *s, uint64_t weight, uint64_t priority, struct pfs_error *err);

/*
 * No more items: the last one ends the level, or (at_boundary) is known to be
 * a local maximum of it.
 */
void pfs_split_finish(struct pfs_split *s, bool at_boundary);

/* The next node's item count, when it is certain. Forced: its end is no local maximum. */
bool pfs_split_next(struct pfs_split *s, size_t *out_count, bool *out_forced);

#endif
