#include "tree/level.h"
#include "tree/siphash.h"
#include "tree/split.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_NODES 32u /* put together: enough for a hasher of many lanes */

/* An item that waits for the end of its node. */
struct pending {
	char *hold;    /* owned copy of name and bytes; NULL: borrowed from the caller */
	uint32_t from; /* old node it comes from unchanged, from 1; 0: new */
	uint32_t near; /* old node that it would be in, from 1; 0: there is none */
};

/* A node, old or new, as the level above names it. */
struct node_ref {
	struct pfs_treenode_entry e; /* e.name owned */
	unsigned count, flags;
};

struct node_refs {
	struct node_ref *items;
	size_t n, cap;
};

struct zone {
	struct pfs_level *l;
	const struct pfs_changes *in;
	size_t *next; /* index of the next change of `in` */
	struct pfs_split split;
	uint64_t since; /* weight since the last change */
	bool at_start;  /* of the level */

	struct pfs_treenode_entry *entries; /* pending items ... */
	struct pending *pending;            /* ... and where they come from */
	size_t n, cap;

	struct node_refs old, fresh;

	struct pfs_buf bytes;         /* encoded nodes that are not put yet ... */
	size_t ends[BATCH_NODES];     /* ... where each ends, */
	size_t fresh_at[BATCH_NODES]; /* its place in `fresh`, */
	uint32_t near[BATCH_NODES];   /* and the old node it resembles, as in struct pending */
	size_t batch;
};

static void refs_fini(struct node_refs *r)
{
	for (size_t i = 0; i < r->n; i++)
		free((char *)r->items[i].e.name);
	free(r->items);
	memset(r, 0, sizeof(*r));
}

static int refs_add(struct node_refs *r, const struct node_ref *ref, struct pfs_error *err)
{
	char *name = malloc(ref->e.name_len + 1);

	if (name && r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 16;
		struct node_ref *items = realloc(r->items, cap * sizeof(*items));

		if (items) {
			r->items = items;
			r->cap = cap;
		}
	}
	if (!name || r->n == r->cap) {
		free(name);
		return pfs_fail_nomem(err, "the nodes of a directory");
	}
	memcpy(name, ref->e.name, ref->e.name_len);
	r->items[r->n] = *ref;
	r->items[r->n++].e.name = name;
	return 0;
}

void pfs_changes_fini(struct pfs_changes *c)
{
	for (size_t i = 0; c->list && i < c->n; i++)
		free(c->list[i].name);
	free(c->list);
	memset(c, 0, sizeof(*c));
}

/* Takes the name of `ref`. */
static int changes_add(struct pfs_changes *c, struct node_ref *ref, bool present,
		       struct pfs_error *err)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct pfs_change *list = realloc(c->list, cap * sizeof(*list));

		if (!list)
			return pfs_fail_nomem(err, "the changes of a directory");
		c->list = list;
		c->cap = cap;
	}
	c->list[c->n++] = (struct pfs_change){ .name = (char *)ref->e.name,
					       .name_len = ref->e.name_len,
					       .present = present,
					       .e = ref->e };
	ref->e.name = NULL;
	return 0;
}

static void change_name(const struct pfs_changes *in, size_t i, const char **name, size_t *len)
{
	*name = in->edits ? in->edits[i].name : in->list[i].name;
	*len = in->edits ? in->edits[i].name_len : in->list[i].name_len;
}

/* 1 and the new item, 0 when the name goes. */
static int change_item(const struct pfs_changes *in, size_t i, struct pfs_treenode_entry *out,
		       struct pfs_error *err)
{
	int rc;

	if (in->edits) {
		if (!in->edits[i].entry)
			return 0;
		rc = pfs_entry_to_node(in->edits[i].entry, in->edits[i].name, in->edits[i].name_len,
				       out, err);
		return rc < 0 ? rc : 1;
	}
	if (in->list[i].present)
		*out = in->list[i].e;
	return in->list[i].present;
}

