#include "view/view_i.h"

#include <stdlib.h>
#include <string.h>

/* The root, whose names are repos, and repos, whose names are branches and revisions. */

/*
 * How often a place is looked at again when events arrive while it is entered:
 * something that is entered after its removal was told would stay for ever.
 */
#define LOOKS_MAX 16

/* ---- the root ---- */

static int root_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	(void)err;
	pfs_view_plain_attr(h, PFS_TYPE_DIR, 0755, h->view->opened_ns, out);
	return 0;
}

static int repo_handle(struct pfs_handle *root, const struct pfs_repo *r, struct pfs_handle **out,
		       struct pfs_error *err)
{
	size_t len = strlen(r->name);
	struct pfs_handle *h;

	*out = pfs_handle_find(root->view, root, r->name, len, &r->created_ns,
			       sizeof(r->created_ns));
	if (*out)
		return 0;
	h = pfs_handle_new(root->view, &place_repo, root, r->name, len, &r->created_ns,
			   sizeof(r->created_ns), 0, err);
	if (!h)
		return PFS_E_NOMEM;
	h->ino = pfs_handle_child_ino(root, r->name, len);
	h->u.repo.created_ns = r->created_ns;
	return pfs_handle_enter(h, out, err);
}

static int root_lookup(struct pfs_handle *root, const char *name, size_t len,
		       struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_view *v = root->view;
	struct pfs_handle *h;

	if (pfs_control_is(name, len)) {
		*out = pfs_handle_find(v, root, name, len, NULL, 0);
		if (*out)
			return 0;
		h = pfs_handle_new(v, &place_sys, root, name, len, NULL, 0, 0, err);
		return h ? pfs_handle_enter(h, out, err) : PFS_E_NOMEM;
	}
	if (pfs_path_check_repo(name, NULL) < 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "no repo \"%s\"", name);
	for (int looks = 0; looks < LOOKS_MAX; looks++) {
		uint64_t seen = pfs_event_newest(v->history);
		struct pfs_repo r;
		int rc = pfs_repo_inspect(v->history, name, &r, err);

		if (rc == 0)
			rc = repo_handle(root, &r, out, err);
		if (rc < 0 || pfs_event_newest(v->history) == seen)
			return rc;
		pfs_handle_unref(out);
	}
	return pfs_fail(err, PFS_E_BUSY, "repos change faster than we can look");
}

static int root_list(struct pfs_handle *root, struct pfs_listing *l, struct pfs_error *err)
{
	struct pfs_repo *repos;
	size_t n;
	int rc = pfs_repo_list(root->view->history, &repos, &n, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t len = strlen(repos[i].name);

		rc = pfs_listing_add(l, repos[i].name, len, PFS_TYPE_DIR,
				     pfs_handle_child_ino(root, repos[i].name, len), err);
	}
	free(repos);
	return rc;
}

static int root_mkdir(struct pfs_handle *root, const char *name, uint16_t mode,
		      const struct pfs_who *who, struct pfs_handle **out, struct pfs_error *err)
{
	int rc;

	(void)mode;
	(void)who;
	rc = pfs_repo_create(root->view->history, name, err);
	if (rc < 0)
		return rc;
	return root_lookup(root, name, strlen(name), out, err);
}

static int root_rmdir(struct pfs_handle *root, const char *name, struct pfs_error *err)
{
	return pfs_repo_delete(root->view->history, name, false, err);
}

const struct place_ops place_root = {
	.what = "the root",
	.writable = true,
	.lookup = root_lookup,
	.getattr = root_getattr,
	.list = root_list,
	.mkdir = root_mkdir,
	.rmdir = root_rmdir,
};

/* ---- a repo ---- */

static int repo_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	(void)err;
	pfs_view_plain_attr(h, PFS_TYPE_DIR, 0755, h->u.repo.created_ns, out);
	return 0;
}

static int find_revision(struct pfs_handle *repo, const char *name, size_t len,
			 struct pfs_handle **out, struct pfs_error *err)
{
	const char *repo_name = pfs_handle_name(repo);
	struct pfs_commit_id id, whole;
	int rc = pfs_rev_resolve(repo->view->history, repo_name, name, &id, NULL);

	/* Also what is no revision at all, or that of several commits, is not there. */
	if (rc == PFS_E_NOTFOUND || rc == PFS_E_INVALID || rc == PFS_E_CONFLICT)
		return pfs_fail(err, PFS_E_NOTFOUND, "repo \"%s\" has no branch or commit \"%s\"",
				repo_name, name);
	if (rc < 0)
		return pfs_fail(err, rc, "looking for \"%s\" in repo \"%s\" failed", name,
				repo_name);
	return pfs_commit_handle(repo, repo_name, name, len, &id,
				 pfs_commit_id_parse(name, &whole, NULL) == 0, out, err);
}

static int find_branch(struct pfs_handle *repo, const struct pfs_branch *b, struct pfs_handle **out,
		       struct pfs_error *err)
{
	if (!b->owner[0])
		return pfs_branch_handle(repo, b, out, err);
	*out = pfs_handle_find(repo->view, repo, b->name, strlen(b->name), &b->created_ns,
			       sizeof(b->created_ns));
	return *out ? 0 : pfs_head_handle(repo, b, out, err);
}

