/*
 * A job's output on its way to pfsd: bounded memory, batches, its own thread.
 *
 *	container --add--> [ at most a megabyte ] --thread--> pfsd
 *
 * A full buffer holds the container up for a few seconds, which is right for a
 * burst; after that what does not fit is dropped, and said, so that a pfsd that
 * takes nothing cannot stop a job.
 *
 * Threads: any but open and close, which are the owner's.
 */
#ifndef PFS_RUNNER_JOBLOG_H
#define PFS_RUNNER_JOBLOG_H

#include "runner/job.h"
#include "runner/lease.h"

struct joblog;

int joblog_open(const char *socket, const struct job *job, struct lease *lease, struct joblog **out,
		struct pfs_error *err);

/* Sends what is left for at most `wait_ms`, then drops the rest. */
void joblog_close(struct joblog **log, int64_t wait_ms);

void joblog_add(struct joblog *log, const void *data, size_t len);

#endif
