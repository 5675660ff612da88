#include "runner/lease.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

#include <stdlib.h>

struct lease {
	struct pfs_lock lock; /* PFS_RANK_DAEMON; protects all but what never changes */
	pthread_cond_t changed;
	int64_t until_ms; /* ours up to here */
	bool lost;
	bool cancelled;
	bool closing;

	pthread_t thread;
	struct pfsd *pfsd; /* of the thread */
	const struct job *job;
};

static bool is_closing(void *arg)
{
	struct lease *l = arg;
	bool closing;

	pfs_lock(&l->lock);
	closing = l->closing;
	pfs_unlock(&l->lock);
	return closing;
}

/* One heartbeat; true when it was heard. */
static bool beat(struct lease *l)
{
	int64_t before = pfs_clock_monotonic_ms();
	struct pfs_error err = { 0 };
	bool cancel = false;
	int rc = pfsd_heartbeat(l->pfsd, &l->job->name, &cancel, &err);

	pfs_lock(&l->lock);
	if (rc == 0) {
		/* Counted from before the question: pfsd may have heard it then. */
		l->until_ms = before + l->job->lease_ms;
		l->cancelled |= cancel;
	} else if (rc == PFS_E_CONFLICT || rc == PFS_E_NOTFOUND) {
		l->lost = true;
	}
	pfs_unlock(&l->lock);
	if (rc < 0 && rc != PFS_E_FAILED)
		pfs_log(PFS_LOG_WARN, "job.heartbeat pipeline=%s job=%s: %s", l->job->name.pipeline,
			l->job->name.id, err.text);
	return rc == 0;
}

static void *run_lease(void *arg)
{
	struct lease *l = arg;
	int64_t pause = l->job->lease_ms / 4;

	pfs_lock(&l->lock);
	while (!l->closing && !l->lost) {
		bool heard;

		pfs_cond_wait(&l->changed, &l->lock, pause);
		if (l->closing)
			break;
		pfs_unlock(&l->lock);
		heard = beat(l);
		pfs_lock(&l->lock);
		/* A pfsd that is being restarted is asked more often, but not often. */
		pause = heard ? l->job->lease_ms / 4 : l->job->lease_ms / 20 + 100;
		if (pfs_clock_monotonic_ms() > l->until_ms)
			l->lost = true;
	}
	pfs_unlock(&l->lock);
	return NULL;
}

static void free_lease(struct lease *l)
{
	pfsd_close(&l->pfsd);
	pthread_cond_destroy(&l->changed);
	pfs_lock_fini(&l->lock);
	free(l);
}

int lease_open(const char *socket, const struct job *job, struct lease **out, struct pfs_error *err)
{
	struct lease *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return pfs_fail_nomem(err, "a lease");
	pfs_lock_init(&l->lock, PFS_RANK_DAEMON);
	pfs_cond_init(&l->changed);
	l->job = job;
	l->until_ms = pfs_clock_monotonic_ms() + job->lease_ms;
	rc = pfsd_open(socket, (struct pfsd_patience){ is_closing, l }, &l->pfsd, err);
	if (rc == 0) {
		rc = pthread_create(&l->thread, NULL, run_lease, l);
		if (rc != 0)
			rc = pfs_fail_errno(err, rc, "thread of a lease");
	}
	if (rc < 0) {
		free_lease(l);
		return rc;
	}
	*out = l;
	return 0;
}

void lease_close(struct lease **lease)
{
	struct lease *l = *lease;

	*lease = NULL;
	if (!l)
		return;
	pfs_lock(&l->lock);
	l->closing = true;
	pthread_cond_broadcast(&l->changed);
	pfs_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	free_lease(l);
}

bool lease_lost(struct lease *l)
{
	bool lost;

	pfs_lock(&l->lock);
	lost = l->lost || pfs_clock_monotonic_ms() > l->until_ms;
	pfs_unlock(&l->lock);
	return lost;
}

bool lease_cancelled(struct lease *l)
{
	bool cancelled;

	pfs_lock(&l->lock);
	cancelled = l->cancelled;
	pfs_unlock(&l->lock);
	return cancelled;
}
