#include "history/history_i.h"
#include "base/clock.h"
#include "base/path.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int pfs_repo_add(struct pfs_txn *txn, const char *name, const char *owner, struct pfs_repo_row *out,
		 struct pfs_error *err)
{
	struct pfs_repo_row row = { .created_ns = pfs_clock_ns() };
	int rc = pfs_path_check_repo(name, err);

	if (rc < 0)
		return rc;
	memcpy(row.name, name, strlen(name) + 1);
	memcpy(row.owner, owner, strlen(owner) + 1);
	rc = pfs_txn_add_repo(txn, &row, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "repo.created", name, "", NULL, err);
	if (rc == 0)
		*out = row;
	return rc;
}

static int check_room(struct pfs_meta *m, struct pfs_error *err)
{
	uint64_t n = 0;
	int rc = pfs_meta_count_repos(m, &n, err);

	if (rc == 0 && n >= PFS_REPOS_MAX)
		return pfs_fail(err, PFS_E_LIMIT,
				"there are %" PRIu64 " repos, at most %u are allowed", n,
				PFS_REPOS_MAX);
	return rc;
}

int pfs_repo_create(struct pfs_history *h, const char *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	struct pfs_repo_row row;
	int rc = pfs_path_check_repo(name, err);

	if (rc == 0)
		rc = pfs_txn_begin(h->meta, &txn, err);
	if (rc == 0)
		rc = check_room(h->meta, err);
	if (rc == 0)
		rc = pfs_repo_add(txn, name, "", &row, err);
	if (rc == 0)
		rc = pfs_txn_commit(&txn, err);
	return rc < 0 ? pfs_wrap(err, rc, "create repo") : 0;
}

static int stop_at_first(void *arg, const struct pfs_node_name *item)
{
	return 1;
}

static int check_empty_workspace(struct pfs_history *h, const struct pfs_place *at,
				 struct pfs_error *err)
{
	struct pfs_seat *seat;
	struct pfs_node *root;
	int rc = pfs_place_seat(h, at, &seat, err);

	if (rc < 0)
		return rc;
	root = pfs_workspace_root(seat->ws);
	rc = pfs_workspace_list(seat->ws, root, stop_at_first, NULL, err);
	pfs_node_unref(&root);
	pfs_seats_drop(&h->seats, &seat);
	if (rc > 0)
		return pfs_fail(err, PFS_E_NOTEMPTY, "branch \"%s\" holds files", at->branch.name);
	return rc;
}

static int check_empty(struct pfs_history *h, const struct pfs_repo_row *repo,
		       const struct pfs_branch_row *branches, size_t n, struct pfs_error *err)
{
	struct pfs_place at = { .repo = *repo };
	struct pfs_repo_counts counts;
	int rc = pfs_meta_count_repo(h->meta, repo->id, &counts, err);

	if (rc == 0 && counts.commits)
		return pfs_fail(err, PFS_E_NOTEMPTY, "it has %llu commit%s",
				(unsigned long long)counts.commits, counts.commits == 1 ? "" : "s");
	for (size_t i = 0; i < n && rc == 0; i++) {
		at.branch = branches[i];
		rc = check_empty_workspace(h, &at, err);
	}
	return rc;
}

/* What must still be true when the transaction has the last word. */
static int check_unused(struct pfs_history *h, const struct pfs_repo_row *repo, bool force,
			struct pfs_error *err)
{
	struct pfs_repo_counts counts;
	char user[PFS_ROW_NAME_SIZE];
	int rc = pfs_meta_find_repo_user(h->meta, repo->name, user, err);

	if (rc == 1)
		return pfs_fail(err, PFS_E_DENIED, "pipeline \"%s\" needs it", user);
	if (rc == 0)
		rc = pfs_meta_count_repo(h->meta, repo->id, &counts, err);
	if (rc == 0 && !force && counts.commits)
		return pfs_fail(err, PFS_E_NOTEMPTY, "it has a commit by now");
	return rc;
}

