/* A store without a cache, so that a test that reads sees what is in packs. */
#ifndef PFS_TESTS_COLD_H
#define PFS_TESTS_COLD_H

#include "scratch.h"
#include "store/store_i.h"

/* Before anybody else uses it. */
static inline void store_without_cache(struct pfs_store *st)
{
	struct pfs_error err = { 0 };

	pfs_cache_free(&st->cache);
	CHECK(pfs_cache_new(1, &st->cache, &err) == 0, "%s", err.text);
	if (st->ops->attach)
		st->ops->attach(st->self, st->cache);
}

#endif
