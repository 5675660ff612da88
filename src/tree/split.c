#include "tree/split.h"

#include <stdlib.h>
#include <string.h>

#define REACH PFS_SPLIT_REACH

PFS_RING_DEFINE(struct pfs_split_queue, struct pfs_split_item, "node boundaries")

void pfs_split_init(struct pfs_split *s)
{
	memset(s, 0, sizeof(*s));
	s->whole = true;
}

int pfs_split_init_after(struct pfs_split *s, uint64_t priority, struct pfs_error *err)
{
	struct pfs_split_item before = { .priority = priority };

	memset(s, 0, sizeof(*s));
	/* It keeps what follows within reach from being a boundary; it is none to hand out itself. */
	return push(&s->maxima, &before, err);
}

void pfs_split_fini(struct pfs_split *s)
{
	free(s->maxima.items);
	free(s->bounds.items);
	free(s->ends.items);
	memset(s, 0, sizeof(*s));
}

/* The oldest maximum is out of everybody's reach: nothing after it was higher. */
static int settle_front(struct pfs_split *s, struct pfs_error *err)
{
	struct pfs_split_item *m = at(&s->maxima, 0);
	int rc = 0;

	if (m->left_ok && (!s->whole || m->end >= REACH))
		rc = push(&s->bounds, m, err);
	if (rc == 0)
		pop_front(&s->maxima);
	return rc;
}

int pfs_split_add(struct pfs_split *s, uint64_t weight, uint64_t priority, struct pfs_error *err)
{
	struct pfs_split_item item = { s->pos + weight, priority, s->fed + 1, false };
	int rc = 0;

	while (rc == 0 && s->maxima.len > 0 && at(&s->maxima, 0)->end + REACH < item.end)
		rc = settle_front(s, err);
	if (rc < 0)
		return rc;
	while (s->maxima.len > 0 && at(&s->maxima, s->maxima.len - 1)->priority < priority)
		s->maxima.len--;
	item.left_ok = s->maxima.len == 0;
	rc = push(&s->maxima, &item, err);
	if (rc == 0)
		rc = push(&s->ends, &item, err);
	if (rc < 0)
		return rc;
	s->pos = item.end;
	s->fed = item.index;
	return 0;
}

/* Memory for the last boundary is there: it has a place in `maxima`, which is freed first. */
void pfs_split_finish(struct pfs_split *s, bool at_boundary)
{
	struct pfs_split_item last = { 0 };

	s->finished = true;
	for (; s->maxima.len > 0; pop_front(&s->maxima)) {
		const struct pfs_split_item *m = at(&s->maxima, 0);

		/* At most one more: two boundaries are further apart than the reach. */
		if (!at_boundary && m->left_ok && m->index > 0 && (!s->whole || m->end >= REACH) &&
		    s->pos - m->end >= REACH / 2)
			last = *m;
	}
	if (last.index)
		push(&s->maxima, &last, NULL);
	if (s->whole && !at_boundary && s->pos <= PFS_SPLIT_SINGLE)
		s->maxima.len = s->bounds.len = 0;
}

/* The first certain boundary behind the last cut, or NULL. */
static const struct pfs_split_item *first_bound(const struct pfs_split *s)
{
	if (s->bounds.len > 0)
		return at(&s->bounds, 0);
	return s->finished && s->maxima.len > 0 ? at(&s->maxima, 0) : NULL;
}

static void cut(struct pfs_split *s, const struct pfs_split_item *where, size_t *out_count)
{
	struct pfs_split_item w = *where;

	*out_count = (size_t)(w.index - s->cut_index);
	s->cut_pos = w.end;
	s->cut_index = w.index;
	while (s->ends.len > 0 && at(&s->ends, 0)->index <= w.index)
		pop_front(&s->ends);
	if (s->bounds.len > 0 && at(&s->bounds, 0)->index == w.index)
		pop_front(&s->bounds);
	else if (s->finished && s->maxima.len > 0 && at(&s->maxima, 0)->index == w.index)
		pop_front(&s->maxima);
}

/* The last item that ends within the longest node; one item alone may be longer. */
static const struct pfs_split_item *last_within(const struct pfs_split *s)
{
	size_t low = 0, high = s->ends.len; /* the answer is in [low, high) */

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (at(&s->ends, mid)->end - s->cut_pos <= PFS_SPLIT_WEIGHT_MAX)
			low = mid;
		else
			high = mid;
	}
	return at(&s->ends, low);
}

bool pfs_split_next(struct pfs_split *s, size_t *out_count, bool *out_forced)
{
	const struct pfs_split_item *bound = first_bound(s);
	uint64_t limit = s->cut_pos + PFS_SPLIT_WEIGHT_MAX;

	if (s->cut_index == s->fed || (s->whole && !s->finished && s->pos <= PFS_SPLIT_SINGLE))
		return false;
	*out_forced = false;
	if (bound && bound->end <= limit) {
		cut(s, bound, out_count);
		return true;
	}
	if (s->finished && s->pos <= limit) {
		cut(s, at(&s->ends, s->ends.len - 1), out_count);
		return true;
	}
	/* Up to one reach before the last item everything is decided. */
	if (!bound && !s->finished && s->pos <= limit + REACH)
		return false;
	*out_forced = true;
	cut(s, last_within(s), out_count);
	return true;
}