static void zone_fini(struct zone *z)
{
	pfs_split_fini(&z->split);
	for (size_t i = 0; i < z->n; i++)
		free(z->pending[i].hold);
	free(z->entries);
	free(z->pending);
	refs_fini(&z->old);
	refs_fini(&z->fresh);
	pfs_buf_fini(&z->bytes);
}

static uint64_t priority_of(const struct zone *z, const char *name, size_t name_len)
{
	return pfs_siphash(pfs_store_keys(z->l->st)->tree_key, (uint8_t)z->l->level, name,
			   name_len);
}

/* --- new nodes ---------------------------------------------------------- */

static int put_batch(struct zone *z, struct pfs_error *err)
{
	struct pfs_store_item items[BATCH_NODES];
	int rc;

	for (size_t i = 0, start = 0; i < z->batch; start = z->ends[i++])
		items[i] = (struct pfs_store_item){
			.data = z->bytes.data + start,
			.len = z->ends[i] - start,
			.near = z->near[i] ? &z->old.items[z->near[i] - 1].e.id : NULL,
		};
	rc = z->batch ? pfs_store_put_batch(z->l->st, PFS_KIND_DIRNODE, items, z->batch, err) : 0;
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < z->batch; i++)
		z->fresh.items[z->fresh_at[i]].e.id = items[i].id;
	z->batch = 0;
	pfs_buf_clear(&z->bytes);
	return 0;
}

/* The old node that the first `n` pending items are, all of it and nothing else; or NULL. */
static const struct node_ref *same_as_old(const struct zone *z, size_t n, unsigned flags)
{
	uint32_t from = z->pending[0].from;
	const struct node_ref *old;

	if (from == 0)
		return NULL;
	old = &z->old.items[from - 1];
	if (old->count != n || old->flags != flags)
		return NULL;
	for (size_t i = 1; i < n; i++)
		if (z->pending[i].from != from)
			return NULL;
	return old;
}

static int encode_node(struct zone *z, size_t n, unsigned flags, struct pfs_error *err)
{
	const struct pfs_treenode_entry *last = &z->entries[n - 1];
	size_t start = z->bytes.len;
	struct node_ref ref = { .e = { .name = last->name, .name_len = last->name_len } };
	struct pfs_treenode node;
	int rc;

	rc = pfs_treenode_encode(z->entries, n, z->l->level, flags, &z->bytes, err);
	if (rc == 0)
		rc = pfs_treenode_open(z->bytes.data + start, z->bytes.len - start, &node, err);
	if (rc < 0)
		return rc;
	ref.e.direct = node.direct;
	ref.e.entries = node.entries;
	ref.e.below_bytes = node.bytes;
	rc = refs_add(&z->fresh, &ref, err);
	if (rc < 0)
		return rc;
	z->ends[z->batch] = z->bytes.len;
	z->near[z->batch] = z->pending[n / 2].near;
	z->fresh_at[z->batch++] = z->fresh.n - 1;
	return z->batch == BATCH_NODES ? put_batch(z, err) : 0;
}

