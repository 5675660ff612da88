/*
 * A claimed job as a struct: what to run, with what, under which lease.
 *
 * Pure; the reply of a claim is somebody's claim.
 */
#ifndef PFS_RUNNER_JOB_H
#define PFS_RUNNER_JOB_H

#include "base/json.h"
#include "runner/pfsd.h"
#include "runtime/runtime.h"

struct job_step {
	const char *image;
	const char *line;
};

/* Strings are borrowed from `json`. */
struct job {
	json_t *json;
	struct pfsd_job name;
	int64_t lease_ms;
	size_t n_steps;
	struct job_step *steps;
	size_t n_mounts;
	struct pfs_run_mount *mounts;
	const char **env; /* NULL-terminated */
};

/* Takes `*json`, also on failure. */
int job_parse(json_t **json, struct job *out, struct pfs_error *err);
void job_fini(struct job *j);

#endif
