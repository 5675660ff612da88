/*
 * Helpers: threads that take part in work which somebody has started.
 *
 *	struct pfs_pool_job job = { .step = take_one, .arg = &work };
 *
 *	pfs_pool_start(pool, &job);      helpers call take_one() until it answers false,
 *	while (take_one(&work))          and so does the caller: without helpers it does it all
 *		;
 *	pfs_pool_finish(pool, &job);     nobody is in take_one() any more
 *
 * A pool with one thread and one job that is started again and again does
 * things behind its owner's back, one at a time. The queue is a list of jobs,
 * whose memory is their owners': it is as long as there are owners, and
 * starting cannot fail. Threads are born with the first start and take no
 * signals. A process that forks has no helpers in the child.
 *
 * Threads: any; a job is started and finished by one thread at a time.
 */
#ifndef PFS_BASE_POOL_H
#define PFS_BASE_POOL_H

#include "base/error.h"

struct pfs_pool;

struct pfs_pool_job {
	bool (*step)(void *arg); /* do a piece; false: there is none left to take */
	void *arg;
	struct pfs_pool_job *next; /* these three: the pool's, zero before the first start */
	unsigned starts;           /* so that a start during the last step is not missed */
	unsigned running;          /* helpers in step() */
	bool listed;
};

/* Processors this process may run on, at least 1. */
unsigned pfs_pool_processors(void);

/* Answer `n` there from now on, 0 the truth: so that a test sees many threads on few processors. */
void pfs_pool_set_processors(unsigned n);

/* At most `threads` helpers; 0 is fine, then nobody helps. */
int pfs_pool_new(unsigned threads, struct pfs_pool **out, struct pfs_error *err);

/* Ends the helpers; all jobs are finished by now. NULL inside is fine. */
void pfs_pool_free(struct pfs_pool **pool);

/* Let helpers step; false when there are none and the caller is on its own. */
bool pfs_pool_start(struct pfs_pool *pool, struct pfs_pool_job *job);

/* No helper begins a step of it any more; wait for those that did. */
void pfs_pool_finish(struct pfs_pool *pool, struct pfs_pool_job *job);

#endif
