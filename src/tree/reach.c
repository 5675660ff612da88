#include "tree/reach.h"
#include "format/seqnode.h"
#include "format/treenode.h"

#include <stdlib.h>

void pfs_reach_fini(struct pfs_reach *r)
{
	free(r->stack);
	r->stack = NULL;
	r->n = r->cap = 0;
}

static int push(struct pfs_reach *r, enum pfs_kind kind, const struct pfs_id *id,
		struct pfs_error *err)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 256;
		struct pfs_reach_item *wider = reallocarray(r->stack, cap, sizeof(*wider));

		if (!wider)
			return pfs_fail_nomem(err, "a walk over everything");
		r->stack = wider;
		r->cap = cap;
	}
	r->stack[r->n++] = (struct pfs_reach_item){ *id, kind };
	return 0;
}

/* An id that somebody names: told, and kept for later when there is something below it. */
static int meet(struct pfs_reach *r, enum pfs_kind kind, const struct pfs_id *id,
		struct pfs_error *err)
{
	int rc;

	if (pfs_id_is_zero(id))
		return 0;
	rc = r->visit(r->arg, kind, id, err);
	if (rc == 1)
		rc = kind == PFS_KIND_DIRNODE || kind == PFS_KIND_SEQNODE ? push(r, kind, id, err)
									  : 0;
	if (rc < 0)
		r->ended = true;
	return rc;
}

static int meet_entry(struct pfs_reach *r, const struct pfs_treenode_entry *e,
		      struct pfs_error *err)
{
	int rc = meet(r, PFS_KIND_XATTRS, &e->xattrs, err);

	if (rc < 0)
		return rc;
	switch (e->kind) {
	case PFS_TREENODE_CHUNK:
		return meet(r, PFS_KIND_CHUNK, &e->id, err);
	case PFS_TREENODE_SEQ:
		return meet(r, PFS_KIND_SEQNODE, &e->id, err);
	case PFS_TREENODE_DIR:
		return meet(r, PFS_KIND_DIRNODE, &e->id, err);
	default:
		return 0;
	}
}

static int open_dirnode(struct pfs_reach *r, const struct pfs_object *o, struct pfs_error *err)
{
	struct pfs_treenode node;
	struct pfs_treenode_iter it;
	int rc = pfs_treenode_open(o->data, o->len, &node, err);

	if (rc < 0)
		return rc;
	pfs_treenode_iter_init(&it, &node);
	while ((rc = pfs_treenode_iter_next(&it, err)) == 1) {
		rc = node.level ? meet(r, PFS_KIND_DIRNODE, &it.e.id, err)
				: meet_entry(r, &it.e, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int open_seqnode(struct pfs_reach *r, const struct pfs_object *o, struct pfs_error *err)
{
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it;
	int rc = pfs_seqnode_open(o->data, o->len, &node, err);

	if (rc < 0)
		return rc;
	pfs_seqnode_iter_init(&it, &node);
	while ((rc = pfs_seqnode_iter_next(&it, err)) == 1) {
		if (it.e.kind == PFS_SEQNODE_HOLE)
			continue;
		rc = meet(r, it.e.kind == PFS_SEQNODE_CHILD ? PFS_KIND_SEQNODE : PFS_KIND_CHUNK,
			  &it.e.id, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int name_the_node(struct pfs_error *err, int rc, const struct pfs_reach_item *item)
{
	char hex[PFS_ID_HEX_SIZE];

	return pfs_wrap(err, rc, "%s node %s",
			item->kind == PFS_KIND_DIRNODE ? "directory" : "sequence",
			pfs_id_format(&item->id, hex));
}

/* Meet what a node names; what is wrong with the node itself is for `broken`. */
static int look_into(struct pfs_reach *r, const struct pfs_reach_item *item, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_error why = { 0 };
	int rc = pfs_store_need(r->st, item->kind, &item->id, &o, &why);

	if (rc == 0)
		rc = item->kind == PFS_KIND_DIRNODE ? open_dirnode(r, o, &why)
						    : open_seqnode(r, o, &why);
	if (rc >= 0)
		return 0;
	if (!r->ended) {
		rc = name_the_node(&why, rc, item);
		if (r->broken)
			return r->broken(r->arg, item->kind, &item->id, &why, err);
	}
	if (err)
		*err = why;
	return rc;
}

static int walk(struct pfs_reach *r, struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0 && r->n) {
		struct pfs_reach_item item = r->stack[--r->n];

		rc = look_into(r, &item, err);
	}
	r->n = 0;
	return rc;
}

int pfs_reach_object(struct pfs_reach *r, enum pfs_kind kind, const struct pfs_id *id,
		     struct pfs_error *err)
{
	int rc;

	r->ended = false;
	rc = meet(r, kind, id, err);
	return rc < 0 ? rc : walk(r, err);
}

int pfs_reach_dir(struct pfs_reach *r, const struct pfs_id *dir, struct pfs_error *err)
{
	return pfs_reach_object(r, PFS_KIND_DIRNODE, dir, err);
}

int pfs_reach_content(struct pfs_reach *r, const struct pfs_content *content, struct pfs_error *err)
{
	switch (content->form) {
	case PFS_CONTENT_CHUNK:
		return pfs_reach_object(r, PFS_KIND_CHUNK, &content->id, err);
	case PFS_CONTENT_SEQ:
		return pfs_reach_object(r, PFS_KIND_SEQNODE, &content->id, err);
	default:
		return 0;
	}
}