/* The first `n` pending items are a node. */
static int emit_node(struct zone *z, size_t n, bool forced, struct pfs_error *err)
{
	unsigned flags = forced ? PFS_TREENODE_FORCED : 0;
	const struct node_ref *old = same_as_old(z, n, flags);
	int rc;

	assert(n > 0 && n <= z->n);
	rc = old ? refs_add(&z->fresh, old, err) : encode_node(z, n, flags, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		free(z->pending[i].hold);
	z->n -= n;
	memmove(z->entries, z->entries + n, z->n * sizeof(*z->entries));
	memmove(z->pending, z->pending + n, z->n * sizeof(*z->pending));
	return 0;
}

static int emit_certain(struct zone *z, struct pfs_error *err)
{
	size_t n;
	bool forced;
	int rc = 0;

	while (rc == 0 && pfs_split_next(&z->split, &n, &forced))
		rc = emit_node(z, n, forced, err);
	return rc;
}

/* --- items -------------------------------------------------------------- */

static int make_room(struct zone *z, struct pfs_error *err)
{
	size_t cap = z->cap ? 2 * z->cap : 512;
	struct pfs_treenode_entry *entries;
	struct pending *pending;

	if (z->n < z->cap)
		return 0;
	entries = realloc(z->entries, cap * sizeof(*entries));
	if (entries)
		z->entries = entries;
	pending = realloc(z->pending, cap * sizeof(*pending));
	if (pending)
		z->pending = pending;
	if (!entries || !pending)
		return pfs_fail_nomem(err, "a directory node");
	z->cap = cap;
	return 0;
}

/* Old items live in a node that is about to be let go: copy what they borrow. */
static char *copy_borrowed(struct pfs_treenode_entry *e)
{
	size_t bytes = e->bytes ? e->size : 0;
	char *hold = malloc(e->name_len + bytes + 1);

	if (!hold)
		return NULL;
	memcpy(hold, e->name, e->name_len);
	e->name = hold;
	if (e->bytes) {
		memcpy(hold + e->name_len, e->bytes, bytes);
		e->bytes = (unsigned char *)hold + e->name_len;
	}
	return hold;
}

/* `from` as in struct pending; new items are borrowed, old ones copied. */
static int append_item(struct zone *z, const struct pfs_treenode_entry *e, uint32_t from,
		       struct pfs_error *err)
{
	int rc = make_room(z, err);

	if (rc < 0)
		return rc;
	z->entries[z->n] = *e;
	z->pending[z->n] = (struct pending){ .from = from, .near = (uint32_t)z->old.n };
	if (from) {
		z->pending[z->n].hold = copy_borrowed(&z->entries[z->n]);
		if (!z->pending[z->n].hold)
			return pfs_fail_nomem(err, "a directory entry");
	}
	z->n++;
	return 0;
}

static int add_item(struct zone *z, const struct pfs_treenode_entry *e, uint32_t from,
		    struct pfs_error *err)
{
	uint64_t weight = pfs_treenode_weight(e, z->l->level);
	int rc = append_item(z, e, from, err);

	if (rc < 0)
		return rc;
	z->since += weight;
	rc = pfs_split_add(&z->split, weight, priority_of(z, e->name, e->name_len), err);
	return rc < 0 ? rc : emit_certain(z, err);
}

/* Apply the changes before `name` (all: NULL); *same tells that the next one is of this very name. */
static int apply_before(struct zone *z, const char *name, size_t name_len, bool *same,
			struct pfs_error *err)
{
	*same = false;
	for (; *z->next < z->in->n; ++*z->next) {
		struct pfs_treenode_entry e;
		const char *change;
		size_t len;
		int rc, c = -1;

		change_name(z->in, *z->next, &change, &len);
		if (name)
			c = pfs_treenode_name_compare(change, len, name, name_len);
		if (c >= 0) {
			*same = c == 0;
			return 0;
		}
		rc = change_item(z->in, *z->next, &e, err);
		if (rc > 0)
			rc = add_item(z, &e, 0, err);
		if (rc < 0)
			return rc;
		z->since = 0;
	}
	return 0;
}

static int merge_old_item(struct zone *z, const struct pfs_treenode_entry *old, uint32_t from,
			  struct pfs_error *err)
{
	struct pfs_treenode_entry e;
	bool same;
	int rc;

	rc = apply_before(z, old->name, old->name_len, &same, err);
	if (rc < 0)
		return rc;
	if (!same)
		return add_item(z, old, from, err);
	rc = change_item(z->in, (*z->next)++, &e, err);
	if (rc > 0)
		rc = add_item(z, &e, 0, err);
	z->since = 0;
	return rc;
}

/* --- zones -------------------------------------------------------------- */

static int note_old_node(struct zone *z, const struct pfs_walk_frame *f, struct pfs_error *err)
{
	struct node_ref ref = { .count = f->node.count, .flags = f->node.flags };

	if (z->l->level < z->l->old->root_level)
		ref.e = *pfs_walk_node_item(z->l->old, z->l->level);
	else /* nobody above asks for the root */
		ref = (struct node_ref){ .e.name = "", .e.id = f->id };
	return refs_add(&z->old, &ref, err);
}

/* Names of nodes follow one another, and each node ends with the name its parent knows. */
static int check_place(const struct zone *z, const struct pfs_treenode_iter *it, bool at_end,
		       struct pfs_error *err)
{
	const struct pfs_treenode_entry *bound;
	int c;

	if (z->l->level == z->l->old->root_level || (!at_end && z->old.n < 2))
		return 0;
	bound = &z->old.items[z->old.n - (at_end ? 1 : 2)].e;
	c = pfs_treenode_name_compare(it->name, it->name_len, bound->name, bound->name_len);
	if (at_end ? c == 0 : c > 0)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "directory: \"%.*s\" is not in its place between nodes",
			(int)it->name_len, it->name);
}

