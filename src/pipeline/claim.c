/*
 * Giving work to runners: which job is next, may it run, and until when is it
 * somebody's.
 *
 * A lease is by the clock, and clocks lie; so a lease only says when somebody
 * else may try. What keeps two runners from being one job is the attempt:
 * whoever comes with an older one is refused.
 */
#include "pipeline/pipelines.h"

#include "base/clock.h"
#include "base/fault.h"
#include "pipeline/jobrow.h"
#include "pipeline/output.h"
#include "pipeline/pipelines_i.h"
#include "pipeline/task.h"
#include "tree/tree.h"
#include "workspace/workspace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What became of a job that was looked at; negative when that failed. */
enum { LATER = 0, CLAIMED = 1, ENDED = 2 };

/* What became of a check of one input. */
enum { READY = 10 };

struct claim {
	struct pfs_pipelines *p;
	const char *runner;
	int64_t lease_ns;
	struct pfs_job_row stopped; /* the pipeline's last one that was; attempt 0: none */
	struct pfs_job_row was;     /* as it is in the table */
	struct pfs_job_row row;     /* as it shall be */
	struct pfs_pachfile pf;
};

/* The job cannot run and never will. */
static int end_job(struct claim *c, enum pfs_job_state state, const char *reason,
		   struct pfs_error *err)
{
	int rc;

	pfs_jobrow_end(&c->row, state, reason);
	rc = pfs_jobrow_move(c->p, &c->was, &c->row, "job.finished", err);
	return rc < 0 ? rc : ENDED;
}

/* No job upstream: from before that pipeline was what it is now. Its output may be there all the same. */
static int check_old_output(struct claim *c, const char *name, struct pfs_error *err)
{
	struct pfs_job_row up = c->was;
	struct pfs_error why;
	char reason[160];
	bool there = false;
	int rc;

	memcpy(up.pipeline, name, strlen(name) + 1);
	rc = pfs_jobrow_committed(c->p, &up, &there, &why);
	if (rc < 0 && rc != PFS_E_NOTFOUND)
		return pfs_fail(err, rc, "%s", why.text);
	if (there)
		return READY;
	snprintf(reason, sizeof(reason),
		 "input pps://%s: that pipeline made nothing of this commit", name);
	return end_job(c, PFS_JOB_UNRUNNABLE, reason, err);
}

static int check_upstream(struct claim *c, const char *name, struct pfs_error *err)
{
	struct pfs_error why;
	struct pfs_job_row up;
	char reason[160];
	int rc;

	rc = pfs_meta_find_job(c->p->meta, name, &c->was.id, &up, &why);
	if (rc == PFS_E_NOTFOUND)
		return check_old_output(c, name, err);
	if (rc < 0)
		return pfs_fail(err, rc, "%s", why.text);
	if (up.state == PFS_JOB_SUCCESS)
		return READY;
	if (!pfs_job_state_final((enum pfs_job_state)up.state))
		return LATER;
	snprintf(reason, sizeof(reason), "input pps://%s: the job of that pipeline ended with %s",
		 name, pfs_job_state_name((enum pfs_job_state)up.state));
	return end_job(c, PFS_JOB_UNRUNNABLE, reason, err);
}

static int check_directory(struct claim *c, const struct pfs_pachfile_input *in,
			   struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE], reason[PFS_ERROR_TEXT_SIZE];
	struct pfs_found found = { 0 };
	struct pfs_error why;
	struct pfs_root root;
	int rc;

	rc = pfs_history_commit_root(c->p->history, c->was.repo, &c->was.id, &root, &why);
	if (rc == 0)
		rc = pfs_tree_lookup(pfs_history_store(c->p->history), &root.dir, in->path, &found,
				     &why);
	pfs_found_fini(&found);
	if (rc == 0)
		return READY;
	if (rc != PFS_E_NOTFOUND && rc != PFS_E_NOTDIR && rc != PFS_E_CORRUPT)
		return pfs_fail(err, rc, "%s", why.text);
	if (rc == PFS_E_CORRUPT)
		snprintf(reason, sizeof(reason), "line %u: input %.200s cannot be read: %.400s",
			 in->line_number, in->path, why.text);
	else
		snprintf(reason, sizeof(reason), "line %u: input %.500s does not exist in %s@%s",
			 in->line_number, in->path, c->was.repo,
			 pfs_commit_id_format(&c->was.id, hex));
	return end_job(c, PFS_JOB_FAILURE, reason, err);
}

