/*
 * Sessions: a sweep waits for those who may still name what they found.
 *
 *	begin ── put, has, near ─▶ ids ── a commit row, a workspace ─▶ named ── end
 *
 * The id of an object that nothing names yet protects nothing. Whoever takes
 * ids from the store, or links content that exists, and names them later does
 * all of it inside one session: from before the first id until after the name
 * is where a collection looks for roots.
 *
 *	          condemn        barrier      roots read
 *	sweep  ──────┼──────────────┼─────────────┼────────▶ time
 *	  a  ├───────────────┤                              waited for; its names are roots
 *	  b            ├──────────────────────────────┤     not waited for: was never told that
 *	                                                    a condemned object is there
 *
 * Who links content by its root alone, without a put or a look-up of each object
 * in it, is told nothing of condemned ones. He asks inside his session whether
 * he may: not from the moment on that something is condemned until that sweep
 * has ended. A sweep that begins later waits for him.
 *
 * Sessions never wait for a sweep. They may nest and may end on another thread.
 *
 * Threads: any. Lock: PFS_RANK_SESSION.
 */
#ifndef PFS_STORE_SESSION_H
#define PFS_STORE_SESSION_H

#include "store/store.h"

struct pfs_session {
	unsigned epoch; /* which of the two counters it is in */
};

void pfs_session_begin(struct pfs_store *st, struct pfs_session *out);
void pfs_session_end(struct pfs_store *st, struct pfs_session *s);

/* Whether content that something names just now may be linked by its root, in this session of the caller. */
bool pfs_session_may_link(struct pfs_store *st);

/* For a sweep, around all in which anything is condemned. */
void pfs_session_forbid_links(struct pfs_store *st, bool forbid);

/*
 * Wait until every session that began before this call has ended. One caller
 * at a time. `stop` is asked several times a second (NULL: never): 1 when it
 * said so before they had, else 0.
 */
int pfs_session_barrier(struct pfs_store *st, bool (*stop)(void *arg), void *arg);

/* The counters of one store; store.c has them. */
struct pfs_sessions;
int pfs_sessions_new(struct pfs_sessions **out, struct pfs_error *err);
void pfs_sessions_free(struct pfs_sessions **s); /* nobody may be in one */

#endif