static int merge_old_node(struct zone *z, unsigned *out_flags, bool last, struct pfs_error *err)
{
	struct pfs_walk_frame *f;
	bool same;
	int rc;

	rc = pfs_walk_node_open(z->l->old, z->l->level, &f, err);
	if (rc == 0)
		rc = note_old_node(z, f, err);
	if (rc < 0)
		return rc;
	*out_flags = f->node.flags;
	while ((rc = pfs_treenode_iter_next(&f->it, err)) > 0) {
		rc = f->it.index == 1 ? check_place(z, &f->it, false, err) : 0;
		if (rc == 0)
			rc = merge_old_item(z, &f->it.e, (uint32_t)z->old.n, err);
		if (rc < 0)
			return rc;
	}
	if (rc == 0)
		rc = check_place(z, &f->it, true, err);
	return rc == 0 && last ? apply_before(z, NULL, 0, &same, err) : rc;
}

/* Weight of the items before `name` in the node stood at. */
static int weight_before(struct pfs_level *l, const char *name, size_t name_len, uint64_t *out,
			 unsigned *out_flags, struct pfs_error *err)
{
	struct pfs_walk_frame *f;
	uint64_t weight = 0;
	int rc;

	rc = pfs_walk_node_open(l->old, l->level, &f, err);
	if (rc < 0)
		return rc;
	while ((rc = pfs_treenode_iter_next(&f->it, err)) > 0) {
		if (name &&
		    pfs_treenode_name_compare(f->it.name, f->it.name_len, name, name_len) >= 0)
			break;
		weight += pfs_treenode_weight(&f->it.e, l->level);
	}
	*out = weight;
	*out_flags = f->node.flags;
	return rc < 0 ? rc : 0;
}

/*
 * Stand at the node where the zone of the next change has to begin: behind a
 * boundary with a reach of unchanged weight on its right side. *out_before
 * is the item of the node that ends there; NULL at the start of the level.
 */
static int find_start(struct zone *z, const struct pfs_treenode_entry **out_before,
		      struct pfs_error *err)
{
	struct pfs_level *l = z->l;
	uint64_t ahead, more;
	unsigned flags;
	const char *name;
	size_t len;
	int rc;

	change_name(z->in, *z->next, &name, &len);
	rc = pfs_walk_node_seek(l->old, l->level, name, len, err);
	if (rc == 0)
		rc = weight_before(l, name, len, &ahead, &flags, err);
	for (; rc == 0; ahead += more) {
		rc = pfs_walk_node_prev(l->old, l->level, err);
		if (rc == 0) {
			*out_before = NULL;
			return 0;
		}
		if (rc > 0)
			rc = weight_before(l, NULL, 0, &more, &flags, err);
		if (rc == 0 && ahead >= PFS_SPLIT_REACH && !(flags & PFS_TREENODE_FORCED)) {
			*out_before = pfs_walk_node_item(l->old, l->level);
			return 0;
		}
	}
	return rc;
}

/*
 * Whether no change is within reach behind the boundary at the end of the node
 * stood at. Moves to the next node: 1 when the zone may end, 0 when it goes on.
 */
