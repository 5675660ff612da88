/*
 * Reading every byte of the store, a piece at a time. How far it has come is
 * kept beside the cursors of those who read events: a number by name.
 */
#include "history/history_i.h"
#include "store/health.h"
#include "base/clock.h"
#include <pfs/admin.h>

#define CURSORS 6u

static const char *const names[CURSORS] = { "scrub.rounds", "scrub.pack",    "scrub.began",
					    "scrub.ended",  "scrub.damages", "scrub.last_damages" };

int pfs_history_scrubbed(struct pfs_history *h, struct pfs_scrub_state *out, struct pfs_error *err)
{
	uint64_t v[CURSORS];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < CURSORS; i++)
		rc = pfs_meta_read_cursor(h->meta, names[i], &v[i], err);
	if (rc == 0)
		*out = (struct pfs_scrub_state){ .rounds = v[0],
						 .pack = (uint32_t)v[1],
						 .round_began_ns = (int64_t)v[2],
						 .round_ended_ns = (int64_t)v[3],
						 .damages = v[4],
						 .last_damages = v[5] };
	return rc;
}

static int save(struct pfs_history *h, const struct pfs_scrub_state *s, struct pfs_error *err)
{
	const uint64_t v[CURSORS] = { s->rounds,
				      s->pack,
				      (uint64_t)s->round_began_ns,
				      (uint64_t)s->round_ended_ns,
				      s->damages,
				      s->last_damages };
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	int rc = pfs_txn_begin(h->meta, &txn, err);

	for (unsigned i = 0; rc == 0 && i < CURSORS; i++)
		rc = pfs_txn_set_cursor(txn, names[i], v[i], err);
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

struct scrub {
	const struct pfs_scrub_options *how;
	uint64_t damages;
	bool stopped;
};

static void tell(void *arg, const char *damage)
{
	struct scrub *s = arg;

	s->damages++;
	if (s->how->report)
		s->how->report(s->how->arg, damage);
}

static bool stop(void *arg)
{
	struct scrub *s = arg;

	if (!s->stopped && s->how->stop)
		s->stopped = s->how->stop(s->how->arg);
	return s->stopped;
}

/* What it read is known when it ends; a round ends when there are no packs left, and nobody said stop. */
static int scrub(struct pfs_history *h, const struct pfs_scrub_options *o,
		 struct pfs_scrub_state *s, struct pfs_error *err)
{
	struct scrub scrub = { .how = o };
	const struct pfs_examination x = { .thorough = true,
					   .report = tell,
					   .stop = stop,
					   .read_bytes = &s->read_bytes,
					   .arg = &scrub };
	int rc;

	if (s->pack == 0) {
		s->round_began_ns = pfs_clock_ns();
		s->damages = 0;
	}
	rc = pfs_store_examine_some(h->store, &x, &s->pack, o->budget_bytes ? o->budget_bytes : 1,
				    err);
	if (rc < 0)
		return rc;
	s->damages += scrub.damages;
	if (s->pack == 0 && !scrub.stopped) {
		s->rounds++;
		s->round_ended_ns = pfs_clock_ns();
		s->last_damages = s->damages;
	}
	return 0;
}

int pfs_history_scrub(struct pfs_history *h, const struct pfs_scrub_options *options,
		      struct pfs_scrub_state *out, struct pfs_error *err)
{
	static const struct pfs_scrub_options plain = PFS_SCRUB_OPTIONS_INIT;
	const struct pfs_scrub_options *o = options ? options : &plain;
	struct pfs_scrub_state s;
	int rc;

	if (o->size != sizeof(*o))
		return pfs_fail(err, PFS_E_INVALID, "scrub options of another version");
	rc = pfs_history_scrubbed(h, &s, err);
	if (rc == 0)
		rc = scrub(h, o, &s, err);
	if (rc == 0)
		rc = save(h, &s, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "scrub");
	*out = s;
	return 0;
}
