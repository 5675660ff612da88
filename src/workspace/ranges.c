#include "workspace/ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void pfs_ranges_fini(struct pfs_ranges *r)
{
	free(r->items);
	*r = (struct pfs_ranges){ 0 };
}

int pfs_ranges_reserve(struct pfs_ranges *r, size_t adds, struct pfs_error *err)
{
	struct pfs_range *items;
	size_t cap;

	if (adds <= r->cap - r->n)
		return 0;
	cap = r->n + r->n / 2 + adds + 4;
	items = reallocarray(r->items, cap, sizeof(*items));
	if (!items)
		return pfs_fail_nomem(err, "the ranges of a file");
	r->items = items;
	r->cap = cap;
	return 0;
}

/* The first range that ends at `off` or behind it; n when there is none. */
static size_t first_reaching(const struct pfs_ranges *r, uint64_t off)
{
	size_t low = 0, high = r->n;

	/* Who writes from front to back adds at the end. */
	if (high && r->items[high - 1].end < off)
		return high;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->items[mid].end < off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool pfs_ranges_add(struct pfs_ranges *r, uint64_t off, uint64_t end)
{
	size_t first = first_reaching(r, off), last = first;
	struct pfs_range *at = r->items + first;

	assert(off < end && r->n < r->cap);
	if (first < r->n && at->off <= off && end <= at->end)
		return false;
	while (last < r->n && r->items[last].off <= end)
		last++;
	if (first < last) { /* these become one */
		off = at->off < off ? at->off : off;
		end = r->items[last - 1].end > end ? r->items[last - 1].end : end;
	}
	memmove(at + 1, r->items + last, (r->n - last) * sizeof(*at));
	r->n -= last - first;
	r->n++;
	*at = (struct pfs_range){ off, end, true };
	return true;
}

void pfs_ranges_cut(struct pfs_ranges *r, uint64_t size)
{
	while (r->n && r->items[r->n - 1].off >= size)
		r->n--;
	if (r->n && r->items[r->n - 1].end > size)
		r->items[r->n - 1].end = size;
}

bool pfs_ranges_find(const struct pfs_ranges *r, uint64_t off, uint64_t *out_end)
{
	size_t i = first_reaching(r, off + 1);

	if (i == r->n) {
		*out_end = UINT64_MAX;
		return false;
	}
	if (r->items[i].off > off) {
		*out_end = r->items[i].off;
		return false;
	}
	*out_end = r->items[i].end;
	return true;
}

int pfs_ranges_copy(const struct pfs_ranges *r, struct pfs_ranges *out, struct pfs_error *err)
{
	int rc = pfs_ranges_reserve(out, r->n, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < r->n; i++)
		out->items[i] = (struct pfs_range){ r->items[i].off, r->items[i].end, false };
	out->n = r->n;
	return 0;
}

void pfs_ranges_widen(struct pfs_ranges *r, const struct pfs_ranges *in)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct pfs_range *x = &in->items[first_reaching(in, r->items[i].off + 1)];

		assert(x->off <= r->items[i].off && r->items[i].end <= x->end);
		if (n && r->items[n - 1].off == x->off)
			continue;
		r->items[n++] = *x;
	}
	r->n = n;
}

void pfs_ranges_refresh(struct pfs_ranges *r)
{
	for (size_t i = 0; i < r->n; i++)
		r->items[i].fresh = true;
}
