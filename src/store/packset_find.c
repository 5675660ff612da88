#include "store/packset_i.h"
#include "base/io.h"
#include "base/vec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REPAIRS_MAX 2

static bool is_dropped(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE);
}

bool pfs_packset_is_live(struct pfs_packset *set, uint32_t number)
{
	const struct pfs_pack *pack;
	bool live;

	pfs_rwlock_read(&set->lock);
	pack = number < set->n_packs ? set->packs[number] : NULL;
	live = pack && (pack->covered || pack->in_batch) && !is_dropped(pack);
	pfs_rwlock_unlock(&set->lock);
	return live;
}

int pfs_packset_search(struct pfs_packset *set, const struct pfs_indexruns *runs,
		       const struct pfs_id *id, uint32_t except, struct pfs_place *out,
		       struct pfs_error *err)
{
	struct pfs_idxrec rec;
	size_t pos = 0;
	int rc;

	while ((rc = pfs_indexruns_next(runs, id, &pos, &rec, err)) == 1) {
		/* What is left of a pack that has gone; an older run may tell of a copy. */
		if (rec.pack == except || !pfs_packset_is_live(set, rec.pack))
			continue;
		*out = (struct pfs_place){
			.pack = rec.pack,
			.off = rec.off,
			.clen = rec.clen,
			.ulen = rec.ulen,
			.type = rec.type,
			.codec = rec.codec,
		};
		return 1;
	}
	return rc;
}

/* What the table says; an entry in a dropped pack says nothing. Under the lock. */
static enum pfs_idtable_answer ask_table(struct pfs_packset *set, const struct pfs_id *id,
					 struct pfs_place *out)
{
	struct pfs_place place;
	enum pfs_idtable_answer answer = pfs_idtable_find(&set->table, id, &place);

	if (answer == PFS_IDTABLE_FOUND && is_dropped(set->packs[place.pack]))
		return PFS_IDTABLE_ABSENT;
	if (answer == PFS_IDTABLE_FOUND)
		*out = place;
	return answer;
}

/* When it is ABSENT in the table, *out_runs are to be asked, counted. */
static enum pfs_idtable_answer ask_memory(struct pfs_packset *set, const struct pfs_id *id,
					  struct pfs_place *out, struct pfs_indexruns **out_runs,
					  uint64_t *out_drops)
{
	enum pfs_idtable_answer answer;

	pfs_rwlock_read(&set->lock);
	answer = ask_table(set, id, out);
	if (answer == PFS_IDTABLE_ABSENT)
		*out_runs = pfs_indexruns_ref(set->runs);
	*out_drops = set->drops;
	pfs_rwlock_unlock(&set->lock);
	return answer;
}

static bool ask_neighbours(struct pfs_packset *set, const struct pfs_id *id, struct pfs_place *out)
{
	bool found;

	pfs_rwlock_read(&set->lock);
	found = pfs_locality_find(&set->near, id, out);
	pfs_rwlock_unlock(&set->lock);
	return found;
}

/* Is everything that the pack holds found there? Then its list answers as the index would. */
static bool is_whole(struct pfs_packset *set, uint32_t number, size_t n)
{
	const struct pfs_pack *pack = set->packs[number];

	return pack->covered && !is_dropped(pack) && pack->objects == n;
}

/* A list that had to make room for others is missed for a while before it is read again. */
static bool is_missed(struct pfs_packset *set, uint32_t number)
{
	struct pfs_pack *pack = pfs_packset_pack(set, number);
	unsigned owed = __atomic_load_n(&pack->list_owed, __ATOMIC_RELAXED);

	if (owed > 0)
		__atomic_store_n(&pack->list_owed, owed - 1, __ATOMIC_RELAXED);
	return owed == 0;
}

