/* Store, metadata and history in a folder; what stands on them is not linked here. */
#ifndef PFS_TESTS_HOUSE_H
#define PFS_TESTS_HOUSE_H

#include "cold.h"
#include "world.h"

#include <criterion/criterion.h>

struct house {
	struct scratch dir;
	struct world w;
	struct pfs_history *h;
	bool cold; /* its store keeps nothing in memory */
};

static inline void must(int rc, const struct pfs_error *err)
{
	cr_assert_eq(rc, 0, "%s", err->text);
}

static inline void house_up(struct house *s)
{
	struct pfs_error err = { 0 };
	char path[300];

	memset(&s->w, 0, sizeof(s->w));
	snprintf(path, sizeof(path), "%s/store", s->dir.path);
	must(pfs_store_open(path, &s->w.store, &err), &err);
	if (s->cold)
		store_without_cache(s->w.store);
	snprintf(path, sizeof(path), "%s/meta.db", s->dir.path);
	must(pfs_meta_open(path, &s->w.meta, &err), &err);
	must(pfs_history_open(s->w.meta, s->w.store, s->dir.path, &s->w.h, &err), &err);
	s->h = s->w.h;
}

static inline void house_down(struct house *s)
{
	pfs_history_close(&s->w.h);
	pfs_meta_close(&s->w.meta);
	pfs_store_close(&s->w.store);
}

static inline void house_make(struct house *s, bool cold)
{
	s->dir = scratch_new();
	s->cold = cold;
	house_up(s);
}

static inline void house_fini(struct house *s)
{
	house_down(s);
	scratch_fini(&s->dir);
}

#endif
