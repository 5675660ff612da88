/*
 * Holding a job while it runs: a thread tells pfsd that we live.
 *
 * The lease is lost when pfsd says so, or when nobody answered for as long as
 * it lasts: then pfsd may have given the job away, and whatever we would still
 * do would be done twice.
 *
 * Threads: any but open and close, which are the owner's.
 */
#ifndef PFS_RUNNER_LEASE_H
#define PFS_RUNNER_LEASE_H

#include "runner/job.h"

struct lease;

/* Starts the thread. */
int lease_open(const char *socket, const struct job *job, struct lease **out,
	       struct pfs_error *err);

/* Ends the thread; NULL is fine. */
void lease_close(struct lease **l);

bool lease_lost(struct lease *l);      /* stop, report nothing */
bool lease_cancelled(struct lease *l); /* somebody wants the job stopped */

#endif
