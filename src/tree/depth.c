#include "tree/depth.h"

#include <assert.h>

/* Directories that are being read, each in the one before it. */
struct walk {
	struct pfs_cursor *way[PFS_TREE_DEPTH_MAX];
	unsigned n;
};

static void walk_fini(struct walk *w)
{
	while (w->n > 0)
		pfs_cursor_close(&w->way[--w->n]);
}

/* A directory that has `levels` left. Of a way down all names but the first are below it. */
static int enter(struct pfs_store *st, struct walk *w, const struct pfs_id *dir, unsigned levels,
		 struct pfs_error *err)
{
	struct pfs_tree_totals totals;
	int rc = pfs_tree_totals(st, dir, &totals, err);

	if (rc < 0 || totals.entries - totals.direct < levels)
		return rc;
	rc = pfs_cursor_open(st, dir, &w->way[w->n], err);
	if (rc == 0)
		w->n++;
	return rc;
}

int pfs_depth_passes(struct pfs_store *st, const struct pfs_id *dir, unsigned levels,
		     struct pfs_error *err)
{
	PFS_AUTO(walk_fini) struct walk w = { .n = 0 };
	int rc;

	assert(levels < PFS_TREE_DEPTH_MAX);
	rc = enter(st, &w, dir, levels, err);
	while (rc == 0 && w.n > 0) {
		unsigned left = levels - (w.n - 1);
		const struct pfs_entry *e;

		rc = pfs_cursor_next(w.way[w.n - 1], &e, err);
		if (rc == 0)
			pfs_cursor_close(&w.way[--w.n]);
		if (rc <= 0)
			continue;
		rc = e->type == PFS_ENTRY_DIR && left == 0;
		if (e->type == PFS_ENTRY_DIR && left > 0 && e->dir_entries >= left)
			rc = enter(st, &w, &e->dir, left - 1, err);
	}
	return rc;
}
