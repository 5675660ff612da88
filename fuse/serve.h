/*
 * The threads that serve a session: one leads, the others follow.
 *
 *	 device ──▶ leader ── short ──▶ answers it itself, and goes on leading
 *	              │ └──── long, or more are waiting ──▶ a follower leads; answers
 *	              ▼
 *	           guard: a short one that takes long ──▶ a follower leads
 *
 * Waking a thread on another processor costs more than most requests do, so as
 * long as requests are short and come one by one, one thread does them all, and
 * looks out for the next one for some microseconds before it sleeps: who makes
 * many small requests makes the next one as soon as it has an answer.
 *
 * After "Leader/Followers" (Schmidt, O'Ryan, Pyarali, Kircher, Buschmann, 2000),
 * but for handing on only when it pays.
 *
 * Nothing that was read from the device is left without an answer when it stops,
 * and nothing is read any more: whoever has the device next finds all the rest.
 *
 * Threads: any, where nothing else is said.
 */
#ifndef PFS_FUSE_SERVE_H
#define PFS_FUSE_SERVE_H

#include "fuse/mount.h"

struct pfs_serve;

/* For a session that is mounted. Its device does not block from now on. */
int pfs_serve_new(struct fuse_session *se, unsigned max_threads, struct pfs_serve **out,
		  struct pfs_error *err);

/* Once the kernel has said hello: serve until the device is gone or somebody stops it. No thread of it
 * runs when this returns. Once. */
void pfs_serve_run(struct pfs_serve *s);

/* Let it end; does not wait. */
void pfs_serve_stop(struct pfs_serve *s);

/* After it has run, or when it never did. Stores NULL; NULL inside is fine. */
void pfs_serve_free(struct pfs_serve **s);

#endif
