#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#ifndef NDEBUG
#define HELD_MAX 16
static _Thread_local int held_ranks[HELD_MAX];
static _Thread_local int n_held;

static void note_taken(int rank)
{
	assert(n_held < HELD_MAX);
	assert(n_held == 0 || rank < held_ranks[n_held - 1]); /* locks go down the house */
	held_ranks[n_held++] = rank;
}

static void note_released(int rank)
{
	int i = n_held - 1;

	while (i >= 0 && held_ranks[i] != rank)
		i--;
	assert(i >= 0);
	for (; i + 1 < n_held; i++)
		held_ranks[i] = held_ranks[i + 1];
	n_held--;
}
#else
static inline void note_taken(int rank)
{
}
static inline void note_released(int rank)
{
}
#endif

void pfs_lock_init(struct pfs_lock *l, enum pfs_rank rank)
{
	pthread_mutex_init(&l->mutex, NULL);
	l->rank = (int)rank;
	l->held = 0;
}

void pfs_lock_fini(struct pfs_lock *l)
{
	pthread_mutex_destroy(&l->mutex);
}

/* Whoever asks without holding the lock may look at the owner while it changes, but never sees itself. */
static void mark_owned(struct pfs_lock *l)
{
	__atomic_store_n(&l->owner, pthread_self(), __ATOMIC_RELAXED);
	__atomic_store_n(&l->held, 1, __ATOMIC_RELEASE);
}

void pfs_lock(struct pfs_lock *l)
{
	note_taken(l->rank);
	pthread_mutex_lock(&l->mutex);
	mark_owned(l);
}

static struct timespec after(int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

bool pfs_lock_for(struct pfs_lock *l, int64_t timeout_ms)
{
	struct timespec until = after(timeout_ms);

	note_taken(l->rank);
	if (pthread_mutex_clocklock(&l->mutex, CLOCK_MONOTONIC, &until) != 0) {
		note_released(l->rank);
		return false;
	}
	mark_owned(l);
	return true;
}

bool pfs_try_lock(struct pfs_lock *l)
{
	note_taken(l->rank);
	if (pthread_mutex_trylock(&l->mutex) != 0) {
		note_released(l->rank);
		return false;
	}
	mark_owned(l);
	return true;
}

void pfs_unlock(struct pfs_lock *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&l->mutex);
	note_released(l->rank);
}

bool pfs_held(const struct pfs_lock *l)
{
	return __atomic_load_n(&l->held, __ATOMIC_ACQUIRE) &&
	       pthread_equal(__atomic_load_n(&l->owner, __ATOMIC_RELAXED), pthread_self());
}

int pfs_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	int rc;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	rc = pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
	return rc;
}

bool pfs_cond_wait(pthread_cond_t *c, struct pfs_lock *l, int64_t timeout_ms)
{
	struct timespec until;
	int rc;

	assert(pfs_held(l));
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
	if (timeout_ms < 0) {
		rc = pthread_cond_wait(c, &l->mutex);
	} else {
		until = after(timeout_ms);
		rc = pthread_cond_timedwait(c, &l->mutex, &until);
	}
	mark_owned(l);
	return rc != ETIMEDOUT;
}

void pfs_rwlock_init(struct pfs_rwlock *l, enum pfs_rank rank)
{
	pthread_rwlock_init(&l->rwlock, NULL);
	l->rank = (int)rank;
}

void pfs_rwlock_fini(struct pfs_rwlock *l)
{
	pthread_rwlock_destroy(&l->rwlock);
}

void pfs_rwlock_read(struct pfs_rwlock *l)
{
	note_taken(l->rank);
	pthread_rwlock_rdlock(&l->rwlock);
}

void pfs_rwlock_write(struct pfs_rwlock *l)
{
	note_taken(l->rank);
	pthread_rwlock_wrlock(&l->rwlock);
}

void pfs_rwlock_unlock(struct pfs_rwlock *l)
{
	pthread_rwlock_unlock(&l->rwlock);
	note_released(l->rank);
}