/* READY, LATER, ENDED. Pipelines first: of a job that cannot run, why it cannot is upstream. */
static int check_inputs(struct claim *c, struct pfs_error *err)
{
	int rc = READY;

	for (size_t i = 0; rc == READY && i < c->pf.n_inputs; i++)
		if (c->pf.inputs[i].kind == PFS_PACHFILE_PIPELINE)
			rc = check_upstream(c, c->pf.inputs[i].name, err);
	for (size_t i = 0; rc == READY && i < c->pf.n_inputs; i++)
		if (c->pf.inputs[i].kind == PFS_PACHFILE_DIRECTORY)
			rc = check_directory(c, &c->pf.inputs[i], err);
	return rc;
}

/* Stopped while it ran, and its runner never said that it ended. */
static bool stopped_and_lost(const struct claim *c)
{
	return c->stopped.attempt && c->stopped.lease_until_ns;
}

/*
 * Nothing of what ran before may reach the output any more. A job of which
 * every runner was lost, or that was stopped and its runner lost, is followed
 * by a reset that shuts them out, before anybody else gets the output.
 */
static int take_output(struct claim *c, struct pfs_error *err)
{
	struct pfs_job_row row = c->stopped;
	int rc;

	rc = pfs_output_reset(c->p, c->row.pipeline, c->row.branch,
			      c->was.attempt || stopped_and_lost(c), err);
	if (rc == 0)
		rc = pfs_fault("claim: output reset", err);
	if (rc < 0 || !stopped_and_lost(c))
		return rc;
	row.lease_until_ns = 0;
	return pfs_jobrow_move(c->p, &c->stopped, &row, "job.finished", err);
}

/* Its last runner may still be at it. */
static int give_up(struct claim *c, struct pfs_error *err)
{
	int rc = take_output(c, err);

	return rc < 0 ? rc
		      : end_job(c, PFS_JOB_FAILURE, "too many runners were lost while they ran it",
				err);
}

/*
 * The task is made before the row moves, and the output is reset before that:
 * once the row says RUNNING, nothing is left that can fail.
 */
static int start(struct claim *c, struct pfs_task *out, struct pfs_error *err)
{
	struct pfs_task t = { 0 };
	int rc;

	c->row.state = PFS_JOB_RUNNING;
	c->row.attempt++;
	c->row.started_ns = pfs_clock_ns();
	c->row.lease_until_ns = c->row.started_ns + c->lease_ns;
	snprintf(c->row.runner, sizeof(c->row.runner), "%s", c->runner);
	rc = take_output(c, err);
	if (rc == 0)
		rc = pfs_task_make(&c->row, &c->pf, &t, err);
	if (rc == 0)
		rc = pfs_jobrow_move(c->p, &c->was, &c->row, "job.started", err);
	if (rc < 0) {
		pfs_task_fini(&t);
		return rc;
	}
	*out = t;
	return CLAIMED;
}

static int judge(struct claim *c, struct pfs_task *out, struct pfs_error *err)
{
	struct pfs_error why;
	bool done = false;
	int rc;

	rc = c->was.attempt ? pfs_jobrow_committed(c->p, &c->was, &done, err) : 0;
	if (rc < 0)
		return rc;
	if (done)
		return end_job(c, PFS_JOB_SUCCESS, NULL, err);
	if (c->was.attempt >= PFS_JOB_ATTEMPTS_MAX)
		return give_up(c, err);
	rc = pfs_task_load(c->p, &c->was, &c->pf, &why);
	if (rc == PFS_E_NOMEM || rc == PFS_E_IO)
		return pfs_fail(err, rc, "%s", why.text);
	if (rc < 0)
		return end_job(c, PFS_JOB_FAILURE, why.text, err);
	rc = check_inputs(c, err);
	return rc == READY ? start(c, out, err) : rc;
}

static bool runnable(const struct pfs_job_row *row)
{
	return row->state == PFS_JOB_CREATED ||
	       (row->state == PFS_JOB_RUNNING && row->lease_until_ns <= pfs_clock_ns());
}

/* Whether the runner of a job that was stopped may still be writing the output. */
static int output_in_use(struct claim *c, const char *pipeline, bool *out, struct pfs_error *err)
{
	struct pfs_job_query query = { .pipeline = pipeline, .state = PFS_JOB_KILLED, .max = 1 };
	struct pfs_job_row *rows = NULL;
	size_t n = 0;
	int rc;

	c->stopped = (struct pfs_job_row){ 0 };
	rc = pfs_meta_list_jobs(c->p->meta, &query, &rows, &n, err);
	if (rc == 0 && n)
		c->stopped = rows[0];
	if (rc == 0)
		*out = c->stopped.lease_until_ns > pfs_clock_ns();
	free(rows);
	return rc;
}

/* Inside the pipeline: what was listed is read again, it may have moved on. */
static int look_inside(struct claim *c, const struct pfs_job_row *listed, struct pfs_task *out,
		       struct pfs_error *err)
{
	struct pfs_error why;
	bool in_use = false;
	int rc;

