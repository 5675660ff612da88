#include "tree/patch.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

/* A change of one name: the caller's, or of a directory that was edited. */
struct work {
	const char *path;
	const struct pfs_entry *entry; /* the caller's */
	char *own;                     /* a directory: `path`, and what it became */
	struct pfs_entry dir;
	size_t depth;
};

struct works {
	struct work *list;
	size_t n;
};

static void works_fini(struct works *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->list[i].own);
	free(w->list);
}

static size_t depth_of(const char *path)
{
	size_t depth = 1;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/* The deepest first, then the names of one directory beside each other and in order. */
static int by_place(const void *a, const void *b)
{
	const struct work *x = a, *y = b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? 1 : -1;
	return strcmp(x->path, y->path);
}

static size_t parent_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

static bool same_parent(const char *a, const char *b)
{
	size_t len = parent_len(a);

	return parent_len(b) == len && memcmp(a, b, len) == 0;
}

/* `n` changes of the names of one directory: what it becomes. */
static int edit_directory(struct pfs_store *st, const struct pfs_id *dir, const struct work *w,
			  size_t n, struct pfs_id *out, struct pfs_error *err)
{
	struct pfs_edit *edits = malloc(n * sizeof(*edits));
	int rc;

	if (!edits)
		return pfs_fail_nomem(err, "a patch");
	for (size_t i = 0; i < n; i++) {
		size_t skip = parent_len(w[i].path);
		const char *name = w[i].path + skip + (skip > 0);

		edits[i] =
			(struct pfs_edit){ name, strlen(name), w[i].own ? &w[i].dir : w[i].entry };
	}
	rc = pfs_tree_edit(st, dir, edits, n, out, err);
	free(edits);
	return rc;
}

/* The same, and the change that this is to the directory above. */
static int edit_below(struct pfs_store *st, const struct pfs_id *root, const struct work *w,
		      size_t n, struct work *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	struct pfs_tree_totals totals;
	char *path = strndup(w->path, parent_len(w->path));
	int rc = path ? 0 : pfs_fail_nomem(err, "a patch");

	if (rc == 0)
		rc = pfs_tree_lookup(st, root, path, &found, err);
	if (rc == 0 && found.e.type != PFS_ENTRY_DIR)
		rc = pfs_fail(err, PFS_E_NOTDIR, "%s is not a directory", path);
	*out = (struct work){ .path = path, .own = path, .dir = found.e, .depth = w->depth - 1 };
	if (rc == 0)
		rc = edit_directory(st, &found.e.dir, w, n, &out->dir.dir, err);
	if (rc == 0)
		rc = pfs_tree_totals(st, &out->dir.dir, &totals, err);
	if (rc < 0) {
		free(path);
		return rc;
	}
	out->dir.dir_entries = totals.entries;
	out->dir.dir_bytes = totals.bytes;
	return 0;
}

/* All changes of the greatest depth become changes one level up. */
static int fold_deepest(struct pfs_store *st, const struct pfs_id *root, struct works *w,
			struct pfs_error *err)
{
	struct works above = { calloc(w->n, sizeof(*above.list)), 0 };
	size_t depth = w->list[0].depth, i = 0;
	int rc = above.list ? 0 : pfs_fail_nomem(err, "a patch");

	while (rc == 0 && i < w->n && w->list[i].depth == depth) {
		size_t n = 1;

		while (i + n < w->n && w->list[i + n].depth == depth &&
		       same_parent(w->list[i].path, w->list[i + n].path))
			n++;
		rc = edit_below(st, root, &w->list[i], n, &above.list[above.n], err);
		above.n += rc == 0;
		i += n;
	}
	if (rc < 0) {
		works_fini(&above);
		return rc;
	}
	for (size_t k = 0; k < i; k++)
		free(w->list[k].own);
	memcpy(above.list + above.n, w->list + i, (w->n - i) * sizeof(*w->list));
	above.n += w->n - i;
	free(w->list);
	*w = above;
	return 0;
}

int pfs_patch_apply(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_patch *list,
		    size_t n, struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(works_fini) struct works w = { calloc(n + 1, sizeof(*w.list)), n };
	int rc = w.list ? 0 : pfs_fail_nomem(err, "a patch");

	for (size_t i = 0; rc == 0 && i < n; i++)
		w.list[i] = (struct work){ .path = list[i].path,
					   .entry = list[i].entry,
					   .depth = depth_of(list[i].path) };
	while (rc == 0 && w.n > 0) {
		qsort(w.list, w.n, sizeof(*w.list), by_place);
		if (w.list[0].depth == 1)
			return edit_directory(st, dir, w.list, w.n, out, err);
		rc = fold_deepest(st, dir, &w, err);
	}
	if (rc == 0)
		*out = *dir;
	return rc;
}