/* Whoever asks for one object of a pack and another asks for the rest soon. */
static void load_neighbours(struct pfs_packset *set, uint32_t number)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	struct pfs_pack *pack = pfs_packset_pack(set, number);
	struct pfs_idtable *table = NULL;
	bool wanted;

	pfs_rwlock_read(&set->lock);
	wanted = pack->objects <= PFS_LOCALITY_OBJECTS_MAX && !pack->parted;
	__atomic_store_n(&pack->list_owed, (unsigned)(pack->objects / PFS_LOCALITY_PER_LOOKUP),
			 __ATOMIC_RELAXED);
	pfs_rwlock_unlock(&set->lock);
	if (!wanted)
		return;
	__atomic_add_fetch(&set->lists_read, 1, __ATOMIC_RELAXED);
	if (pfs_packlist_load(set->dir, pack, &list, NULL) == 0)
		table = pfs_locality_prepare(&list);
	if (!table)
		return;
	pfs_rwlock_write(&set->lock);
	if (is_whole(set, number, table->n)) {
		pfs_locality_take(&set->near, number, table);
		table = NULL;
	} else {
		pack->parted = true; /* do not read the whole list again for nothing */
	}
	pfs_rwlock_unlock(&set->lock);
	if (table)
		pfs_idtable_fini(table);
	free(table);
}

/* Somebody found the index damaged that was made of `runs`: make another, unless it was done. */
static bool repair(struct pfs_packset *set, const struct pfs_indexruns *runs, const char *why)
{
	bool changed;
	int rc = 0;

	pfs_lock(&set->tidy);
	changed = set->runs != runs;
	if (!changed) {
		pfs_packset_note_trouble(set, why);
		rc = pfs_packset_rebuild_locked(set, NULL);
	}
	pfs_unlock(&set->tidy);
	return rc == 0;
}

/*
 * Whether packs went, or the index was made anew, since memory was asked: what
 * lay there is found elsewhere by now, and we have missed it.
 */
static bool has_moved(struct pfs_packset *set, const struct pfs_indexruns *runs, uint64_t drops)
{
	bool moved;

	pfs_rwlock_read(&set->lock);
	moved = set->runs != runs || set->drops != drops;
	pfs_rwlock_unlock(&set->lock);
	return moved;
}

static struct pfs_doubt row_of(const struct pfs_pack *pack, const struct pfs_id *id, uint64_t off)
{
	struct pfs_doubt row = { .off = off, .id = *id };

	memcpy(row.pack, pack->uuid, sizeof(row.pack));
	return row;
}

bool pfs_packset_is_damaged(struct pfs_packset *set, const struct pfs_id *id,
			    const struct pfs_place *place)
{
	struct pfs_doubt row;

	if (pfs_doubts_count(&set->doubts) == 0)
		return false;
	row = row_of(pfs_packset_pack(set, place->pack), id, place->off);
	return pfs_doubts_has(&set->doubts, &row);
}

static bool find(struct pfs_packset *set, const struct pfs_id *id, struct pfs_place *out)
{
	for (int repairs = 0;;) {
		PFS_AUTO(pfs_indexruns_unref) struct pfs_indexruns *runs = NULL;
		struct pfs_error why = { 0 };
		uint64_t drops;
		enum pfs_idtable_answer answer = ask_memory(set, id, out, &runs, &drops);
		bool near;
		int rc;

		if (answer == PFS_IDTABLE_FOUND && out->doubted)
			pfs_packset_find_twin(set, NULL, id, out);
		if (answer != PFS_IDTABLE_ABSENT)
			return answer == PFS_IDTABLE_FOUND;
		/* Most of what is asked for and not there ends here, without a page being read. */
		if (!pfs_indexruns_may_hold(runs, id))
			return false;
		/* Where the list of an adopted file tells of damage, the runs may tell of a twin. */
		near = ask_neighbours(set, id, out);
		if (near && !pfs_packset_is_damaged(set, id, out))
			return true;
		rc = pfs_packset_search(set, runs, id, UINT32_MAX, out, &why);
		if (rc == 1 && !near && is_missed(set, out->pack) &&
		    pfs_locality_hit(&set->near, out->pack))
			load_neighbours(set, out->pack);
		if (rc == 0 && has_moved(set, runs, drops))
			continue;
		if (rc == 1)
			out->doubted = pfs_packset_is_damaged(set, id, out);
		if (rc == 1 && out->doubted)
			pfs_packset_find_twin(set, runs, id, out);
		if (rc >= 0)
			return rc == 1;
		if (repairs++ == REPAIRS_MAX || !repair(set, runs, why.text))
			return false;
	}
}

bool pfs_packset_find(struct pfs_packset *set, const struct pfs_id *id, struct pfs_place *out)
{
	struct pfs_place place;

	if (!find(set, id, &place))
		return false;
	if (out)
		*out = place;
	return true;
}

