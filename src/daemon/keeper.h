/*
 * The keeper: a thread of pfsd that looks after the store when nobody needs
 * the machine.
 *
 *	tidy     index runs merged, packs made smaller     when there is something to do
 *	collect  garbage                                   after deletions, and once in a while
 *	scrub    every byte read and held against its id   at a rate, in rounds
 *
 * It works in slices of some 50 ms and rests for as long between them; while the
 * rest of pfsd is busy, for far longer. It has a low priority, and holds nothing
 * that a request waits for, but for the flush of what it wrote, 8 MiB at most.
 * Damage is told in the log, with the next step.
 *
 * Threads: start and stop the owner; figures any.
 */
#ifndef PFS_DAEMON_KEEPER_H
#define PFS_DAEMON_KEEPER_H

#include "base/lock.h"
#include <pfs/pfs.h>

#include <jansson.h>

struct pfs_keeper_options {
	bool off;
	uint64_t scrub_rate; /* bytes a second; 0: never */
	int64_t gc_every_s;  /* 0: only after deletions */
	int64_t rest_s;      /* how old something is before it is rewritten, or collected */
};
#define PFS_KEEPER_OPTIONS_INIT                                               \
	{                                                                     \
		.scrub_rate = 4 << 20, .gc_every_s = 24 * 3600, .rest_s = 300 \
	}

enum pfs_keeper_state {
	PFS_KEEPER_OFF,
	PFS_KEEPER_IDLE,
	PFS_KEEPER_TIDYING,
	PFS_KEEPER_COLLECTING,
	PFS_KEEPER_SCRUBBING,
};

/* Since the start of pfsd. */
struct pfs_keeper_figures {
	enum pfs_keeper_state state;
	uint64_t packs_rewritten, read_bytes, written_bytes, freed_bytes; /* by tidying */
	uint64_t collections, collected_bytes;
	uint64_t scrubbed_bytes, damages;
	uint64_t failures;
	char last_damage[PFS_ERROR_TEXT_SIZE];  /* "" without one */
	char last_failure[PFS_ERROR_TEXT_SIZE]; /* likewise */
};

struct pfs_keeper;

/* The instance is borrowed until the stop. With `off` there is a keeper that does nothing. */
int pfs_keeper_start(struct pfs_instance *pfs, const struct pfs_keeper_options *options,
		     struct pfs_keeper **out, struct pfs_error *err);

/* Let it end what it is doing, and begin nothing; NULL is fine. */
void pfs_keeper_tell(struct pfs_keeper *k);

/* The same, and wait for it: a second or so. NULL inside is fine. */
void pfs_keeper_stop(struct pfs_keeper **k);

/* The figures of several steps of tidying; whether there is more is that of the last. */
void pfs_keeper_add_tidied(struct pfs_tidy_report *sum, const struct pfs_tidy_report *step);

void pfs_keeper_figures(struct pfs_keeper *k, struct pfs_keeper_figures *out);

/* The same for people and programs, as in pfs-http(7); NULL without memory. */
json_t *pfs_keeper_json(struct pfs_keeper *k);

#endif
