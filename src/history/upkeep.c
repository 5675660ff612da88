/*
 * Upkeep: tidying, and whether a collection is called for. How far it has come
 * is kept beside the cursors of those who read events: a number by name.
 */
#include "history/gc.h"
#include "history/history_i.h"
#include "store/repack.h"
#include "base/clock.h"

#include <string.h>

#define TIDY_BUDGET  (16u << 20)
#define EVENTS_BATCH 64

#define REPACKED "repack.after"
#define GC_ENDED "gc.ended"
#define GC_EVENT "gc.event"
#define GC_SINCE "gc.since" /* without a collection, it was looked after since then */
#define GC_FREED "gc.freed"
#define GC_LEFT  "gc.left"

struct note {
	const char *name;
	uint64_t value;
};

static int write_notes(struct pfs_history *h, const struct note *notes, size_t n,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	int rc = pfs_txn_begin(h->meta, &txn, err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = pfs_txn_set_cursor(txn, notes[i].name, notes[i].value, err);
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

static int read_notes(struct pfs_history *h, struct note *notes, size_t n, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = pfs_meta_read_cursor(h->meta, notes[i].name, &notes[i].value, err);
	return rc;
}

/* --- tidying --------------------------------------------------------------- */

static int tidy_index(struct pfs_history *h, const struct pfs_tidy_options *o,
		      struct pfs_error *err)
{
	int rc = 1;

	while (rc == 1 && !(o->stop && o->stop(o->stop_arg)))
		rc = pfs_store_tidy(h->store, err);
	return rc < 0 ? rc : 0;
}

static int start_repack(struct pfs_history *h, struct pfs_error *err)
{
	struct note after = { .name = REPACKED };
	int rc = h->repack ? 0 : read_notes(h, &after, 1, err);

	if (rc < 0 || h->repack)
		return rc;
	return pfs_repack_new(h->store, (uint32_t)after.value, &h->repack, err);
}

/* 1 when there is more to do. */
static int repack(struct pfs_history *h, const struct pfs_tidy_options *o,
		  struct pfs_repack_done *done, struct pfs_error *err)
{
	const struct pfs_repack_options how = {
		.budget = o->budget_bytes ? o->budget_bytes : TIDY_BUDGET,
		.rest_ns = o->rest_ns,
		.stop = o->stop,
		.stop_arg = o->stop_arg,
	};
	uint32_t before;
	int rc = start_repack(h, err);

	if (rc < 0)
		return rc;
	before = pfs_repack_after(h->repack);
	rc = pfs_repack_step(h->repack, &how, done, err);
	if (rc >= 0 && pfs_repack_after(h->repack) != before) {
		const struct note after = { REPACKED, pfs_repack_after(h->repack) };
		int noted = write_notes(h, &after, 1, err);

		rc = noted < 0 ? noted : rc;
	}
	return rc;
}

int pfs_history_tidy(struct pfs_history *h, const struct pfs_tidy_options *options,
		     struct pfs_tidy_report *out, struct pfs_error *err)
{
	static const struct pfs_tidy_options plain = PFS_TIDY_OPTIONS_INIT;
	const struct pfs_tidy_options *o = options ? options : &plain;
	struct pfs_repack_done done = { 0 };
	int rc;

	if (o->size != sizeof(*o))
		return pfs_fail(err, PFS_E_INVALID, "tidy options of another version");
	rc = tidy_index(h, o, err);
	if (rc == 0) {
		pfs_lock(&h->gc_lock);
		rc = repack(h, o, &done, err);
		pfs_unlock(&h->gc_lock);
	}
	if (rc < 0)
		return pfs_wrap(err, rc, "tidy");
	*out = (struct pfs_tidy_report){
		.packs_seen = done.packs_seen,
		.packs_rewritten = done.packs_rewritten,
		.packs_damaged = done.packs_damaged,
		.packs_postponed = done.packs_postponed,
		.read_bytes = done.read_bytes,
		.written_bytes = done.written_bytes,
		.freed_bytes = done.freed_bytes,
		.more = rc == 1,
	};
	return 0;
}

/* --- when to collect --------------------------------------------------------- */

/* A note that cannot be written makes the next one come early: no harm. */
void pfs_gc_note_end(struct pfs_history *h, uint64_t event, const struct pfs_gc_report *r)
{
	const struct note notes[] = {
		{ GC_ENDED, (uint64_t)pfs_clock_ns() },
		{ GC_EVENT, event },
		{ GC_FREED, r->freed_bytes },
		{ GC_LEFT, r->left_bytes },
	};

	write_notes(h, notes, sizeof(notes) / sizeof(*notes), NULL);
	h->deletions = (struct pfs_deletions){ .seen = event };
}

int pfs_history_upkeep(struct pfs_history *h, struct pfs_upkeep *out, struct pfs_error *err)
{
	struct note notes[] = { { .name = GC_ENDED }, { .name = GC_FREED }, { .name = GC_LEFT } };
	struct pfs_scrub_state scrub;
	int rc = pfs_history_scrubbed(h, &scrub, err);

	if (rc == 0)
		rc = read_notes(h, notes, sizeof(notes) / sizeof(*notes), err);
	if (rc < 0)
		return rc;
	*out = (struct pfs_upkeep){
		.scrub = scrub,
		.gc_ended_ns = (int64_t)notes[0].value,
		.gc_freed_bytes = notes[1].value,
		.gc_left_bytes = notes[2].value,
	};
	return 0;
}

static bool is_deletion(const struct pfs_event *e)
{
	return strcmp(e->kind, "repo.deleted") == 0 || strcmp(e->kind, "branch.deleted") == 0;
}

/* Each event is read once, or once more after a restart. */
static int look_for_deletions(struct pfs_history *h, uint64_t after, struct pfs_error *err)
{
	struct pfs_deletions *d = &h->deletions;
	struct pfs_event events[EVENTS_BATCH];
	size_t n = EVENTS_BATCH;
	int rc = 0;

	if (d->seen < after)
		*d = (struct pfs_deletions){ .seen = after };
	while (rc == 0 && n == EVENTS_BATCH) {
		rc = pfs_event_read(h, d->seen, events, EVENTS_BATCH, &n, err);
		for (size_t i = 0; rc == 0 && i < n; i++) {
			if (is_deletion(&events[i]))
				d->last_ns = events[i].time_ns;
			d->seen = events[i].number;
		}
	}
	return rc;
}

static const char *reason(const struct pfs_history *h, const struct pfs_gc_policy *p, int64_t ended,
			  uint64_t event)
{
	const struct pfs_deletions *d = &h->deletions;
	int64_t now = pfs_clock_ns();

	if (p->rest_ns >= 0 && d->last_ns && now - d->last_ns >= p->rest_ns)
		return "something was deleted";
	if (p->every_ns > 0 && now - ended >= p->every_ns && d->seen > event)
		return "the last one was long ago";
	return NULL;
}

static int look_whether_due(struct pfs_history *h, const struct pfs_gc_policy *p,
			    const char **out_why, struct pfs_error *err)
{
	struct note notes[] = { { .name = GC_SINCE }, { .name = GC_ENDED }, { .name = GC_EVENT } };
	uint64_t last, event;
	int rc = read_notes(h, notes, 3, err);

	if (rc == 0 && notes[0].value == 0 && notes[1].value == 0) {
		notes[0].value = (uint64_t)pfs_clock_ns();
		rc = write_notes(h, notes, 1, err);
	}
	last = notes[1].value ? notes[1].value : notes[0].value;
	event = notes[2].value;
	if (rc == 0)
		rc = look_for_deletions(h, event, err);
	if (rc < 0)
		return rc;
	*out_why = reason(h, p, (int64_t)last, event);
	return *out_why != NULL;
}

int pfs_gc_is_due(struct pfs_history *h, const struct pfs_gc_policy *policy, const char **out_why,
		  struct pfs_error *err)
{
	const char *why = NULL;
	int rc;

	if (policy->size != sizeof(*policy))
		return pfs_fail(err, PFS_E_INVALID, "gc policy of another version");
	pfs_lock(&h->gc_lock);
	rc = look_whether_due(h, policy, &why, err);
	pfs_unlock(&h->gc_lock);
	if (rc == 1)
		*out_why = why;
	return rc < 0 ? pfs_wrap(err, rc, "whether a collection is due") : rc;
}
