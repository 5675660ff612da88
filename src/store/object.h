/*
 * An object in memory: what pfs_store_get() hands out, with its count and the
 * links by which the cache holds it. Immutable once somebody else sees it.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_OBJECT_H
#define PFS_STORE_OBJECT_H

#include "store/store.h"

struct pfs_counted_object {
	struct pfs_object object; /* first: the pointer handed out is this one's */
	int refs;                 /* atomic */
	enum pfs_kind kind;
	struct pfs_id id;
	struct pfs_counted_object *next_in_bucket; /* these three: protected by the cache's lock */
	struct pfs_counted_object *newer, *older;
	unsigned char bytes[];
};

/* `len` bytes to be filled in, one reference; NULL without memory. */
struct pfs_counted_object *pfs_object_new(enum pfs_kind kind, const struct pfs_id *id, size_t len);

#endif
