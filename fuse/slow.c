#include "fuse/slow.h"

#include "base/clock.h"
#include "fuse/ops.h"
#include "fuse/session.h"

#include <assert.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 100

typedef void (*open_op)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

struct slow {
	struct slow *next;
	struct pfs_mount *m;
	fuse_req_t req;
	fuse_ino_t ino;
	struct fuse_file_info fi;
	open_op op;
	pid_t caller; /* its thread; 0: in a namespace that we do not see */
	int64_t looked_ms;
};

/* ---- is it still wanted? ---- */

/* "SigPnd:\t0000000000000100" */
static bool read_mask(const char *line, const char *name, uint64_t *out)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) != 0)
		return false;
	*out = strtoull(line + len, NULL, 16);
	return true;
}

static uint64_t bit(int signal)
{
	return 1ULL << (signal - 1);
}

/*
 * Signals that end a process, or that it has a handler for: those it ignores
 * are never pending. A thread whose process is being killed has SIGKILL.
 */
static bool is_interrupted(pid_t thread)
{
	const uint64_t ending = bit(SIGINT) | bit(SIGTERM) | bit(SIGQUIT) | bit(SIGHUP);
	uint64_t own = 0, shared = 0, blocked = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (read_mask(line, "SigPnd:", &own) || read_mask(line, "ShdPnd:", &shared) ||
		    read_mask(line, "SigBlk:", &blocked))
			continue;
	fclose(f);
	own |= shared;
	return own & (bit(SIGKILL) | (ending & ~blocked));
}

static bool is_unwanted(void *arg)
{
	struct slow *s = arg;
	int64_t now;

	if (s->m->cancel_slow)
		return true;
	now = pfs_clock_monotonic_ms();
	if (!s->caller || now - s->looked_ms < LOOK_MS)
		return false;
	s->looked_ms = now;
	return is_interrupted(s->caller);
}

/* ---- running ---- */

static void run(struct slow *s)
{
	s->looked_ms = pfs_clock_monotonic_ms();
	s->caller = fuse_req_ctx(s->req)->pid;
	pfs_view_give_up_when(is_unwanted, s);
	s->op(s->req, s->ino, &s->fi);
	pfs_view_give_up_when(NULL, NULL);
}

/*
 * Threads stay until the mount goes: with io_uring, an answer also asks for the
 * next request, and what a thread has asked for is cancelled when it ends.
 */
static void *run_slow(void *arg)
{
	struct pfs_mount *m = arg;

	/* Not on the one processor that a thread of io_uring is bound to, which started us. */
	sched_setaffinity(0, sizeof(m->processors), &m->processors);
	pfs_lock(&m->lock);
	for (;;) {
		struct slow *s = m->slow_jobs;

		if (s) {
			m->slow_jobs = s->next;
			m->n_slow_idle--;
			pfs_unlock(&m->lock);
			run(s);
			free(s);
			pfs_lock(&m->lock);
			m->n_slow_idle++;
		} else if (m->cancel_slow) {
			break;
		} else {
			pfs_cond_wait(&m->slow_work, &m->lock, -1);
		}
	}
	pfs_unlock(&m->lock);
	return NULL;
}

/* True when a thread takes it: as many are idle as jobs wait, and one more is or can be had. */
static bool take(struct pfs_mount *m, struct slow *s)
{
	unsigned waiting = 0;

	assert(pfs_held(&m->lock));
	for (struct slow *other = m->slow_jobs; other; other = other->next)
		waiting++;
	if (m->cancel_slow)
		return false;
	if (m->n_slow_idle <= waiting) {
		if (m->n_slow == SLOW_MAX ||
		    pfs_session_thread(&m->slow[m->n_slow], run_slow, m, NULL) < 0)
			return false;
		m->n_slow++;
		m->n_slow_idle++;
	}
	s->next = m->slow_jobs;
	m->slow_jobs = s;
	pthread_cond_signal(&m->slow_work);
	return true;
}

static bool start(const struct slow *request)
{
	struct slow *s = malloc(sizeof(*s));
	bool taken;

	if (!s)
		return false;
	*s = *request;
	pfs_lock(&request->m->lock);
	taken = take(request->m, s);
	pfs_unlock(&request->m->lock);
	if (!taken)
		free(s);
	return taken;
}

static void begin(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, open_op op)
{
	struct slow s = {
		.m = fuse_req_userdata(req), .req = req, .ino = ino, .fi = *fi, .op = op
	};

	if (!start(&s))
		run(&s);
}

void pfs_slow_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *i = pfs_inode_find(fuse_req_userdata(req), ino);

	/* What a control file says is made when it is opened. */
	if (i && i->volatile_)
		begin(req, ino, fi, op_open);
	else
		op_open(req, ino, fi);
}

void pfs_slow_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	/* Asked for control files alone. */
	begin(req, ino, fi, op_flush);
}

void pfs_slow_stop(struct pfs_mount *m)
{
	pfs_lock(&m->lock);
	m->cancel_slow = true;
	pthread_cond_broadcast(&m->slow_work);
	pfs_unlock(&m->lock);
	/* Nobody adds to them any more. */
	for (unsigned i = 0; i < m->n_slow; i++)
		pthread_join(m->slow[i], NULL);
	m->n_slow = m->n_slow_idle = 0;
}
