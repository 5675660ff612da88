/*
 * Objects read lately, already checked against their ids; bounded in bytes.
 *
 * The cache owns one reference of each object it holds. Eviction only drops
 * that one: whoever still reads an object keeps it.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_CACHE_H
#define PFS_STORE_CACHE_H

#include "store/object.h"

struct pfs_cache;

int pfs_cache_new(size_t bytes_max, struct pfs_cache **out, struct pfs_error *err);
void pfs_cache_free(struct pfs_cache **c);

/* A new reference, or NULL. */
const struct pfs_object *pfs_cache_find(struct pfs_cache *c, enum pfs_kind kind,
					const struct pfs_id *id);

/* Hold `o` too. An object larger than the whole cache is let be. */
void pfs_cache_add(struct pfs_cache *c, struct pfs_counted_object *o);

/* Bytes held, what each object costs besides its own included. */
size_t pfs_cache_bytes(struct pfs_cache *c);

#endif
