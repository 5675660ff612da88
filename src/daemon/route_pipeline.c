#include "daemon/facts.h"
#include "daemon/route.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_SECONDS     600u /* of a read that names no other */
#define WAIT_MAX_SECONDS 86400u
#define SLICE_MS         1000

int route_pipeline_list(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_pipeline *list = NULL;
	size_t n = 0;
	int rc = pfs_pipeline_list(rq->daemon->pipelines, &list, &n, err);

	rp->content_type = "application/x-ndjson";
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = pfs_facts_pipeline(&list[i], &rp->body, err);
	pfs_pipelines_free(&list, n);
	return rc;
}

/* The Pachfile as it was given; with ?inspect all that is known. */
int route_pipeline_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(pfs_pipeline_fini) struct pfs_pipeline p = { 0 };
	int rc = pfs_pipeline_inspect(rq->daemon->pipelines, rq->captures[0], &p, err);

	if (rc < 0)
		return rc;
	if (!pfs_request_is_on(rq, "inspect"))
		return pfs_buf_add_str(&rp->body, p.text, err);
	rp->content_type = "application/json";
	return pfs_facts_pipeline(&p, &rp->body, err);
}

/* A branch may come later, and it may be a slip of the pen: that is said. */
static int note_branch(struct pfs_request *rq, const char *repo, const char *branch,
		       struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_branch found;
	int rc = pfs_branch_inspect(rq->daemon->history, repo, branch, &found, err);

	if (rc != PFS_E_NOTFOUND)
		return rc;
	return pfs_reply_printf(rp, err,
				"Repo %s has no branch %s yet: the pipeline runs once it is there "
				"and is committed.\n",
				repo, branch);
}

/* A new text does not move a pipeline: what is not said stays as it is. */
int route_pipeline_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(pfs_pipeline_fini) struct pfs_pipeline old = { 0 };
	const char *name = rq->captures[0];
	const char *repo, *branch;
	int rc = pfs_pipeline_inspect(rq->daemon->pipelines, name, &old, err);
	bool known = rc == 0;

	if (rc < 0 && rc != PFS_E_NOTFOUND)
		return rc;
	repo = pfs_request_get(rq, "repo", known ? old.repo : PFS_DEFAULT_REPO);
	branch = pfs_request_get(rq, "branch", known ? old.branch : PFS_DEFAULT_BRANCH);
	/* Nothing is made for a text that is not accepted. */
	rc = pfs_pipeline_check(rq->daemon->pipelines, name, repo, branch, pfs_buf_str(&rq->body),
				rq->body.len, err);
	if (rc == 0)
		rc = pfs_route_ensure_default(rq, repo, branch, err);
	if (rc == 0)
		rc = pfs_pipeline_put(rq->daemon->pipelines, name, repo, branch,
				      pfs_buf_str(&rq->body), rq->body.len, err);
	if (rc == 0)
		rc = pfs_reply_printf(rp, err, "Created pipeline/%s, size: %zu.\n", name,
				      rq->body.len);
	return rc < 0 ? rc : note_branch(rq, repo, branch, rp, err);
}

int route_pipeline_delete(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	int rc = pfs_pipeline_delete(rq->daemon->pipelines, rq->captures[0], err);

	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "Deleted pipeline %s.\n", rq->captures[0]);
}

/* Which job's output is asked for. */
struct wanted {
	const char *pipeline;
	bool newest; /* whatever is newest; otherwise: */
	struct pfs_commit_id id;
};

static int find_wanted(struct pfs_request *rq, struct wanted *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_pipeline_fini) struct pfs_pipeline p = { 0 };
	const char *commit = pfs_request_get(rq, "commit", NULL);
	int rc;

	*out = (struct wanted){ .pipeline = rq->captures[0], .newest = !commit };
	rc = pfs_pipeline_inspect(rq->daemon->pipelines, out->pipeline, &p, err);
	if (rc < 0 || !commit)
		return rc;
	if (pfs_route_commit_id(commit, &out->id, NULL) == 0)
		return 0;
	return pfs_rev_resolve(rq->daemon->history, p.repo, commit, &out->id, err);
}

/* A job upstream that has not ended may still make the one that is asked for. */
static int has_open_relative(struct pfs_daemon *d, const struct pfs_commit_id *id,
			     struct pfs_error *err)
{
	struct pfs_job *jobs = NULL;
	size_t n = 0;
	bool open = false;
	int rc = pfs_job_list(d->pipelines, NULL, 0, &jobs, &n, err);

	for (size_t i = 0; rc == 0 && i < n && !open; i++)
		open = pfs_commit_id_equal(&jobs[i].id, id) && !pfs_job_state_final(jobs[i].state);
	free(jobs);
	return rc < 0 ? rc : open;
}

/* The job as it is now: 1, or 0 when it does not exist but may yet. */
static int look(struct pfs_daemon *d, const struct wanted *w, struct pfs_job *out,
		struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	int rc;

	/* What was committed before this request came has its jobs after this. */
	rc = pfs_daemon_plan(d, err);
	if (rc < 0)
		return rc;
	rc = w->newest ? pfs_job_current(d->pipelines, w->pipeline, out, err)
		       : pfs_job_inspect(d->pipelines, w->pipeline, &w->id, out, err);
	if (rc != PFS_E_NOTFOUND)
		return rc < 0 ? rc : 1;
	if (w->newest)
		return pfs_fail(err, PFS_E_NOTFOUND,
				"pipeline %s has not run yet: commit its input first", w->pipeline);
	rc = has_open_relative(d, &w->id, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	return pfs_fail(err, PFS_E_NOTFOUND, "pipeline %s has no job for commit %s", w->pipeline,
			pfs_commit_id_format(&w->id, hex));
}

static int wait_for_job(struct pfs_request *rq, const struct wanted *w, struct pfs_job *out,
			struct pfs_error *err)
{
	struct pfs_daemon *d = rq->daemon;
	uint64_t seconds;
	int64_t until;
	int rc = pfs_request_number(rq, "timeout", WAIT_SECONDS, WAIT_MAX_SECONDS, &seconds, err);

	if (rc < 0)
		return rc;
	until = pfs_clock_monotonic_ms() + (int64_t)seconds * 1000;
	for (;;) {
		uint64_t seen = pfs_event_newest(d->history);

		rc = look(d, w, out, err);
		if (rc < 0 || (rc > 0 && pfs_job_state_final(out->state)))
			return rc < 0 ? rc : 0;
		if (pfs_clock_monotonic_ms() >= until || pfs_request_gone(rq))
			return pfs_fail(err, PFS_E_TIMEOUT,
					"pipeline %s is still at work after %llu seconds",
					w->pipeline, (unsigned long long)seconds);
		pfs_event_wait(d->history, seen, SLICE_MS);
	}
}

int route_pipeline_file(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	struct wanted w;
	struct pfs_job job;
	int rc = find_wanted(rq, &w, err);

	if (rc == 0)
		rc = wait_for_job(rq, &w, &job, err);
	if (rc < 0)
		return rc;
	pfs_commit_id_format(&job.id, hex);
	if (job.state != PFS_JOB_SUCCESS)
		return pfs_fail(err, PFS_E_FAILED, "pipeline failed: job %s@%s: %s: %s",
				job.pipeline, hex, pfs_job_state_name(job.state), job.reason);
	return pfs_route_send_files(rq, job.pipeline, hex, rq->captures[1], rp, err);
}
