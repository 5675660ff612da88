/*
 * The FIFO through which a container's output comes to us.
 *
 * The shim on the other side holds both ends until the container is gone, so
 * nobody blocks on a reader that is not there yet, and a container whose
 * reader is slow waits once 64 KiB are in the pipe. Threads: one at a time.
 */
#ifndef PFS_RUNTIME_OUTPIPE_H
#define PFS_RUNTIME_OUTPIPE_H

#include "runtime/room.h"
#include "base/error.h"

struct pfs_outpipe {
	int fd; /* negative: closed */
	char path[512];
};

/* Make <state_dir>/<id>.out and open it. */
int pfs_outpipe_open(struct pfs_outpipe *p, const char *state_dir, const char *id,
		     struct pfs_error *err);
void pfs_outpipe_close(struct pfs_outpipe *p); /* and remove it */

/* Hand on what is there, waiting at most `wait_ms` for it; false when no more will come. */
bool pfs_outpipe_pump(struct pfs_outpipe *p, int wait_ms,
		      void (*output)(void *arg, const void *data, size_t len), void *arg);

#endif
