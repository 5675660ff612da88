/*
 * The table of routes: which function answers what, and how a failure looks.
 *
 * Threads: any.
 */
#ifndef PFS_DAEMON_ROUTE_H
#define PFS_DAEMON_ROUTE_H

#include "daemon/http.h"

/*
 * The answer, when the whole body is there. Negative: the failure is the
 * answer, whatever is in `rp`.
 */
typedef int pfs_route_fn(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err);

/* A body that is taken as it comes. */
struct pfs_upload_ops {
	/* Make rq->upload. */
	int (*begin)(struct pfs_request *rq, struct pfs_error *err);
	int (*take)(struct pfs_request *rq, const void *data, size_t len, struct pfs_error *err);
	/* Free rq->upload, which may be NULL: the answer was given, or the peer hung up. */
	void (*drop)(struct pfs_request *rq);
};

struct pfs_route {
	const char *method;
	const char *pattern;
	pfs_route_fn *answer;
	size_t body_max; /* collected in rq->body up to this; 0: no body is read */
	const struct pfs_upload_ops *upload; /* or NULL */
	bool local_only;                     /* runners come by the unix socket */
};

/*
 * Find rq->route and rq->captures. PFS_E_NOTFOUND, PFS_E_DENIED; PFS_E_UNSUPPORTED
 * with an Allow header in `rp` when the path is right and the method is not.
 */
int pfs_route_find(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err);

/* Turn a failure into the answer: status, X-Pfs-Error, text or JSON. */
void pfs_route_fail(struct pfs_request *rq, struct pfs_reply *rp, int rc,
		    const struct pfs_error *why);

/* Make the default repo and branch when the request means them and they are not there. */
int pfs_route_ensure_default(struct pfs_request *rq, const char *repo, const char *branch,
			     struct pfs_error *err);

/* A commit id, with or without dashes. */
int pfs_route_commit_id(const char *text, struct pfs_commit_id *out, struct pfs_error *err);

/* One noun each. */
pfs_route_fn route_file_get, route_file_post, route_file_delete;
pfs_route_fn route_commit_list, route_commit_post, route_commit_get, route_commitset_get;
pfs_route_fn route_status_get, route_diff_get;
pfs_route_fn route_branch_list, route_branch_post, route_branch_delete, route_branch_rename;
pfs_route_fn route_repo_list, route_repo_get, route_repo_post, route_repo_delete;
pfs_route_fn route_pipeline_list, route_pipeline_get, route_pipeline_post, route_pipeline_delete;
pfs_route_fn route_pipeline_file;
pfs_route_fn route_job_list, route_job_get, route_job_log, route_job_stop;
pfs_route_fn route_event_get;
pfs_route_fn route_ping, route_version, route_welcome, route_stats;
pfs_route_fn route_gc_get, route_gc_post, route_tidy_post, route_fsck_post;
pfs_route_fn route_compat_job, route_compat_post;
pfs_route_fn route_runner_claim, route_runner_heartbeat, route_runner_log, route_runner_finish;

extern const struct pfs_upload_ops pfs_file_upload_ops;

/* What a pattern below "/<repo>/<rev>" matches, as GET /file answers it. */
int pfs_route_send_files(struct pfs_request *rq, const char *repo, const char *rev,
			 const char *pattern, struct pfs_reply *rp, struct pfs_error *err);

#endif
