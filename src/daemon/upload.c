/*
 * POST and DELETE /file: the body goes into a file without a name, which gets
 * its name when the body is whole. A request that is cut off leaves nothing.
 */
#include "daemon/finder.h"
#include "daemon/route.h"
#include "base/limits.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MODE 0644
#define DIR_MODE  0755

struct upload {
	const char *repo, *branch; /* borrowed from the request */
	char path[PFS_PATH_SIZE_MAX + 1];
	struct pfs_handle *root;   /* owned: of the branch */
	struct pfs_handle *handle; /* owned: the file */
	struct pfs_file *file;     /* owned */
	uint64_t size;
};

static void upload_drop(struct pfs_request *rq)
{
	struct upload *u = rq->upload;

	rq->upload = NULL;
	if (!u)
		return;
	if (u->file)
		pfs_file_close(&u->file, NULL);
	pfs_handle_unref(&u->handle);
	pfs_handle_unref(&u->root);
	free(u);
}

static int check_target(const char *path, struct pfs_error *err)
{
	if (!path[0])
		return pfs_fail(err, PFS_E_INVALID, "a file needs a name: /file/<path>");
	if (strcmp(path, ".pfs") == 0 || strncmp(path, ".pfs/", 5) == 0)
		return pfs_fail(err, PFS_E_DENIED,
				"\"%.100s\": control files are written in the mount", path);
	return 0;
}

/* What is known to be in the way is told before the body comes. */
static int check_in_the_way(struct pfs_view *v, struct upload *u, struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *at = pfs_handle_ref(u->root);
	const char *rest = u->path, *name;
	struct pfs_attr attr = { .type = PFS_TYPE_DIR };
	size_t len;
	int rc;

	while ((rc = pfs_path_next(&rest, &name, &len, err)) > 0) {
		char one[PFS_NAME_SIZE_MAX + 1];
		struct pfs_handle *next;

		if (attr.type != PFS_TYPE_DIR)
			return pfs_fail(err, PFS_E_NOTDIR, "\"%.*s\" is not a directory",
					(int)(name - u->path - 1), u->path);
		memcpy(one, name, len);
		one[len] = 0;
		rc = pfs_view_lookup(v, at, one, &next, &attr, err);
		if (rc == PFS_E_NOTFOUND)
			return 0;
		if (rc < 0)
			return rc;
		pfs_handle_unref(&at);
		at = next;
	}
	if (rc == 0 && attr.type == PFS_TYPE_DIR)
		return pfs_fail(err, PFS_E_ISDIR, "\"%.300s\" is a directory", u->path);
	return rc;
}

/* The view says that it is read-only; whose it is says more. */
static int explain_readonly(struct pfs_request *rq, const char *repo, const char *branch, int rc,
			    struct pfs_error *err)
{
	struct pfs_branch found;

	if (rc != PFS_E_READONLY && rc != PFS_E_DENIED)
		return rc;
	if (pfs_branch_inspect(rq->daemon->history, repo, branch, &found, NULL) < 0)
		return pfs_fail(
			err, PFS_E_READONLY,
			"\"%s\" of repo %s is a commit, which never changes: write to a branch",
			branch, repo);
	if (!found.owner[0])
		return rc;
	return pfs_fail(err, PFS_E_DENIED, "branch %s of repo %s is written by pipeline %s alone",
			branch, repo, found.owner);
}

static int open_or_make(struct pfs_request *rq, struct upload *u, struct pfs_error *err)
{
	struct pfs_error first;
	int rc = pfs_finder_root(rq->daemon->view, u->repo, u->branch, &u->root, &first);

	if (rc == PFS_E_NOTFOUND) {
		rc = pfs_route_ensure_default(rq, u->repo, u->branch, err);
		if (rc == 0)
			rc = pfs_finder_root(rq->daemon->view, u->repo, u->branch, &u->root, err);
	} else if (rc < 0) {
		pfs_fail(err, rc, "%s", first.text);
	}
	return rc;
}

static int upload_begin(struct pfs_request *rq, struct pfs_error *err)
{
	struct upload *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return pfs_fail_nomem(err, "an upload");
	rq->upload = u;
	u->repo = pfs_request_get(rq, "repo", PFS_DEFAULT_REPO);
	u->branch = pfs_request_get(rq, "branch", PFS_DEFAULT_BRANCH);
	strcpy(u->path, rq->captures[0]);
	rc = check_target(u->path, err);
	if (rc == 0)
		rc = open_or_make(rq, u, err);
	if (rc == 0)
		rc = check_in_the_way(rq->daemon->view, u, err);
	if (rc == 0)
		rc = pfs_view_create_unnamed(rq->daemon->view, u->root, FILE_MODE, &rq->daemon->who,
					     &u->handle, &u->file, err);
	return explain_readonly(rq, u->repo, u->branch, rc, err);
}

static int upload_take(struct pfs_request *rq, const void *data, size_t len, struct pfs_error *err)
{
	struct upload *u = rq->upload;
	int rc;

	if (len > PFS_FILE_SIZE_MAX - u->size)
		return pfs_fail(err, PFS_E_LIMIT, "a file of more than %llu bytes",
				PFS_FILE_SIZE_MAX);
	rc = pfs_file_write(u->file, u->size, data, len, err);
	if (rc == 0)
		u->size += len;
	return rc;
}

const struct pfs_upload_ops pfs_file_upload_ops = { upload_begin, upload_take, upload_drop };

