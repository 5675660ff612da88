/*
 * Many runs become one, a step at a time.
 *
 *	begin ──▶ step, step, ... until 0 ──▶ finish
 *
 * Of several records of an id the newest that is wanted stays.
 *
 * Threads: one at a time.
 */
#ifndef PFS_STORE_INDEXMERGE_H
#define PFS_STORE_INDEXMERGE_H

#include "store/indexrun.h"

struct pfs_indexmerge;

/* Whether a record is wanted. Asked of records of one id from the newest on, until one is. */
typedef bool (*pfs_indexmerge_keep)(void *arg, const struct pfs_idxrec *rec);

/* `runs` are `n` from the newest to the oldest; they are counted. */
int pfs_indexmerge_begin(int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
			 struct pfs_indexrun *const *runs, size_t n, uint64_t number, uint8_t level,
			 struct pfs_indexmerge **out, struct pfs_error *err);

/* Read about `most` records: 1 when there are more, 0 when all are through. */
int pfs_indexmerge_step(struct pfs_indexmerge *m, size_t most, pfs_indexmerge_keep keep, void *arg,
			struct pfs_error *err);

/* As pfs_indexwriter_finish(); takes `m`. */
int pfs_indexmerge_finish(struct pfs_indexmerge **m, struct pfs_idxrun *out, struct pfs_error *err);
void pfs_indexmerge_abort(struct pfs_indexmerge **m); /* NULL inside is fine */

#endif
