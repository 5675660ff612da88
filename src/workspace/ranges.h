/*
 * A set of byte ranges: sorted, none touches another.
 *
 *	add 2..5, add 9..12, add 5..7      2──────7  9──12
 *
 * Each remembers whether it is fresh: grown since somebody took note of it.
 *
 * Threads: one at a time.
 */
#ifndef PFS_WORKSPACE_RANGES_H
#define PFS_WORKSPACE_RANGES_H

#include "workspace/room.h"
#include "base/error.h"

struct pfs_range {
	uint64_t off, end;
	bool fresh;
};

/* Zeroes are an empty set. */
struct pfs_ranges {
	struct pfs_range *items;
	size_t n, cap;
};

void pfs_ranges_fini(struct pfs_ranges *r);

/* So many adds from now on cannot fail. */
int pfs_ranges_reserve(struct pfs_ranges *r, size_t adds, struct pfs_error *err);

/* Add a range that has room and is not empty; false when all of it was there. */
bool pfs_ranges_add(struct pfs_ranges *r, uint64_t off, uint64_t end);

/* Take out what lies at `size` and behind. */
void pfs_ranges_cut(struct pfs_ranges *r, uint64_t size);

/* Whether `off` is in it, and where that ends: UINT64_MAX when never. */
bool pfs_ranges_find(const struct pfs_ranges *r, uint64_t off, uint64_t *out_end);

/* *out, which is empty, becomes the same; none of its ranges is fresh. */
int pfs_ranges_copy(const struct pfs_ranges *r, struct pfs_ranges *out, struct pfs_error *err);

/* Each range becomes the one of `in`, which covers it, that holds it: fewer ranges, more bytes. */
void pfs_ranges_widen(struct pfs_ranges *r, const struct pfs_ranges *in);

/* Every range is fresh. */
void pfs_ranges_refresh(struct pfs_ranges *r);

#endif
