/* Writing pipelines and jobs. */
#include "meta/meta_i.h"

static int put_row(struct pfs_txn *txn, const struct pfs_pipeline_row *row, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc =
		pfs_txn_query(&q, txn,
			      "INSERT INTO pipelines (name, repo, branch, version, created_ns,"
			      " updated_ns, text) VALUES (?, ?, ?, ?, ?, ?, ?)"
			      " ON CONFLICT (name) DO UPDATE SET repo = excluded.repo,"
			      " branch = excluded.branch, version = excluded.version,"
			      " created_ns = excluded.created_ns, updated_ns = excluded.updated_ns,"
			      " text = excluded.text",
			      err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, row->name);
	pfs_query_bind_text(&q, row->repo);
	pfs_query_bind_text(&q, row->branch);
	pfs_query_bind_i64(&q, row->version);
	pfs_query_bind_i64(&q, row->created_ns);
	pfs_query_bind_i64(&q, row->updated_ns);
	pfs_query_bind_text(&q, row->text);
	return pfs_query_run(&q, err);
}

static int put_version(struct pfs_txn *txn, const struct pfs_pipeline_row *row,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc =
		pfs_txn_query(&q, txn,
			      "INSERT INTO pipeline_versions (pipeline, version, text)"
			      " VALUES (?, ?, ?)"
			      " ON CONFLICT (pipeline, version) DO UPDATE SET text = excluded.text",
			      err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, row->name);
	pfs_query_bind_i64(&q, row->version);
	pfs_query_bind_text(&q, row->text);
	return pfs_query_run(&q, err);
}

static int clear_inputs(struct pfs_txn *txn, const char *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn, "DELETE FROM pipeline_inputs WHERE pipeline = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, name);
	return pfs_query_run(&q, err);
}

static int add_input(struct pfs_txn *txn, const char *name, const char *upstream,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn,
			       "INSERT INTO pipeline_inputs (pipeline, upstream) VALUES (?, ?)"
			       " ON CONFLICT DO NOTHING",
			       err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, name);
	pfs_query_bind_text(&q, upstream);
	rc = pfs_query_run(&q, err);
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, rc, "input pipeline \"%.80s\" does not exist", upstream);
	return rc;
}

int pfs_txn_put_pipeline(struct pfs_txn *txn, const struct pfs_pipeline_row *row,
			 const char *const *upstream, size_t n_upstream, struct pfs_error *err)
{
	int rc = put_row(txn, row, err);

	if (rc == 0)
		rc = put_version(txn, row, err);
	if (rc == 0)
		rc = clear_inputs(txn, row->name, err);
	for (size_t i = 0; i < n_upstream && rc == 0; i++)
		rc = add_input(txn, row->name, upstream[i], err);
	return rc < 0 ? pfs_wrap(err, rc, "pipeline \"%s\"", row->name) : 0;
}

int pfs_txn_delete_pipeline(struct pfs_txn *txn, const char *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn, "DELETE FROM pipelines WHERE name = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, name);
	rc = pfs_query_run(&q, err);
	if (rc == PFS_E_NOTFOUND) /* the key of whoever reads it */
		return pfs_fail(err, PFS_E_BUSY, "pipeline \"%.80s\" is read by another pipeline",
				name);
	if (rc == 0 && sqlite3_changes(q.db->sq) == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "pipeline \"%.80s\" does not exist", name);
	return rc;
}

int pfs_txn_add_job(struct pfs_txn *txn, struct pfs_job_row *row, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	char text[PFS_COMMIT_ID_HEX_SIZE];
	int rc = pfs_txn_query(
		&q, txn,
		"INSERT INTO jobs (pipeline, id, version, state, attempt, repo, branch,"
		" runner, lease_until_ns, created_ns, started_ns, finished_ns, reason)"
		" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
		err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, row->pipeline);
	pfs_query_bind_commit(&q, &row->id);
	pfs_query_bind_i64(&q, row->version);
	pfs_query_bind_i64(&q, row->state);
	pfs_query_bind_i64(&q, row->attempt);
	pfs_query_bind_text(&q, row->repo);
	pfs_query_bind_text(&q, row->branch);
	pfs_query_bind_text(&q, row->runner);
	pfs_query_bind_i64(&q, row->lease_until_ns);
	pfs_query_bind_i64(&q, row->created_ns);
	pfs_query_bind_i64(&q, row->started_ns);
	pfs_query_bind_i64(&q, row->finished_ns);
	pfs_query_bind_text(&q, row->reason);
	rc = pfs_query_run(&q, err);
	if (rc == PFS_E_EXISTS)
		return pfs_fail(err, rc, "job %s of pipeline \"%s\" exists already",
				pfs_commit_id_format(&row->id, text), row->pipeline);
	if (rc < 0)
		return pfs_wrap(err, rc, "add a job of pipeline \"%s\"", row->pipeline);
	row->number = sqlite3_last_insert_rowid(q.db->sq);
	return 0;
}

static int update_matching(struct pfs_query *q, const struct pfs_job_row *row, int expect_state,
			   uint32_t expect_attempt, struct pfs_error *err)
{
	pfs_query_bind_i64(q, row->state);
	pfs_query_bind_i64(q, row->attempt);
	pfs_query_bind_text(q, row->runner);
	pfs_query_bind_i64(q, row->lease_until_ns);
	pfs_query_bind_i64(q, row->started_ns);
	pfs_query_bind_i64(q, row->finished_ns);
	pfs_query_bind_text(q, row->reason);
	pfs_query_bind_text(q, row->pipeline);
	pfs_query_bind_commit(q, &row->id);
	pfs_query_bind_i64(q, expect_state);
	pfs_query_bind_i64(q, expect_attempt);
	return pfs_query_run(q, err);
}

int pfs_txn_update_job(struct pfs_txn *txn, const struct pfs_job_row *row, int expect_state,
		       uint32_t expect_attempt, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	char text[PFS_COMMIT_ID_HEX_SIZE];
	int rc = pfs_txn_query(
		&q, txn,
		"UPDATE jobs SET state = ?, attempt = ?, runner = ?, lease_until_ns = ?,"
		" started_ns = ?, finished_ns = ?, reason = ?"
		" WHERE pipeline = ? AND id = ? AND state = ? AND attempt = ?",
		err);

	if (rc == 0)
		rc = update_matching(&q, row, expect_state, expect_attempt, err);
	if (rc == 0 && sqlite3_changes(q.db->sq) == 0)
		return pfs_fail(err, PFS_E_CONFLICT, "job %s of pipeline \"%s\" has moved on",
				pfs_commit_id_format(&row->id, text), row->pipeline);
	return rc;
}
