#include "fuse/serve.h"

#include "base/io.h"
#include "fuse/session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Longer than an answer needs to reach who waits for it, and the next request to reach us. */
#define LOOK_OUT_NS 30000

/* After looking out in vain so many requests are slept for; twice as many each time. */
#define SLEEPS_MIN 4u
#define SLEEPS_MAX 256u

/* So many in a row that were not the last one in the queue: one thread is not enough. */
#define BACKLOG_MAX 3u

/* More bytes than this take long. */
#define SHORT_SIZE_MAX 65536u

/* How often the guard looks: while there are requests, and when there were none for a while. */
#define GUARD_MS_MIN 2
#define GUARD_MS_MAX 64

struct server {
	struct pfs_serve *serve;
	struct server *next;      /* of all; protected by lock */
	struct server *next_idle; /* protected by lock */
	pthread_cond_t wake;      /* with lock: chosen, or the end */
	pthread_t thread;
	bool chosen;       /* to lead; protected by lock */
	_Atomic bool busy; /* answers a short request; written by itself, read by the guard */
	struct fuse_buf buf;
	unsigned backlog;
};

struct pfs_serve {
	struct fuse_session *se;
	int device, end; /* end: readable from when it is to stop */
	unsigned max_threads;
	bool look_out; /* there is a processor to do so */
	_Atomic bool stopping;

	struct pfs_lock lock;      /* PFS_RANK_DRIVER; never with the mount's */
	struct server *all, *idle; /* idle: the last one first, whose caches are warm */
	unsigned n_threads;
	bool vacant; /* nobody is to lead: who is done first does */
	pthread_cond_t ended;

	/* NULL from when one is chosen until it begins; changed with the lock held. */
	_Atomic(struct server *) leader;
	_Atomic uint64_t n_begun; /* written by who leads, read by the guard */

	/* Of who leads. */
	unsigned sleeps_left, sleeps;
};

