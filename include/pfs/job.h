/*
 * Jobs: one run of a pipeline for one commit. A job's id is the commit's id.
 *
 *	        claim              finish(ok)
 *	CREATED ─────▶ RUNNING ───────────────▶ SUCCESS
 *	   │             │ │ lease ran out ─▶ CREATED (attempt + 1)
 *	   │             │ └ finish(reason) ──▶ FAILURE
 *	   │ an input failed: UNRUNNABLE    stopped or pipeline deleted: KILLED
 *
 * Jobs of one pipeline run one after the other, in the order of the commits.
 *
 * Threads: any.
 */
#ifndef PFS_JOB_H
#define PFS_JOB_H

#include <pfs/pipeline.h>

#ifdef __cplusplus
extern "C" {
#endif

enum pfs_job_state {
	PFS_JOB_CREATED = 1,
	PFS_JOB_RUNNING = 2,
	PFS_JOB_SUCCESS = 3,
	PFS_JOB_FAILURE = 4,
	PFS_JOB_KILLED = 5,
	PFS_JOB_UNRUNNABLE = 6,
};
PFS_API const char *pfs_job_state_name(enum pfs_job_state s); /* "success" */
PFS_API bool pfs_job_state_final(enum pfs_job_state s);

struct pfs_job {
	char pipeline[PFS_NAME_TEXT_SIZE];
	uint32_t version; /* of the pipeline */
	struct pfs_commit_id id;
	char repo[PFS_NAME_TEXT_SIZE]; /* the input commit's repo and branch */
	char branch[PFS_NAME_TEXT_SIZE];
	enum pfs_job_state state;
	uint32_t attempt;                            /* from 1 at the first claim */
	int64_t created_ns, started_ns, finished_ns; /* 0: not yet */
	char runner[128];
	char reason[PFS_ERROR_TEXT_SIZE]; /* why it failed; "" otherwise */
};

/* Newest first; `pipeline` NULL: of all. At most `max` (0: all). *out is owned, free() it. */
PFS_API int pfs_job_list(struct pfs_pipelines *p, const char *pipeline, size_t max,
			 struct pfs_job **out, size_t *out_n, struct pfs_error *err);
PFS_API int pfs_job_inspect(struct pfs_pipelines *p, const char *pipeline,
			    const struct pfs_commit_id *id, struct pfs_job *out,
			    struct pfs_error *err);

/*
 * The job whose output is what "the newest" means now: an unfinished one if
 * there is any, else the newest that succeeded, else the newest that failed.
 * PFS_E_NOTFOUND when the pipeline has no job.
 */
PFS_API int pfs_job_current(struct pfs_pipelines *p, const char *pipeline, struct pfs_job *out,
			    struct pfs_error *err);

/* Block until the job is final: 1, or 0 when `timeout_ms` passed. */
PFS_API int pfs_job_wait(struct pfs_pipelines *p, const char *pipeline,
			 const struct pfs_commit_id *id, int64_t timeout_ms, struct pfs_job *out,
			 struct pfs_error *err);

PFS_API int pfs_job_stop(struct pfs_pipelines *p, const char *pipeline,
			 const struct pfs_commit_id *id, struct pfs_error *err);

/* What a runner is to do. */
struct pfs_task_step {
	char *image; /* owned by the task, as all below */
	char *line;
};
struct pfs_task_input {
	char *name; /* directory below /in */
	char repo[PFS_NAME_TEXT_SIZE];
	struct pfs_commit_id commit;
	char *path; /* in the commit; "" for its root */
};
struct pfs_task {
	struct pfs_job job;
	struct pfs_task_step *steps;
	size_t n_steps;
	struct pfs_task_input *inputs;
	size_t n_inputs;
	char out_repo[PFS_NAME_TEXT_SIZE]; /* the branch whose workspace is /out */
	char out_branch[PFS_NAME_TEXT_SIZE];
};
PFS_API void pfs_task_fini(struct pfs_task *t);

/*
 * Give the oldest runnable job to a runner until the lease ends; the output
 * workspace is reset to the branch's head first. 1 and a task, 0 when there
 * is none. A job whose lease ran out is runnable again.
 */
PFS_API int pfs_job_claim(struct pfs_pipelines *p, const char *runner, int64_t lease_ms,
			  struct pfs_task *out, struct pfs_error *err);

/* Prolong the lease. PFS_E_CONFLICT when it is no longer this attempt's; *out_stop tells to give up. */
PFS_API int pfs_job_heartbeat(struct pfs_pipelines *p, const char *pipeline,
			      const struct pfs_commit_id *id, uint32_t attempt, int64_t lease_ms,
			      bool *out_stop, struct pfs_error *err);

/* Append to the job's log; past PFS_LOG_SIZE_MAX the rest is dropped, and the log says so once. */
PFS_API int pfs_job_log_append(struct pfs_pipelines *p, const char *pipeline,
			       const struct pfs_commit_id *id, uint32_t attempt, const void *data,
			       size_t len, struct pfs_error *err);

/* Up to `len` bytes of the log at `off`; *out_len is 0 at its end. */
PFS_API int pfs_job_log_read(struct pfs_pipelines *p, const char *pipeline,
			     const struct pfs_commit_id *id, uint64_t off, void *data, size_t len,
			     size_t *out_len, struct pfs_error *err);

/*
 * The runner's last word. With `reason` NULL the output is committed under the
 * job's id with its inputs as provenance, and the job succeeds; otherwise the
 * output is thrown away, the job fails, and jobs that need it cannot run.
 */
PFS_API int pfs_job_finish(struct pfs_pipelines *p, const char *pipeline,
			   const struct pfs_commit_id *id, uint32_t attempt, const char *reason,
			   struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
