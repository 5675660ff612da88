/*
 * Requests that may take long: commits, and texts of control files.
 *
 * Each gets a thread of its own, so that it keeps nobody waiting: with io_uring
 * the thread that serves a processor would serve nothing else meanwhile. It
 * ends early when its caller is being killed or interrupted, or the mount goes.
 *
 * That is found out by looking at the caller's pending signals, ten times a
 * second at most and only while such a request runs. The kernel would tell
 * (FUSE_INTERRUPT), but once, at the first signal, be it one that the caller
 * ignores; libfuse passes it on at the cost of a lock for each request of any
 * kind; and with io_uring not at all.
 *
 * Threads: any.
 */
#ifndef PFS_FUSE_SLOW_H
#define PFS_FUSE_SLOW_H

#include "fuse/mount.h"

/* As op_open and op_flush, which they call. */
void pfs_slow_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void pfs_slow_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* Cancel what runs and wait for it; nothing begins any more. */
void pfs_slow_stop(struct pfs_mount *m);

#endif
