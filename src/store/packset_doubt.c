#include "store/packset_i.h"

#include <stdlib.h>
#include <string.h>

bool pfs_packset_has_doubts(struct pfs_packset *set)
{
	struct pfs_doubt *rows = NULL;
	bool found = false;
	size_t n = 0;

	if (pfs_doubts_count(&set->doubts) == 0)
		return false;
	/* Without memory the answer is the careful one. */
	if (pfs_doubts_list(&set->doubts, NULL, &rows, &n, NULL) < 0)
		return true;
	for (size_t i = 0; i < n && !found; i++) {
		struct pfs_place place;

		/* What is damaged in a pack that is being written is not found any more. */
		found = !pfs_packset_find(set, &rows[i].id, &place) || place.doubted;
	}
	free(rows);
	return found;
}

void pfs_packset_load_doubts(struct pfs_packset *set)
{
	pfs_doubts_load(&set->doubts, set->dir, set->store_uuid);
}

int pfs_packset_save_doubts(struct pfs_packset *set, struct pfs_error *err)
{
	return pfs_doubts_save(&set->doubts, set->dir, set->store_uuid, err);
}

void pfs_packset_check_doubts(struct pfs_packset *set,
			      void (*tell)(void *arg, const char *what, const char *text),
			      void *arg)
{
	pfs_packset_prune_doubts(set);
	pfs_doubts_check(&set->doubts, set->dir, set->store_uuid, tell, arg);
}

static uint32_t seq_of(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->seq, __ATOMIC_RELAXED);
}

bool pfs_packset_prefers(struct pfs_packset *set, const struct pfs_id *id,
			 const struct pfs_place *place, const struct pfs_place *other)
{
	bool damaged = pfs_packset_is_damaged(set, id, place);

	if (damaged != pfs_packset_is_damaged(set, id, other))
		return !damaged;
	return seq_of(pfs_packset_pack(set, place->pack)) >=
	       seq_of(pfs_packset_pack(set, other->pack));
}

static bool is_at(const struct pfs_place *place, const struct pfs_pack *pack, uint64_t off)
{
	return place->pack == pack->number && place->off == off;
}

/* --- adopted files that have an object in several places ----------------------- */

/* A list that was read for nothing need not be read again when it cannot tell of any. */
static void note_twinless(struct pfs_pack *pack, const struct pfs_packlist *list)
{
	struct pfs_idtable *table = pfs_locality_prepare(list);

	if (!table)
		return;
	if (!list->damaged && table->n == list->n)
		__atomic_store_n(&pack->twinless, true, __ATOMIC_RELAXED);
	pfs_idtable_fini(table);
	free(table);
}

static bool find_whole(struct pfs_packset *set, struct pfs_pack *pack, const struct pfs_id *id,
		       struct pfs_place *out)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };

	if (pfs_packlist_load(set->dir, pack, &list, NULL) < 0)
		return false;
	for (size_t i = 0; i < list.n; i++) {
		const struct pfs_packlist_item *item = &list.items[i];

		if (!pfs_id_equal(&item->id, id) || pfs_packset_is_damaged(set, id, &item->place))
			continue;
		*out = item->place;
		return true;
	}
	note_twinless(pack, &list);
	return false;
}

/* Unless the index tells another thing of it by now than whoever asked was told. Under the lock. */
static void tell_twin(struct pfs_packset *set, const struct pfs_indexruns *runs,
		      const struct pfs_id *id, const struct pfs_place *told,
		      const struct pfs_place *twin)
{
	const struct pfs_pack *pack = set->packs[told->pack];
	struct pfs_place now;
	enum pfs_idtable_answer answer = pfs_idtable_find(&set->table, id, &now);
	bool same;

	if (runs)
		same = answer == PFS_IDTABLE_ABSENT && runs == set->runs &&
		       !__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE) &&
		       pfs_idtable_reserve(&set->table, set->promised + 1, NULL) == 0;
	else
		same = answer == PFS_IDTABLE_FOUND && is_at(&now, pack, told->off);
	if (same)
		pfs_idtable_set(&set->table, id, twin, false);
}

