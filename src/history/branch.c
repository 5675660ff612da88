#include "history/history_i.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/path.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int check_room(struct pfs_history *h, const struct pfs_repo_row *repo, struct pfs_error *err)
{
	uint64_t n = 0;
	int rc = pfs_meta_count_branches(h->meta, repo->id, &n, err);

	if (rc == 0 && n >= PFS_BRANCHES_MAX)
		return pfs_fail(err, PFS_E_LIMIT,
				"repo \"%s\" has %" PRIu64 " branches, at most %u are allowed",
				repo->name, n, PFS_BRANCHES_MAX);
	return rc;
}

int pfs_branch_add(struct pfs_txn *txn, const struct pfs_repo_row *repo, const char *name,
		   const char *owner, const struct pfs_commit_id *head, struct pfs_error *err)
{
	struct pfs_branch_row row = { .repo = repo->id, .created_ns = pfs_clock_ns() };
	unsigned char uuid[16];
	int rc = pfs_path_check_branch(name, err);

	if (rc < 0)
		return rc;
	pfs_uuid_new(uuid);
	pfs_hex_format(uuid, sizeof(uuid), row.folder);
	memcpy(row.name, name, strlen(name) + 1);
	memcpy(row.owner, owner, strlen(owner) + 1);
	if (head) {
		row.has_head = true;
		row.head = *head;
	}
	rc = pfs_txn_add_branch(txn, &row, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "branch.created", repo->name, name, head, err);
	return rc;
}

