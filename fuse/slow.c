#include "fuse/slow.h"

#include "base/clock.h"
#include "fuse/ops.h"
#include "fuse/session.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_MAX 32u /* at once; more keep a thread of the session busy each */
#define LOOK_MS  100

typedef void (*open_op)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

struct slow {
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

/* False when there are too many, or none is to begin. */
static bool enter(struct pfs_mount *m)
{
	bool ok;

	pfs_lock(&m->lock);
	ok = m->n_slow < SLOW_MAX && !m->cancel_slow;
	if (ok)
		m->n_slow++;
	pfs_unlock(&m->lock);
	return ok;
}

static void leave(struct pfs_mount *m)
{
	pfs_lock(&m->lock);
	if (--m->n_slow == 0)
		pthread_cond_broadcast(&m->hello);
	pfs_unlock(&m->lock);
}

static void run(struct slow *s)
{
	s->looked_ms = pfs_clock_monotonic_ms();
	s->caller = fuse_req_ctx(s->req)->pid;
	pfs_view_give_up_when(is_unwanted, s);
	s->op(s->req, s->ino, &s->fi);
	pfs_view_give_up_when(NULL, NULL);
}

static void *run_slow(void *arg)
{
	struct slow *s = arg;
	struct pfs_mount *m = s->m;

	run(s);
	free(s);
	leave(m);
	return NULL;
}

/* True when the request is taken. */
static bool start(const struct slow *request)
{
	struct pfs_mount *m = request->m;
	struct slow *s = enter(m) ? malloc(sizeof(*s)) : NULL;
	pthread_t thread;

	if (!s)
		return false;
	*s = *request;
	if (pfs_session_thread(&thread, run_slow, s, NULL) < 0) {
		free(s);
		leave(m);
		return false;
	}
	pthread_detach(thread);
	return true;
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
	m->cancel_slow = true;
	pfs_lock(&m->lock);
	while (m->n_slow)
		pfs_cond_wait(&m->hello, &m->lock, -1);
	pfs_unlock(&m->lock);
}
