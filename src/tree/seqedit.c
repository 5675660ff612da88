/* A changed row of chunks becomes a new root: level by level, from the leaves up. */
#include "tree/seqlevel.h"
#include "tree/sequence.h"

#include <string.h>

/*
 * A level of this few nodes is built as a whole: it may weigh so little that
 * it has to be a single node, and only more nodes than this prove otherwise.
 */
#define FEW_NODES 8u

struct few {
	struct pfs_seqnode_entry nodes[FEW_NODES];
	size_t n; /* more than FEW_NODES: these are not all */
};

static void few_add(struct few *f, const struct pfs_seqnode_entry *e)
{
	if (f->n < FEW_NODES)
		f->nodes[f->n] = *e;
	f->n++;
}

/* The old nodes that hold [from, to). */
static int few_add_old(struct few *f, struct pfs_seqlevel *l, uint64_t from, uint64_t to,
		       struct pfs_error *err)
{
	while (from < to && f->n <= FEW_NODES) {
		int rc = pfs_seqwalk_seek(l->old, l->level + 1, from, err);

		if (rc < 0)
			return rc;
		few_add(f, pfs_seqwalk_item(l->old, l->level + 1));
		from = pfs_seqwalk_end(l->old, l->level + 1);
	}
	return 0;
}

/* The nodes the level has now. */
static int collect(struct pfs_seqlevel *l, struct few *out, struct pfs_error *err)
{
	uint64_t pos = 0, size = l->old->frames[l->old->root_level].node.bytes;
	int rc = 0;

	out->n = 0;
	for (size_t i = 0; rc == 0 && i < l->above.n && out->n <= FEW_NODES; i++) {
		const struct pfs_seqchange *c = &l->above.list[i];

		rc = few_add_old(out, l, pos, c->from, err);
		for (size_t k = 0; k < c->n; k++)
			few_add(out, &l->above.items[c->first + k]);
		pos = c->to;
	}
	return rc < 0 ? rc : few_add_old(out, l, pos, size, err);
}

/* The items of one node are the next of their level. */
static int add_items_of(struct pfs_sequence *s, unsigned level, const struct pfs_id *id,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it;
	int rc;

	rc = pfs_store_need(s->st, PFS_KIND_SEQNODE, id, &o, err);
	if (rc == 0)
		rc = pfs_seqnode_open(o->data, o->len, &node, err);
	if (rc < 0)
		return rc;
	pfs_seqnode_iter_init(&it, &node);
	while ((rc = pfs_seqnode_iter_next(&it, err)) > 0) {
		rc = pfs_sequence_add_item(s, level, &it.e, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int rebuild(struct pfs_store *st, unsigned level, const struct few *nodes,
		   struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_sequence_fini) struct pfs_sequence s;
	int rc = 0;

	pfs_sequence_init(&s, st);
	for (size_t i = 0; rc == 0 && i < nodes->n; i++)
		rc = add_items_of(&s, level, &nodes->nodes[i].id, err);
	return rc < 0 ? rc : pfs_sequence_finish(&s, out, err);
}

/* All nodes of the level are new: so is everything above them. */
static int build_above(struct pfs_seqlevel *l, struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_sequence_fini) struct pfs_sequence s;
	const struct pfs_seqchange *c = l->above.list;
	int rc = 0;

	pfs_sequence_init(&s, l->st);
	if (c->n == 1) {
		*out = l->above.items[c->first].id;
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < c->n; i++)
		rc = pfs_sequence_add_item(&s, l->level + 1, &l->above.items[c->first + i], err);
	return rc < 0 ? rc : pfs_sequence_finish(&s, out, err);
}

/* 1 and the root when this level decides it, 0 when the level above has to change. */
static int decide(struct pfs_seqlevel *l, const struct pfs_id *base, struct pfs_id *out,
		  struct pfs_error *err)
{
	struct few nodes;
	int rc = pfs_seqlevel_finish(l, err);

	if (rc < 0)
		return rc;
	if (l->above.n == 0) {
		*out = *base;
		return 1;
	}
	if (l->covered) {
		rc = build_above(l, out, err);
		return rc < 0 ? rc : 1;
	}
	if (l->heavy)
		return 0;
	rc = collect(l, &nodes, err);
	if (rc < 0 || nodes.n > FEW_NODES)
		return rc;
	rc = rebuild(l->st, l->level, &nodes, out, err);
	return rc < 0 ? rc : 1;
}

static int apply(struct pfs_seqlevel *l, const struct pfs_seqchanges *in, struct pfs_error *err)
{
	int rc = pfs_seqlevel_in_place(l, in, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	for (size_t i = 0; rc == 0 && i < in->n; i++) {
		const struct pfs_seqchange *c = &in->list[i];

		rc = pfs_seqlevel_open(l, c->from, err);
		for (size_t k = 0; rc == 0 && k < c->n; k++)
			rc = pfs_seqlevel_add(l, &in->items[c->first + k], err);
		if (rc == 0)
			rc = pfs_seqlevel_close(l, c->to, err);
	}
	return rc;
}

int pfs_seqlevel_root(struct pfs_seqlevel *l, const struct pfs_id *base, struct pfs_id *out,
		      struct pfs_error *err)
{
	int rc = decide(l, base, out, err);

	while (rc == 0) { /* the root's level is always decided */
		struct pfs_seqlevel up;

		pfs_seqlevel_init(&up, l->st, l->old, l->level + 1);
		rc = apply(&up, &l->above, err);
		if (rc == 0)
			rc = decide(&up, base, out, err);
		pfs_seqlevel_fini(l);
		*l = up;
	}
	return rc < 0 ? rc : 0;
}