static int repo_lookup(struct pfs_handle *repo, const char *name, size_t len,
		       struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_history *history = repo->view->history;

	for (int looks = 0; looks < LOOKS_MAX; looks++) {
		uint64_t seen = pfs_event_newest(history);
		struct pfs_branch b;
		int rc = PFS_E_NOTFOUND;

		if (pfs_path_check_branch(name, NULL) == 0)
			rc = pfs_branch_inspect(history, pfs_handle_name(repo), name, &b, err);
		if (rc == PFS_E_NOTFOUND)
			return find_revision(repo, name, len, out, err);
		if (rc == 0)
			rc = find_branch(repo, &b, out, err);
		if (rc < 0 || pfs_event_newest(history) == seen)
			return rc;
		pfs_handle_unref(out);
	}
	return pfs_fail(err, PFS_E_BUSY, "branches change faster than we can look");
}

static int repo_list(struct pfs_handle *repo, struct pfs_listing *l, struct pfs_error *err)
{
	struct pfs_branch *list;
	size_t n;
	int rc = pfs_branch_list(repo->view->history, pfs_handle_name(repo), &list, &n, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t len = strlen(list[i].name);

		rc = pfs_listing_add(l, list[i].name, len, PFS_TYPE_DIR,
				     pfs_handle_child_ino(repo, list[i].name, len), err);
	}
	free(list);
	return rc;
}

/* Who makes a branch by mkdir owns its root, as with any other directory. */
static int hand_over(struct pfs_handle *branch, uint16_t mode, const struct pfs_who *who,
		     struct pfs_error *err)
{
	struct pfs_attr want = { .mode = mode, .uid = who->uid, .gid = who->gid };
	struct pfs_attr is;
	unsigned which = 0;
	int rc = branch->ops->getattr(branch, &is, err);

	if (rc < 0 || !branch->ops->setattr)
		return rc;
	/* A change makes the new branch differ from its base, so only what differs. */
	if (who->uid != is.uid || who->gid != is.gid)
		which = PFS_SET_UID | PFS_SET_GID | PFS_SET_MODE;
	return which ? branch->ops->setattr(branch, which, &want, err) : 0;
}

static int repo_mkdir(struct pfs_handle *repo, const char *name, uint16_t mode,
		      const struct pfs_who *who, struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_handle *h = NULL;
	int rc = pfs_branch_create(repo->view->history, pfs_handle_name(repo), name, NULL, err);

	if (rc == 0)
		rc = repo_lookup(repo, name, strlen(name), &h, err);
	if (rc == 0)
		rc = hand_over(h, mode, who, err);
	if (rc < 0)
		pfs_handle_unref(&h);
	else
		*out = h;
	return rc;
}

/* What may be the name of a branch may also be the beginning of a commit's. */
static bool is_commit(struct pfs_handle *repo, const char *name)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *h = NULL;
	struct pfs_branch b;

	if (pfs_path_check_branch(name, NULL) < 0)
		return true;
	return pfs_branch_inspect(repo->view->history, pfs_handle_name(repo), name, &b, NULL) ==
		       PFS_E_NOTFOUND &&
	       repo_lookup(repo, name, strlen(name), &h, NULL) == 0;
}

static int repo_rmdir(struct pfs_handle *repo, const char *name, struct pfs_error *err)
{
	if (is_commit(repo, name))
		return pfs_fail(err, PFS_E_READONLY, "\"%s\" is a commit, and those stay", name);
	return pfs_branch_delete(repo->view->history, pfs_handle_name(repo), name, false, err);
}

static int repo_symlink(struct pfs_handle *repo, const char *name, const char *target,
			const struct pfs_who *who, struct pfs_handle **out, struct pfs_error *err)
{
	int rc = pfs_branch_create(repo->view->history, pfs_handle_name(repo), name, target, err);

	(void)who;
	return rc < 0 ? rc : repo_lookup(repo, name, strlen(name), out, err);
}

/* What POSIX lets rename replace, an empty directory, would be a branch here. */
static int repo_rename(struct pfs_handle *from, const char *name, struct pfs_handle *to,
		       const char *new_name, unsigned flags, struct pfs_error *err)
{
	int rc;

	if (is_commit(from, name))
		return pfs_fail(err, PFS_E_READONLY, "\"%s\" is a commit, and those stay", name);
	if (from != to)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"a branch cannot move to another repo; copy it");
	if (flags & (PFS_RENAME_EXCHANGE | PFS_RENAME_WHITEOUT))
		return pfs_fail(err, PFS_E_INVALID, "branches cannot be exchanged or hidden");
	rc = pfs_branch_rename(from->view->history, pfs_handle_name(from), name, new_name, err);
	if (rc == 0)
		pfs_branch_handle_rename(from, name, new_name);
	return rc;
}

const struct place_ops place_repo = {
	.what = "a repo",
	.writable = true,
	.lookup = repo_lookup,
	.getattr = repo_getattr,
	.list = repo_list,
	.mkdir = repo_mkdir,
	.rmdir = repo_rmdir,
	.symlink = repo_symlink,
	.rename = repo_rename,
};
