/* What differs: between two commits, and between a branch and its head. */
#include "history/history_i.h"
#include "store/session.h"
#include "tree/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void pfs_changes_free(struct pfs_change **list, size_t n)
{
	for (size_t i = 0; *list && i < n; i++)
		free((*list)[i].path);
	free(*list);
	*list = NULL;
}

struct changes {
	struct pfs_change *list;
	size_t n, cap;
};

static void changes_fini(struct changes *c)
{
	pfs_changes_free(&c->list, c->n);
}

static int grow(struct changes *c, struct pfs_error *err)
{
	size_t cap = c->cap ? c->cap * 2 : 16;
	struct pfs_change *moved = reallocarray(c->list, cap, sizeof(*moved));

	if (!moved)
		return pfs_fail_nomem(err, "a list of changes");
	c->list = moved;
	c->cap = cap;
	return 0;
}

static int add(struct changes *c, const struct pfs_difference *d, struct pfs_error *err)
{
	const struct pfs_entry *e = d->is ? d->is : d->was;
	struct pfs_change *change;
	int rc = c->n == c->cap ? grow(c, err) : 0;

	if (rc < 0)
		return rc;
	change = &c->list[c->n];
	*change = (struct pfs_change){
		.path = strdup(d->path),
		.op = d->kind == PFS_ADDED     ? '+'
		      : d->kind == PFS_REMOVED ? '-'
					       : 'M',
		.is_dir = e->type == PFS_ENTRY_DIR,
		.size_bytes = e->type == PFS_ENTRY_FILE ? e->content.size : 0,
	};
	if (!change->path)
		return pfs_fail_nomem(err, "the path of a change");
	c->n++;
	return 0;
}

/* Times alone are no change: whoever reads a list of changes wants to know what was done. */
static bool same_attributes(const struct pfs_entry *a, const struct pfs_entry *b)
{
	return a->attrs.mode == b->attrs.mode && a->attrs.uid == b->attrs.uid &&
	       a->attrs.gid == b->attrs.gid && pfs_id_equal(&a->xattrs, &b->xattrs);
}

/* A directory that only has changes below it has not changed itself. */
static bool tells_nothing(const struct pfs_difference *d)
{
	bool both_dirs;

	if (d->kind != PFS_CHANGED)
		return false;
	both_dirs = d->was->type == PFS_ENTRY_DIR && d->is->type == PFS_ENTRY_DIR;
	return (both_dirs || pfs_entry_same_content(d->was, d->is)) &&
	       same_attributes(d->was, d->is);
}

static int collect(struct pfs_store *st, const struct pfs_id *a, const struct pfs_id *b, size_t max,
		   struct pfs_change **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_compare_close) struct pfs_compare *cmp = NULL;
	PFS_AUTO(changes_fini) struct changes found = { 0 };
	struct pfs_difference d;
	int rc = pfs_compare_open(st, a, b, true, &cmp, err);

	if (rc < 0)
		return rc;
	while ((max == 0 || found.n < max) && (rc = pfs_compare_next(cmp, &d, err)) == 1) {
		rc = tells_nothing(&d) ? 0 : add(&found, &d, err);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return rc;
	*out = found.list;
	*out_n = found.n;
	found = (struct changes){ 0 };
	return 0;
}

int pfs_seat_differs(struct pfs_history *h, struct pfs_seat *seat,
		     const struct pfs_branch_row *branch, bool *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *aside = NULL;
	struct pfs_session session;
	struct pfs_sealed sealed;
	struct pfs_root head;
	int rc;

	if (!pfs_workspace_dirty(seat->ws)) {
		*out = false;
		return 0;
	}
	rc = pfs_place_root(h, branch, &head, err);
	if (rc == 0)
		rc = pfs_store_open_aside(h->store, &aside, err);
	pfs_session_begin(h->store, &session);
	if (rc == 0)
		rc = pfs_workspace_preview(seat->ws, &head.dir, aside, &sealed, err);
	pfs_session_end(h->store, &session);
	if (rc == 0)
		*out = !pfs_id_equal(&sealed.root.dir, &head.dir);
	return rc;
}

/*
 * A seal that is not settled asks the workspace what it would commit: the same
 * words as the diff after the commit. The head is read under the same lock, or a
 * commit in between would show as changes undone.
 */
static int seal_both(struct pfs_history *h, struct pfs_seat *seat, const char *repo,
		     const char *branch, struct pfs_store *aside, struct pfs_root *head,
		     struct pfs_sealed *now, struct pfs_error *err)
{
	struct pfs_place at;
	int rc = pfs_place_find(h, repo, branch, &at, err);

	assert(pfs_held(&seat->commit_lock));
	if (rc == 0)
		rc = pfs_place_root(h, &at.branch, head, err);
	return rc < 0 ? rc : pfs_workspace_preview(seat->ws, &head->dir, aside, now, err);
}

int pfs_commit_status(struct pfs_history *h, const char *repo, const char *branch, size_t max,
		      struct pfs_change **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *aside = NULL;
	struct pfs_session session;
	struct pfs_place at;
	struct pfs_seat *seat;
	struct pfs_sealed now;
	struct pfs_root head;
	int rc = pfs_place_find(h, repo, branch, &at, err);

	if (rc == 0)
		rc = pfs_store_open_aside(h->store, &aside, err);
	if (rc == 0)
		rc = pfs_place_seat(h, &at, &seat, err);
	if (rc < 0)
		return rc;
	/* The head may be taken from its branch and collected: the session keeps it until it was read. */
	pfs_session_begin(h->store, &session);
	pfs_lock(&seat->commit_lock);
	rc = seal_both(h, seat, repo, branch, aside, &head, &now, err);
	pfs_unlock(&seat->commit_lock);
	pfs_seats_drop(&h->seats, &seat);
	if (rc == 0)
		rc = collect(aside, &head.dir, &now.root.dir, max, out, out_n, err);
	pfs_session_end(h->store, &session);
	return rc < 0 ? pfs_wrap(err, rc, "status of %s@%s", repo, branch) : 0;
}

/* The directory of a revision, and of its parent; zero without one. */
static int find_roots(struct pfs_history *h, const struct pfs_repo_row *repo, const char *rev,
		      struct pfs_id *out, struct pfs_id *out_parent, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row parent = { 0 };
	struct pfs_commit_id id;
	int rc = pfs_rev_find(h, repo, rev, &id, err);

	if (rc == 0)
		rc = pfs_meta_find_commit(h->meta, repo->id, &id, &row, err);
	if (rc == 0 && row.has_parent)
		rc = pfs_meta_find_commit(h->meta, repo->id, &row.parent, &parent, err);
	if (rc < 0)
		return rc;
	*out = row.root;
	*out_parent = parent.root;
	return 0;
}

int pfs_commit_diff(struct pfs_history *h, const char *repo, const char *from, const char *to,
		    size_t max, struct pfs_change **out, size_t *out_n, struct pfs_error *err)
{
	struct pfs_id a, b, ignored;
	struct pfs_repo_row in;
	int rc = pfs_meta_find_repo(h->meta, repo, &in, err);

	if (rc == 0)
		rc = find_roots(h, &in, to, &b, &a, err);
	if (rc == 0 && from)
		rc = find_roots(h, &in, from, &a, &ignored, err);
	if (rc == 0)
		rc = collect(h->store, &a, &b, max, out, out_n, err);
	return rc;
}
