/* A batch of changes becomes a new root: level by level, from the names up. */
#include "tree/level.h"

#include <inttypes.h>
#include <string.h>

/*
 * A level of this few nodes is built as a whole: it may weigh so little that
 * it has to be a single node, and only more nodes than this prove otherwise.
 */
#define FEW_NODES 8u

static int check_edits(const struct pfs_edit *edits, size_t n, struct pfs_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct pfs_edit *e = &edits[i];
		struct pfs_treenode_entry node;
		int rc = 0;

		if (i && pfs_treenode_name_compare(e[-1].name, e[-1].name_len, e->name,
						   e->name_len) >= 0)
			return pfs_fail(
				err, PFS_E_INVALID,
				"edits out of order: \"%.*s\" is not behind the one before it",
				(int)(e->name_len < PFS_NAME_SIZE_MAX ? e->name_len
								      : PFS_NAME_SIZE_MAX),
				e->name);
		if (!e->entry)
			continue;
		rc = pfs_entry_to_node(e->entry, e->name, e->name_len, &node, err);
		if (rc == 0)
			rc = pfs_treenode_entry_check(&node, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Nodes the old tree has at this level; stops counting past `enough`. */
static int count_old_nodes(struct pfs_walk *old, unsigned level, size_t enough, size_t *out,
			   struct pfs_error *err)
{
	size_t n = 0;
	int rc;

	if (old->empty || level > old->root_level) {
		*out = 0;
		return 0;
	}
	if (level == old->root_level) {
		*out = 1;
		return 0;
	}
	rc = pfs_walk_node_first(old, level + 1, err);
	do {
		struct pfs_walk_frame *f;

		if (rc >= 0)
			rc = pfs_walk_node_open(old, level + 1, &f, err);
		if (rc < 0)
			return rc;
		n += f->node.count;
	} while (n <= enough && (rc = pfs_walk_node_next(old, level + 1, err)) != 0);
	*out = n;
	return 0;
}

static int apply_level(struct pfs_level *l, const struct pfs_changes *in, size_t *out_nodes,
		       struct pfs_error *err)
{
	size_t old = 0;
	int rc;

	l->exists = !l->old->empty && l->level <= l->old->root_level;
	rc = pfs_level_apply(l, in, false, err);
	if (rc == 0 && l->in_place) {
		*out_nodes = l->level == l->old->root_level ? 1 : 2; /* or more */
		return 0;
	}
	if (rc == 0)
		rc = count_old_nodes(l->old, l->level, l->removed + FEW_NODES, &old, err);
	if (rc < 0)
		return rc;
	*out_nodes = old - l->removed + l->added;
	if (*out_nodes > FEW_NODES || l->covered)
		return 0;
	rc = pfs_level_apply(l, in, true, err);
	*out_nodes = l->added;
	return rc;
}

static int edit_levels(struct pfs_store *st, struct pfs_walk *old, const struct pfs_id *dir,
		       struct pfs_changes *in, struct pfs_id *out, struct pfs_error *err)
{
	for (unsigned level = 0; level <= PFS_TREE_LEVEL_MAX; level++) {
		struct pfs_level l = { .st = st, .old = old, .level = level };
		size_t nodes;
		int rc;

		rc = apply_level(&l, in, &nodes, err);
		pfs_changes_fini(in);
		*in = l.above;
		if (rc < 0)
			return rc;
		if (nodes <= 1) {
			*out = nodes ? l.first : (struct pfs_id){ 0 };
			return 0;
		}
		if (in->n == 0) {
			*out = *dir;
			return 0;
		}
	}
	return pfs_fail(err, PFS_E_LIMIT, "directory of more than %u levels", PFS_TREE_LEVEL_MAX);
}

int pfs_tree_edit(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_edit *edits,
		  size_t n, struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_changes_fini) struct pfs_changes in = { .edits = edits, .n = n };
	PFS_AUTO(pfs_walk_fini) struct pfs_walk old;
	int rc;

	rc = pfs_walk_init(&old, st, dir, err);
	if (rc == 0)
		rc = check_edits(edits, n, err);
	if (rc == 0 && n == 0)
		*out = *dir;
	else if (rc == 0)
		rc = edit_levels(st, &old, dir, &in, out, err);
	return rc < 0 ? pfs_wrap(err, rc, "edit a directory") : 0;
}
