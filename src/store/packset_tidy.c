#include "store/indexbatch.h"
#include "store/packset_i.h"
#include "base/io.h"
#include "base/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RATIO       8u /* runs of level 0 that are merged; a level is so many times the one above */
#define MERGE_STEP  262144u /* records, some 50 ms */
#define RUN_BATCHES 2u      /* so many batches make a run at most; an adopted file may hold more */
#define RETRY_AFTER 4u      /* a quarter more in the table after a flush that failed */

size_t pfs_packset_batch = PFS_INDEX_BATCH;

void pfs_packset_set_batch(size_t batch)
{
	pfs_packset_batch = batch;
}

static bool is_dropped(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE);
}

int pfs_packset_counts_init(struct pfs_packset_counts *c, size_t n, struct pfs_error *err)
{
	c->n = n;
	c->objects = calloc(n ? n : 1, sizeof(*c->objects));
	c->bytes = calloc(n ? n : 1, sizeof(*c->bytes));
	return c->objects && c->bytes ? 0 : pfs_fail_nomem(err, "counting what packs hold");
}

void pfs_packset_counts_fini(struct pfs_packset_counts *c)
{
	free(c->objects);
	free(c->bytes);
	*c = (struct pfs_packset_counts){ 0 };
}

static void count(struct pfs_packset_counts *c, uint32_t pack, int by, uint32_t ulen)
{
	if (pack >= c->n)
		return;
	c->objects[pack] += by;
	c->bytes[pack] += by * (int64_t)ulen;
}

static struct pfs_idxpack tell_pack(const struct pfs_pack *pack,
				    const struct pfs_packset_counts *counts, bool anew)
{
	bool counted = counts && pack->number < counts->n;
	int64_t objects = anew ? 0 : (int64_t)pack->run_objects;
	int64_t bytes = anew ? 0 : (int64_t)pack->run_bytes;
	struct pfs_idxpack p = {
		.number = pack->number,
		.seq = pack->seq,
		.size = __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE),
		.kind = pack->kind,
	};

	objects += counted ? counts->objects[pack->number] : 0;
	bytes += counted ? counts->bytes[pack->number] : 0;
	p.objects = objects > 0 ? (uint32_t)objects : 0;
	p.object_bytes = bytes > 0 ? (uint64_t)bytes : 0;
	memcpy(p.uuid, pack->uuid, PFS_UUID_SIZE);
	return p;
}

int pfs_packset_put_manifest(struct pfs_packset *set, struct pfs_indexruns *runs,
			     bool (*also)(const struct pfs_pack *pack),
			     const struct pfs_packset_counts *counts, bool anew,
			     struct pfs_error *err)
{
	struct pfs_index x = { .next_run = set->next_run, .runs = runs };
	int rc;

	assert(pfs_held(&set->tidy));
	memcpy(x.store_uuid, set->store_uuid, PFS_UUID_SIZE);
	pfs_rwlock_read(&set->lock);
	x.next_pack = (uint32_t)set->n_packs;
	x.packs = calloc(set->n_packs ? set->n_packs : 1, sizeof(*x.packs));
	for (size_t i = 0; i < set->n_packs && x.packs; i++) {
		const struct pfs_pack *pack = set->packs[i];

		if (pack && !is_dropped(pack) && (pack->covered || (also && also(pack))))
			x.packs[x.n_packs++] = tell_pack(pack, counts, anew);
	}
	pfs_rwlock_unlock(&set->lock);
	if (!x.packs)
		return pfs_fail_nomem(err, "the manifest of the index");
	rc = pfs_index_publish(set->dir, &x, err);
	free(x.packs);
	if (rc == 0)
		set->unpublished = false;
	return rc;
}

/* --- from the table into a run --- */

static bool is_ripe(const struct pfs_pack *pack)
{
	return pack->complete && !pack->covered && !is_dropped(pack);
}

