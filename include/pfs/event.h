/*
 * What happened, in order: rows written in the transaction that did it.
 *
 * A reader keeps a cursor, the number of the last event it has dealt with.
 * Numbers only grow.
 *
 * Threads: any.
 */
#ifndef PFS_EVENT_H
#define PFS_EVENT_H

#include <pfs/commit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_event {
	uint64_t number;
	char kind
		[32]; /* "repo.created" "repo.deleted" "branch.created" "branch.moved" "branch.renamed"
	                    "branch.deleted" "commit.finished" "pipeline.created" "pipeline.updated"
	                    "pipeline.deleted" "job.created" "job.started" "job.finished" */
	char repo[PFS_NAME_TEXT_SIZE];   /* or the pipeline */
	char branch[PFS_NAME_TEXT_SIZE]; /* "" where it means nothing */
	struct pfs_commit_id commit;     /* or the job; zero where it means nothing */
	int64_t time_ns;
};

/* Up to `max` events after number `after`; *out_n may be 0. */
PFS_API int pfs_event_read(struct pfs_history *h, uint64_t after, struct pfs_event *out, size_t max,
			   size_t *out_n, struct pfs_error *err);

/* The number of the newest event, 0 when there was none. */
PFS_API uint64_t pfs_event_newest(struct pfs_history *h);

/* Block until an event after `after` exists: 1, or 0 when `timeout_ms` passed or pfs_event_wake was called. */
PFS_API int pfs_event_wait(struct pfs_history *h, uint64_t after, int64_t timeout_ms);

/* Let all waiters return, for shutting down: from now on no wait blocks. */
PFS_API void pfs_event_wake(struct pfs_history *h);
/* It goes on after all: waits block again. */
PFS_API void pfs_event_resume(struct pfs_history *h);

#ifdef __cplusplus
}
#endif
#endif
