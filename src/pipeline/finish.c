#include "pipeline/finish.h"

#include "base/fault.h"
#include "pipeline/jobrow.h"
#include "pipeline/pipelines_i.h"
#include "pipeline/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int end_job(struct pfs_pipelines *p, const struct pfs_job_row *was, enum pfs_job_state state,
		   const char *reason, struct pfs_error *err)
{
	struct pfs_job_row row = *was;

	pfs_jobrow_end(&row, state, reason);
	return pfs_jobrow_move(p, was, &row, "job.finished", err);
}

/* The input commit, and the output of each pipeline that was read: all bear the job's id. */
static size_t list_provenance(const struct pfs_job_row *row, const struct pfs_pachfile *pf,
			      struct pfs_provenance *out)
{
	size_t n = 0;

	memcpy(out[n].repo, row->repo, sizeof(out[n].repo));
	out[n++].id = row->id;
	for (size_t i = 0; i < pf->n_inputs; i++) {
		if (pf->inputs[i].kind != PFS_PACHFILE_PIPELINE)
			continue;
		snprintf(out[n].repo, sizeof(out[n].repo), "%s", pf->inputs[i].name);
		out[n++].id = row->id;
	}
	return n;
}

static int commit_output(struct pfs_pipelines *p, const struct pfs_job_row *row,
			 struct pfs_error *err)
{
	struct pfs_provenance provenance[PFS_PACHFILE_INPUTS_MAX + 1] = { 0 };
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_pachfile pf = { 0 };
	struct pfs_commit_id made;
	char message[PFS_NAME_TEXT_SIZE + 32];
	int rc;

	rc = pfs_task_load(p, row, &pf, err);
	if (rc < 0)
		return rc;
	o.n_provenance = list_provenance(row, &pf, provenance);
	pfs_pachfile_fini(&pf);
	snprintf(message, sizeof(message), "pipeline %s version %u", row->pipeline, row->version);
	o.message = message;
	o.id = &row->id;
	o.origin = PFS_ORIGIN_AUTO;
	o.provenance = provenance;
	o.as_owner = row->pipeline;
	return pfs_commit_branch(p->history, row->pipeline, row->branch, &o, &made, err);
}

/*
 * The commit is what makes the job a success; the row only says so. Whoever
 * comes by after a crash in between finds the commit and lets the row say it.
 */
static int succeed(struct pfs_pipelines *p, const struct pfs_job_row *row, struct pfs_error *err)
{
	bool done = false;
	int rc;

	rc = pfs_jobrow_committed(p, row, &done, err);
	if (rc == 0 && !done)
		rc = commit_output(p, row, err);
	if (rc == 0)
		rc = pfs_fault("finish: output committed", err);
	if (rc == 0)
		rc = end_job(p, row, PFS_JOB_SUCCESS, NULL, err);
	return rc;
}

static int fail(struct pfs_pipelines *p, const struct pfs_job_row *row, const char *reason,
		struct pfs_error *err)
{
	struct pfs_error ignored;
	bool done = false;
	int rc;

	rc = pfs_jobrow_committed(p, row, &done, err);
	if (rc < 0)
		return rc;
	if (done)
		return end_job(p, row, PFS_JOB_SUCCESS, NULL, err);
	/* The next claim does this again: failing to throw away must not hide why the job failed. */
	(void)pfs_commit_discard(p->history, row->pipeline, row->branch, row->pipeline, &ignored);
	return end_job(p, row, PFS_JOB_FAILURE, *reason ? reason : "no reason was given", err);
}

/* The runner of a stopped job has ended: the output is free for the next one. */
static int let_go(struct pfs_pipelines *p, const struct pfs_job_row *was, struct pfs_error *err)
{
	struct pfs_job_row row = *was;
	int rc;

	row.lease_until_ns = 0;
	rc = pfs_jobrow_move(p, was, &row, was->lease_until_ns ? "job.finished" : NULL, err);
	return rc < 0 ? rc : pfs_fail(err, PFS_E_CONFLICT, "the job was stopped");
}

static int finish(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		  uint32_t attempt, const char *reason, struct pfs_error *err)
{
	struct pfs_job_row row;
	int rc;

	rc = pfs_meta_find_job(p->meta, pipeline, id, &row, err);
	if (rc < 0)
		return rc;
	if (row.attempt != attempt)
		return pfs_fail(err, PFS_E_CONFLICT, "attempt %u is over, the job is in attempt %u",
				attempt, row.attempt);
	/* Said twice, because the first answer was lost. */
	if (row.state == (reason ? PFS_JOB_FAILURE : PFS_JOB_SUCCESS))
		return 0;
	if (row.state == PFS_JOB_KILLED)
		return let_go(p, &row, err);
	if (row.state != PFS_JOB_RUNNING)
		return pfs_fail(err, PFS_E_CONFLICT, "the job has ended: %s",
				pfs_job_state_name((enum pfs_job_state)row.state));
	return reason ? fail(p, &row, reason, err) : succeed(p, &row, err);
}

int pfs_job_finish(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		   uint32_t attempt, const char *reason, struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	int rc;

	rc = pfs_pipelines_enter(p, pipeline, PFS_PIPELINES_WAIT_MS, err);
	if (rc < 0)
		return rc;
	rc = finish(p, pipeline, id, attempt, reason, err);
	pfs_pipelines_leave(p, pipeline);
	return rc < 0 ? pfs_wrap(err, rc, "finish job %.63s@%s", pipeline,
				 pfs_commit_id_format(id, hex))
		      : 0;
}

int pfs_finish_recover(struct pfs_pipelines *p, struct pfs_error *err)
{
	struct pfs_job_query query = { .state = PFS_JOB_RUNNING, .oldest_first = true };
	struct pfs_job_row *rows = NULL;
	size_t n = 0;
	int rc;

	rc = pfs_meta_list_jobs(p->meta, &query, &rows, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		bool done = false;

		rc = pfs_jobrow_committed(p, &rows[i], &done, err);
		if (rc == 0 && done)
			rc = end_job(p, &rows[i], PFS_JOB_SUCCESS, NULL, err);
	}
	free(rows);
	return rc;
}
