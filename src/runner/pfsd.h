/*
 * pfsd as its runners see it: claim, heartbeat, log, finish.
 *
 * Threads: one at a time per object; each thread of a job opens its own.
 */
#ifndef PFS_RUNNER_PFSD_H
#define PFS_RUNNER_PFSD_H

#include "base/json.h"
#include "net/http.h"

struct pfsd;

/* Asked while a request is under way; true ends it. */
struct pfsd_patience {
	bool (*over)(void *arg);
	void *arg;
};

int pfsd_open(const char *socket, struct pfsd_patience patience, struct pfsd **out,
	      struct pfs_error *err);
void pfsd_close(struct pfsd **d);

/* 1 and the reply of a claim, owned by the caller; 0 when there was nothing to do within `wait_ms`. */
int pfsd_claim(struct pfsd *d, const char *runner, int64_t wait_ms, json_t **out,
	       struct pfs_error *err);

/* Which job a message is about. */
struct pfsd_job {
	const char *pipeline;
	const char *id;
	int64_t attempt;
};

/* PFS_E_CONFLICT: the lease is somebody else's now. */
int pfsd_heartbeat(struct pfsd *d, const struct pfsd_job *job, bool *out_cancel,
		   struct pfs_error *err);
int pfsd_log(struct pfsd *d, const struct pfsd_job *job, const void *data, size_t len,
	     struct pfs_error *err);

/* `reason` is NULL when all went well. */
int pfsd_finish(struct pfsd *d, const struct pfsd_job *job, const char *reason,
		struct pfs_error *err);

#endif