static int next_is_far(struct zone *z, struct pfs_error *err)
{
	struct pfs_level *l = z->l;
	const struct pfs_treenode_entry *item;
	const char *name;
	uint64_t weight;
	unsigned flags;
	size_t len;
	int rc;

	if (*z->next == z->in->n)
		return 1;
	rc = pfs_walk_node_next(l->old, l->level, err);
	if (rc < 0)
		return rc;
	change_name(z->in, *z->next, &name, &len);
	item = pfs_walk_node_item(l->old, l->level);
	/* A node behind a boundary and before another node weighs more than a reach. */
	if (!pfs_walk_node_is_last(l->old, l->level) &&
	    pfs_treenode_name_compare(name, len, item->name, item->name_len) > 0)
		return 1;
	rc = weight_before(l, name, len, &weight, &flags, err);
	return rc < 0 ? rc : weight >= PFS_SPLIT_REACH;
}

/* Behind the node just merged: 1 when the zone ends there, 0 and at the next node when it goes on. */
static int step(struct zone *z, unsigned flags, bool whole, struct pfs_error *err)
{
	bool may_end = !whole && !(flags & PFS_TREENODE_FORCED) && z->since > PFS_SPLIT_REACH &&
		       (!z->at_start || z->split.pos >= PFS_SPLIT_REACH);
	int rc;

	if (may_end)
		return next_is_far(z, err);
	rc = pfs_walk_node_next(z->l->old, z->l->level, err);
	return rc < 0 ? rc : 0;
}

static int end_zone(struct zone *z, bool at_boundary, struct pfs_error *err)
{
	int rc;

	z->l->covered = z->at_start && !at_boundary;
	pfs_split_finish(&z->split, at_boundary);
	rc = emit_certain(z, err);
	return rc < 0 ? rc : put_batch(z, err);
}

/* From the node stood at to where the zone ends. */
static int run_zone(struct zone *z, bool whole, struct pfs_error *err)
{
	struct pfs_level *l = z->l;
	bool last = false;
	unsigned flags;
	int rc = 0;

	while (rc == 0 && !last) {
		last = pfs_walk_node_is_last(l->old, l->level);
		rc = merge_old_node(z, &flags, last, err);
		if (rc == 0 && !last)
			rc = step(z, flags, whole, err);
	}
	return rc < 0 ? rc : end_zone(z, rc > 0, err);
}

/* What the level above has to change, now that `old` nodes became `fresh` ones. */
static int report(struct zone *z, struct pfs_error *err)
{
	struct pfs_level *l = z->l;
	bool above = l->exists && l->level < l->old->root_level;
	size_t i = 0, j = 0, old_n = above ? z->old.n : 0;
	int rc = 0;

	l->removed += z->old.n;
	l->added += z->fresh.n;
	if (z->fresh.n > 0)
		l->first = z->fresh.items[0].e.id;
	while (rc == 0 && (i < old_n || j < z->fresh.n)) {
		struct node_ref *o = i < old_n ? &z->old.items[i] : NULL;
		struct node_ref *f = j < z->fresh.n ? &z->fresh.items[j] : NULL;
		int c = !o   ? 1
			: !f ? -1
			     : pfs_treenode_name_compare(o->e.name, o->e.name_len, f->e.name,
							 f->e.name_len);

		if (c < 0)
			rc = changes_add(&l->above, o, false, err);
		else if (c > 0 || !pfs_id_equal(&o->e.id, &f->e.id))
			rc = changes_add(&l->above, f, true, err);
		i += c <= 0;
		j += c >= 0;
	}
	return rc;
}

static int apply_zone(struct pfs_level *l, const struct pfs_changes *in, size_t *next, bool whole,
		      struct pfs_error *err)
{
	PFS_AUTO(zone_fini)
	struct zone z = { .l = l, .in = in, .next = next, .bytes = PFS_BUF_INIT(SIZE_MAX / 2) };
	const struct pfs_treenode_entry *before = NULL;
	bool same;
	int rc = 0;