void pfs_packset_count_ready(struct pfs_packset *set)
{
	size_t ready = 0;

	for (size_t i = 0; i < set->n_packs; i++)
		if (set->packs[i] && is_ripe(set->packs[i]))
			ready += set->packs[i]->n_set;
	__atomic_store_n(&set->ready, ready, __ATOMIC_RELAXED);
}

/* Completed meanwhile: its entries are not in the batch. So packs are marked by what the batch saw. */
static bool is_in_batch(const struct pfs_pack *pack)
{
	return is_ripe(pack) && pack->in_batch;
}

/* One flush: what is in the table up to `end`, a run after the other. */
struct flush {
	size_t pos, end; /* entries of the table */
	struct pfs_indexbatch batch;
	struct pfs_packset_counts counts;
	struct pfs_indexruns *runs; /* counted: those there are, and ours in front */
};

static void flush_fini(struct flush *f)
{
	pfs_indexbatch_fini(&f->batch);
	pfs_packset_counts_fini(&f->counts);
	pfs_indexruns_unref(&f->runs);
}

/* Which packs go, and with them which entries: what is set from now on is for the next time. */
static int begin_flush(struct pfs_packset *set, struct flush *out, struct pfs_error *err)
{
	size_t n;

	pfs_rwlock_write(&set->lock);
	n = set->n_packs;
	for (size_t i = 0; i < n; i++)
		if (set->packs[i])
			set->packs[i]->in_batch = is_ripe(set->packs[i]);
	out->end = set->table.n;
	out->runs = pfs_indexruns_ref(set->runs);
	pfs_rwlock_unlock(&set->lock);
	return pfs_packset_counts_init(&out->counts, n, err);
}

/* What comes next and can go into a run, in the order it was set. */
static int collect(struct pfs_packset *set, struct flush *f, struct pfs_error *err)
{
	struct pfs_idtable_entry e;
	int rc = 0;

	pfs_indexbatch_clear(&f->batch);
	pfs_rwlock_read(&set->lock);
	while (rc == 0 && f->pos < f->end && f->batch.n < RUN_BATCHES * pfs_packset_batch &&
	       pfs_idtable_next(&set->table, &f->pos, &e)) {
		const struct pfs_idxrec rec = {
			.id = e.id,
			.pack = e.place.pack,
			.off = e.place.off,
			.clen = e.place.clen,
			.ulen = e.place.ulen,
			.type = e.place.type,
			.codec = e.place.codec,
		};

		if (!e.lost && set->packs[e.place.pack]->in_batch)
			rc = pfs_indexbatch_add(&f->batch, &rec, err);
	}
	pfs_rwlock_unlock(&set->lock);
	return rc < 0 ? rc : pfs_indexbatch_sort(&f->batch, err);
}

/* Each record that goes into a run takes the place of the one that runs had. */
static int count_batch(struct pfs_packset *set, struct flush *f, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < f->batch.n_order && rc >= 0; i++) {
		struct pfs_place older;
		struct pfs_idxrec rec;

		pfs_indexbatch_get(&f->batch, i, &rec);
		rc = pfs_packset_search(set, f->runs, &rec.id, UINT32_MAX, &older, err);
		if (rc == 1)
			count(&f->counts, older.pack, -1, older.ulen);
		count(&f->counts, rec.pack, 1, rec.ulen);
	}
	return rc < 0 ? rc : 0;
}

/* The runs there are, with a new one in front. */
static int add_run(struct pfs_packset *set, struct flush *f, const struct pfs_idxrun *what,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_indexrun_unref) struct pfs_indexrun *run = NULL;
	struct pfs_indexruns *before = f->runs, *after = NULL;
	struct pfs_indexrun **list;
	int rc = pfs_indexrun_open(set->dir, what, set->store_uuid, &run, err);

	if (rc < 0)
		return rc;
	list = calloc(before->n + 1, sizeof(*list));
	if (list) {
		list[0] = run;
		memcpy(list + 1, before->runs, before->n * sizeof(*list));
		after = pfs_indexruns_new(list, before->n + 1);
	}
	free(list);
	if (!after)
		return pfs_fail_nomem(err, "the runs of the index");
	f->runs = after;
	pfs_indexruns_unref(&before);
	return 0;
}

