/*
 * What every request of one pfsd gets: the instance and how it is reached.
 *
 * Filled by main before the first thread starts; but for the counters nothing
 * in it changes after that. Threads: any.
 */
#ifndef PFS_DAEMON_DAEMON_H
#define PFS_DAEMON_DAEMON_H

#include "base/lock.h"
#include <pfs/pfs.h>

struct pfs_keeper;

struct pfs_daemon {
	struct pfs_instance *instance;
	struct pfs_history *history;
	struct pfs_view *view;
	struct pfs_pipelines *pipelines;
	struct pfs_keeper *keeper;
	struct pfs_who who; /* whom files that come by HTTP belong to */

	const char *mount;        /* absolute; NULL: not mounted */
	const char *no_mount_why; /* for people, when mount is NULL */
	const char *features;     /* of the mount; NULL likewise */
	char listen_host[256];    /* "": it listens on no port */
	int64_t started_ns;

	struct pfs_lock planning; /* PFS_RANK_DAEMON: one planner turn at a time */

	_Atomic bool stopping; /* waits end within a second */
	_Atomic uint64_t n_requests;
	_Atomic uint64_t n_errors;
	_Atomic int n_connections;
	_Atomic int64_t runner_ms; /* monotonic: when a runner last asked for anything; 0: never */
};

/* The default names of the old servers, which had them always. */
#define PFS_DEFAULT_REPO   "data"
#define PFS_DEFAULT_BRANCH "master"

/* Deal with all events there are, so that the jobs they call for exist. */
int pfs_daemon_plan(struct pfs_daemon *d, struct pfs_error *err);

#endif
