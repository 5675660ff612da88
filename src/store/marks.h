/*
 * Which records of a store's packs are wanted: a bit for each, found by id.
 *
 * A unit is what goes or stays as a whole: a record, a bundle with all its
 * members, a piece of an adopted file. Ids lie in a table as 64 of their bits:
 * should two agree in those, one unit is kept that nobody needs, which is why
 * nothing else may be concluded from finding one. 16 to 28 bytes an object.
 *
 * Threads: one at a time.
 */
#ifndef PFS_STORE_MARKS_H
#define PFS_STORE_MARKS_H

#include "store/room.h"
#include "base/error.h"
#include "base/id.h"

#define PFS_MARKS_NONE UINT32_MAX

struct pfs_mark {
	uint32_t bytes : 29; /* on disk */
	uint32_t live : 1;   /* wanted */
	uint32_t newest : 1; /* an object is found here, not only an older copy of it */
};

struct pfs_marks {
	uint64_t *words;       /* of ids; these two by slot */
	uint32_t *units;       /* unit + 1; 0: free */
	size_t cap;            /* slots, a power of two, or 0 */
	size_t n;              /* ids */
	struct pfs_mark *list; /* by unit */
	uint32_t n_list, list_cap;
};

void pfs_marks_fini(struct pfs_marks *m); /* zeroes are an empty table */

/* A unit more; its number is m->n_list before the call. */
int pfs_marks_add_unit(struct pfs_marks *m, uint64_t bytes, struct pfs_error *err);

/* `id` lies in `unit`. *out_other: the unit it was said to be in before, or NONE; it still is. */
int pfs_marks_add(struct pfs_marks *m, const struct pfs_id *id, uint32_t unit, uint32_t *out_other,
		  struct pfs_error *err);

/* No, it lies in this one; for an id that was added. */
void pfs_marks_move(struct pfs_marks *m, const struct pfs_id *id, uint32_t unit);

/* The unit of an id, or NONE. */
uint32_t pfs_marks_find(const struct pfs_marks *m, const struct pfs_id *id);

#endif