/* ---- waiting for a request ---- */

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static bool is_waiting(const struct pfs_serve *s)
{
	struct pollfd p = { .fd = s->device, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static void rest(void)
{
	for (unsigned i = 0; i < 32; i++) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#else
		atomic_signal_fence(memory_order_seq_cst);
#endif
	}
}

static bool look_out(struct pfs_serve *s)
{
	int64_t until = now_ns() + LOOK_OUT_NS;

	do {
		if (is_waiting(s))
			return true;
		rest();
	} while (now_ns() < until);
	return false;
}

/* True when it was worth it. */
static bool try_look_out(struct pfs_serve *s)
{
	if (!s->look_out)
		return false;
	if (s->sleeps_left > 0) {
		s->sleeps_left--;
		return false;
	}
	if (look_out(s)) {
		s->sleeps = SLEEPS_MIN;
		return true;
	}
	s->sleeps_left = s->sleeps;
	s->sleeps = s->sleeps * 2 < SLEEPS_MAX ? s->sleeps * 2 : SLEEPS_MAX;
	return false;
}

static void sleep_for_one(struct pfs_serve *s)
{
	struct pollfd p[2] = {
		{ .fd = s->device, .events = POLLIN },
		{ .fd = s->end, .events = POLLIN },
	};

	poll(p, 2, -1);
}

/* A request in the server's buffer; false: look again whether there is reason to. */
static bool receive(struct pfs_serve *s, struct server *w)
{
	int n;

	if (!try_look_out(s))
		sleep_for_one(s);
	if (s->stopping)
		return false;
	n = fuse_session_receive_buf(s->se, &w->buf);
	/* Nobody is mounted any more, or what is read is no request. */
	if (n == 0 || (n < 0 && n != -EINTR && n != -EAGAIN))
		pfs_serve_stop(s);
	return n > 0;
}

/* ---- what takes long ---- */

static uint32_t read_size(const struct fuse_in_header *in)
{
	const struct fuse_read_in *args = (const void *)(in + 1);

	return in->len >= sizeof(*in) + sizeof(*args) ? args->size : 0;
}

/* What may go to the disk, and what carries bytes. */
static bool takes_long(const struct fuse_buf *buf)
{
	const struct fuse_in_header *in = buf->mem;

	if ((buf->flags & FUSE_BUF_IS_FD) || in->len > SHORT_SIZE_MAX)
		return true;
	switch (in->opcode) {
	case FUSE_READ:
		return read_size(in) > SHORT_SIZE_MAX;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_SYNCFS:
	case FUSE_FLUSH:
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_IOCTL:
		return true;
	default:
		return false;
	}
}

static bool is_backlog(struct pfs_serve *s, struct server *w)
{
	w->backlog = is_waiting(s) ? w->backlog + 1 : 0;
	return w->backlog >= BACKLOG_MAX;
}

/* ---- who leads ---- */

static void *run_server(void *arg);

static struct server *new_server(struct pfs_serve *s)
{
	struct server *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->serve = s;
	if (pfs_cond_init(&w->wake) != 0) {
		free(w);
		return NULL;
	}
	return w;
}

static void free_server(struct server *w)
{
	free(w->buf.mem);
	pthread_cond_destroy(&w->wake);
	free(w);
}

/* One more thread, which leads. With the lock held. */
static bool add_server(struct pfs_serve *s)
{
	struct server *w = NULL;

	/* Who waits for all of them must know all of them. */
	if (!s->stopping && s->n_threads < s->max_threads)
		w = new_server(s);
	if (!w)
		return false;
	w->chosen = true;
	if (pfs_session_thread(&w->thread, run_server, w, NULL) < 0) {
		free_server(w);
		return false;
	}
	w->next = s->all;
	s->all = w;
	s->n_threads++;
	return true;
}

/* Somebody else leads, or whoever is done first. With the lock held. */
static void appoint(struct pfs_serve *s)
{
	struct server *w = s->idle;

	s->leader = NULL;
	if (w) {
		s->idle = w->next_idle;
		w->chosen = true;
		pthread_cond_signal(&w->wake);
	} else if (!add_server(s)) {
		s->vacant = true;
	}
}

/* The guard may have done so in the meantime. */
static void hand_on(struct pfs_serve *s, const struct server *w)
{
	pfs_lock(&s->lock);
	if (s->leader == w)
		appoint(s);
	pfs_unlock(&s->lock);
}

/* Until somebody else does. */
static void lead(struct pfs_serve *s, struct server *w)
{
	w->backlog = 0;
	while (s->leader == w && !s->stopping) {
		if (!receive(s, w))
			continue;
		atomic_fetch_add_explicit(&s->n_begun, 1, memory_order_relaxed);
		if (takes_long(&w->buf) || is_backlog(s, w))
			hand_on(s, w);
		else
			w->busy = true;
		fuse_session_process_buf(s->se, &w->buf);
		w->busy = false;
	}
}

/* True when this one is to lead, false when all is over. With the lock held. */
static bool wait_for_turn(struct pfs_serve *s, struct server *w)
{
	if (s->vacant) {
		s->vacant = false;
		return !s->stopping;
	}
	if (!w->chosen) {
		w->next_idle = s->idle;
		s->idle = w;
	}
	while (!w->chosen && !s->stopping)
		pfs_cond_wait(&w->wake, &s->lock, -1);
	w->chosen = false;
	return !s->stopping;
}

static void *run_server(void *arg)
{
	struct server *w = arg;
	struct pfs_serve *s = w->serve;

	pthread_setname_np(pthread_self(), "pfs-fuse");
	pfs_lock(&s->lock);
	while (wait_for_turn(s, w)) {
		s->leader = w;
		pfs_unlock(&s->lock);
		lead(s, w);
		pfs_lock(&s->lock);
	}
	pfs_unlock(&s->lock);
	return NULL;
}

/* ---- the guard, and the life of it all ---- */

/* With the lock held. */
static void guard(struct pfs_serve *s)
{
	uint64_t seen = 0, begun;
	int64_t pause_ms = GUARD_MS_MIN;
	const struct server *w;

	while (!s->stopping) {
		pfs_cond_wait(&s->ended, &s->lock, pause_ms);
		begun = s->n_begun;
		w = s->leader;
		if (begun == seen && w && w->busy)
			appoint(s);
		if (begun != seen)
			pause_ms = GUARD_MS_MIN;
		else if (pause_ms < GUARD_MS_MAX)
			pause_ms *= 2;
		seen = begun;
	}
}

static int open_device(struct pfs_serve *s, struct pfs_error *err)
{
	int flags;

	s->device = fuse_session_fd(s->se);
	flags = fcntl(s->device, F_GETFL);
	if (flags < 0 || fcntl(s->device, F_SETFL, flags | O_NONBLOCK) < 0)
		return pfs_fail_errno(err, errno, "the device of a mount");
	s->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->end < 0)
		return pfs_fail_errno(err, errno, "an event for the threads of a mount");
	return 0;
}

int pfs_serve_new(struct fuse_session *se, unsigned max_threads, struct pfs_serve **out,
		  struct pfs_error *err)
{
	struct pfs_serve *s = calloc(1, sizeof(*s));
	int rc;

	if (!s || pfs_cond_init(&s->ended) != 0) {
		free(s);
		return pfs_fail_nomem(err, "the threads of a mount");
	}
	s->se = se;
	s->end = -1;
	s->max_threads = max_threads;
	s->look_out = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	s->sleeps = SLEEPS_MIN;
	pfs_lock_init(&s->lock, PFS_RANK_DRIVER);
	rc = open_device(s, err);
	if (rc < 0)
		pfs_serve_free(&s);
	else
		*out = s;
	return rc;
}

void pfs_serve_run(struct pfs_serve *s)
{
	pfs_lock(&s->lock);
	if (add_server(s))
		guard(s);
	pfs_unlock(&s->lock);
	/* Nobody adds to them any more: who would has read what it has to answer. */
	for (struct server *w = s->all; w; w = w->next)
		pthread_join(w->thread, NULL);
}

void pfs_serve_stop(struct pfs_serve *s)
{
	uint64_t one = 1;

	s->stopping = true;
	if (write(s->end, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
	pfs_lock(&s->lock);
	for (struct server *w = s->all; w; w = w->next)
		pthread_cond_signal(&w->wake);
	pthread_cond_broadcast(&s->ended);
	pfs_unlock(&s->lock);
}

void pfs_serve_free(struct pfs_serve **serve)
{
	struct pfs_serve *s = *serve;

	*serve = NULL;
	if (!s)
		return;
	for (struct server *w; (w = s->all);) {
		s->all = w->next;
		free_server(w);
	}
	pfs_fd_close(&s->end);
	pthread_cond_destroy(&s->ended);
	pfs_lock_fini(&s->lock);
	free(s);
}