/* The directory `name` of *at, made when it is not there, takes the place of *at. */
static int enter_dir(struct pfs_request *rq, struct pfs_handle **at, const char *name,
		     struct pfs_error *err)
{
	struct pfs_view *v = rq->daemon->view;
	struct pfs_handle *next = NULL;
	struct pfs_attr attr;
	int rc = pfs_view_lookup(v, *at, name, &next, &attr, err);

	if (rc == PFS_E_NOTFOUND) {
		rc = pfs_view_mkdir(v, *at, name, DIR_MODE, &rq->daemon->who, &next, &attr, err);
		if (rc == PFS_E_EXISTS) /* somebody else was faster */
			rc = pfs_view_lookup(v, *at, name, &next, &attr, err);
	}
	if (rc < 0)
		return rc;
	pfs_handle_unref(at);
	*at = next;
	if (attr.type != PFS_TYPE_DIR)
		return pfs_fail(err, PFS_E_NOTDIR, "\"%.100s\" is not a directory", name);
	return 0;
}

static int place(struct pfs_request *rq, struct upload *u, struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *dir = pfs_handle_ref(u->root);
	const char *rest = u->path, *name, *last;
	size_t len, parent_len;
	int rc = 0;

	pfs_path_split(u->path, &parent_len, &last);
	while (rc == 0 && rest < u->path + parent_len &&
	       (rc = pfs_path_next(&rest, &name, &len, err)) > 0) {
		char one[PFS_NAME_SIZE_MAX + 1];

		memcpy(one, name, len);
		one[len] = 0;
		rc = enter_dir(rq, &dir, one, err);
	}
	if (rc == 0)
		rc = pfs_view_place(rq->daemon->view, u->handle, dir, last, err);
	if (rc == 0)
		rc = pfs_file_close(&u->file, err);
	return rc;
}

int route_file_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct upload *u = rq->upload;
	int rc = place(rq, u, err);

	if (rc < 0)
		return pfs_wrap(err, rc, "POST %.300s to %s@%s", u->path, u->repo, u->branch);
	return pfs_reply_printf(rp, err, "Created %s, size: %llu.\n", u->path,
				(unsigned long long)u->size);
}

/* ---- DELETE ---- */

/* Empty a directory, then the directories in it, deepest first. */
static int remove_below(struct pfs_view *v, struct pfs_handle *dir, unsigned depth,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_listing_close) struct pfs_listing *l = NULL;
	struct pfs_list_item item;
	int rc;

	if (depth > PFS_TREE_DEPTH_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "directories nested more than %u deep",
				PFS_TREE_DEPTH_MAX);
	rc = pfs_view_list(v, dir, &l, err);
	while (rc == 0 && (rc = pfs_listing_next(l, &item, err)) > 0) {
		PFS_AUTO(pfs_handle_unref) struct pfs_handle *sub = NULL;
		struct pfs_attr attr;

		if (item.type != PFS_TYPE_DIR) {
			rc = pfs_view_unlink(v, dir, item.name, err);
		} else {
			rc = pfs_view_lookup(v, dir, item.name, &sub, &attr, err);
			if (rc == 0)
				rc = remove_below(v, sub, depth + 1, err);
			if (rc == 0)
				rc = pfs_view_rmdir(v, dir, item.name, err);
		}
		if (rc == PFS_E_NOTFOUND)
			rc = 0;
	}
	return rc;
}

static int remove_name(struct pfs_request *rq, struct pfs_handle *dir, const char *name,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *h = NULL;
	struct pfs_view *v = rq->daemon->view;
	struct pfs_attr attr;
	int rc = pfs_view_lookup(v, dir, name, &h, &attr, err);

	if (rc < 0)
		return rc;
	if (attr.type != PFS_TYPE_DIR)
		return pfs_view_unlink(v, dir, name, err);
	if (pfs_request_is_on(rq, "recursive"))
		rc = remove_below(v, h, 0, err);
	return rc < 0 ? rc : pfs_view_rmdir(v, dir, name, err);
}

static int find_parent(struct pfs_view *v, const char *path, struct pfs_handle **at,
		       const char **out_name, struct pfs_error *err)
{
	const char *rest = path, *name;
	size_t len, parent_len;
	int rc = 0;

	pfs_path_split(path, &parent_len, out_name);
	while (rc == 0 && rest < path + parent_len &&
	       (rc = pfs_path_next(&rest, &name, &len, err)) > 0) {
		char one[PFS_NAME_SIZE_MAX + 1];
		struct pfs_handle *next;
		struct pfs_attr attr;

		memcpy(one, name, len);
		one[len] = 0;
		rc = pfs_view_lookup(v, *at, one, &next, &attr, err);
		if (rc < 0)
			return rc;
		pfs_handle_unref(at);
		*at = next;
	}
	return rc;
}

int route_file_delete(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *dir = NULL;
	const char *repo = pfs_request_get(rq, "repo", PFS_DEFAULT_REPO);
	const char *branch = pfs_request_get(rq, "branch", PFS_DEFAULT_BRANCH);
	const char *path = rq->captures[0], *name;
	int rc;

	rc = check_target(path, err);
	if (rc == 0)
		rc = pfs_finder_root(rq->daemon->view, repo, branch, &dir, err);
	if (rc < 0)
		return rc;
	rc = find_parent(rq->daemon->view, path, &dir, &name, err);
	if (rc == 0)
		rc = remove_name(rq, dir, name, err);
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, rc, "no file \"%.300s\" in %s@%s", path, repo, branch);
	rc = explain_readonly(rq, repo, branch, rc, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "DELETE %.300s of %s@%s", path, repo, branch);
	return pfs_reply_printf(rp, err, "Deleted %s.\n", path);
}
