#include "pipeline/pipelines.h"

#include "base/clock.h"
#include "base/path.h"
#include "pipeline/dag.h"
#include "pipeline/joblog.h"
#include "pipeline/pachfile.h"
#include "pipeline/pipelines_i.h"

#include <stdlib.h>
#include <string.h>

void pfs_pipeline_fini(struct pfs_pipeline *p)
{
	free(p->text);
	*p = (struct pfs_pipeline){ 0 };
}

void pfs_pipelines_free(struct pfs_pipeline **list, size_t n)
{
	for (size_t i = 0; *list && i < n; i++)
		pfs_pipeline_fini(&(*list)[i]);
	free(*list);
	*list = NULL;
}

/* The text moves over: the row has none afterwards. */
static void take_row(struct pfs_pipeline_row *row, struct pfs_pipeline *out)
{
	memcpy(out->name, row->name, sizeof(out->name));
	memcpy(out->repo, row->repo, sizeof(out->repo));
	memcpy(out->branch, row->branch, sizeof(out->branch));
	out->version = row->version;
	out->created_ns = row->created_ns;
	out->updated_ns = row->updated_ns;
	out->text = row->text;
	row->text = NULL;
}

int pfs_pipeline_inspect(struct pfs_pipelines *p, const char *name, struct pfs_pipeline *out,
			 struct pfs_error *err)
{
	struct pfs_pipeline_row row = { 0 };
	int rc;

	rc = pfs_meta_find_pipeline(p->meta, name, &row, err);
	if (rc == 0)
		take_row(&row, out);
	pfs_pipeline_row_fini(&row);
	return rc;
}

int pfs_pipeline_list(struct pfs_pipelines *p, struct pfs_pipeline **out, size_t *out_n,
		      struct pfs_error *err)
{
	struct pfs_pipeline_row *rows = NULL;
	struct pfs_pipeline *list;
	size_t n = 0;
	int rc;

	rc = pfs_meta_list_pipelines(p->meta, &rows, &n, err);
	if (rc < 0)
		return rc;
	list = calloc(n ? n : 1, sizeof(*list));
	if (list) {
		for (size_t i = 0; i < n; i++)
			take_row(&rows[i], &list[i]);
		*out = list;
		*out_n = n;
	}
	pfs_pipeline_rows_free(&rows, n);
	return list ? 0 : pfs_fail_nomem(err, "a list of pipelines");
}

/* What is put: the row that shall be, and the text understood. */
struct put {
	struct pfs_pipeline_row row;
	struct pfs_pachfile pf;
	bool update;
	bool trial; /* the input repo need not be there, and nothing is kept */
};

static void put_fini(struct put *put)
{
	pfs_pipeline_row_fini(&put->row);
	pfs_pachfile_fini(&put->pf);
}

/* What can be checked without looking at anything else. */
static int prepare(const char *name, const char *repo, const char *branch, const char *text,
		   size_t len, struct put *put, struct pfs_error *err)
{
	int rc;

	rc = pfs_path_check_repo(name, err);
	if (rc == 0)
		rc = pfs_path_check_repo(repo, err);
	if (rc == 0)
		rc = pfs_path_check_branch(branch, err);
	if (rc == 0)
		rc = pfs_pachfile_parse(text, len, &put->pf, err);
	if (rc < 0)
		return rc;
	if (strcmp(name, repo) == 0)
		return pfs_fail(err, PFS_E_CONFLICT,
				"it would feed itself: repo %s is where its output goes", name);
	memcpy(put->row.name, name, strlen(name) + 1);
	memcpy(put->row.repo, repo, strlen(repo) + 1);
	memcpy(put->row.branch, branch, strlen(branch) + 1);
	put->row.text = strndup(text, len);
	return put->row.text ? 0 : pfs_fail_nomem(err, "a Pachfile");
}

