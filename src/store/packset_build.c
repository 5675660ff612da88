#include "store/indexbatch.h"
#include "store/packset_i.h"
#include "base/io.h"
#include "base/limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 64u /* runs of a new index before they are merged */

void pfs_packset_note_trouble(struct pfs_packset *set, const char *text)
{
	assert(pfs_held(&set->tidy));
	snprintf(set->trouble, sizeof(set->trouble), "%s", text);
	set->trouble_mended = set->pack_gone = false;
}

/* --- opening --- */

/* The packs of the manifest, to be claimed. Numbers of packs that have gone may still be in runs. */
static int expect_packs(struct pfs_packset *set, struct pfs_error *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < set->found.n_packs && rc == 0; i++) {
		struct pfs_idxpack *p = &set->found.packs[i];

		rc = pfs_map_set(&set->unclaimed, p->uuid, sizeof(p->uuid), p, err);
	}
	pfs_rwlock_write(&set->lock);
	if (rc == 0)
		rc = pfs_packset_widen(set, set->found.next_pack, err);
	if (rc == 0)
		set->n_packs = set->found.next_pack;
	pfs_rwlock_unlock(&set->lock);
	return rc;
}

int pfs_packset_load_index(struct pfs_packset *set, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc;

	pfs_lock(&set->tidy);
	rc = pfs_index_load(set->dir, set->store_uuid, &set->found, &why);
	set->next_run = set->found.next_run;
	if (rc < 0 && rc != PFS_E_NOTFOUND && rc != PFS_E_NOMEM)
		pfs_packset_note_trouble(set, why.text);
	if (rc == 0)
		rc = expect_packs(set, &why);
	pfs_unlock(&set->tidy);
	if (rc == PFS_E_NOMEM && err)
		*err = why;
	return rc == PFS_E_NOMEM ? rc : 0;
}

static struct pfs_pack *claimed_pack(const struct pfs_idxpack *p)
{
	struct pfs_pack *pack = calloc(1, sizeof(*pack));

	if (!pack)
		return NULL;
	memcpy(pack->uuid, p->uuid, PFS_UUID_SIZE);
	pack->kind = p->kind;
	pack->number = p->number;
	pack->seq = p->seq;
	pack->size = p->size;
	pack->sealed = 1;
	pack->complete = pack->covered = true;
	pack->objects = pack->run_objects = p->objects;
	pack->object_bytes = pack->run_bytes = p->object_bytes;
	pack->fd = -1;
	return pack;
}

bool pfs_packset_claim(struct pfs_packset *set, const unsigned char uuid[PFS_UUID_SIZE],
		       uint8_t kind, uint64_t size, struct pfs_pack **out)
{
	const struct pfs_idxpack *p = pfs_map_find(&set->unclaimed, uuid, PFS_UUID_SIZE);
	struct pfs_pack *pack = p && p->kind == kind && p->size == size ? claimed_pack(p) : NULL;

	if (!pack)
		return false;
	pfs_rwlock_write(&set->lock);
	pfs_packset_place_pack(set, pack);
	pfs_rwlock_unlock(&set->lock);
	pfs_map_remove(&set->unclaimed, uuid, PFS_UUID_SIZE);
	*out = pack;
	return true;
}

/* Nothing that the index says counts: its packs are to be read. Under tidy. */
static void disbelieve(struct pfs_packset *set)
{
	pfs_rwlock_write(&set->lock);
	for (size_t i = 0; i < set->n_packs; i++) {
		struct pfs_pack *pack = set->packs[i];

		if (!pack || !pack->covered)
			continue;
		pack->complete = pack->covered = false;
		pack->unread = true;
		pack->objects = pack->object_bytes = 0;
		pack->run_objects = pack->run_bytes = 0;
	}
	pfs_rwlock_unlock(&set->lock);
}

static void believe(struct pfs_packset *set)
{
	struct pfs_indexruns *none;

	pfs_rwlock_write(&set->lock);
	none = set->runs;
	set->runs = set->found.runs;
	set->found.runs = none;
	for (size_t i = 0; i < set->n_packs; i++)
		if (set->packs[i]) {
			set->objects += set->packs[i]->objects;
			set->object_bytes += set->packs[i]->object_bytes;
		}
	pfs_rwlock_unlock(&set->lock);
	pfs_index_clean(set->dir, set->runs);
}

