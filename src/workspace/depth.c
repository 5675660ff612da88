#include "workspace/depth.h"
#include "base/vec.h"
#include "tree/depth.h"
#include "workspace/workspace_i.h"

#include <stdlib.h>

/* A base that is looked through `level` directories below another one. */
struct layer {
	struct pfs_id base;
	unsigned level;
};
struct layers PFS_VEC(struct layer);
PFS_VEC_DEFINE(push, struct layers, struct layer, "the depth of a directory")

unsigned pfs_depth_of(const struct pfs_node *n)
{
	unsigned depth = 0;

	for (; n->place; n = n->place->dir)
		depth++;
	return depth;
}

/* Levels that fit below a directory in `to`; negative: not even itself. */
static int levels_left(const struct pfs_node *to)
{
	return (int)PFS_TREE_DEPTH_MAX - 2 - (int)pfs_depth_of(to);
}

/* ---- what differs: directories in memory, in the order of a walk ---- */

static struct pfs_node *dir_at(const struct pfs_link *l)
{
	struct pfs_node *n = PFS_OF_LINK(l, struct pfs_slot, pending)->node;

	return n && n->type == PFS_ENTRY_DIR ? n : NULL;
}

/* The next one in `dir` behind a link of its pending names. */
static struct pfs_node *next_in(const struct pfs_node *dir, const struct pfs_link *l)
{
	const struct pfs_link *head = &dir->dir.pending;

	if (dir->dir.n_dirs == 0)
		return NULL;
	for (l = l->next; l != head; l = l->next)
		if (dir_at(l))
			return dir_at(l);
	return NULL;
}

/* The one after `at`, which is `*level` below `top`; NULL: there is none. */
static struct pfs_node *next_dir(const struct pfs_node *top, const struct pfs_node *at,
				 unsigned *level)
{
	struct pfs_node *next = next_in(at, &at->dir.pending);

	*level += 1;
	for (; !next && at != top; at = at->place->dir) {
		next = next_in(at->place->dir, &at->place->pending);
		*level -= 1;
	}
	return next;
}

static unsigned levels_in_memory(const struct pfs_node *top)
{
	unsigned level = 0, deepest = 0;

	for (const struct pfs_node *n = top; n; n = next_dir(top, n, &level))
		deepest = level > deepest ? level : deepest;
	return deepest;
}

/* ---- what does not ---- */

static int find_layers(const struct pfs_node *top, int left, struct layers *out,
		       struct pfs_error *err)
{
	unsigned level = 0;
	int rc = 0;

	for (const struct pfs_node *n = top; rc == 0 && n; n = next_dir(top, n, &level))
		if ((int)level <= left && !pfs_id_is_zero(&n->dir.base))
			rc = push(out, (struct layer){ n->dir.base, level }, err);
	return rc;
}

int pfs_depth_look(struct pfs_workspace *ws, const struct pfs_node *n, const struct pfs_node *from,
		   const struct pfs_node *to, struct pfs_depth *out, struct pfs_error *err)
{
	struct layers layers = { 0 };
	int left, rc = 0;

	*out = (struct pfs_depth){ .to = to };
	if (!n || n->type != PFS_ENTRY_DIR)
		return 0;
	out->dir = n;
	pfs_rwlock_read(&ws->lock);
	out->moves = ws->moves;
	out->rises = pfs_depth_of(to) <= pfs_depth_of(from);
	left = levels_left(to);
	if (!out->rises)
		rc = find_layers(n, left, &layers, err);
	pfs_rwlock_unlock(&ws->lock);
	for (size_t i = 0; rc == 0 && i < layers.n; i++)
		rc = pfs_depth_passes(ws->store, &layers.items[i].base,
				      (unsigned)left - layers.items[i].level, err);
	free(layers.items);
	out->deep = rc > 0;
	return rc < 0 ? rc : 0;
}

bool pfs_depth_holds(const struct pfs_workspace *ws, const struct pfs_depth *d)
{
	return !d->dir || d->moves == ws->moves;
}

int pfs_depth_check(const struct pfs_depth *d, struct pfs_error *err)
{
	if (!d->dir || d->rises)
		return 0;
	if (!d->deep && (int)levels_in_memory(d->dir) <= levels_left(d->to))
		return 0;
	return pfs_fail(err, PFS_E_LIMIT, "directories below would be more than %u levels deep",
			PFS_TREE_DEPTH_MAX - 1);
}