static int delete_row(struct pfs_history *h, const struct pfs_repo_row *repo, bool force,
		      struct pfs_branch_row **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	int rc = pfs_txn_begin(h->meta, &txn, err);

	if (rc == 0)
		rc = check_unused(h, repo, force, err);
	/* Their folders go afterwards: those of now, since a branch may have come meanwhile. */
	if (rc == 0)
		rc = pfs_meta_list_branches(h->meta, repo->id, out, out_n, err);
	if (rc == 0)
		rc = pfs_txn_delete_repo(txn, repo->id, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "repo.deleted", repo->name, "", NULL, err);
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

static int delete_repo(struct pfs_history *h, const struct pfs_repo_row *repo, bool force,
		       struct pfs_error *err)
{
	struct pfs_branch_row *branches = NULL;
	size_t n = 0;
	int rc = 0;

	if (!force) {
		rc = pfs_meta_list_branches(h->meta, repo->id, &branches, &n, err);
		if (rc == 0)
			rc = check_empty(h, repo, branches, n, err);
		free(branches);
		branches = NULL;
	}
	if (rc == 0)
		rc = delete_row(h, repo, force, &branches, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		pfs_seats_doom(&h->seats, branches[i].folder);
	free(branches);
	return rc;
}

int pfs_repo_delete(struct pfs_history *h, const char *name, bool force, struct pfs_error *err)
{
	struct pfs_repo_row repo;
	char user[PFS_ROW_NAME_SIZE];
	int rc = pfs_meta_find_repo(h->meta, name, &repo, err);

	/* Asked before the workspaces are looked at: it is the better reason. */
	if (rc == 0)
		rc = pfs_meta_find_repo_user(h->meta, repo.name, user, err);
	if (rc == 1)
		rc = pfs_fail(err, PFS_E_DENIED, "pipeline \"%s\" needs it", user);
	if (rc == 0)
		rc = delete_repo(h, &repo, force, err);
	return rc < 0 ? pfs_wrap(err, rc, "delete repo \"%.80s\"", name) : 0;
}

static int read_size(struct pfs_history *h, const struct pfs_repo_row *repo, uint64_t *out,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	struct pfs_branch_row master;
	int rc = pfs_meta_find_branch(h->meta, repo->id, "master", &master, err);

	*out = 0;
	if (rc == PFS_E_NOTFOUND || (rc == 0 && !master.has_head))
		return 0;
	if (rc == 0)
		rc = pfs_meta_find_commit(h->meta, repo->id, &master.head, &row, err);
	if (rc == 0)
		*out = row.bytes;
	return rc;
}

static int convert(struct pfs_history *h, const struct pfs_repo_row *row, struct pfs_repo *out,
		   struct pfs_error *err)
{
	struct pfs_repo_counts counts;
	struct pfs_repo r = { .created_ns = row->created_ns };
	int rc = pfs_meta_count_repo(h->meta, row->id, &counts, err);

	if (rc == 0)
		rc = read_size(h, row, &r.size_bytes, err);
	if (rc < 0)
		return rc;
	memcpy(r.name, row->name, sizeof(r.name));
	memcpy(r.owner, row->owner, sizeof(r.owner));
	r.branches = counts.branches;
	r.commits = counts.commits;
	*out = r;
	return 0;
}

int pfs_repo_inspect(struct pfs_history *h, const char *name, struct pfs_repo *out,
		     struct pfs_error *err)
{
	struct pfs_repo_row row;
	int rc = pfs_meta_find_repo(h->meta, name, &row, err);

	return rc < 0 ? rc : convert(h, &row, out, err);
}

int pfs_repo_list(struct pfs_history *h, struct pfs_repo **out, size_t *out_n,
		  struct pfs_error *err)
{
	struct pfs_repo_row *rows = NULL;
	struct pfs_repo *list = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_repos(h->meta, &rows, &n, err);

	if (rc == 0 && !(list = calloc(n + 1, sizeof(*list))))
		rc = pfs_fail_nomem(err, "a list of repos");
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = convert(h, &rows[i], &list[i], err);
	free(rows);
	if (rc < 0) {
		free(list);
		return rc;
	}
	*out = list;
	*out_n = n;
	return 0;
}
