#include "tree/walk.h"

#include <string.h>

static int name_the_node(struct pfs_error *err, int rc, const struct pfs_id *id)
{
	char hex[PFS_ID_HEX_SIZE];

	return pfs_wrap(err, rc, "directory node %s", pfs_id_format(id, hex));
}

int pfs_walk_load(struct pfs_store *st, const struct pfs_id *id, const struct pfs_object **hold,
		  struct pfs_treenode *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	int rc;

	rc = pfs_store_need(st, PFS_KIND_DIRNODE, id, &o, err);
	if (rc == 0)
		rc = pfs_treenode_open(o->data, o->len, out, err);
	if (rc < 0)
		return name_the_node(err, rc, id);
	*hold = o;
	o = NULL;
	return 0;
}

static void set_frame(struct pfs_walk *w, const struct pfs_id *id, const struct pfs_object *hold,
		      const struct pfs_treenode *node)
{
	struct pfs_walk_frame *f = &w->frames[node->level];

	pfs_object_unref(&f->hold);
	f->hold = hold;
	f->id = *id;
	f->node = *node;
	pfs_treenode_iter_init(&f->it, &f->node);
}

int pfs_walk_init(struct pfs_walk *w, struct pfs_store *st, const struct pfs_id *root,
		  struct pfs_error *err)
{
	const struct pfs_object *hold = NULL;
	struct pfs_treenode node;
	int rc;

	w->st = st;
	w->empty = pfs_id_is_zero(root);
	w->root_level = w->level = 0;
	w->stands = false;
	w->failed = 0;
	w->last_len = 0;
	for (size_t i = 0; i <= PFS_TREE_LEVEL_MAX; i++)
		w->frames[i].hold = NULL;
	if (w->empty)
		return 0;
	rc = pfs_walk_load(st, root, &hold, &node, err);
	if (rc < 0)
		return rc;
	w->root_level = w->level = node.level;
	set_frame(w, root, hold, &node);
	return 0;
}

void pfs_walk_fini(struct pfs_walk *w)
{
	for (size_t i = 0; i <= PFS_TREE_LEVEL_MAX; i++)
		pfs_object_unref(&w->frames[i].hold);
}

static bool is_as_told(const struct pfs_treenode *node, unsigned level,
		       const struct pfs_treenode_entry *e)
{
	return node->level == level && node->direct == e->direct && node->entries == e->entries &&
	       node->bytes == e->below_bytes;
}

/*
 * Load the node that the item at `level` + 1 names into the frame of `level`.
 * Edits look at a node more than once: what is there already is used again.
 */
static int load_child(struct pfs_walk *w, unsigned level, struct pfs_error *err)
{
	const struct pfs_treenode_entry *e = &w->frames[level + 1].it.e;
	struct pfs_walk_frame *f = &w->frames[level];
	const struct pfs_object *hold = NULL;
	struct pfs_treenode node;
	int rc;

	if (f->hold && pfs_id_equal(&f->id, &e->id) && is_as_told(&f->node, level, e)) {
		pfs_treenode_iter_init(&f->it, &f->node);
		return 0;
	}
	rc = pfs_walk_load(w->st, &e->id, &hold, &node, err);
	if (rc < 0)
		return rc;
	if (!is_as_told(&node, level, e)) {
		pfs_object_unref(&hold);
		rc = pfs_fail(err, PFS_E_CORRUPT, "its level or sums are not what its parent says");
		return name_the_node(err, rc, &e->id);
	}
	set_frame(w, &e->id, hold, &node);
	return 0;
}

/* Every child ends with the name that its parent knows it by. */
static int check_last_name(const struct pfs_walk *w, unsigned level, struct pfs_error *err)
{
	const struct pfs_treenode_iter *it = &w->frames[level].it;
	const struct pfs_treenode_entry *e;

	if (level == w->root_level)
		return 0;
	e = &w->frames[level + 1].it.e;
	if (pfs_treenode_name_compare(it->name, it->name_len, e->name, e->name_len) == 0)
		return 0;
	return name_the_node(
		err, pfs_fail(err, PFS_E_CORRUPT, "its last name is not what its parent says"),
		&e->id);
}

/* What a step came to, and what every further one comes to when it failed. */
static int conclude(struct pfs_walk *w, int rc, struct pfs_error *err)
{
	w->stands = rc > 0;
	w->failed = rc < 0 ? rc : 0;
	if (rc < 0 && err)
		*err = w->why;
	return rc;
}

static int check_order(const struct pfs_walk *w, struct pfs_error *err)
{
	const struct pfs_treenode_entry *e = pfs_walk_item(w);

	if (w->last_len &&
	    pfs_treenode_name_compare(w->last, w->last_len, e->name, e->name_len) >= 0)
		return pfs_fail(err, PFS_E_CORRUPT, "directory: names out of order between nodes");
	return 1;
}

