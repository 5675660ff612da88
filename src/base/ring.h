/*
 * A queue in a ring that grows, typed: PFS_RING(item) declares what it is,
 * PFS_RING_DEFINE(queue, item, what) the four functions of one file.
 *
 *	struct cuts PFS_RING(struct cut);
 *	PFS_RING_DEFINE(struct cuts, struct cut, "cuts")
 *
 * Zeroes are an empty queue; free(q->items) ends it. Threads: one at a time.
 */
#ifndef PFS_BASE_RING_H
#define PFS_BASE_RING_H

#include "base/error.h"
#include <stdlib.h>

#define PFS_RING(item)                 \
	{                              \
		item *items;           \
		size_t cap, head, len; \
	}

#define PFS_RING_DEFINE(queue, item, what)                              \
	static item *at(const queue *q, size_t i)                       \
	{                                                               \
		return &q->items[(q->head + i) & (q->cap - 1)];         \
	}                                                               \
                                                                        \
	static int grow(queue *q, struct pfs_error *err)                \
	{                                                               \
		size_t cap = q->cap ? 2 * q->cap : 64;                  \
		item *items = malloc(cap * sizeof(*items));             \
                                                                        \
		if (!items)                                             \
			return pfs_fail_nomem(err, what);               \
		for (size_t i = 0; i < q->len; i++)                     \
			items[i] = *at(q, i);                           \
		free(q->items);                                         \
		q->items = items;                                       \
		q->cap = cap;                                           \
		q->head = 0;                                            \
		return 0;                                               \
	}                                                               \
                                                                        \
	static int push(queue *q, const item *x, struct pfs_error *err) \
	{                                                               \
		int rc = q->len == q->cap ? grow(q, err) : 0;           \
                                                                        \
		if (rc < 0)                                             \
			return rc;                                      \
		q->len++;                                               \
		*at(q, q->len - 1) = *x;                                \
		return 0;                                               \
	}                                                               \
                                                                        \
	static void pop_front(queue *q)                                 \
	{                                                               \
		q->head = (q->head + 1) & (q->cap - 1);                 \
		q->len--;                                               \
	}

#endif
