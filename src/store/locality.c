#include "store/locality.h"

#include <stdlib.h>

static void drop(struct pfs_locality *l, size_t i)
{
	l->n_objects -= l->packs[i].table->n;
	pfs_idtable_fini(l->packs[i].table);
	free(l->packs[i].table);
	l->packs[i].table = NULL;
}

void pfs_locality_fini(struct pfs_locality *l)
{
	for (size_t i = 0; i < PFS_LOCALITY_PACKS; i++)
		if (l->packs[i].table)
			drop(l, i);
}

static bool find_in(struct pfs_locality *l, uint32_t i, const struct pfs_id *id,
		    struct pfs_place *out)
{
	if (!l->packs[i].table || pfs_idtable_find(l->packs[i].table, id, out) != PFS_IDTABLE_FOUND)
		return false;
	__atomic_store_n(&l->packs[i].used, __atomic_add_fetch(&l->tick, 1, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	return true;
}

bool pfs_locality_find(struct pfs_locality *l, const struct pfs_id *id, struct pfs_place *out)
{
	uint32_t last = __atomic_load_n(&l->last, __ATOMIC_RELAXED);

	if (find_in(l, last, id, out))
		return true;
	for (uint32_t i = 0; i < PFS_LOCALITY_PACKS && l->packs[i].table; i++) {
		if (i == last || !find_in(l, i, id, out))
			continue;
		__atomic_store_n(&l->last, i, __ATOMIC_RELAXED);
		return true;
	}
	return false;
}

bool pfs_locality_hit(struct pfs_locality *l, uint32_t pack)
{
	bool again = false;

	for (size_t i = 0; i < PFS_LOCALITY_HITS; i++)
		again |= __atomic_load_n(&l->hits[i], __ATOMIC_RELAXED) == pack + 1;
	if (!again)
		__atomic_store_n(&l->hits[__atomic_add_fetch(&l->tick, 1, __ATOMIC_RELAXED) %
					  PFS_LOCALITY_HITS],
				 pack + 1, __ATOMIC_RELAXED);
	return again;
}

struct pfs_idtable *pfs_locality_prepare(const struct pfs_packlist *list)
{
	struct pfs_idtable *t = calloc(1, sizeof(*t));

	if (!t || pfs_idtable_reserve(t, list->n, NULL) < 0) {
		free(t);
		return NULL;
	}
	for (size_t i = 0; i < list->n; i++)
		pfs_idtable_set(t, &list->items[i].id, &list->items[i].place, false);
	return t;
}

/* The one that was used longest ago. */
static size_t oldest(const struct pfs_locality *l)
{
	size_t oldest = 0;

	for (size_t i = 1; i < PFS_LOCALITY_PACKS && l->packs[i].table; i++)
		if ((int32_t)(l->packs[i].used - l->packs[oldest].used) < 0)
			oldest = i;
	return oldest;
}

/* Those that are there stand in front. */
static void close_gap(struct pfs_locality *l, size_t i)
{
	size_t last = i;

	while (last + 1 < PFS_LOCALITY_PACKS && l->packs[last + 1].table)
		last++;
	l->packs[i] = l->packs[last];
	l->packs[last].table = NULL;
}

void pfs_locality_take(struct pfs_locality *l, uint32_t pack, struct pfs_idtable *table)
{
	size_t free_at = 0;

	pfs_locality_forget(l, pack);
	while (l->packs[PFS_LOCALITY_PACKS - 1].table ||
	       (l->packs[0].table && l->n_objects + table->n > PFS_LOCALITY_ALL_MAX)) {
		size_t i = oldest(l);

		drop(l, i);
		close_gap(l, i);
	}
	while (l->packs[free_at].table)
		free_at++;
	l->packs[free_at].table = table;
	l->packs[free_at].pack = pack;
	/* Who looks whether a pack was asked before holds no lock. */
	l->packs[free_at].used = __atomic_add_fetch(&l->tick, 1, __ATOMIC_RELAXED);
	l->n_objects += table->n;
}

void pfs_locality_forget(struct pfs_locality *l, uint32_t pack)
{
	for (size_t i = 0; i < PFS_LOCALITY_PACKS && l->packs[i].table; i++) {
		if (l->packs[i].pack != pack)
			continue;
		drop(l, i);
		close_gap(l, i);
		return;
	}
}
