#include "pipeline/jobrow.h"

#include "base/clock.h"
#include "base/fault.h"
#include "pipeline/pipelines_i.h"

#include <stdio.h>
#include <string.h>

void pfs_jobrow_end(struct pfs_job_row *row, enum pfs_job_state state, const char *reason)
{
	row->state = state;
	row->finished_ns = pfs_clock_ns();
	row->lease_until_ns = 0;
	snprintf(row->reason, sizeof(row->reason), "%s", reason ? reason : "");
}

int pfs_jobrow_move(struct pfs_pipelines *p, const struct pfs_job_row *was,
		    const struct pfs_job_row *row, const char *kind, struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	int rc;

	rc = pfs_fault("job: before the row moves", err);
	if (rc == 0)
		rc = pfs_txn_begin(p->meta, &txn, err);
	if (rc == 0)
		rc = pfs_txn_update_job(txn, row, was->state, was->attempt, err);
	if (rc == 0 && kind)
		rc = pfs_txn_add_event(txn, kind, row->pipeline, row->branch, &row->id, err);
	if (rc == 0)
		rc = pfs_txn_commit(&txn, err);
	return rc;
}

void pfs_jobrow_show(const struct pfs_job_row *row, struct pfs_job *out)
{
	*out = (struct pfs_job){
		.version = row->version,
		.id = row->id,
		.state = (enum pfs_job_state)row->state,
		.attempt = row->attempt,
		.created_ns = row->created_ns,
		.started_ns = row->started_ns,
		.finished_ns = row->finished_ns,
	};
	memcpy(out->pipeline, row->pipeline, sizeof(out->pipeline));
	memcpy(out->repo, row->repo, sizeof(out->repo));
	memcpy(out->branch, row->branch, sizeof(out->branch));
	memcpy(out->runner, row->runner, sizeof(out->runner));
	memcpy(out->reason, row->reason, sizeof(out->reason));
}

int pfs_jobrow_committed(struct pfs_pipelines *p, const struct pfs_job_row *row, bool *out,
			 struct pfs_error *err)
{
	struct pfs_repo_row repo;
	int rc;

	rc = pfs_meta_find_repo(p->meta, row->pipeline, &repo, err);
	if (rc == 0)
		*out = pfs_meta_has_commit(p->meta, repo.id, &row->id);
	return rc;
}