static int check_repo(struct pfs_meta *m, const char *repo, struct pfs_error *err)
{
	struct pfs_repo_row row;
	int rc;

	rc = pfs_meta_find_repo(m, repo, &row, err);
	if (rc == 0 && row.owner[0])
		return pfs_fail(
			err, PFS_E_INVALID,
			"repo %s is the output of pipeline %s, whose commits start nothing; "
			"read it with 'input pps://%s' and run on the repo that it reads",
			repo, row.owner, row.owner);
	return rc;
}

static int count_pipelines(struct pfs_meta *m, struct pfs_error *err)
{
	struct pfs_pipeline_row *rows = NULL;
	size_t n = 0;
	int rc;

	rc = pfs_meta_list_pipelines(m, &rows, &n, err);
	pfs_pipeline_rows_free(&rows, n);
	if (rc == 0 && n >= PFS_PIPELINES_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "there are %zu pipelines, at most %u are allowed",
				n, PFS_PIPELINES_MAX);
	return rc;
}

/* Version and times follow from what is there. */
static int number_row(struct pfs_meta *m, struct put *put, struct pfs_error *err)
{
	struct pfs_pipeline_row old = { 0 };
	struct pfs_error why;
	int rc;

	put->row.updated_ns = pfs_clock_ns();
	rc = pfs_meta_find_pipeline(m, put->row.name, &old, &why);
	if (rc == PFS_E_NOTFOUND) {
		put->row.version = 1;
		put->row.created_ns = put->row.updated_ns;
		return count_pipelines(m, err);
	}
	if (rc < 0)
		return pfs_fail(err, rc, "%s", why.text);
	put->update = true;
	put->row.version = old.version + 1;
	put->row.created_ns = old.created_ns;
	pfs_pipeline_row_fini(&old);
	return pfs_dag_check_readers(m, &put->row, err);
}

static int write_row(struct pfs_txn *txn, const struct put *put, struct pfs_error *err)
{
	const char *upstream[PFS_PACHFILE_INPUTS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < put->pf.n_inputs; i++)
		if (put->pf.inputs[i].kind == PFS_PACHFILE_PIPELINE)
			upstream[n++] = put->pf.inputs[i].name;
	return pfs_txn_put_pipeline(txn, &put->row, upstream, n, err);
}

/* Checks and change are one transaction: what was checked cannot move in between. */
static int put_row(struct pfs_pipelines *p, struct put *put, struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	const struct pfs_pipeline_row *row = &put->row;
	int rc;

	rc = pfs_txn_begin(p->meta, &txn, err);
	if (rc == 0)
		rc = check_repo(p->meta, row->repo, err);
	if (rc == PFS_E_NOTFOUND && put->trial)
		rc = 0;
	if (rc == 0)
		rc = number_row(p->meta, put, err);
	if (rc == 0)
		rc = pfs_dag_check_inputs(p->meta, row, &put->pf, err);
	if (rc == 0)
		rc = pfs_history_add_output(p->history, txn, row->name, row->branch, row->name,
					    err);
	if (rc == 0)
		rc = write_row(txn, put, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, put->update ? "pipeline.updated" : "pipeline.created",
				       row->name, row->branch, NULL, err);
	if (rc == 0 && !put->trial)
		rc = pfs_txn_commit(&txn, err);
	return rc;
}

int pfs_pipeline_check(struct pfs_pipelines *p, const char *name, const char *repo,
		       const char *branch, const char *text, size_t len, struct pfs_error *err)
{
	PFS_AUTO(put_fini) struct put put = { .trial = true };
	int rc = prepare(name, repo, branch, text, len, &put, err);

	if (rc == 0)
		rc = put_row(p, &put, err);
	return rc < 0 ? pfs_wrap(err, rc, "pipeline \"%.63s\"", name) : 0;
}

