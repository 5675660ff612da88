/* Reading jobs. */
#include "meta/meta_i.h"

#include <stdio.h>

#define JOB_COLUMNS                                                                            \
	"number, pipeline, id, version, state, attempt, repo, branch, runner, lease_until_ns," \
	" created_ns, started_ns, finished_ns, reason"

static int decode_job(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_job_row *j = row;

	j->number = pfs_query_i64(q);
	pfs_query_text(q, j->pipeline, sizeof(j->pipeline));
	pfs_query_blob(q, j->id.bytes, sizeof(j->id.bytes));
	j->version = (uint32_t)pfs_query_i64(q);
	j->state = (int)pfs_query_i64(q);
	j->attempt = (uint32_t)pfs_query_i64(q);
	pfs_query_text(q, j->repo, sizeof(j->repo));
	pfs_query_text(q, j->branch, sizeof(j->branch));
	pfs_query_text(q, j->runner, sizeof(j->runner));
	j->lease_until_ns = pfs_query_i64(q);
	j->created_ns = pfs_query_i64(q);
	j->started_ns = pfs_query_i64(q);
	j->finished_ns = pfs_query_i64(q);
	pfs_query_text(q, j->reason, sizeof(j->reason));
	return pfs_query_check(q, err);
}

int pfs_meta_find_job(struct pfs_meta *m, const char *pipeline, const struct pfs_commit_id *id,
		      struct pfs_job_row *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_job_row row = { 0 };
	char text[PFS_COMMIT_ID_HEX_SIZE];
	int rc = pfs_read_begin(
		&r, m, "SELECT " JOB_COLUMNS " FROM jobs WHERE pipeline = ? AND id = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, pipeline);
	pfs_query_bind_commit(&r.q, id);
	rc = pfs_query_one(&r.q, decode_job, &row, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "pipeline \"%.80s\" has no job %s", pipeline,
				pfs_commit_id_format(id, text));
	if (rc < 0)
		return rc;
	*out = row;
	return 0;
}

/* Only the conditions that are asked for, so that the planner sees which index fits. */
static void query_text(const struct pfs_job_query *query, char *out, size_t size)
{
	snprintf(out, size,
		 "SELECT " JOB_COLUMNS " FROM jobs WHERE 1%s%s%s%s ORDER BY number%s LIMIT ?",
		 query->pipeline ? " AND pipeline = ?" : "", query->id ? " AND id = ?" : "",
		 query->state ? " AND state = ?" : "",
		 query->unfinished ? " AND finished_ns = 0" : "",
		 query->oldest_first ? "" : " DESC");
}

static int read_jobs(struct pfs_query *q, struct pfs_job_row **out, size_t *out_n,
		     struct pfs_error *err)
{
	void *list;
	int rc = pfs_query_all(q, sizeof(**out), decode_job, NULL, &list, out_n, err);

	if (rc == 0)
		*out = list;
	return rc;
}

int pfs_meta_list_jobs(struct pfs_meta *m, const struct pfs_job_query *query,
		       struct pfs_job_row **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	char sql[512];
	int rc;

	query_text(query, sql, sizeof(sql));
	rc = pfs_read_begin(&r, m, sql, err);
	if (rc < 0)
		return rc;
	if (query->pipeline)
		pfs_query_bind_text(&r.q, query->pipeline);
	if (query->id)
		pfs_query_bind_commit(&r.q, query->id);
	if (query->state)
		pfs_query_bind_i64(&r.q, query->state);
	pfs_query_bind_i64(&r.q, query->max ? (int64_t)query->max : -1);
	return read_jobs(&r.q, out, out_n, err);
}

int pfs_meta_list_next_jobs(struct pfs_meta *m, struct pfs_job_row **out, size_t *out_n,
			    struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(
		&r, m,
		"SELECT " JOB_COLUMNS " FROM jobs WHERE number IN"
		" (SELECT min(number) FROM jobs WHERE finished_ns = 0 GROUP BY pipeline)"
		" ORDER BY number",
		err);

	return rc < 0 ? rc : read_jobs(&r.q, out, out_n, err);
}
