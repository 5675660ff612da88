#include "daemon/work.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_MAX (1u << 20) /* of lines that the peer has not taken */
#define LINES_MAX (AHEAD_MAX + (4u << 20))
#define SLICE_MS  100
#define ALIVE_MS  10000

struct pfs_work {
	struct pfs_request *rq; /* borrowed: lives as long as its answer is read */
	void (*run)(void *arg, struct pfs_work *w);
	void *arg; /* owned */
	pthread_t thread;
	_Atomic bool stop;

	struct pfs_lock lock; /* PFS_RANK_BASE: guards the rest */
	pthread_cond_t changed;
	struct pfs_buf lines; /* said and not sent */
	size_t sent;          /* of these */
	bool done, broken;
};

bool pfs_work_stopped(void *work)
{
	return ((struct pfs_work *)work)->stop;
}

void pfs_work_say(struct pfs_work *w, const void *lines, size_t len)
{
	pfs_lock(&w->lock);
	while (w->lines.len - w->sent > AHEAD_MAX && !w->stop)
		pfs_cond_wait(&w->changed, &w->lock, -1);
	if (!w->broken && pfs_buf_add(&w->lines, lines, len, NULL) < 0) {
		w->broken = true;
		w->stop = true;
	}
	pthread_cond_broadcast(&w->changed);
	pfs_unlock(&w->lock);
}

static void *run_work(void *arg)
{
	struct pfs_work *w = arg;

	w->run(w->arg, w);
	pfs_lock(&w->lock);
	w->done = true;
	pthread_cond_broadcast(&w->changed);
	pfs_unlock(&w->lock);
	return NULL;
}

/* Until there is something to send, or nothing will come; false when nobody waits for it. */
static bool wait_for_lines(struct pfs_work *w)
{
	int64_t until = pfs_clock_monotonic_ms() + ALIVE_MS;

	while (w->sent == w->lines.len && !w->done && pfs_clock_monotonic_ms() < until) {
		if (pfs_request_gone(w->rq))
			return false;
		pfs_cond_wait(&w->changed, &w->lock, SLICE_MS);
	}
	return true;
}

static int64_t take_lines(struct pfs_work *w, void *out, size_t len)
{
	size_t n = w->lines.len - w->sent;

	if (n > len)
		n = len;
	if (n == 0) {
		if (w->broken || w->done)
			return w->broken ? PFS_REPLY_BROKEN : PFS_REPLY_END;
		*(char *)out = '\n';
		return 1;
	}
	memcpy(out, w->lines.data + w->sent, n);
	w->sent += n;
	if (w->sent == w->lines.len) {
		pfs_buf_clear(&w->lines);
		w->sent = 0;
	}
	pthread_cond_broadcast(&w->changed);
	return (int64_t)n;
}

static int64_t work_read(void *arg, uint64_t pos, void *out, size_t len)
{
	struct pfs_work *w = arg;
	int64_t n = PFS_REPLY_BROKEN;

	pfs_lock(&w->lock);
	if (wait_for_lines(w))
		n = take_lines(w, out, len);
	pfs_unlock(&w->lock);
	return n;
}

static void work_free(struct pfs_work *w)
{
	free(w->arg);
	pfs_buf_fini(&w->lines);
	pthread_cond_destroy(&w->changed);
	pfs_lock_fini(&w->lock);
	free(w);
}

static void work_end(void *arg)
{
	struct pfs_work *w = arg;

	pfs_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->changed);
	pfs_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	work_free(w);
}

int pfs_work_start(struct pfs_request *rq, struct pfs_reply *rp,
		   void (*run)(void *arg, struct pfs_work *w), void *arg, struct pfs_error *err)
{
	struct pfs_work *w = calloc(1, sizeof(*w));
	int sys;

	if (!w) {
		free(arg);
		return pfs_fail_nomem(err, "work");
	}
	w->rq = rq;
	w->run = run;
	w->arg = arg;
	w->lines = (struct pfs_buf)PFS_BUF_INIT(LINES_MAX);
	pfs_lock_init(&w->lock, PFS_RANK_BASE);
	pfs_cond_init(&w->changed);
	sys = pthread_create(&w->thread, NULL, run_work, w);
	if (sys) {
		work_free(w);
		return pfs_fail_errno(err, sys, "start a thread");
	}
	rp->content_type = "application/x-ndjson";
	rp->arg = w;
	rp->free = work_end;
	rp->read = work_read;
	rp->size = PFS_REPLY_SIZE_UNKNOWN;
	return 0;
}
