/*
 * A growable array, typed: PFS_VEC(item) declares what it is,
 * PFS_VEC_DEFINE(push, vec, item, what) the one function of one file that adds
 * to it; the rest is reading items[0..n).
 *
 *	struct tasks PFS_VEC(struct task);
 *	PFS_VEC_DEFINE(push_task, struct tasks, struct task, "a seal")
 *
 * Zeroes are an empty array; free(v->items) ends it. Threads: one at a time.
 */
#ifndef PFS_BASE_VEC_H
#define PFS_BASE_VEC_H

#include "base/error.h"
#include <stdlib.h>

#define PFS_VEC(item)          \
	{                      \
		item *items;   \
		size_t n, cap; \
	}

#define PFS_VEC_DEFINE(push, vec, item, what)                                      \
	static int push(vec *v, item x, struct pfs_error *err)                     \
	{                                                                          \
		if (v->n == v->cap) {                                              \
			size_t cap = v->cap ? 2 * v->cap : 16;                     \
			item *items = reallocarray(v->items, cap, sizeof(*items)); \
                                                                                   \
			if (!items)                                                \
				return pfs_fail_nomem(err, what);                  \
			v->items = items;                                          \
			v->cap = cap;                                              \
		}                                                                  \
		v->items[v->n++] = x;                                              \
		return 0;                                                          \
	}

#endif
