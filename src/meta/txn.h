/*
 * One transaction: the only way to write metadata.
 *
 *	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
 *
 *	rc = pfs_txn_begin(m, &txn, err);
 *	if (rc == 0)
 *		rc = pfs_txn_add_repo(txn, &row, err);
 *	if (rc == 0)
 *		rc = pfs_txn_add_event(txn, "repo.created", row.name, "", NULL, err);
 *	if (rc == 0)
 *		rc = pfs_txn_commit(&txn, err);
 *
 * All of it happens, durably, when commit returns 0; otherwise nothing does.
 * There is one writer: begin waits for the other to end, so do nothing slow in
 * between. Reads by the same thread (meta.h) see what was written so far.
 * PFS_E_EXISTS for a name that is there, PFS_E_NOTFOUND for a row that is not.
 *
 * Threads: any may begin; a transaction ends on the thread that began it.
 * Lock: PFS_RANK_META from begin to end.
 */
#ifndef PFS_META_TXN_H
#define PFS_META_TXN_H

#include "meta/meta.h"

struct pfs_txn;

int pfs_txn_begin(struct pfs_meta *m, struct pfs_txn **out, struct pfs_error *err);
int pfs_txn_commit(struct pfs_txn **txn, struct pfs_error *err); /* takes it, also when it fails */
void pfs_txn_abort(struct pfs_txn **txn);                        /* NULL inside is fine */

/* Repos. add sets row->id. */
int pfs_txn_add_repo(struct pfs_txn *txn, struct pfs_repo_row *row, struct pfs_error *err);
int pfs_txn_set_repo_owner(struct pfs_txn *txn, int64_t repo, const char *owner,
			   struct pfs_error *err);
/* With its branches, commits and their provenance. */
int pfs_txn_delete_repo(struct pfs_txn *txn, int64_t repo, struct pfs_error *err);

/* Branches. add sets row->id. */
int pfs_txn_add_branch(struct pfs_txn *txn, struct pfs_branch_row *row, struct pfs_error *err);
int pfs_txn_set_branch_owner(struct pfs_txn *txn, int64_t branch, const char *owner,
			     struct pfs_error *err);
int pfs_txn_rename_branch(struct pfs_txn *txn, int64_t branch, const char *name,
			  struct pfs_error *err);
int pfs_txn_delete_branch(struct pfs_txn *txn, int64_t branch, struct pfs_error *err);

/* Compare and move: from `expect` to `head` (NULL: none). PFS_E_CONFLICT when the head is another one. */
int pfs_txn_move_branch(struct pfs_txn *txn, int64_t branch, const struct pfs_commit_id *expect,
			const struct pfs_commit_id *head, struct pfs_error *err);

/* Commits. add sets row->seq and row->number. */
int pfs_txn_add_commit(struct pfs_txn *txn, struct pfs_commit_row *row, struct pfs_error *err);
int pfs_txn_add_provenance(struct pfs_txn *txn, int64_t repo, const struct pfs_commit_id *id,
			   const struct pfs_provenance_row *on, struct pfs_error *err);

/* What happened; `commit` may be NULL. Its number is greater than all before it. */
int pfs_txn_add_event(struct pfs_txn *txn, const char *kind, const char *repo, const char *branch,
		      const struct pfs_commit_id *commit, struct pfs_error *err);
int pfs_txn_set_cursor(struct pfs_txn *txn, const char *name, uint64_t number,
		       struct pfs_error *err);

/* Pipelines. put adds or replaces the row and its upstream pipelines, which must exist;
 * texts of former versions are kept. */
int pfs_txn_put_pipeline(struct pfs_txn *txn, const struct pfs_pipeline_row *row,
			 const char *const *upstream, size_t n_upstream, struct pfs_error *err);
/* With its jobs. PFS_E_BUSY when another pipeline reads it. */
int pfs_txn_delete_pipeline(struct pfs_txn *txn, const char *name, struct pfs_error *err);

/* Jobs. add sets row->number. */
int pfs_txn_add_job(struct pfs_txn *txn, struct pfs_job_row *row, struct pfs_error *err);
/*
 * Write state, attempt, runner, lease, started, finished and reason of the job
 * that `row` names. PFS_E_CONFLICT when it is not in this state and attempt.
 */
int pfs_txn_update_job(struct pfs_txn *txn, const struct pfs_job_row *row, int expect_state,
		       uint32_t expect_attempt, struct pfs_error *err);

#endif