static int write_run(struct pfs_packset *set, struct flush *f, struct pfs_error *err)
{
	struct pfs_idxrun what = { .records = 0 };
	int rc = collect(set, f, err);

	if (rc == 0)
		rc = count_batch(set, f, err);
	if (rc == 0 && f->batch.n_order)
		rc = pfs_indexbatch_write(&f->batch, set->dir, set->store_uuid, set->next_run++, 0,
					  &what, err);
	return rc == 0 && what.records ? add_run(set, f, &what, err) : rc;
}

static bool is_in_table_only(const struct pfs_pack *pack)
{
	return !pack->covered && !is_dropped(pack);
}

bool pfs_packset_stays_in_table(void *arg, const struct pfs_idtable_entry *e,
				const struct pfs_idtable_entry *newest)
{
	const struct pfs_packset *set = arg;
	const struct pfs_pack *pack = set->packs[e->place.pack];
	const struct pfs_pack *newer = set->packs[newest->place.pack];

	if (e->older)
		return is_in_table_only(pack) && (!newer->covered || is_dropped(newer));
	return e->lost || is_in_table_only(pack) || (e->place.doubted && !is_dropped(pack));
}

/* The batch is in the runs: packs are covered, the table lets go of them. */
static void install_flush(struct pfs_packset *set, struct flush *f)
{
	const struct pfs_packset_counts *counts = &f->counts;
	struct pfs_indexruns *before;

	pfs_rwlock_write(&set->lock);
	before = set->runs;
	set->runs = f->runs;
	for (size_t i = 0; i < set->n_packs; i++) {
		struct pfs_pack *pack = set->packs[i];

		if (!pack)
			continue;
		if (i < counts->n) {
			pack->run_objects += (uint64_t)counts->objects[i];
			pack->run_bytes += (uint64_t)counts->bytes[i];
		}
		pack->covered |= is_in_batch(pack);
	}
	pfs_packset_count_ready(set);
	/* Without memory for a smaller table the larger one stays, and is as right. */
	pfs_idtable_keep(&set->table, pfs_packset_stays_in_table, set, set->promised, NULL);
	pfs_rwlock_unlock(&set->lock);
	f->runs = before;
}

static int flush(struct pfs_packset *set, struct flush *f, struct pfs_error *err)
{
	int rc = begin_flush(set, f, err);

	if (rc == 0)
		rc = pfs_io_mkdir_all(set->dir, "index", err);
	while (rc == 0 && f->pos < f->end)
		rc = write_run(set, f, err);
	if (rc == 0)
		rc = pfs_packset_put_manifest(set, f->runs, is_in_batch, &f->counts, false, err);
	if (rc == 0)
		install_flush(set, f);
	return rc;
}

int pfs_packset_flush(struct pfs_packset *set, struct pfs_error *err)
{
	struct flush f = { .pos = 0 };
	size_t ready = __atomic_load_n(&set->ready, __ATOMIC_RELAXED);
	size_t again = ready + ready / RETRY_AFTER;
	int rc;

	assert(pfs_held(&set->tidy));
	rc = flush(set, &f, err);
	flush_fini(&f);
	/* What failed is tried again, but not at every put. */
	__atomic_store_n(&set->flush_at,
			 rc < 0 && again > pfs_packset_batch ? again : pfs_packset_batch,
			 __ATOMIC_RELAXED);
	return rc < 0 ? pfs_wrap(err, rc, "write the index") : 0;
}

/* --- runs become one --- */

