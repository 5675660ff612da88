/*
 * Records on their way into a run: gathered in any order, written by id.
 *
 * Of several records of an id the one added last wins.
 *
 * Threads: one at a time.
 */
#ifndef PFS_STORE_INDEXBATCH_H
#define PFS_STORE_INDEXBATCH_H

#include "store/indexrun.h"

struct pfs_indexbatch {
	unsigned char *records; /* owned; encoded */
	size_t n, cap;
	uint32_t *order; /* owned; set by sort: numbers of records by id, each id once */
	size_t n_order;
};
void pfs_indexbatch_fini(struct pfs_indexbatch *b);  /* zeroes are an empty batch */
void pfs_indexbatch_clear(struct pfs_indexbatch *b); /* keeps the memory */

int pfs_indexbatch_add(struct pfs_indexbatch *b, const struct pfs_idxrec *rec,
		       struct pfs_error *err);
int pfs_indexbatch_sort(struct pfs_indexbatch *b, struct pfs_error *err);

/* Record number `i` of n_order, by id. */
void pfs_indexbatch_get(const struct pfs_indexbatch *b, size_t i, struct pfs_idxrec *out);

/* Write a sorted batch; as pfs_indexwriter_finish(). */
int pfs_indexbatch_write(const struct pfs_indexbatch *b, int dir,
			 const unsigned char store_uuid[PFS_UUID_SIZE], uint64_t number,
			 uint8_t level, struct pfs_idxrun *out, struct pfs_error *err);

#endif