	rc = pfs_meta_find_job(c->p->meta, listed->pipeline, &listed->id, &c->was, &why);
	if (rc == PFS_E_NOTFOUND || (rc == 0 && !runnable(&c->was)))
		return LATER;
	if (rc < 0)
		return pfs_fail(err, rc, "%s", why.text);
	rc = output_in_use(c, listed->pipeline, &in_use, err);
	if (rc < 0 || in_use)
		return rc < 0 ? rc : LATER;
	c->row = c->was;
	return judge(c, out, err);
}

static int look_at(struct claim *c, const struct pfs_job_row *listed, struct pfs_task *out,
		   struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	int rc;

	if (!runnable(listed))
		return LATER;
	rc = pfs_pipelines_enter(c->p, listed->pipeline, 0, err);
	if (rc < 0)
		return rc == PFS_E_BUSY ? LATER : rc;
	rc = look_inside(c, listed, out, err);
	pfs_pipelines_leave(c->p, listed->pipeline);
	pfs_pachfile_fini(&c->pf);
	return rc < 0 ? pfs_wrap(err, rc, "start job %s@%s", listed->pipeline,
				 pfs_commit_id_format(&listed->id, hex))
		      : rc;
}

/*
 * One look at the first job of every pipeline. What is wrong with one must not
 * keep the others from running, so an error waits until all were looked at.
 */
static int look_round(struct claim *c, struct pfs_task *out, struct pfs_error *err)
{
	struct pfs_job_row *rows = NULL;
	struct pfs_error why, first;
	int rc, ended = LATER, failed = 0;
	size_t n = 0;

	rc = pfs_meta_list_next_jobs(c->p->meta, &rows, &n, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc != CLAIMED && i < n; i++) {
		rc = look_at(c, &rows[i], out, &why);
		if (rc == ENDED)
			ended = ENDED;
		if (rc < 0 && !failed) {
			failed = rc;
			first = why;
		}
	}
	free(rows);
	if (rc == CLAIMED || ended == ENDED)
		return rc == CLAIMED ? CLAIMED : ENDED;
	return failed ? pfs_fail(err, failed, "%s", first.text) : LATER;
}

static int check_lease(const char *who, int64_t lease_ms, struct pfs_error *err)
{
	if (lease_ms < 1 || lease_ms > PFS_LEASE_MS_MAX)
		return pfs_fail(err, PFS_E_INVALID, "a lease of %lld ms; 1 to %d are allowed",
				(long long)lease_ms, PFS_LEASE_MS_MAX);
	if (!*who || strlen(who) >= PFS_ROW_RUNNER_SIZE)
		return pfs_fail(err, PFS_E_INVALID,
				"a runner's name of %zu bytes; 1 to %d are allowed", strlen(who),
				PFS_ROW_RUNNER_SIZE - 1);
	return 0;
}

int pfs_job_claim(struct pfs_pipelines *p, const char *runner, int64_t lease_ms,
		  struct pfs_task *out, struct pfs_error *err)
{
	struct claim c = { .p = p, .runner = runner };
	int rc;

	rc = check_lease(runner, lease_ms, err);
	if (rc < 0)
		return rc;
	c.lease_ns = lease_ms * 1000000;
	/* A job that ended makes way for the next one, and may decide others. */
	do
		rc = look_round(&c, out, err);
	while (rc == ENDED);
	return rc;
}

int pfs_job_heartbeat(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		      uint32_t attempt, int64_t lease_ms, bool *out_stop, struct pfs_error *err)
{
	struct pfs_job_row was, row;
	struct pfs_error why;
	int rc;

	rc = check_lease("-", lease_ms, err);
	if (rc < 0)
		return rc;
	rc = pfs_meta_find_job(p->meta, pipeline, id, &was, &why);
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, PFS_E_CONFLICT, "there is no such job any more: %s", why.text);
	if (rc < 0)
		return pfs_fail(err, rc, "%s", why.text);
	if (was.attempt != attempt || (was.state != PFS_JOB_RUNNING && was.state != PFS_JOB_KILLED))
		return pfs_fail(err, PFS_E_CONFLICT,
				"attempt %u is over; the job is in attempt %u, %s", attempt,
				was.attempt, pfs_job_state_name((enum pfs_job_state)was.state));
	row = was;
	row.lease_until_ns = pfs_clock_ns() + lease_ms * 1000000;
	rc = pfs_jobrow_move(p, &was, &row, NULL, err);
	if (rc == 0)
		*out_stop = was.state == PFS_JOB_KILLED;
	return rc;
}