	if (whole)
		rc = l->exists ? pfs_walk_node_first(l->old, l->level, err) : 0;
	else if (l->exists)
		rc = find_start(&z, &before, err);
	if (rc < 0)
		return rc;
	z.at_start = !before;
	if (!before) {
		pfs_split_init(&z.split);
	} else {
		rc = pfs_split_init_after(&z.split, priority_of(&z, before->name, before->name_len),
					  err);
		if (rc == 0)
			rc = pfs_walk_node_next(l->old, l->level, err);
		if (rc < 0)
			return rc;
	}
	if (l->exists) {
		rc = run_zone(&z, whole, err);
	} else {
		rc = apply_before(&z, NULL, 0, &same, err);
		if (rc == 0)
			rc = end_zone(&z, false, err);
	}
	return rc < 0 ? rc : report(&z, err);
}

/* --- in place ------------------------------------------------------------ */

/*
 * The node stood at with its changes: 1, or 0 when one of them is more than
 * another entry of the same weight under an old name.
 */
static int take_in_place(struct zone *z, struct pfs_error *err)
{
	struct pfs_level *l = z->l;
	size_t first = *z->next;
	struct pfs_walk_frame *f;
	int rc = pfs_walk_node_open(l->old, l->level, &f, err);

	if (rc == 0)
		rc = note_old_node(z, f, err);
	while (rc >= 0 && (rc = pfs_treenode_iter_next(&f->it, err)) > 0) {
		struct pfs_treenode_entry e = f->it.e;
		uint32_t from = (uint32_t)z->old.n;
		const char *name;
		size_t len;
		int c = 1;

		if (*z->next < z->in->n) {
			change_name(z->in, *z->next, &name, &len);
			c = pfs_treenode_name_compare(name, len, f->it.name, f->it.name_len);
		}
		if (c < 0)
			return 0;
		if (c == 0) {
			rc = change_item(z->in, (*z->next)++, &e, err);
			if (rc <= 0)
				return rc;
			if (pfs_treenode_weight(&e, l->level) !=
			    pfs_treenode_weight(&f->it.e, l->level))
				return 0;
			from = 0;
		}
		rc = append_item(z, &e, from, err);
	}
	if (rc == 0)
		rc = check_place(z, &f->it, true, err);
	return rc < 0 ? rc : *z->next > first;
}

/*
 * Boundaries depend on names and weights. Where a few changes leave both as
 * they are, every node that holds one is written again, and no other is read:
 * 1, or 0 when there is more to do.
 */
static int apply_in_place(struct pfs_level *l, const struct pfs_changes *in, struct pfs_error *err)
{
	size_t next = 0;
	PFS_AUTO(zone_fini)
	struct zone z = { .l = l, .in = in, .next = &next, .bytes = PFS_BUF_INIT(SIZE_MAX / 2) };
	int rc = 1;

	while (rc > 0 && next < in->n) {
		const char *name;
		size_t len;

		change_name(in, next, &name, &len);
		rc = pfs_walk_node_seek(l->old, l->level, name, len, err);
		if (rc == 0)
			rc = take_in_place(&z, err);
		if (rc <= 0)
			return rc;
		rc = encode_node(&z, z.n, l->old->frames[l->level].node.flags, err);
		for (size_t i = 0; i < z.n; i++)
			free(z.pending[i].hold);
		z.n = 0;
		rc = rc < 0 ? rc : 1;
	}
	rc = rc < 0 ? rc : put_batch(&z, err);
	if (rc == 0)
		rc = report(&z, err);
	return rc < 0 ? rc : 1;
}

/* --- the door ------------------------------------------------------------ */

int pfs_level_apply(struct pfs_level *l, const struct pfs_changes *in, bool whole,
		    struct pfs_error *err)
{
	size_t next = 0;
	int rc = 0;

	pfs_changes_fini(&l->above);
	l->removed = l->added = 0;
	l->covered = l->in_place = false;
	if (!whole && l->exists && in->n < BATCH_NODES) {
		rc = apply_in_place(l, in, err);
		l->in_place = rc > 0;
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	while (rc == 0 && next < in->n) {
		rc = apply_zone(l, in, &next, whole || !l->exists, err);
		if (whole || !l->exists)
			break;
	}
	return rc;
}
