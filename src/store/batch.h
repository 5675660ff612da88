/*
 * Many objects on their way into the store: hashed, looked up and compressed
 * on all processors, stored in their order.
 *
 *	begin ──▶ helpers take items, several at once
 *	   ... the caller reads and cuts what comes next ...
 *	end   ──▶ takes items too, stores those whose turn it is, gives the ids
 *
 * Items are stored by the one who ends the batch, in the order they were given,
 * whoever worked on them: the same puts make the same packs.
 *
 * Threads: one a batch.
 */
#ifndef PFS_STORE_BATCH_H
#define PFS_STORE_BATCH_H

#include "store/store.h"

struct pfs_batch;

/* `items` and what they point to are borrowed until the batch ends. */
int pfs_batch_begin(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items,
		    size_t n, struct pfs_batch **out, struct pfs_error *err);

/* The same, but only for the ids: nothing is stored. */
int pfs_batch_begin_names(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items,
			  size_t n, struct pfs_batch **out, struct pfs_error *err);

/* Takes the batch, also on failure; ids are set when all items are stored. */
int pfs_batch_end(struct pfs_batch **batch, struct pfs_error *err);

/* Store nothing more and forget it; NULL inside is fine. */
void pfs_batch_abort(struct pfs_batch **batch);

/* Only the ids, on all processors; nothing is stored. */
int pfs_batch_name(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items, size_t n,
		   struct pfs_error *err);

#endif
