/* Repos that a pipeline owns. */
#include "history/history_i.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

/* Left by a pipeline, and nobody has committed to it since: the names were lost, or the pipeline was
 * deleted. 1 then. */
static int is_left_behind(struct pfs_history *h, const struct pfs_repo_row *repo,
			  struct pfs_error *err)
{
	struct pfs_commit_row *newest = NULL;
	size_t n = 0;
	int rc = *repo->owner ? 0 : pfs_meta_list_commits(h->meta, repo->id, 1, &newest, &n, err);

	if (rc == 0 && n > 0)
		rc = newest[0].origin == PFS_ORIGIN_AUTO;
	pfs_commit_rows_free(&newest, n);
	return rc;
}

static int take_over(struct pfs_history *h, struct pfs_txn *txn, struct pfs_repo_row *repo,
		     const char *owner, struct pfs_error *err)
{
	int rc = is_left_behind(h, repo, err);

	if (rc == 0)
		return pfs_fail(
			err, PFS_E_EXISTS,
			"repo \"%s\" exists and is not pipeline \"%s\"'s: give the pipeline "
			"another name, or `pfs delete repo %s` first",
			repo->name, owner, repo->name);
	if (rc == 1)
		rc = pfs_txn_set_repo_owner(txn, repo->id, owner, err);
	return rc;
}

static int find_or_add_repo(struct pfs_history *h, struct pfs_txn *txn, const char *repo,
			    const char *owner, struct pfs_repo_row *out, struct pfs_error *err)
{
	int rc = pfs_meta_find_repo(h->meta, repo, out, err);

	if (rc == PFS_E_NOTFOUND)
		return pfs_repo_add(txn, repo, owner, out, err);
	if (rc == 0 && strcmp(out->owner, owner) != 0)
		return take_over(h, txn, out, owner, err);
	return rc;
}

int pfs_history_add_output(struct pfs_history *h, struct pfs_txn *txn, const char *repo,
			   const char *branch, const char *owner, struct pfs_error *err)
{
	struct pfs_branch_row row;
	struct pfs_repo_row in;
	int rc = pfs_path_check_repo(owner, err);

	if (rc == 0)
		rc = find_or_add_repo(h, txn, repo, owner, &in, err);
	if (rc < 0)
		return rc;
	rc = pfs_meta_find_branch(h->meta, in.id, branch, &row, err);
	if (rc == PFS_E_NOTFOUND)
		return pfs_branch_add(txn, &in, branch, owner, NULL, err);
	return rc < 0 ? rc : pfs_txn_set_branch_owner(txn, row.id, owner, err);
}

int pfs_history_drop_owner(struct pfs_history *h, struct pfs_txn *txn, const char *repo,
			   struct pfs_error *err)
{
	struct pfs_branch_row *list = NULL;
	struct pfs_repo_row in;
	size_t n = 0;
	int rc = pfs_meta_find_repo(h->meta, repo, &in, err);

	if (rc == 0)
		rc = pfs_txn_set_repo_owner(txn, in.id, "", err);
	if (rc == 0)
		rc = pfs_meta_list_branches(h->meta, in.id, &list, &n, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = pfs_txn_set_branch_owner(txn, list[i].id, "", err);
	free(list);
	return rc;
}
