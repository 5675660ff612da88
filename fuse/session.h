/* The session with the kernel: options, what it can do, the loop that serves it. */
#ifndef PFS_FUSE_SESSION_H
#define PFS_FUSE_SESSION_H

#include "fuse/mount.h"

/* Make the session and mount it. */
int pfs_session_open(struct pfs_mount *m, struct pfs_error *err);

/* Serve requests on threads until the mount goes away or pfs_session_stop. */
int pfs_session_run(struct pfs_mount *m, struct pfs_error *err);

/* The same with a kernel that knows us already, by the descriptor it is asked by (borrowed). */
int pfs_session_take(struct pfs_mount *m, int device, const void *hello, size_t len,
		     struct pfs_error *err);

/* Whether the kernel sends requests that were read, and not answered, once more. */
bool pfs_session_can_resend(const struct pfs_mount *m);

/* End the loop and wait for its threads; the mount stays, and what comes meanwhile waits. */
void pfs_session_rest(struct pfs_mount *m);

/* After it: serve again, by this very session, when no other one is to go on. */
int pfs_session_go_on(struct pfs_mount *m, struct pfs_error *err);

/* A descriptor by which another session can go on. */
int pfs_session_detach(struct pfs_mount *m, struct pfs_error *err);

/* See by a first request that the kernel has our answer, and what notifications it knows. */
void pfs_session_describe(struct pfs_mount *m);

/* Unmount, end the loop and wait for its threads. */
void pfs_session_stop(struct pfs_mount *m);

/* Give a backing file back; as fuse_passthrough_close, which needs a request that may be gone. */
void pfs_session_close_backing(struct pfs_mount *m, int backing_id);

/* After the loop has ended: let the kernel go. */
void pfs_session_close(struct pfs_mount *m);

/* Start a thread that no signal disturbs. */
int pfs_session_thread(pthread_t *out, void *(*run)(void *), void *arg, struct pfs_error *err);

#endif