bool pfs_packset_has(struct pfs_packset *set, const struct pfs_id *id)
{
	struct pfs_place place;

	return find(set, id, &place) && !place.doubted &&
	       !__atomic_load_n(&pfs_packset_pack(set, place.pack)->condemned, __ATOMIC_ACQUIRE);
}

bool pfs_packset_is_place(struct pfs_packset *set, const struct pfs_id *id,
			  const struct pfs_place *now, const struct pfs_place *place)
{
	if (now->pack != place->pack || now->off == place->off)
		return now->pack == place->pack;
	return pfs_packset_pack(set, now->pack)->kind == PFS_PACK_ADOPTED &&
	       !pfs_packset_is_damaged(set, id, place);
}

void pfs_packset_enter(struct pfs_packset *set, uint32_t number, uint32_t ulen)
{
	set->packs[number]->objects++;
	set->packs[number]->object_bytes += ulen;
	set->objects++;
	set->object_bytes += ulen;
}

void pfs_packset_leave(struct pfs_packset *set, uint32_t number, uint32_t ulen)
{
	struct pfs_pack *pack = set->packs[number];

	pack->parted = true;
	/* An index that was damaged may have been counted wrong; it is not counted below nothing. */
	if (pack->objects == 0 || pack->object_bytes < ulen)
		return;
	pack->objects--;
	pack->object_bytes -= ulen;
	set->objects--;
	set->object_bytes -= ulen;
	pfs_locality_forget(&set->near, number);
}

/* On top of what others were promised. */
static int reserve_locked(struct pfs_packset *set, size_t more, struct pfs_error *err)
{
	return pfs_idtable_reserve(&set->table, set->promised + more, err);
}

int pfs_packset_reserve(struct pfs_packset *set, size_t more, struct pfs_error *err)
{
	int rc;

	pfs_rwlock_write(&set->lock);
	rc = reserve_locked(set, more, err);
	if (rc == 0)
		set->promised += more;
	pfs_rwlock_unlock(&set->lock);
	return rc;
}

void pfs_packset_unreserve(struct pfs_packset *set, size_t less)
{
	pfs_rwlock_write(&set->lock);
	set->promised -= less < set->promised ? less : set->promised;
	pfs_rwlock_unlock(&set->lock);
}

/* `older` is where the runs know it, or NULL. Under the lock. */
static void set_locked(struct pfs_packset *set, const struct pfs_id *id,
		       const struct pfs_place *place, const struct pfs_place *older)
{
	struct pfs_pack *pack = set->packs[place->pack];
	struct pfs_place in_table;
	enum pfs_idtable_answer answer = ask_table(set, id, &in_table);
	bool keep_older = false;

	if (answer == PFS_IDTABLE_FOUND) {
		const struct pfs_pack *from = set->packs[in_table.pack];

		older = &in_table;
		keep_older = from != pack && !from->covered;
	} else if (answer == PFS_IDTABLE_LOST) {
		older = NULL;
	}
	if (older)
		pfs_packset_leave(set, older->pack, older->ulen);
	pfs_idtable_set(&set->table, id, place, keep_older);
	set->promised -= set->promised > 0;
	pfs_packset_enter(set, place->pack, place->ulen);
	pack->n_set++;
	if (pack->complete && !pack->covered)
		__atomic_add_fetch(&set->ready, 1, __ATOMIC_RELAXED);
}

/* What was cut off may be written anew in the same place. */
static void forget_doubt(struct pfs_packset *set, const struct pfs_id *id,
			 const struct pfs_place *place)
{
	struct pfs_doubt row;

	if (place->doubted || pfs_doubts_count(&set->doubts) == 0)
		return;
	row = row_of(pfs_packset_pack(set, place->pack), id, place->off);
	pfs_doubts_remove(&set->doubts, &row);
}

void pfs_packset_set(struct pfs_packset *set, const struct pfs_id *id,
		     const struct pfs_place *place)
{
	forget_doubt(set, id, place);
	for (bool done = false; !done;) {
		PFS_AUTO(pfs_indexruns_unref) struct pfs_indexruns *runs = NULL;
		struct pfs_place ignored, in_runs;
		uint64_t drops;
		/* Only to count right: what cannot be read will be counted when it is made anew. */
		bool older = ask_memory(set, id, &ignored, &runs, &drops) == PFS_IDTABLE_ABSENT &&
			     pfs_packset_search(set, runs, id, UINT32_MAX, &in_runs, NULL) == 1;

		pfs_rwlock_write(&set->lock);
		done = runs == set->runs || ask_table(set, id, &ignored) != PFS_IDTABLE_ABSENT;
		if (done)
			set_locked(set, id, place, older ? &in_runs : NULL);
		pfs_rwlock_unlock(&set->lock);
	}
}

