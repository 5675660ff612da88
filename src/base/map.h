/*
 * A hash map from bytes to a pointer. Open addressing, linear probing.
 *
 * Keys are borrowed: the caller keeps them alive and unchanged while they are
 * in the map, usually inside the value. Hashes are seeded per map, so names
 * chosen by somebody else cannot make it slow.
 *
 * Threads: one at a time per map.
 */
#ifndef PFS_BASE_MAP_H
#define PFS_BASE_MAP_H

#include "base/error.h"

struct pfs_map_slot {
	const void *key;
	size_t key_len;
	void *value; /* NULL: free */
	uint64_t hash;
};

struct pfs_map {
	struct pfs_map_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t len;
	uint64_t seed;
};

void pfs_map_init(struct pfs_map *m);
void pfs_map_fini(struct pfs_map *m); /* frees no keys and no values */

/* The value, or NULL. */
void *pfs_map_find(const struct pfs_map *m, const void *key, size_t key_len);

/* Add or replace; `value` must not be NULL. */
int pfs_map_set(struct pfs_map *m, const void *key, size_t key_len, void *value,
		struct pfs_error *err);

/* Add unless there is one: `*out_there` is what is there already, NULL when `value` was added. */
int pfs_map_add(struct pfs_map *m, const void *key, size_t key_len, void *value, void **out_there,
		struct pfs_error *err);

/* Take out; the value that was there, or NULL. Room for many times what is left is given back. */
void *pfs_map_remove(struct pfs_map *m, const void *key, size_t key_len);

/* Walk: *pos starts at 0; the next value or NULL at the end. Do not change the map meanwhile. */
void *pfs_map_next(const struct pfs_map *m, size_t *pos);

/* The seeded hash of bytes that the map uses, for whoever keeps its own table. */
uint64_t pfs_map_hash(uint64_t seed, const void *key, size_t key_len);

#endif
