#include "base/pool.h"
#include "base/limits.h"
#include "base/lock.h"

#include <assert.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

struct pfs_pool {
	struct pfs_lock lock;      /* PFS_RANK_POOL; protects all below */
	pthread_cond_t work;       /* there is a job, or the end has come */
	pthread_cond_t idle;       /* somebody left a step */
	struct pfs_pool_job *jobs; /* oldest first */
	unsigned wanted, born;
	bool closing;
	pthread_t threads[];
};

static unsigned pretended;

void pfs_pool_set_processors(unsigned n)
{
	__atomic_store_n(&pretended, n, __ATOMIC_RELAXED);
}

unsigned pfs_pool_processors(void)
{
	unsigned n = __atomic_load_n(&pretended, __ATOMIC_RELAXED);
	cpu_set_t set;

	if (n)
		return n;
	if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) < 1)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

int pfs_pool_new(unsigned threads, struct pfs_pool **out, struct pfs_error *err)
{
	unsigned n = threads < PFS_POOL_THREADS_MAX ? threads : PFS_POOL_THREADS_MAX;
	struct pfs_pool *pool = calloc(1, sizeof(*pool) + n * sizeof(pool->threads[0]));

	if (!pool || pfs_cond_init(&pool->work) != 0) {
		free(pool);
		return pfs_fail_nomem(err, "a pool of threads");
	}
	if (pfs_cond_init(&pool->idle) != 0) {
		pthread_cond_destroy(&pool->work);
		free(pool);
		return pfs_fail_nomem(err, "a pool of threads");
	}
	pool->wanted = n;
	pfs_lock_init(&pool->lock, PFS_RANK_POOL);
	*out = pool;
	return 0;
}

void pfs_pool_free(struct pfs_pool **pool)
{
	struct pfs_pool *p = *pool;

	if (!p)
		return;
	pfs_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->work);
	pfs_unlock(&p->lock);
	for (unsigned i = 0; i < p->born; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->idle);
	pfs_lock_fini(&p->lock);
	free(p);
	*pool = NULL;
}

static void unlist(struct pfs_pool *pool, struct pfs_pool_job *job)
{
	struct pfs_pool_job **link = &pool->jobs;

	assert(pfs_held(&pool->lock));
	if (!job->listed)
		return;
	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	job->listed = false;
}

/* Step until there is nothing left of this job. */
static void help(struct pfs_pool *pool, struct pfs_pool_job *job)
{
	unsigned seen;
	bool more;

	assert(pfs_held(&pool->lock));
	job->running++;
	do {
		seen = job->starts;
		pfs_unlock(&pool->lock);
		more = job->step(job->arg);
		pfs_lock(&pool->lock);
	} while (job->listed && (more || seen != job->starts));
	unlist(pool, job);
	/* Nothing of the job is touched after this: its owner may be waiting to free it. */
	if (--job->running == 0)
		pthread_cond_broadcast(&pool->idle);
}

static void *live(void *arg)
{
	struct pfs_pool *pool = arg;

	pfs_lock(&pool->lock);
	while (!pool->closing) {
		if (pool->jobs)
			help(pool, pool->jobs);
		else
			pfs_cond_wait(&pool->work, &pool->lock, -1);
	}
	pfs_unlock(&pool->lock);
	return NULL;
}

/* As many as there can be; a thread that cannot be had now may be had with the next start. */
static void give_birth(struct pfs_pool *pool)
{
	sigset_t all, before;

	assert(pfs_held(&pool->lock));
	if (pool->born == pool->wanted)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (pool->born < pool->wanted &&
	       pthread_create(&pool->threads[pool->born], NULL, live, pool) == 0)
		pool->born++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool pfs_pool_start(struct pfs_pool *pool, struct pfs_pool_job *job)
{
	struct pfs_pool_job **link = &pool->jobs;
	bool helped;

	pfs_lock(&pool->lock);
	give_birth(pool);
	job->starts++;
	if (!job->listed && pool->born) {
		while (*link)
			link = &(*link)->next;
		job->next = NULL;
		*link = job;
		job->listed = true;
		pthread_cond_broadcast(&pool->work);
	}
	helped = pool->born > 0;
	pfs_unlock(&pool->lock);
	return helped;
}

void pfs_pool_finish(struct pfs_pool *pool, struct pfs_pool_job *job)
{
	pfs_lock(&pool->lock);
	unlist(pool, job);
	while (job->running)
		pfs_cond_wait(&pool->idle, &pool->lock, -1);
	pfs_unlock(&pool->lock);
}