bool pfs_packset_claim_end(struct pfs_packset *set)
{
	size_t pos = 0;
	const struct pfs_idxpack *gone = pfs_map_next(&set->unclaimed, &pos);
	bool usable = set->found.runs && !gone;

	pfs_lock(&set->tidy);
	if (gone) {
		char uuid[PFS_PACK_TEXT_SIZE], text[100];

		snprintf(text, sizeof(text), "index/manifest: pack %s is not there as it was",
			 pfs_pack_format(gone->uuid, uuid));
		pfs_packset_note_trouble(set, text);
		set->pack_gone = true;
	}
	if (usable)
		believe(set);
	else
		disbelieve(set);
	pfs_index_fini(&set->found);
	pfs_map_fini(&set->unclaimed);
	pfs_map_init(&set->unclaimed);
	pfs_unlock(&set->tidy);
	return usable;
}

/* --- anew from the packs --- */

/* A new index while it is made: pieces of it, from the oldest to the newest. */
struct building {
	struct pfs_packset *set;
	struct pfs_indexbatch batch;
	struct pfs_indexrun *pieces[PIECES_MAX]; /* counted */
	size_t n;
	struct pfs_packset_counts counts;
};

static void building_fini(struct building *b)
{
	pfs_indexbatch_fini(&b->batch);
	while (b->n)
		pfs_indexrun_unref(&b->pieces[--b->n]);
	pfs_packset_counts_fini(&b->counts);
}

static int add_piece(struct building *b, const struct pfs_idxrun *what, struct pfs_error *err)
{
	struct pfs_packset *set = b->set;
	int rc = pfs_indexrun_open(set->dir, what, set->store_uuid, &b->pieces[b->n], err);

	b->n += rc == 0;
	return rc;
}

static int write_piece(struct building *b, struct pfs_error *err)
{
	struct pfs_packset *set = b->set;
	struct pfs_idxrun what;
	int rc = pfs_indexbatch_sort(&b->batch, err);

	if (rc == 0)
		rc = pfs_indexbatch_write(&b->batch, set->dir, set->store_uuid, set->next_run++,
					  pfs_packset_level_of(b->batch.n_order), &what, err);
	pfs_indexbatch_clear(&b->batch);
	if (rc == 0 && what.records)
		rc = add_piece(b, &what, err);
	return rc;
}

static bool keep_all(void *arg, const struct pfs_idxrec *rec)
{
	return true;
}

static int merge_pieces(struct building *b, struct pfs_error *err)
{
	struct pfs_indexrun *newest_first[PIECES_MAX];
	PFS_AUTO(pfs_indexmerge_abort) struct pfs_indexmerge *m = NULL;
	struct pfs_packset *set = b->set;
	struct pfs_idxrun what;
	uint64_t records = 0;
	int rc;

	for (size_t i = 0; i < b->n; i++) {
		newest_first[b->n - 1 - i] = b->pieces[i];
		records += pfs_indexrun_what(b->pieces[i])->records;
	}
	rc = pfs_indexmerge_begin(set->dir, set->store_uuid, newest_first, b->n, set->next_run++,
				  pfs_packset_level_of(records), &m, err);
	if (rc == 0)
		rc = pfs_indexmerge_step(m, SIZE_MAX, keep_all, NULL, err);
	if (rc == 0)
		rc = pfs_indexmerge_finish(&m, &what, err);
	if (rc < 0)
		return rc;
	while (b->n)
		pfs_indexrun_unref(&b->pieces[--b->n]);
	return add_piece(b, &what, err);
}

/* What is known to be damaged there, or all else. */
static int add_list(struct building *b, const struct pfs_pack *pack, bool damaged,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	int rc = pfs_packlist_load(b->set->dir, pack, &list, err);

	for (size_t i = 0; i < list.n && rc == 0; i++) {
		const struct pfs_place *place = &list.items[i].place;
		const struct pfs_idxrec rec = {
			.id = list.items[i].id,
			.pack = place->pack,
			.off = place->off,
			.clen = place->clen,
			.ulen = place->ulen,
			.type = place->type,
			.codec = place->codec,
		};

		if (pfs_packset_is_damaged(b->set, &rec.id, place) != damaged)
			continue;
		rc = pfs_indexbatch_add(&b->batch, &rec, err);
		if (rc == 0 && b->batch.n == pfs_packset_batch)
			rc = write_piece(b, err);
		if (rc == 0 && b->n == PIECES_MAX)
			rc = merge_pieces(b, err);
	}
	return rc;
}

static bool is_to_be_built(const struct pfs_pack *pack)
{
	return pack->in_batch;
}

/*
 * Condemned packs count as the oldest: sweep goes by what puts were told of
 * them, and drops them when all that is wanted is found elsewhere.
 */