static int create(struct pfs_history *h, const char *repo, const char *name, const char *rev,
		  struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	bool from = rev && *rev;
	struct pfs_commit_id head;
	struct pfs_repo_row in;
	int rc = pfs_txn_begin(h->meta, &txn, err);

	if (rc == 0)
		rc = pfs_meta_find_repo(h->meta, repo, &in, err);
	if (rc == 0 && from)
		rc = pfs_rev_find(h, &in, rev, &head, err);
	if (rc == 0)
		rc = check_room(h, &in, err);
	/* The owner of the repo is the owner of its branches. */
	if (rc == 0 && *in.owner)
		rc = pfs_fail(err, PFS_E_DENIED, "repo \"%s\" is the output of pipeline \"%s\"",
			      in.name, in.owner);
	if (rc == 0)
		rc = pfs_branch_add(txn, &in, name, "", from ? &head : NULL, err);
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

int pfs_branch_create(struct pfs_history *h, const char *repo, const char *name, const char *rev,
		      struct pfs_error *err)
{
	int rc = pfs_path_check_branch(name, err);

	if (rc == 0)
		rc = create(h, repo, name, rev, err);
	return rc < 0 ? pfs_wrap(err, rc, "create branch %.80s@%.80s", repo, name) : 0;
}

/* What is not committed, and commits that no other branch leads to, would be out of reach. */
static int check_loses_nothing(struct pfs_history *h, const struct pfs_place *at,
			       struct pfs_error *err)
{
	struct pfs_seat *seat;
	bool differs = false, reachable = true;
	int rc = pfs_place_seat(h, at, &seat, err);

	if (rc < 0)
		return rc;
	pfs_lock(&seat->commit_lock);
	rc = pfs_seat_differs(h, seat, &at->branch, &differs, err);
	pfs_unlock(&seat->commit_lock);
	pfs_seats_drop(&h->seats, &seat);
	if (rc == 0 && differs)
		return pfs_fail(err, PFS_E_NOTEMPTY, "it has changes that are not committed");
	if (rc == 0 && at->branch.has_head)
		rc = pfs_meta_reachable(h->meta, at->repo.id, &at->branch.head, at->branch.id,
					&reachable, err);
	if (rc == 0 && !reachable)
		return pfs_fail(err, PFS_E_NOTEMPTY, "its head is on no other branch");
	return rc;
}

static int check_free(const struct pfs_place *at, struct pfs_error *err)
{
	if (!*at->branch.owner)
		return 0;
	return pfs_fail(err, PFS_E_DENIED, "it is the output of pipeline \"%s\"", at->branch.owner);
}

/* Gone in one transaction, and only as it was looked at. */
static int delete_row(struct pfs_history *h, const struct pfs_place *at, struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	const struct pfs_commit_id *head = at->branch.has_head ? &at->branch.head : NULL;
	int rc = pfs_txn_begin(h->meta, &txn, err);

	if (rc == 0)
		rc = pfs_txn_move_branch(txn, at->branch.id, head, head, err);
	if (rc == 0)
		rc = pfs_txn_delete_branch(txn, at->branch.id, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "branch.deleted", at->repo.name, at->branch.name, head,
				       err);
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

int pfs_branch_delete(struct pfs_history *h, const char *repo, const char *name, bool force,
		      struct pfs_error *err)
{
	struct pfs_place at;
	int rc = pfs_place_find(h, repo, name, &at, err);

	if (rc == 0)
		rc = check_free(&at, err);
	if (rc == 0 && !force)
		rc = check_loses_nothing(h, &at, err);
	if (rc == 0)
		rc = delete_row(h, &at, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "delete branch %.80s@%.80s", repo, name);
	pfs_seats_doom(&h->seats, at.branch.folder);
	return 0;
}

static int rename_branch(struct pfs_history *h, const char *repo, const char *from, const char *to,
			 struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	struct pfs_place at;
	int rc = pfs_txn_begin(h->meta, &txn, err);

	if (rc == 0)
		rc = pfs_place_find(h, repo, from, &at, err);
	if (rc == 0)
		rc = check_free(&at, err);
	if (rc == 0)
		rc = pfs_txn_rename_branch(txn, at.branch.id, to, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "branch.renamed", at.repo.name, to,
				       at.branch.has_head ? &at.branch.head : NULL, err);
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

int pfs_branch_rename(struct pfs_history *h, const char *repo, const char *from, const char *to,
		      struct pfs_error *err)
{
	int rc = pfs_path_check_branch(to, err);

	if (rc == 0)
		rc = rename_branch(h, repo, from, to, err);
	return rc < 0 ? pfs_wrap(err, rc, "rename branch %.80s@%.80s", repo, from) : 0;
}

static void convert(const struct pfs_repo_row *repo, const struct pfs_branch_row *row,
		    struct pfs_branch *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->name, row->name, sizeof(out->name));
	memcpy(out->repo, repo->name, sizeof(out->repo));
	memcpy(out->owner, row->owner, sizeof(out->owner));
	out->has_head = row->has_head;
	out->head = row->head;
	out->created_ns = row->created_ns;
}

int pfs_branch_inspect(struct pfs_history *h, const char *repo, const char *name,
		       struct pfs_branch *out, struct pfs_error *err)
{
	struct pfs_place at;
	int rc = pfs_place_find(h, repo, name, &at, err);

	if (rc == 0)
		convert(&at.repo, &at.branch, out);
	return rc;
}

int pfs_branch_list(struct pfs_history *h, const char *repo, struct pfs_branch **out, size_t *out_n,
		    struct pfs_error *err)
{
	struct pfs_branch_row *rows = NULL;
	struct pfs_branch *list = NULL;
	struct pfs_repo_row in;
	size_t n = 0;
	int rc = pfs_meta_find_repo(h->meta, repo, &in, err);

	if (rc == 0)
		rc = pfs_meta_list_branches(h->meta, in.id, &rows, &n, err);
	if (rc == 0 && !(list = calloc(n + 1, sizeof(*list))))
		rc = pfs_fail_nomem(err, "a list of branches");
	for (size_t i = 0; i < n && rc == 0; i++)
		convert(&in, &rows[i], &list[i]);
	free(rows);
	if (rc < 0)
		return rc;
	*out = list;
	*out_n = n;
	return 0;
}
