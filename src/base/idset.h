/*
 * A set of ids, exact: what a walk has seen.
 *
 * Ids lie in an open-addressing table as they are, 46 to 91 bytes each. They
 * are hashes already, so they are their own.
 *
 * Threads: one at a time per set.
 */
#ifndef PFS_BASE_IDSET_H
#define PFS_BASE_IDSET_H

#include "base/error.h"
#include "base/id.h"

struct pfs_idset {
	struct pfs_id *slots; /* all zero: free */
	size_t cap;           /* a power of two, or 0 */
	size_t len;
	bool zero; /* the id of zeroes is in it */
};

void pfs_idset_fini(struct pfs_idset *s); /* zeroes are an empty set */

/* 1 when it is new, 0 when it was there; PFS_E_NOMEM. */
int pfs_idset_add(struct pfs_idset *s, const struct pfs_id *id, struct pfs_error *err);

bool pfs_idset_has(const struct pfs_idset *s, const struct pfs_id *id);

#endif