static int next_item(struct pfs_walk *w, struct pfs_error *err)
{
	int rc;

	for (;;) {
		rc = pfs_treenode_iter_next(&w->frames[w->level].it, err);
		if (rc != 0)
			return rc < 0 ? rc : check_order(w, err);
		rc = check_last_name(w, w->level, err);
		if (rc < 0 || w->level == w->root_level)
			return rc;
		w->level++;
	}
}

int pfs_walk_next(struct pfs_walk *w, struct pfs_error *err)
{
	if (w->empty)
		return 0;
	if (w->failed)
		return conclude(w, w->failed, err);
	if (w->stands) {
		const struct pfs_treenode_entry *e = pfs_walk_item(w);

		memcpy(w->last, e->name, e->name_len);
		w->last_len = e->name_len;
	}
	return conclude(w, next_item(w, &w->why), err);
}

int pfs_walk_descend(struct pfs_walk *w, struct pfs_error *err)
{
	int rc = w->failed ? w->failed : load_child(w, w->level - 1, &w->why);

	if (rc == 0) {
		w->level--;
		rc = next_item(w, &w->why);
	}
	return conclude(w, rc, err);
}

static int seek(struct pfs_walk *w, const char *name, size_t name_len, bool after,
		struct pfs_error *err)
{
	int rc;

	for (w->level = w->root_level;;) {
		rc = pfs_treenode_iter_seek(&w->frames[w->level].it, name, name_len, after, err);
		if (rc < 0 || w->level == 0)
			return rc;
		if (rc == 0) /* only at the root, or below a parent that lied about the last name */
			return w->level == w->root_level ? 0 : check_last_name(w, w->level, err);
		rc = load_child(w, w->level - 1, err);
		if (rc < 0)
			return rc;
		w->level--;
	}
}

int pfs_walk_seek(struct pfs_walk *w, const char *name, size_t name_len, bool after,
		  struct pfs_error *err)
{
	if (w->empty)
		return 0;
	w->last_len = 0;
	return conclude(w, seek(w, name, name_len, after, &w->why), err);
}

/* --- nodes of one level ------------------------------------------------- */

/* From the item the frame `from` stands at down to `level` + 1, at the first or last item of each. */
static int descend_edge(struct pfs_walk *w, unsigned from, unsigned level, bool last,
			struct pfs_error *err)
{
	int rc = 0;

	for (unsigned l = from; rc == 0 && l > level + 1; l--) {
		struct pfs_walk_frame *below = &w->frames[l - 1];

		rc = load_child(w, l - 1, err);
		if (rc == 0)
			rc = pfs_treenode_iter_at(&below->it, last ? below->node.count - 1 : 0,
						  err);
	}
	return rc;
}

int pfs_walk_node_first(struct pfs_walk *w, unsigned level, struct pfs_error *err)
{
	int rc;

	if (level >= w->root_level)
		return 0;
	rc = pfs_treenode_iter_at(&w->frames[w->root_level].it, 0, err);
	return rc < 0 ? rc : descend_edge(w, w->root_level, level, false, err);
}

int pfs_walk_node_seek(struct pfs_walk *w, unsigned level, const char *name, size_t name_len,
		       struct pfs_error *err)
{
	for (unsigned l = w->root_level; l > level; l--) {
		struct pfs_walk_frame *f = &w->frames[l];
		int rc = pfs_treenode_iter_seek(&f->it, name, name_len, false, err);

		if (rc == 0)
			rc = pfs_treenode_iter_at(&f->it, f->node.count - 1, err);
		if (rc >= 0 && l > level + 1)
			rc = load_child(w, l - 1, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int pfs_walk_node_next(struct pfs_walk *w, unsigned level, struct pfs_error *err)
{
	for (unsigned l = level + 1; l <= w->root_level; l++) {
		struct pfs_walk_frame *f = &w->frames[l];
		int rc;

		if (f->it.index == f->node.count)
			continue;
		rc = pfs_treenode_iter_next(&f->it, err);
		if (rc > 0)
			rc = descend_edge(w, l, level, false, err);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

int pfs_walk_node_prev(struct pfs_walk *w, unsigned level, struct pfs_error *err)
{
	for (unsigned l = level + 1; l <= w->root_level; l++) {
		struct pfs_walk_frame *f = &w->frames[l];
		int rc;

		if (f->it.index < 2)
			continue;
		rc = pfs_treenode_iter_at(&f->it, f->it.index - 2, err);
		if (rc == 0)
			rc = descend_edge(w, l, level, true, err);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

bool pfs_walk_node_is_last(const struct pfs_walk *w, unsigned level)
{
	for (unsigned l = level + 1; l <= w->root_level; l++)
		if (w->frames[l].it.index < w->frames[l].node.count)
			return false;
	return true;
}

int pfs_walk_node_open(struct pfs_walk *w, unsigned level, struct pfs_walk_frame **out,
		       struct pfs_error *err)
{
	int rc = level < w->root_level ? load_child(w, level, err) : 0;

	if (rc < 0)
		return rc;
	pfs_treenode_iter_init(&w->frames[level].it, &w->frames[level].node);
	*out = &w->frames[level];
	return 0;
}
