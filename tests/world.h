/* A whole instance in a folder of its own, but without hall: for tests of what stands on history. */
#ifndef PFS_TESTS_WORLD_H
#define PFS_TESTS_WORLD_H

#include "scratch.h"
#include "history/history.h"
#include "meta/meta.h"
#include "pipeline/pipelines.h"
#include "store/store.h"
#include "tree/content.h"
#include "tree/tree.h"
#include "workspace/workspace.h"

struct world {
	char data[256];
	struct pfs_store *store;
	struct pfs_meta *meta;
	struct pfs_history *h;
	struct pfs_pipelines *p;
};

static inline void world_close(struct world *w)
{
	pfs_pipelines_close(&w->p);
	if (w->h)
		pfs_history_close(&w->h);
	if (w->meta)
		pfs_meta_close(&w->meta);
	pfs_store_close(&w->store);
}

/* Opens what is in `data`, or makes it; 0, or an error with nothing left open. */
static inline int world_open(struct world *w, const char *data, struct pfs_error *err)
{
	char path[300];
	int rc;

	memset(w, 0, sizeof(*w));
	snprintf(w->data, sizeof(w->data), "%s", data);
	snprintf(path, sizeof(path), "%s/store", data);
	rc = pfs_store_open(path, &w->store, err);
	snprintf(path, sizeof(path), "%s/meta.db", data);
	if (rc == 0)
		rc = pfs_meta_open(path, &w->meta, err);
	if (rc == 0)
		rc = pfs_history_open(w->meta, w->store, data, &w->h, err);
	snprintf(path, sizeof(path), "%s/logs", data);
	if (rc == 0)
		rc = pfs_pipelines_open(w->h, path, &w->p, err);
	if (rc < 0)
		world_close(w);
	return rc;
}

/* An empty branch, if it is not there. */
static inline int world_branch(struct world *w, const char *repo, const char *branch,
			       struct pfs_error *err)
{
	int rc = pfs_branch_create(w->h, repo, branch, NULL, err);

	return rc == PFS_E_EXISTS ? 0 : rc;
}

/* The directory `name` in `dir`, made when it is not there. */
static inline int world_enter(struct pfs_workspace *ws, struct pfs_node **dir, const char *name,
			      size_t len, struct pfs_error *err)
{
	const struct pfs_node_make make = { .type = PFS_ENTRY_DIR, .mode = 0755 };
	struct pfs_node *next = NULL;
	int rc;

	rc = pfs_workspace_lookup(ws, *dir, name, len, &next, err);
	if (rc == PFS_E_NOTFOUND)
		rc = pfs_workspace_make(ws, *dir, name, len, &make, &next, err);
	if (rc == PFS_E_EXISTS) /* another thread was faster */
		rc = pfs_workspace_lookup(ws, *dir, name, len, &next, err);
	if (rc == 0) {
		pfs_node_unref(dir);
		*dir = next;
	}
	return rc;
}

static inline int world_put(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
			    const char *text, struct pfs_error *err)
{
	const struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_node *file = NULL;
	struct pfs_open *open = NULL;
	int rc;

	rc = pfs_workspace_lookup(ws, dir, name, strlen(name), &file, err);
	if (rc == PFS_E_NOTFOUND)
		rc = pfs_workspace_make(ws, dir, name, strlen(name), &make, &file, err);
	if (rc == PFS_E_EXISTS) /* another thread was faster */
		rc = pfs_workspace_lookup(ws, dir, name, strlen(name), &file, err);
	if (rc == 0)
		rc = pfs_workspace_open_file(ws, file, true, true, &open, err);
	if (rc == 0)
		rc = pfs_workspace_write(open, 0, text, strlen(text), err);
	if (open)
		pfs_workspace_close_file(&open);
	if (file)
		pfs_node_unref(&file);
	return rc;
}

/* Write a file, "a/b/c", into the workspace of a branch. */
static inline int world_write(struct world *w, const char *repo, const char *branch,
			      const char *path, const char *text, struct pfs_error *err)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_node *dir;
	const char *slash;
	int rc;

	rc = pfs_history_workspace(w->h, repo, branch, &ws, err);
	if (rc < 0)
		return rc;
	dir = pfs_workspace_root(ws);
	while (rc == 0 && (slash = strchr(path, '/'))) {
		rc = world_enter(ws, &dir, path, (size_t)(slash - path), err);
		path = slash + 1;
	}
	if (rc == 0)
		rc = world_put(ws, dir, path, text, err);
	pfs_node_unref(&dir);
	pfs_history_release(w->h, &ws);
	return rc;
}

/* What a small file of a commit says. */
static inline int world_read(struct world *w, const char *repo, const struct pfs_commit_id *id,
			     const char *path, char *out, size_t size, struct pfs_error *err)
{
	struct pfs_content_reader *r = NULL;
	struct pfs_found found = { 0 };
	struct pfs_root root;
	size_t len = 0;
	int rc;

	rc = pfs_history_commit_root(w->h, repo, id, &root, err);
	if (rc == 0)
		rc = pfs_tree_lookup(w->store, &root.dir, path, &found, err);
	if (rc == 0)
		rc = pfs_content_reader_open(w->store, &found.e.content, &r, err);
	if (rc == 0)
		rc = pfs_content_read(r, 0, out, size - 1, &len, err);
	if (rc == 0)
		out[len] = 0;
	if (r)
		pfs_content_reader_close(&r);
	pfs_found_fini(&found);
	return rc;
}

#endif