static int by_age(const void *a, const void *b)
{
	const struct pfs_pack *const *x = a, *const *y = b;
	int x_condemned = __atomic_load_n(&(*x)->condemned, __ATOMIC_ACQUIRE);
	int y_condemned = __atomic_load_n(&(*y)->condemned, __ATOMIC_ACQUIRE);

	if (x_condemned != y_condemned)
		return y_condemned - x_condemned;
	if ((*x)->seq != (*y)->seq)
		return (*x)->seq < (*y)->seq ? -1 : 1;
	return (*x)->number < (*y)->number ? -1 : 1;
}

/* All packs that an index can cover, the oldest first: what comes later takes the place of it. */
static int list_packs(struct pfs_packset *set, struct pfs_pack ***out, size_t *out_n,
		      struct pfs_error *err)
{
	struct pfs_pack **list;
	size_t n = 0;

	pfs_rwlock_write(&set->lock);
	list = calloc(set->n_packs ? set->n_packs : 1, sizeof(struct pfs_pack *));
	for (size_t i = 0; i < set->n_packs && list; i++) {
		struct pfs_pack *pack = set->packs[i];

		if (!pack)
			continue;
		pack->in_batch = (pack->complete || pack->unread) &&
				 !__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE);
		if (pack->in_batch)
			list[n++] = pack;
	}
	pfs_rwlock_unlock(&set->lock);
	if (!list)
		return pfs_fail_nomem(err, "making the index anew");
	qsort(list, n, sizeof(struct pfs_pack *), by_age);
	*out = list;
	*out_n = n;
	return 0;
}

/* Damaged copies first, so that whole ones take the place of them. */
static int add_damaged(struct building *b, struct pfs_pack **list, size_t n, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		if (pfs_doubts_tell_of(&b->set->doubts, list[i]->uuid))
			rc = add_list(b, list[i], true, err);
	return rc;
}

