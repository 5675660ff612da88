#include "pipeline/pipelines.h"

#include "base/clock.h"
#include "pipeline/jobrow.h"
#include "pipeline/pipelines_i.h"

#include <stdlib.h>
#include <string.h>

const char *pfs_job_state_name(enum pfs_job_state s)
{
	switch (s) {
	case PFS_JOB_CREATED:
		return "created";
	case PFS_JOB_RUNNING:
		return "running";
	case PFS_JOB_SUCCESS:
		return "success";
	case PFS_JOB_FAILURE:
		return "failure";
	case PFS_JOB_KILLED:
		return "killed";
	case PFS_JOB_UNRUNNABLE:
		return "unrunnable";
	}
	return "unknown";
}

bool pfs_job_state_final(enum pfs_job_state s)
{
	return s != PFS_JOB_CREATED && s != PFS_JOB_RUNNING;
}

static int list_rows(struct pfs_pipelines *p, const struct pfs_job_query *query,
		     struct pfs_job **out, size_t *out_n, struct pfs_error *err)
{
	struct pfs_job_row *rows = NULL;
	struct pfs_job *list;
	size_t n = 0;
	int rc;

	rc = pfs_meta_list_jobs(p->meta, query, &rows, &n, err);
	if (rc < 0)
		return rc;
	list = calloc(n ? n : 1, sizeof(*list));
	for (size_t i = 0; list && i < n; i++)
		pfs_jobrow_show(&rows[i], &list[i]);
	free(rows);
	if (!list)
		return pfs_fail_nomem(err, "a list of jobs");
	*out = list;
	*out_n = n;
	return 0;
}

int pfs_job_list(struct pfs_pipelines *p, const char *pipeline, size_t max, struct pfs_job **out,
		 size_t *out_n, struct pfs_error *err)
{
	struct pfs_job_query query = { .pipeline = pipeline, .max = max };
	struct pfs_pipeline_row row = { 0 };
	int rc = 0;

	if (pipeline)
		rc = pfs_meta_find_pipeline(p->meta, pipeline, &row, err);
	pfs_pipeline_row_fini(&row);
	return rc < 0 ? rc : list_rows(p, &query, out, out_n, err);
}

int pfs_job_inspect(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		    struct pfs_job *out, struct pfs_error *err)
{
	struct pfs_job_row row;
	int rc;

	rc = pfs_meta_find_job(p->meta, pipeline, id, &row, err);
	if (rc == 0)
		pfs_jobrow_show(&row, out);
	return rc;
}

int pfs_job_current(struct pfs_pipelines *p, const char *pipeline, struct pfs_job *out,
		    struct pfs_error *err)
{
	const struct pfs_job_query wanted[] = {
		{ .pipeline = pipeline, .unfinished = true, .max = 1 },
		{ .pipeline = pipeline, .state = PFS_JOB_SUCCESS, .max = 1 },
		{ .pipeline = pipeline, .max = 1 },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		struct pfs_job *list = NULL;
		size_t n = 0;
		int rc;

		rc = list_rows(p, &wanted[i], &list, &n, err);
		if (rc == 0 && n)
			*out = list[0];
		free(list);
		if (rc < 0 || n)
			return rc;
	}
	return pfs_fail(err, PFS_E_NOTFOUND, "pipeline \"%.63s\" has no job", pipeline);
}

int pfs_job_wait(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		 int64_t timeout_ms, struct pfs_job *out, struct pfs_error *err)
{
	int64_t until = pfs_clock_monotonic_ms() + timeout_ms, left;
	struct pfs_job job;
	uint64_t newest;
	int rc;

	for (bool last = false;;) {
		/* Read first: what happens after this line ends the wait below. */
		newest = pfs_event_newest(p->history);
		rc = pfs_job_inspect(p, pipeline, id, &job, err);
		if (rc < 0)
			return rc;
		if (pfs_job_state_final(job.state)) {
			*out = job;
			return 1;
		}
		left = timeout_ms < 0 ? -1 : until - pfs_clock_monotonic_ms();
		if (last || (timeout_ms >= 0 && left <= 0))
			return 0;
		/* Woken for nothing means that everybody is to go. */
		last = pfs_event_wait(p->history, newest, left) == 0;
	}
}

/*
 * The lease of a running job stays: until its runner has let go, or the lease
 * ends, nobody else is given the output it may still be writing.
 */
static int kill_job(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		    struct pfs_error *err)
{
	struct pfs_job_row was, row;
	bool done = false;
	int rc;

	rc = pfs_meta_find_job(p->meta, pipeline, id, &was, err);
	if (rc < 0 || was.state == PFS_JOB_KILLED)
		return rc;
	rc = pfs_jobrow_committed(p, &was, &done, err);
	if (rc < 0)
		return rc;
	if (done)
		return pfs_fail(err, PFS_E_CONFLICT, "its output is committed already");
	if (pfs_job_state_final((enum pfs_job_state)was.state))
		return pfs_fail(err, PFS_E_CONFLICT, "it has ended already: %s",
				pfs_job_state_name((enum pfs_job_state)was.state));
	row = was;
	pfs_jobrow_end(&row, PFS_JOB_KILLED, "stopped");
	row.lease_until_ns = was.state == PFS_JOB_RUNNING ? was.lease_until_ns : 0;
	return pfs_jobrow_move(p, &was, &row, "job.finished", err);
}

int pfs_job_stop(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		 struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	int rc;

	rc = pfs_pipelines_enter(p, pipeline, PFS_PIPELINES_WAIT_MS, err);
	if (rc < 0)
		return rc;
	rc = kill_job(p, pipeline, id, err);
	pfs_pipelines_leave(p, pipeline);
	return rc < 0 ? pfs_wrap(err, rc, "stop job %.63s@%s", pipeline,
				 pfs_commit_id_format(id, hex))
		      : 0;
}
