/*
 * The mount sources of a job, held open while it runs.
 *
 * When pfsd is restarted under a running container, the container goes on with
 * folders that lead nowhere, and a command that does not look at its errors
 * ends well without having written a byte. Whoever holds a descriptor can ask
 * the mount it was opened on, not the one that took its place.
 *
 * Threads: one at a time.
 */
#ifndef PFS_RUNNER_SOURCES_H
#define PFS_RUNNER_SOURCES_H

#include "runner/job.h"

struct sources {
	size_t n;
	int *fds;
};

int sources_open(const struct job *job, struct sources *out, struct pfs_error *err);
void sources_close(struct sources *s);

/* Are all still served by whoever served them at the start? PFS_E_IO if not. */
int sources_check(const struct sources *s, const struct job *job, struct pfs_error *err);

#endif
