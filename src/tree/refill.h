/*
 * What a file is made of is named, and stored only where it is wanted: for who
 * has a file and a list of what the store has lost. Private to the room.
 *
 * Threads: one at a time per refill.
 */
#ifndef PFS_TREE_REFILL_H
#define PFS_TREE_REFILL_H

#include "tree/room.h"
#include "base/idset.h"
#include "store/store.h"

struct pfs_refill {
	const struct pfs_idset *wanted; /* borrowed */
	uint64_t put;                   /* of these, so far */
};

/* `item` has its id. */
int pfs_refill_put(struct pfs_refill *r, struct pfs_store *st, enum pfs_kind kind,
		   const struct pfs_store_item *item, struct pfs_error *err);

#endif
