/* The session with the kernel: options, what it can do, the loop that serves it. */
#ifndef PFS_FUSE_SESSION_H
#define PFS_FUSE_SESSION_H

#include "fuse/mount.h"

/* Make the session and mount it. */
int pfs_session_open(struct pfs_mount *m, struct pfs_error *err);

/* Serve requests on threads until the mount goes away or pfs_session_stop. */
int pfs_session_run(struct pfs_mount *m, struct pfs_error *err);

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
