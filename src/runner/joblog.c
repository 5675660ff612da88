#include "runner/joblog.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_MAX    (1u << 20)
#define BATCH_MS    200 /* between two batches of a job that talks slowly */
#define BATCH_BYTES (256u << 10)
#define PATIENCE_MS 5000 /* a container is held up this long at most */
#define RETRY_MS    500

struct joblog {
	struct pfs_lock lock; /* PFS_RANK_DAEMON; protects all but what never changes */
	pthread_cond_t changed;
	struct pfs_buf waiting;
	uint64_t dropped; /* bytes since it was last said */
	bool dropping;    /* do not wait again before there is room */
	bool closing;
	int64_t give_up_ms; /* when closing */

	pthread_t thread;
	struct pfsd *pfsd; /* of the thread */
	struct lease *lease;
	const struct job *job;
};

static bool patience_over(void *arg)
{
	struct joblog *log = arg;
	bool lost = lease_lost(log->lease), late;

	pfs_lock(&log->lock);
	late = log->closing && pfs_clock_monotonic_ms() >= log->give_up_ms;
	pfs_unlock(&log->lock);
	return lost || late;
}

/* Take what waits, and a line about what did not fit behind it. */
static void take_batch(struct joblog *log, struct pfs_buf *batch)
{
	struct pfs_buf empty = PFS_BUF_INIT(KEEP_MAX);

	*batch = log->waiting;
	log->waiting = empty;
	batch->limit = KEEP_MAX + 4096;
	if (log->dropped)
		pfs_buf_printf(batch, NULL,
			       "\n[%llu bytes of output were dropped: pfsd did not take them]\n",
			       (unsigned long long)log->dropped);
	log->dropped = 0;
	log->dropping = false;
	pthread_cond_broadcast(&log->changed);
}

/* Send until it is taken, or there is no point any more. */
static void send_batch(struct joblog *log, const struct pfs_buf *batch)
{
	struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	struct pfs_error err = { 0 };
	bool told = false;
	int rc;

	while ((rc = pfsd_log(log->pfsd, &log->job->name, batch->data, batch->len, &err)) < 0) {
		if (!told)
			pfs_log(PFS_LOG_WARN, "job.log pipeline=%s job=%s: %s",
				log->job->name.pipeline, log->job->name.id, err.text);
		told = true;
		/* A refusal is final; only silence is worth another try. */
		if ((rc != PFS_E_IO && rc != PFS_E_TIMEOUT) || patience_over(log))
			return;
		nanosleep(&pause, NULL);
	}
}

static void *run_joblog(void *arg)
{
	struct joblog *log = arg;

	pfs_lock(&log->lock);
	for (;;) {
		struct pfs_buf batch;

		while (!log->closing && log->waiting.len == 0 && log->dropped == 0)
			pfs_cond_wait(&log->changed, &log->lock, -1);
		if (log->closing && log->waiting.len == 0 && log->dropped == 0)
			break;
		/* Let a batch grow: one message for many lines. */
		for (int64_t end = pfs_clock_monotonic_ms() + BATCH_MS;
		     !log->closing && log->waiting.len < BATCH_BYTES &&
		     pfs_clock_monotonic_ms() < end;)
			pfs_cond_wait(&log->changed, &log->lock, end - pfs_clock_monotonic_ms());
		if (log->closing && pfs_clock_monotonic_ms() >= log->give_up_ms)
			break;
		take_batch(log, &batch);
		pfs_unlock(&log->lock);
		send_batch(log, &batch);
		pfs_buf_fini(&batch);
		pfs_lock(&log->lock);
	}
	pfs_unlock(&log->lock);
	return NULL;
}

static void free_joblog(struct joblog *log)
{
	pfsd_close(&log->pfsd);
	pfs_buf_fini(&log->waiting);
	pthread_cond_destroy(&log->changed);
	pfs_lock_fini(&log->lock);
	free(log);
}

int joblog_open(const char *socket, const struct job *job, struct lease *lease, struct joblog **out,
		struct pfs_error *err)
{
	struct joblog *log = calloc(1, sizeof(*log));
	int rc;

	if (!log)
		return pfs_fail_nomem(err, "a job's log");
	pfs_lock_init(&log->lock, PFS_RANK_DAEMON);
	pfs_cond_init(&log->changed);
	pfs_buf_init(&log->waiting, KEEP_MAX);
	log->job = job;
	log->lease = lease;
	rc = pfsd_open(socket, (struct pfsd_patience){ patience_over, log }, &log->pfsd, err);
	if (rc == 0) {
		rc = pthread_create(&log->thread, NULL, run_joblog, log);
		if (rc != 0)
			rc = pfs_fail_errno(err, rc, "thread of a log");
	}
	if (rc < 0) {
		free_joblog(log);
		return rc;
	}
	*out = log;
	return 0;
}

void joblog_close(struct joblog **joblog, int64_t wait_ms)
{
	struct joblog *log = *joblog;

	*joblog = NULL;
	if (!log)
		return;
	pfs_lock(&log->lock);
	log->closing = true;
	log->give_up_ms = pfs_clock_monotonic_ms() + wait_ms;
	pthread_cond_broadcast(&log->changed);
	pfs_unlock(&log->lock);
	pthread_join(log->thread, NULL);
	free_joblog(log);
}

void joblog_add(struct joblog *log, const void *data, size_t len)
{
	int64_t end = pfs_clock_monotonic_ms() + PATIENCE_MS;

	pfs_lock(&log->lock);
	while (!log->dropping && len > KEEP_MAX - log->waiting.len) {
		int64_t left = end - pfs_clock_monotonic_ms();

		if (left <= 0)
			log->dropping = true;
		else
			pfs_cond_wait(&log->changed, &log->lock, left);
	}
	if (log->dropping || pfs_buf_add(&log->waiting, data, len, NULL) < 0)
		log->dropped += len;
	pthread_cond_broadcast(&log->changed);
	pfs_unlock(&log->lock);
}
