#include "tree/linkwalk.h"

#include <stdlib.h>

#define WITHOUT_MAX 65536u /* some 4 MiB */

struct level {
	struct pfs_cursor *cursor;
	struct pfs_id dir;
	size_t path_len; /* with its slash */
	bool has;        /* a name with a number, here or below */
};

struct walk {
	struct level *levels;
	size_t depth, cap;
	struct pfs_buf path;
};

static void walk_fini(struct walk *w)
{
	while (w->depth > 0)
		pfs_cursor_close(&w->levels[--w->depth].cursor);
	free(w->levels);
	pfs_buf_fini(&w->path);
}

static int enter(struct pfs_store *st, struct walk *w, const struct pfs_id *dir,
		 struct pfs_error *err)
{
	struct level *l;
	int rc = 0;

	if (w->depth == PFS_TREE_DEPTH_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "directories more than %u deep",
				PFS_TREE_DEPTH_MAX);
	if (w->depth == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;
		struct level *levels = realloc(w->levels, cap * sizeof(*levels));

		if (!levels)
			return pfs_fail_nomem(err, "hard links");
		w->levels = levels;
		w->cap = cap;
	}
	l = &w->levels[w->depth];
	*l = (struct level){ .dir = *dir };
	if (w->depth > 0)
		rc = pfs_buf_add(&w->path, "/", 1, err);
	if (rc == 0)
		rc = pfs_cursor_open(st, dir, &l->cursor, err);
	if (rc == 0) {
		l->path_len = w->path.len;
		w->depth++;
	}
	return rc;
}

/* What is known of a directory that was read is known of the one it is in. */
static void leave(struct walk *w, struct pfs_idset *without)
{
	struct level *l = &w->levels[--w->depth];

	pfs_cursor_close(&l->cursor);
	if (l->has && w->depth > 0)
		w->levels[w->depth - 1].has = true;
	if (l->has || !without)
		return;
	/* Most may be of trees that are gone: begin anew. */
	if (without->len == WITHOUT_MAX)
		pfs_idset_fini(without);
	pfs_idset_add(without, &l->dir, NULL);
}

static bool is_without(const struct pfs_linkwalk *how, const struct pfs_id *dir)
{
	return pfs_id_is_zero(dir) || (how->without && pfs_idset_has(how->without, dir));
}

int pfs_linkwalk(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_linkwalk *how,
		 struct pfs_error *err)
{
	PFS_AUTO(walk_fini)
	struct walk w = { .path = PFS_BUF_INIT((PFS_NAME_SIZE_MAX + 1) *
					       (size_t)PFS_TREE_DEPTH_MAX) };
	int rc = is_without(how, dir) ? 0 : enter(st, &w, dir, err);

	while (rc == 0 && w.depth > 0) {
		struct level *l = &w.levels[w.depth - 1];
		const struct pfs_entry *e;

		rc = pfs_cursor_next(l->cursor, &e, err);
		if (rc == 0)
			leave(&w, how->without);
		if (rc <= 0)
			continue;
		w.path.len = l->path_len;
		rc = pfs_buf_add(&w.path, e->name, e->name_len, err);
		if (rc == 0 && e->link) {
			l->has = true;
			rc = how->each(how->arg, pfs_buf_str(&w.path), e, err);
		}
		if (rc == 0 && e->type == PFS_ENTRY_DIR && !is_without(how, &e->dir))
			rc = enter(st, &w, &e->dir, err);
	}
	return rc;
}
