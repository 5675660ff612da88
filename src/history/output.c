/* Repos that a pipeline owns. */
#include "history/history_i.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

static int find_or_add_repo(struct pfs_history *h, struct pfs_txn *txn, const char *repo,
			    const char *owner, struct pfs_repo_row *out, struct pfs_error *err)
{
	int rc = pfs_meta_find_repo(h->meta, repo, out, err);

	if (rc == PFS_E_NOTFOUND)
		return pfs_repo_add(txn, repo, owner, out, err);
	if (rc == 0 && strcmp(out->owner, owner) != 0)
		return pfs_fail(err, PFS_E_EXISTS,
				"repo \"%s\" exists and is not pipeline \"%s\"'s", repo, owner);
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