/* So many records a level holds before it is merged into the next. */
static uint64_t level_size(unsigned level)
{
	uint64_t size = pfs_packset_batch;

	for (unsigned i = 0; i <= level && size < UINT32_MAX; i++)
		size *= RATIO;
	return size;
}

uint8_t pfs_packset_level_of(uint64_t records)
{
	uint8_t level = 0;

	while (records > (level ? level_size(level) : pfs_packset_batch))
		level++;
	return level;
}

/* Which runs to merge next: [*from, *to), into *level. False when all is well. */
static bool choose(const struct pfs_indexruns *runs, size_t *from, size_t *to, uint8_t *level)
{
	size_t n = 0;

	while (n < runs->n && pfs_indexrun_what(runs->runs[n])->level == 0)
		n++;
	*from = 0;
	*to = n;
	*level = 1;
	if (n < RATIO) {
		for (*from = n; *from < runs->n; ++*from) {
			const struct pfs_idxrun *r = pfs_indexrun_what(runs->runs[*from]);

			if (r->records > level_size(r->level))
				break;
		}
		if (*from == runs->n)
			return false;
		*level = (uint8_t)(pfs_indexrun_what(runs->runs[*from])->level + 1);
		*to = *from + 1;
	}
	while (*to < runs->n && pfs_indexrun_what(runs->runs[*to])->level <= *level)
		++*to;
	return true;
}

/* Which packs are live, as it was when a step began: what goes meanwhile goes at the next merge. */
struct liveness {
	unsigned char *live;
	size_t n;
};

static int look_who_lives(struct pfs_packset *set, struct liveness *out, struct pfs_error *err)
{
	pfs_rwlock_read(&set->lock);
	out->n = set->n_packs;
	out->live = calloc(out->n ? out->n : 1, 1);
	for (size_t i = 0; i < out->n && out->live; i++)
		out->live[i] =
			set->packs[i] && set->packs[i]->covered && !is_dropped(set->packs[i]);
	pfs_rwlock_unlock(&set->lock);
	return out->live ? 0 : pfs_fail_nomem(err, "merging the index");
}

static bool keep_live(void *arg, const struct pfs_idxrec *rec)
{
	const struct liveness *l = arg;

	return rec->pack < l->n && l->live[rec->pack];
}

void pfs_packset_stop_merge(struct pfs_packset *set)
{
	assert(pfs_held(&set->tidy));
	pfs_indexmerge_abort(&set->merge);
	pfs_indexruns_unref(&set->merging);
}

static int begin_merge(struct pfs_packset *set, struct pfs_error *err)
{
	size_t from, to;
	uint8_t level;
	int rc;

	if (!choose(set->runs, &from, &to, &level))
		return 0;
	set->merging = pfs_indexruns_new(set->runs->runs + from, to - from);
	if (!set->merging)
		return pfs_fail_nomem(err, "merging the index");
	set->merge_number = set->next_run++;
	rc = pfs_indexmerge_begin(set->dir, set->store_uuid, set->merging->runs, set->merging->n,
				  set->merge_number, level, &set->merge, err);
	if (rc < 0) {
		pfs_packset_stop_merge(set);
		return rc;
	}
	return 1;
}

static bool is_merged(const struct pfs_indexruns *merging, const struct pfs_indexrun *run)
{
	for (size_t i = 0; i < merging->n; i++)
		if (merging->runs[i] == run)
			return true;
	return false;
}

/* The runs there are, with one in the place of those that were merged. */
static int replace_merged(struct pfs_packset *set, struct pfs_indexrun *run,
			  struct pfs_indexruns **out, struct pfs_error *err)
{
	struct pfs_indexrun **list = calloc(set->runs->n + 1, sizeof(*list));
	size_t n = 0;
	bool placed = false;

