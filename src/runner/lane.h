/*
 * One job at a time: claim, run its steps in containers, report.
 *
 *	claim --> steps --> finish         the way of every job
 *	            |
 *	            +--> nothing           lease lost, or we were told to end: pfsd
 *	                                   gives the job to the next runner
 *
 * containerd being away is no failure of a job: the step waits and is tried
 * again for as long as the lease is held.
 */
#ifndef PFS_RUNNER_LANE_H
#define PFS_RUNNER_LANE_H

#include "runtime/runtime.h"
#include <stdatomic.h>

/* What all lanes share; nothing but `stopping` changes. */
struct runner {
	const char *socket; /* of pfsd */
	const char *name;   /* as pfsd hears it; ids of containers begin with it */
	struct pfs_runtime *runtime;
	atomic_bool stopping;
};

/* Until runner->stopping; the body of a thread. */
void *lane_run(void *runner);

/* Sleep, but not past the end; false when that has come. */
bool lane_sleep(struct runner *r, int64_t ms);

#endif