static int add_lists(struct building *b, struct pfs_error *err)
{
	struct pfs_pack **list = NULL;
	size_t n = 0;
	int rc = list_packs(b->set, &list, &n, err);

	if (rc < 0)
		return rc;
	rc = add_damaged(b, list, n, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = add_list(b, list[i], false, err);
	free(list);
	if (rc == 0)
		rc = write_piece(b, err);
	return rc == 0 && b->n > 1 ? merge_pieces(b, err) : rc;
}

/* What each pack holds of the one run there is. */
static int count_run(struct building *b, struct pfs_error *err)
{
	struct pfs_indexcursor c;
	struct pfs_idxrec rec;
	size_t n;
	int rc;

	pfs_rwlock_read(&b->set->lock);
	n = b->set->n_packs;
	pfs_rwlock_unlock(&b->set->lock);
	rc = pfs_packset_counts_init(&b->counts, n, err);
	if (rc < 0 || b->n == 0)
		return rc;
	rc = pfs_indexcursor_init(&c, b->pieces[0], err);
	while (rc == 0 && (rc = pfs_indexcursor_next(&c, &rec, err)) == 1) {
		b->counts.objects[rec.pack]++;
		b->counts.bytes[rec.pack] += rec.ulen;
		rc = 0;
	}
	pfs_indexcursor_fini(&c);
	return rc;
}

/* What the table has takes the place of what the runs have. */
static void recount_entry(struct pfs_packset *set, const struct pfs_idtable_entry *e)
{
	struct pfs_place older;
	struct pfs_idxrec rec;
	size_t pos = 0;

	if (e->older)
		return;
	if (pfs_indexruns_next(set->runs, &e->id, &pos, &rec, NULL) == 1) {
		older = (struct pfs_place){ .pack = rec.pack, .ulen = rec.ulen };
		pfs_packset_leave(set, older.pack, older.ulen);
	}
	if (!e->lost)
		pfs_packset_enter(set, e->place.pack, e->place.ulen);
}

static void recount(struct pfs_packset *set)
{
	struct pfs_idtable_entry e;
	size_t pos = 0;

	set->objects = set->object_bytes = 0;
	for (size_t i = 0; i < set->n_packs; i++) {
		struct pfs_pack *pack = set->packs[i];

		if (!pack)
			continue;
		pack->objects = pack->run_objects;
		pack->object_bytes = pack->run_bytes;
		set->objects += pack->objects;
		set->object_bytes += pack->object_bytes;
	}
	while (pfs_idtable_next(&set->table, &pos, &e))
		recount_entry(set, &e);
}

static void install(struct pfs_packset *set, struct building *b, struct pfs_indexruns **runs)
{
	struct pfs_indexruns *before;

	pfs_rwlock_write(&set->lock);
	before = set->runs;
	set->runs = *runs;
	for (size_t i = 0; i < set->n_packs; i++) {
		struct pfs_pack *pack = set->packs[i];

		if (!pack)
			continue;
		pack->covered = pack->in_batch;
		pack->complete |= pack->covered;
		pack->unread &= !pack->covered;
		pack->parted = false;
		pack->run_objects = i < b->counts.n ? (uint64_t)b->counts.objects[i] : 0;
		pack->run_bytes = i < b->counts.n ? (uint64_t)b->counts.bytes[i] : 0;
		pack->in_batch = false;
	}
	pfs_packset_count_ready(set);
	pfs_idtable_keep(&set->table, pfs_packset_stays_in_table, set, set->promised, NULL);
	pfs_locality_fini(&set->near);
	recount(set);
	pfs_rwlock_unlock(&set->lock);
	*runs = before;
}

static int build(struct building *b, struct pfs_error *err)
{
	PFS_AUTO(pfs_indexruns_unref) struct pfs_indexruns *runs = NULL;
	struct pfs_packset *set = b->set;
	int rc = pfs_io_mkdir_all(set->dir, "index", err);

	if (rc == 0)
		rc = add_lists(b, err);
	if (rc == 0)
		rc = count_run(b, err);
	if (rc < 0)
		return rc;
	runs = pfs_indexruns_new(b->pieces, b->n);
	if (!runs)
		return pfs_fail_nomem(err, "making the index anew");
	rc = pfs_packset_put_manifest(set, runs, is_to_be_built, &b->counts, true, err);
	if (rc < 0)
		return rc;
	install(set, b, &runs);
	pfs_index_clean(set->dir, set->runs);
	return 0;
}

int pfs_packset_rebuild_locked(struct pfs_packset *set, struct pfs_error *err)
{
	struct building b = { .set = set };
	int rc;

	assert(pfs_held(&set->tidy));
	pfs_packset_stop_merge(set);
	rc = build(&b, err);
	building_fini(&b);
	if (rc < 0)
		return pfs_wrap(err, rc, "make the index anew");
	__atomic_add_fetch(&set->rebuilds, 1, __ATOMIC_RELAXED);
	set->trouble_mended = true;
	return 0;
}

void pfs_packset_mend_index(struct pfs_packset *set)
{
	pfs_lock(&set->tidy);
	if (set->trouble[0] && !set->trouble_mended)
		pfs_packset_rebuild_locked(set, NULL);
	pfs_unlock(&set->tidy);
}

int pfs_packset_rebuild(struct pfs_packset *set, struct pfs_error *err)
{
	int rc;

	pfs_lock(&set->tidy);
	rc = pfs_packset_rebuild_locked(set, err);
	pfs_unlock(&set->tidy);
	return rc;
}

/* --- checking --- */

/* Read all of it; how many damages there are, or negative without memory. */
static int check_files(struct pfs_packset *set, bool thorough,
		       void (*tell)(void *arg, const char *what, const char *text), void *arg)
{
	struct pfs_error why = { 0 };
	int damages = 0;
	int rc = pfs_index_check(set->dir, set->store_uuid, &why);

	for (size_t i = 0;; i++) {
		if (rc == PFS_E_NOMEM)
			return rc;
		if (rc < 0)
			tell(arg, "index", why.text);
		damages += rc < 0;
		if (!thorough || i == set->runs->n)
			return damages;
		rc = pfs_indexrun_check(set->runs->runs[i], &why);
	}
}

int pfs_packset_check(struct pfs_packset *set, bool thorough,
		      void (*tell)(void *arg, const char *what, const char *text),
		      void (*mended)(void *arg, const char *what, const char *text), void *arg,
		      struct pfs_error *err)
{
	int rc = 0;

	pfs_lock(&set->tidy);
	if (set->trouble[0] && set->trouble_mended && !set->pack_gone)
		mended(arg, "the index was made anew", set->trouble);
	else if (set->trouble[0])
		tell(arg, "the index had to be made anew", set->trouble);
	if (set->trouble_mended)
		set->trouble[0] = 0;
	if (set->runs->n)
		rc = check_files(set, thorough, tell, arg);
	if (rc > 0)
		rc = pfs_packset_rebuild_locked(set, err);
	else if (rc < 0)
		pfs_fail_nomem(err, "checking the index");
	pfs_unlock(&set->tidy);
	return rc;
}