	for (size_t i = 0; i < set->runs->n && list; i++) {
		if (!is_merged(set->merging, set->runs->runs[i])) {
			list[n++] = set->runs->runs[i];
			continue;
		}
		if (!placed && run)
			list[n++] = run;
		placed = true;
	}
	*out = list ? pfs_indexruns_new(list, n) : NULL;
	free(list);
	return *out ? 0 : pfs_fail_nomem(err, "the runs of the index");
}

static void swap_runs(struct pfs_packset *set, struct pfs_indexruns **runs)
{
	struct pfs_indexruns *before;

	pfs_rwlock_write(&set->lock);
	before = set->runs;
	set->runs = *runs;
	pfs_rwlock_unlock(&set->lock);
	*runs = before;
}

static int finish_merge(struct pfs_packset *set, struct pfs_error *err)
{
	PFS_AUTO(pfs_indexruns_unref) struct pfs_indexruns *runs = NULL;
	PFS_AUTO(pfs_indexrun_unref) struct pfs_indexrun *run = NULL;
	struct pfs_idxrun what;
	int rc = pfs_indexmerge_finish(&set->merge, &what, err);

	if (rc == 0 && what.records)
		rc = pfs_indexrun_open(set->dir, &what, set->store_uuid, &run, err);
	if (rc == 0)
		rc = replace_merged(set, run, &runs, err);
	if (rc == 0)
		rc = pfs_packset_put_manifest(set, runs, NULL, NULL, false, err);
	pfs_packset_stop_merge(set);
	if (rc < 0)
		return rc;
	swap_runs(set, &runs);
	pfs_index_clean(set->dir, set->runs);
	return 1;
}

static int go_on_merging(struct pfs_packset *set, struct pfs_error *err)
{
	struct liveness l;
	int rc = look_who_lives(set, &l, err);

	if (rc == 0)
		rc = pfs_indexmerge_step(set->merge, MERGE_STEP, keep_live, &l, err);
	free(l.live);
	if (rc == 0)
		return finish_merge(set, err);
	if (rc < 0)
		pfs_packset_stop_merge(set);
	return rc;
}

/* --- when --- */

bool pfs_packset_is_due(struct pfs_packset *set)
{
	return __atomic_load_n(&set->ready, __ATOMIC_RELAXED) >=
	       __atomic_load_n(&set->flush_at, __ATOMIC_RELAXED);
}

/* A run that cannot be read is no reason to give up: the packs tell all of it again. */
int pfs_packset_after_failure(struct pfs_packset *set, int failed, struct pfs_error *err)
{
	if (failed != PFS_E_CORRUPT)
		return failed;
	pfs_packset_note_trouble(set, err ? err->text : "a run is damaged");
	return pfs_packset_rebuild_locked(set, err);
}

static int step(struct pfs_packset *set, struct pfs_error *err)
{
	int rc;

	if (pfs_packset_is_due(set)) {
		rc = pfs_packset_flush(set, err);
		rc = rc < 0 ? rc : 1;
	} else if (set->merge) {
		rc = go_on_merging(set, err);
	} else {
		rc = begin_merge(set, err);
	}
	return rc < 0 ? pfs_packset_after_failure(set, rc, err) : rc;
}

int pfs_packset_tidy(struct pfs_packset *set, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc;

	pfs_lock(&set->tidy);
	rc = step(set, &why);
	if (rc == 0 && set->unpublished)
		rc = pfs_packset_put_manifest(set, set->runs, NULL, NULL, false, &why);
	pfs_unlock(&set->tidy);
	if (rc < 0 && err)
		*err = why;
	return rc;
}

int pfs_packset_publish(struct pfs_packset *set, struct pfs_error *err)
{
	int rc = 0;

	pfs_lock(&set->tidy);
	if (set->unpublished)
		rc = pfs_packset_put_manifest(set, set->runs, NULL, NULL, false, err);
	pfs_unlock(&set->tidy);
	return rc < 0 ? pfs_wrap(err, rc, "write the index") : 0;
}
