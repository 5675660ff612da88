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

static void count(void *arg, const char *damage)
{
	++*(uint64_t *)arg;
}

int pfs_history_scrub(struct pfs_history *h, uint64_t budget, struct pfs_scrub_state *out,
		      struct pfs_error *err)
{
	struct pfs_scrub_state s;
	uint64_t damages = 0;
	const struct pfs_examination x = { .thorough = true, .report = count, .arg = &damages };
	int rc = pfs_history_scrubbed(h, &s, err);

	if (rc < 0)
		return rc;
	if (s.pack == 0) {
		s.round_began_ns = pfs_clock_ns();
		s.damages = 0;
	}
	rc = pfs_store_examine_some(h->store, &x, &s.pack, budget, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "scrub");
	s.damages += damages;
	if (s.pack == 0) {
		s.rounds++;
		s.round_ended_ns = pfs_clock_ns();
		s.last_damages = s.damages;
	}
	rc = save(h, &s, err);
	if (rc == 0)
		*out = s;
	return rc;
}