void pfs_packset_find_twin(struct pfs_packset *set, const struct pfs_indexruns *runs,
			   const struct pfs_id *id, struct pfs_place *place)
{
	struct pfs_pack *pack = pfs_packset_pack(set, place->pack);
	struct pfs_place twin;

	/* Of what only the table knows to be damaged, nobody could tell which twin is. */
	if (pack->kind != PFS_PACK_ADOPTED || !set->opened ||
	    __atomic_load_n(&pack->twinless, __ATOMIC_RELAXED) ||
	    !pfs_packset_is_damaged(set, id, place) || !find_whole(set, pack, id, &twin))
		return;
	pfs_rwlock_write(&set->lock);
	tell_twin(set, runs, id, place, &twin);
	pfs_rwlock_unlock(&set->lock);
	*place = twin;
}

/* --- rows and their packs --------------------------------------------------- */

/* All rows, and the packs that they tell of. */
struct known {
	struct pfs_doubt *rows; /* owned */
	size_t n;
	struct pfs_map packs; /* by uuid; those that are there */
};

static void known_fini(struct known *k)
{
	free(k->rows);
	pfs_map_fini(&k->packs);
}

static int load_known(struct pfs_packset *set, struct known *out, struct pfs_error *err)
{
	int rc = pfs_doubts_list(&set->doubts, NULL, &out->rows, &out->n, err);
	struct pfs_pack *pack;
	size_t pos = 0;

	pfs_map_init(&out->packs);
	while (rc == 0 && out->n && (pack = pfs_packset_next(set, &pos)))
		rc = pfs_map_set(&out->packs, pack->uuid, sizeof(pack->uuid), pack, err);
	return rc;
}

int pfs_packset_apply_doubts(struct pfs_packset *set, struct pfs_error *err)
{
	PFS_AUTO(known_fini) struct known k = { 0 };
	int rc = load_known(set, &k, err);

	for (size_t i = 0; i < k.n && rc == 0; i++) {
		const struct pfs_doubt *row = &k.rows[i];
		const struct pfs_pack *pack = pfs_map_find(&k.packs, row->pack, sizeof(row->pack));
		struct pfs_place place;

		if (pack && pfs_packset_find(set, &row->id, &place) &&
		    is_at(&place, pack, row->off))
			pfs_packset_doubt(set, &row->id, &place);
	}
	set->opened = rc == 0;
	if (rc == 0)
		pfs_packset_prune_doubts(set);
	return rc;
}

/* An object that there is none of, at the begin. */
static struct pfs_doubt row_of_pack(const struct pfs_pack *pack)
{
	struct pfs_doubt row = { .off = 0 };

	memcpy(row.pack, pack->uuid, sizeof(row.pack));
	return row;
}

void pfs_packset_doubt_pack(struct pfs_packset *set, const struct pfs_pack *pack)
{
	const struct pfs_doubt row = row_of_pack(pack);

	if (!__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE) &&
	    !pfs_doubts_tell_of(&set->doubts, pack->uuid))
		pfs_doubts_add(&set->doubts, &row);
}

void pfs_packset_trust_pack(struct pfs_packset *set, const struct pfs_pack *pack)
{
	const struct pfs_doubt row = row_of_pack(pack);

	pfs_doubts_remove(&set->doubts, &row);
}

/*
 * That a whole copy is found elsewhere is no reason: when its pack goes, this one
 * may be found again.
 */
void pfs_packset_prune_doubts(struct pfs_packset *set)
{
	PFS_AUTO(known_fini) struct known k = { 0 };

	if (load_known(set, &k, NULL) < 0)
		return;
	for (size_t i = 0; i < k.n; i++)
		if (!pfs_map_find(&k.packs, k.rows[i].pack, sizeof(k.rows[i].pack)))
			pfs_doubts_remove(&set->doubts, &k.rows[i]);
}

size_t pfs_packset_count_doubts(struct pfs_packset *set)
{
	if (pfs_doubts_count(&set->doubts) > 0)
		pfs_packset_prune_doubts(set);
	return pfs_doubts_count(&set->doubts);
}

int pfs_packset_each_doubt(struct pfs_packset *set, const struct pfs_pack *pack,
			   void (*each)(void *arg, const struct pfs_id *id,
					const struct pfs_place *place),
			   void *arg, struct pfs_error *err)
{
	struct pfs_doubt *rows = NULL;
	size_t n = 0;
	int rc = 0;

	if (pfs_doubts_count(&set->doubts) == 0)
		return 0;
	rc = pfs_doubts_list(&set->doubts, pack->uuid, &rows, &n, err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct pfs_place place;

		if (pfs_packset_find(set, &rows[i].id, &place) && place.doubted &&
		    is_at(&place, pack, rows[i].off))
			each(arg, &rows[i].id, &place);
	}
	free(rows);
	return rc;
}