void pfs_packset_doubt(struct pfs_packset *set, const struct pfs_id *id,
		       const struct pfs_place *place)
{
	struct pfs_place doubted = *place, in_table;
	struct pfs_pack *pack;
	struct pfs_doubt row;
	bool there;

	doubted.doubted = true;
	pfs_rwlock_write(&set->lock);
	pack = set->packs[place->pack];
	there = !is_dropped(pack);
	row = row_of(pack, id, place->off);
	pfs_locality_forget(&set->near, place->pack);
	if (ask_table(set, id, &in_table) != PFS_IDTABLE_ABSENT)
		pfs_idtable_doubt(&set->table, id, place);
	else if (pack->covered && there && reserve_locked(set, 1, NULL) == 0)
		pfs_idtable_set(&set->table, id, &doubted, false);
	pfs_rwlock_unlock(&set->lock);
	pfs_packset_note_unread(pack, place->off);
	if (there)
		pfs_doubts_add(&set->doubts, &row);
}

void pfs_packset_doubt_twin(struct pfs_packset *set, const struct pfs_id *id,
			    const struct pfs_place *place)
{
	struct pfs_pack *pack = pfs_packset_pack(set, place->pack);
	const struct pfs_doubt row = row_of(pack, id, place->off);

	pfs_packset_note_unread(pack, place->off);
	if (!is_dropped(pack))
		pfs_doubts_add(&set->doubts, &row);
}

void pfs_packset_trust(struct pfs_packset *set, const struct pfs_id *id,
		       const struct pfs_pack *pack, uint64_t off)
{
	const struct pfs_doubt row = row_of(pack, id, off);
	struct pfs_place place;

	if (!pfs_doubts_has(&set->doubts, &row))
		return;
	pfs_rwlock_write(&set->lock);
	if (ask_table(set, id, &place) == PFS_IDTABLE_FOUND && place.pack == pack->number &&
	    place.off == off) {
		place.doubted = false;
		pfs_idtable_set(&set->table, id, &place, false);
	}
	pfs_rwlock_unlock(&set->lock);
	pfs_doubts_remove(&set->doubts, &row);
}

struct entries PFS_VEC(struct pfs_idtable_entry);
PFS_VEC_DEFINE(push_entry, struct entries, struct pfs_idtable_entry, "objects of a record")

int pfs_packset_list_at(struct pfs_packset *set, const struct pfs_pack *pack, uint64_t off,
			struct pfs_idtable_entry **out, size_t *out_n, struct pfs_error *err)
{
	struct entries found = { 0 };
	struct pfs_idtable_entry e;
	size_t pos = 0;
	int rc = 0;

	pfs_rwlock_read(&set->lock);
	while (rc == 0 && pfs_idtable_next(&set->table, &pos, &e))
		if (e.place.pack == pack->number && e.place.off == off && !e.lost && !e.older)
			rc = push_entry(&found, e, err);
	pfs_rwlock_unlock(&set->lock);
	if (rc < 0) {
		free(found.items);
		return rc;
	}
	*out = found.items;
	*out_n = found.n;
	return 0;
}

void pfs_packset_lose(struct pfs_packset *set, const struct pfs_id *id)
{
	struct pfs_place place;

	if (!find(set, id, &place))
		return;
	pfs_rwlock_write(&set->lock);
	if (ask_table(set, id, &place) == PFS_IDTABLE_ABSENT && reserve_locked(set, 1, NULL) == 0)
		pfs_idtable_set(&set->table, id, &place, false);
	if (pfs_idtable_find(&set->table, id, NULL) == PFS_IDTABLE_FOUND) {
		pfs_packset_leave(set, place.pack, place.ulen);
		pfs_idtable_lose(&set->table, id);
	}
	pfs_rwlock_unlock(&set->lock);
}

size_t pfs_packset_lost(struct pfs_packset *set)
{
	size_t lost;

	pfs_rwlock_read(&set->lock);
	lost = set->table.lost;
	pfs_rwlock_unlock(&set->lock);
	return lost;
}
