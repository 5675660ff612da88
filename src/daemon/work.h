/*
 * Work that takes long and tells what it finds on the way: lines of an answer,
 * sent as they are made.
 *
 *	its own thread: run ── say ──▶ lines ── read ──▶ the peer
 *	                 ◀── stopped ── he hung up, or pfsd is to end
 *
 * An empty line goes out when nothing was said for a while: whoever waits knows
 * by it that there is still somebody at work.
 *
 * Threads: run has one of its own; the rest is the connection's.
 */
#ifndef PFS_DAEMON_WORK_H
#define PFS_DAEMON_WORK_H

#include "daemon/http.h"

struct pfs_work;

/*
 * Make the lines of `rq` the answer. `run` says all of them, its own failure
 * among them; `arg` is freed by free(3) when nobody needs it any more, and at
 * once when this fails.
 */
int pfs_work_start(struct pfs_request *rq, struct pfs_reply *rp,
		   void (*run)(void *arg, struct pfs_work *w), void *arg, struct pfs_error *err);

/* Append lines to the answer; waits for a peer who reads slowly. What does not fit into memory cuts
 * the answer off. */
void pfs_work_say(struct pfs_work *w, const void *lines, size_t len);

/* Nobody waits for the rest. `work` is a struct pfs_work: a stop of <pfs/admin.h>. */
bool pfs_work_stopped(void *work);

#endif