int pfs_pipeline_put(struct pfs_pipelines *p, const char *name, const char *repo,
		     const char *branch, const char *text, size_t len, struct pfs_error *err)
{
	PFS_AUTO(put_fini) struct put put = { 0 };
	int rc;

	rc = prepare(name, repo, branch, text, len, &put, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "pipeline \"%.63s\"", name);
	/* Commits made so far are the business of the pipelines that were there. */
	rc = pfs_planner_turn(p, err);
	if (rc >= 0)
		rc = put_row(p, &put, err);
	return rc < 0 ? pfs_wrap(err, rc, "pipeline %s", name) : 0;
}

/* Its jobs go with it: whoever waits for one that was under way shall look again. */
static int end_jobs(struct pfs_txn *txn, struct pfs_meta *m, const char *name,
		    struct pfs_error *err)
{
	struct pfs_job_query query = { .pipeline = name, .unfinished = true, .oldest_first = true };
	struct pfs_job_row *rows = NULL;
	size_t n = 0;
	int rc;

	rc = pfs_meta_list_jobs(m, &query, &rows, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = pfs_txn_add_event(txn, "job.finished", name, rows[i].branch, &rows[i].id, err);
	free(rows);
	return rc;
}

static int refuse_readers(struct pfs_meta *m, const char *name, struct pfs_error *err)
{
	struct pfs_row_name *names = NULL;
	size_t n = 0;
	int rc;

	rc = pfs_meta_list_downstream(m, name, &names, &n, err);
	if (rc == 0 && n)
		rc = pfs_fail(err, PFS_E_BUSY,
			      "pipeline %s reads its output; delete that one first", names[0].name);
	free(names);
	return rc;
}

static int delete_row(struct pfs_pipelines *p, const struct pfs_pipeline_row *row,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	int rc;

	rc = pfs_txn_begin(p->meta, &txn, err);
	if (rc == 0)
		rc = refuse_readers(p->meta, row->name, err);
	if (rc == 0)
		rc = end_jobs(txn, p->meta, row->name, err);
	if (rc == 0)
		rc = pfs_txn_delete_pipeline(txn, row->name, err);
	if (rc == 0)
		rc = pfs_history_drop_owner(p->history, txn, row->name, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "pipeline.deleted", row->name, row->branch, NULL, err);
	if (rc == 0)
		rc = pfs_txn_commit(&txn, err);
	return rc;
}

/*
 * The repo becomes an ordinary one, and what a job left in its workspace would
 * look like somebody's uncommitted work: throw it away while it is still ours.
 */
static int discard_output(struct pfs_pipelines *p, const struct pfs_pipeline_row *row,
			  struct pfs_error *err)
{
	struct pfs_branch *branches = NULL;
	size_t n = 0;
	int rc;

	rc = refuse_readers(p->meta, row->name, err);
	if (rc == 0)
		rc = pfs_branch_list(p->history, row->name, &branches, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (strcmp(branches[i].owner, row->name) == 0)
			rc = pfs_commit_discard(p->history, row->name, branches[i].name, row->name,
						err);
	free(branches);
	return rc;
}

int pfs_pipeline_delete(struct pfs_pipelines *p, const char *name, struct pfs_error *err)
{
	struct pfs_pipeline_row row = { 0 };
	struct pfs_error ignored;
	int rc;

	rc = pfs_pipelines_enter(p, name, PFS_PIPELINES_WAIT_MS, err);
	if (rc < 0)
		return rc;
	rc = pfs_meta_find_pipeline(p->meta, name, &row, err);
	if (rc == 0)
		rc = discard_output(p, &row, err);
	if (rc == 0)
		rc = delete_row(p, &row, err);
	/* A log that stays because of this is swept at the next start. */
	if (rc == 0)
		(void)pfs_joblog_remove(p, name, &ignored);
	pfs_pipelines_leave(p, name);
	pfs_pipeline_row_fini(&row);
	return rc < 0 ? pfs_wrap(err, rc, "delete pipeline %.63s", name) : 0;
}
