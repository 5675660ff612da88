#include "tree/seqlevel.h"
#include "tree/sequence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* An old node that a zone took in. */
struct old_node {
	uint64_t start;
	struct pfs_id id;
	unsigned count, flags;
};

struct pfs_seqzone {
	uint64_t from;  /* where it begins */
	uint64_t pos;   /* old items before it are taken in or gone */
	uint64_t since; /* weight since the last change */
	bool at_start;  /* of the level */
	bool in_change; /* between open and close */
	struct pfs_split split;

	struct pfs_seqnode_entry *entries; /* not yet in a node ... */
	uint32_t *sources; /* ... and the old node each comes from, from 1; 0: new */
	size_t n, cap;

	struct old_node *nodes;
	size_t n_nodes, nodes_cap;
	size_t change; /* ours, in l->above */
};

static void zone_free(struct pfs_seqzone **z)
{
	if (!*z)
		return;
	pfs_split_fini(&(*z)->split);
	free((*z)->entries);
	free((*z)->sources);
	free((*z)->nodes);
	free(*z);
	*z = NULL;
}

void pfs_seqchanges_fini(struct pfs_seqchanges *c)
{
	free(c->list);
	free(c->items);
	memset(c, 0, sizeof(*c));
}

void pfs_seqlevel_init(struct pfs_seqlevel *l, struct pfs_store *st, struct pfs_seqwalk *old,
		       unsigned level)
{
	memset(l, 0, sizeof(*l));
	l->st = st;
	l->old = old;
	l->level = level;
}

void pfs_seqlevel_fini(struct pfs_seqlevel *l)
{
	zone_free(&l->zone);
	pfs_seqchanges_fini(&l->above);
}

static uint64_t file_size(const struct pfs_seqlevel *l)
{
	return l->old->frames[l->old->root_level].node.bytes;
}

/* Room for one more of `size` in a vector of `n`. */
static int grow(void *vec, size_t n, size_t *cap, size_t size, struct pfs_error *err)
{
	size_t want = *cap ? 2 * *cap : 16;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*(void **)vec, want * size);
	if (!p)
		return pfs_fail_nomem(err, "the nodes of a file");
	*(void **)vec = p;
	*cap = want;
	return 0;
}

/* --- new nodes ---------------------------------------------------------- */

/* The old node that the first `n` items are, all of it and nothing else; or NULL. */
static const struct old_node *same_as_old(const struct pfs_seqzone *z, size_t n, unsigned flags)
{
	const struct old_node *old;
	uint32_t source = z->sources[0];

	if (source == 0)
		return NULL;
	old = &z->nodes[source - 1];
	if (old->count != n || old->flags != flags)
		return NULL;
	for (size_t i = 1; i < n; i++)
		if (z->sources[i] != source)
			return NULL;
	return old;
}

/* The first `n` items are a node. */
static int emit_node(struct pfs_seqlevel *l, size_t n, bool forced, struct pfs_error *err)
{
	struct pfs_seqzone *z = l->zone;
	unsigned flags = forced ? PFS_SEQNODE_FORCED : 0;
	const struct old_node *old = same_as_old(z, n, flags);
	struct pfs_seqchanges *above = &l->above;
	uint32_t source = z->sources[n / 2];
	int rc;

	assert(n > 0 && n <= z->n);
	rc = grow(&above->items, above->n_items, &above->items_cap, sizeof(*above->items), err);
	if (rc < 0)
		return rc;
	if (old && l->level < l->old->root_level) {
		rc = pfs_seqwalk_seek(l->old, l->level + 1, old->start, err);
		above->items[above->n_items] = *pfs_seqwalk_item(l->old, l->level + 1);
	} else {
		source = source ? source : (uint32_t)z->n_nodes;
		rc = pfs_sequence_put_node(l->st, z->entries, n, l->level, flags,
					   source ? &z->nodes[source - 1].id : NULL,
					   &above->items[above->n_items], err);
	}
	if (rc < 0)
		return rc;
	above->n_items++;
	above->list[z->change].n++;
	z->n -= n;
	memmove(z->entries, z->entries + n, z->n * sizeof(*z->entries));
	memmove(z->sources, z->sources + n, z->n * sizeof(*z->sources));
	return 0;
}

static int emit_certain(struct pfs_seqlevel *l, struct pfs_error *err)
{
	size_t n;
	bool forced;
	int rc = 0;

	while (rc == 0 && pfs_split_next(&l->zone->split, &n, &forced))
		rc = emit_node(l, n, forced, err);
	return rc;
}

static int make_room(struct pfs_seqzone *z, struct pfs_error *err)
{
	size_t cap = z->cap ? 2 * z->cap : 512;
	struct pfs_seqnode_entry *entries;
	uint32_t *sources;

	if (z->n < z->cap)
		return 0;
	entries = realloc(z->entries, cap * sizeof(*entries));
	if (entries)
		z->entries = entries;
	sources = realloc(z->sources, cap * sizeof(*sources));
	if (sources)
		z->sources = sources;
	if (!entries || !sources)
		return pfs_fail_nomem(err, "a sequence node");
	z->cap = cap;
	return 0;
}

static int add_item(struct pfs_seqlevel *l, const struct pfs_seqnode_entry *e, uint32_t source,
		    struct pfs_error *err)
{
	struct pfs_seqzone *z = l->zone;
	uint64_t weight = pfs_seqnode_weight(e);
	int rc = make_room(z, err);

	if (rc < 0)
		return rc;
	z->entries[z->n] = *e;
	z->sources[z->n++] = source;
	z->since += weight;
	rc = pfs_split_add(&z->split, weight, pfs_sequence_priority(l->st, l->level, e->last_seed),
			   err);
	return rc < 0 ? rc : emit_certain(l, err);
}

/* --- zones -------------------------------------------------------------- */

/* The node of our level that holds `off`, which is below the size of the file. */
static int node_at(struct pfs_seqlevel *l, uint64_t off, const struct pfs_seqwalk_frame **out,
		   struct pfs_error *err)
{
	int rc = pfs_seqwalk_seek(l->old, l->level, off, err);

	*out = &l->old->frames[l->level];
	return rc;
}

static uint64_t node_end(const struct pfs_seqwalk_frame *f)
{
	return f->start + f->node.bytes;
}

/* Weight of the items of the node that lie before `off`. */
static int weight_before(const struct pfs_seqwalk_frame *f, uint64_t off, uint64_t *out,
			 struct pfs_error *err)
{
	struct pfs_seqnode_iter it;
	uint64_t weight = 0;
	int rc;

	pfs_seqnode_iter_init(&it, &f->node);
	while ((rc = pfs_seqnode_iter_next(&it, err)) > 0 && f->start + it.start < off)
		weight += pfs_seqnode_weight(&it.e);
	*out = weight;
	return rc < 0 ? rc : 0;
}

/*
 * Where the zone of a change at `from` has to begin: at the start of the level
 * or behind a boundary with a reach of unchanged weight on its right side;
 * *out_seed is then that of the item before it.
 */
static int find_start(struct pfs_seqlevel *l, uint64_t from, uint64_t *out_start,
		      uint64_t *out_seed, struct pfs_error *err)
{
	uint64_t size = file_size(l), ahead = 0, more;
	const struct pfs_seqwalk_frame *f;
	int rc = node_at(l, from < size ? from : size - 1, &f, err);

	while (rc == 0) {
		uint64_t start = f->start;

		rc = weight_before(f, from, &more, err);
		ahead += more;
		*out_start = start;
		if (rc < 0 || start == 0)
			return rc;
		rc = node_at(l, start - 1, &f, err);
		if (rc == 0 && ahead >= PFS_SPLIT_REACH && !(f->node.flags & PFS_SEQNODE_FORCED)) {
			*out_seed = pfs_seqwalk_item(l->old, l->level)->last_seed;
			return 0;
		}
	}
	return rc;
}

static int begin_zone(struct pfs_seqlevel *l, uint64_t from, struct pfs_error *err)
{
	struct pfs_seqchanges *above = &l->above;
	struct pfs_seqzone *z = calloc(1, sizeof(*z));
	uint64_t seed = 0;
	int rc;

	if (!z)
		return pfs_fail_nomem(err, "the nodes of a file");
	l->zone = z;
	rc = find_start(l, from, &z->from, &seed, err);
	if (rc == 0)
		rc = grow(&above->list, above->n, &above->cap, sizeof(*above->list), err);
	if (rc < 0)
		return rc;
	z->pos = z->from;
	z->at_start = z->from == 0;
	z->change = above->n++;
	above->list[z->change] = (struct pfs_seqchange){ .from = z->from, .first = above->n_items };
	if (!z->at_start)
		return pfs_split_init_after(&z->split, pfs_sequence_priority(l->st, l->level, seed),
					    err);
	pfs_split_init(&z->split);
	return 0;
}

/* Nodes at both ends of the zone that are what they were are no change for the level above. */
static int trim(struct pfs_seqlevel *l, struct pfs_error *err)
{
	struct pfs_seqchange *c = &l->above.list[l->zone->change];
	struct pfs_seqnode_entry *items = l->above.items + c->first;
	unsigned up = l->level + 1;
	int rc = 0;

	if (l->level == l->old->root_level)
		return 0;
	while (rc == 0 && c->n > 0 && c->from < c->to) {
		rc = pfs_seqwalk_seek(l->old, up, c->from, err);
		if (rc < 0 || !pfs_id_equal(&pfs_seqwalk_item(l->old, up)->id, &items->id))
			break;
		c->from = pfs_seqwalk_end(l->old, up);
		c->first++;
		c->n--;
		items++;
	}
	while (rc == 0 && c->n > 0 && c->from < c->to) {
		rc = pfs_seqwalk_seek(l->old, up, c->to - 1, err);
		if (rc < 0 || !pfs_id_equal(&pfs_seqwalk_item(l->old, up)->id, &items[c->n - 1].id))
			break;
		c->to = pfs_seqwalk_start(l->old, up);
		c->n--;
	}
	return rc;
}

/* The zone ends at z->pos, at a boundary or at the end of the level. */
static int end_zone(struct pfs_seqlevel *l, bool at_boundary, struct pfs_error *err)
{
	struct pfs_seqzone *z = l->zone;
	struct pfs_seqchange *c = &l->above.list[z->change];
	int rc;

	pfs_split_finish(&z->split, at_boundary);
	rc = emit_certain(l, err);
	if (rc < 0)
		return rc;
	c->to = z->pos;
	l->heavy |= z->split.pos > PFS_SPLIT_SINGLE;
	l->covered = z->at_start && !at_boundary;
	rc = l->covered ? 0 : trim(l, err);
	if (rc == 0 && !l->covered && c->n == 0 && c->from == c->to)
		l->above.n--;
	zone_free(&l->zone);
	return rc;
}

static int note_node(struct pfs_seqzone *z, const struct pfs_seqwalk_frame *f,
		     struct pfs_error *err)
{
	int rc = grow(&z->nodes, z->n_nodes, &z->nodes_cap, sizeof(*z->nodes), err);

	if (rc == 0)
		z->nodes[z->n_nodes++] =
			(struct old_node){ f->start, f->id, f->node.count, f->node.flags };
	return rc;
}

/* Take in the old items of the node at z->pos, up to `until`. */
static int take_node(struct pfs_seqlevel *l, uint64_t until, bool *out_forced,
		     struct pfs_error *err)
{
	struct pfs_seqzone *z = l->zone;
	const struct pfs_seqwalk_frame *f;
	PFS_AUTO(pfs_object_unref) const struct pfs_object *hold = NULL;
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it;
	uint64_t start, end;
	int rc = node_at(l, z->pos, &f, err);

	if (rc == 0)
		rc = note_node(z, f, err);
	if (rc < 0)
		return rc;
	/* Emitting nodes moves the walk. */
	hold = pfs_object_ref(f->hold);
	node = f->node;
	start = f->start;
	end = node_end(f) < until ? node_end(f) : until;
	*out_forced = node.flags & PFS_SEQNODE_FORCED;
	pfs_seqnode_iter_init(&it, &node);
	rc = pfs_seqnode_iter_seek(&it, z->pos - start, err);
	if (rc == 0 && start + it.start != z->pos)
		rc = pfs_fail(err, PFS_E_INVALID, "a change of a file ends inside an item");
	while (rc >= 0 && z->pos < end) {
		rc = add_item(l, &it.e, (uint32_t)z->n_nodes, err);
		z->pos = start + it.next;
		if (rc == 0)
			rc = pfs_seqnode_iter_next(&it, err);
	}
	return rc < 0 ? rc : 0;
}

/* Whether a reach of unchanged weight lies between z->pos, where a node begins, and `next`. */
static int is_far(struct pfs_seqlevel *l, uint64_t next, struct pfs_error *err)
{
	const struct pfs_seqwalk_frame *f;
	uint64_t weight;
	int rc;

	if (next == UINT64_MAX)
		return 1;
	rc = node_at(l, l->zone->pos, &f, err);
	if (rc < 0)
		return rc;
	/* A node behind a boundary and before another node weighs more than a reach. */
	if (node_end(f) < file_size(l) && next >= node_end(f))
		return 1;
	rc = weight_before(f, next, &weight, err);
	return rc < 0 ? rc : weight >= PFS_SPLIT_REACH;
}

/*
 * Take in old nodes until the zone may end, or up to `next`, where the next
 * change begins (UINT64_MAX: there is none).
 */
static int go_on(struct pfs_seqlevel *l, uint64_t next, bool may_end, struct pfs_error *err)
{
	struct pfs_seqzone *z = l->zone;
	uint64_t size = file_size(l), until = next < size ? next : size;
	int rc = 0;

	while (rc == 0 && z->pos < until) {
		const struct pfs_seqwalk_frame *f;
		uint64_t end;
		bool forced = false;

		rc = node_at(l, z->pos, &f, err);
		end = node_end(f);
		if (rc == 0)
			rc = take_node(l, until, &forced, err);
		if (rc < 0 || !may_end || z->pos < end || z->pos == size || forced ||
		    z->since <= PFS_SPLIT_REACH || (z->at_start && z->split.pos < PFS_SPLIT_REACH))
			continue;
		rc = is_far(l, next, err);
		if (rc > 0)
			return end_zone(l, true, err);
	}
	return rc < 0 || next != UINT64_MAX ? rc : end_zone(l, false, err);
}

/* --- in place ------------------------------------------------------------ */

/* Whether every change puts as many items in the place of old ones, with the seeds of those. */
static int same_seeds(struct pfs_seqlevel *l, const struct pfs_seqchanges *in,
		      struct pfs_error *err)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct pfs_seqchange *c = &in->list[i];
		uint64_t pos = c->from;

		for (size_t k = 0; k < c->n; k++) {
			int rc = pos < c->to ? pfs_seqwalk_seek(l->old, l->level, pos, err) : 1;

			if (rc != 0)
				return rc < 0 ? rc : 0;
			if (pfs_seqwalk_item(l->old, l->level)->last_seed !=
			    in->items[c->first + k].last_seed)
				return 0;
			pos = pfs_seqwalk_end(l->old, l->level);
		}
		if (pos != c->to)
			return 0;
	}
	return 1;
}

/* Note that the node stood at is another one now. */
static int add_above(struct pfs_seqlevel *l, const struct pfs_seqwalk_frame *f,
		     const struct pfs_seqnode_entry *e, struct pfs_error *err)
{
	struct pfs_seqchanges *above = &l->above;
	int rc = grow(&above->list, above->n, &above->cap, sizeof(*above->list), err);

	if (rc == 0)
		rc = grow(&above->items, above->n_items, &above->items_cap, sizeof(*above->items),
			  err);
	if (rc < 0)
		return rc;
	above->list[above->n++] = (struct pfs_seqchange){
		.from = f->start, .to = node_end(f), .first = above->n_items, .n = 1
	};
	above->items[above->n_items++] = *e;
	return 0;
}

/* Where in the changes we are. */
struct place {
	const struct pfs_seqchanges *in;
	size_t change, item;
	uint64_t pos; /* of the old item that is next to go; UINT64_MAX: none */
};

static const struct pfs_seqnode_entry *take_new(struct place *p, uint64_t next_pos)
{
	const struct pfs_seqchange *c = &p->in->list[p->change];
	const struct pfs_seqnode_entry *e = &p->in->items[c->first + p->item++];

	p->pos = next_pos;
	if (p->item == c->n) {
		p->item = 0;
		p->pos = ++p->change < p->in->n ? c[1].from : UINT64_MAX;
	}
	return e;
}

/* The node that holds p->pos, with its changes. */
static int rewrite_node(struct pfs_seqlevel *l, struct place *p, struct pfs_error *err)
{
	const struct pfs_seqwalk_frame *f;
	struct pfs_seqnode_entry *entries, e;
	struct pfs_seqnode_iter it;
	size_t n = 0;
	int rc = node_at(l, p->pos, &f, err);

	if (rc < 0)
		return rc;
	entries = malloc(f->node.count * sizeof(*entries));
	if (!entries)
		return pfs_fail_nomem(err, "a sequence node");
	pfs_seqnode_iter_init(&it, &f->node);
	while ((rc = pfs_seqnode_iter_next(&it, err)) > 0)
		entries[n++] =
			f->start + it.start == p->pos ? *take_new(p, f->start + it.next) : it.e;
	if (rc == 0)
		rc = pfs_sequence_put_node(l->st, entries, n, l->level, f->node.flags, &f->id, &e,
					   err);
	free(entries);
	return rc < 0 ? rc : add_above(l, f, &e, err);
}

int pfs_seqlevel_in_place(struct pfs_seqlevel *l, const struct pfs_seqchanges *in,
			  struct pfs_error *err)
{
	struct place p = { .in = in };
	int rc = l->level ? same_seeds(l, in, err) : 0;

	if (rc <= 0 || in->n == 0)
		return rc;
	p.pos = in->list[0].from;
	for (rc = 0; rc == 0 && p.pos != UINT64_MAX;)
		rc = rewrite_node(l, &p, err);
	l->heavy = true;
	l->covered = l->level == l->old->root_level;
	return rc < 0 ? rc : 1;
}

/* --- the door ----------------------------------------------------------- */

int pfs_seqlevel_open(struct pfs_seqlevel *l, uint64_t from, struct pfs_error *err)
{
	int rc = l->zone ? go_on(l, from, true, err) : 0;

	if (rc == 0 && !l->zone) {
		rc = begin_zone(l, from, err);
		if (rc == 0)
			rc = go_on(l, from, false, err);
	}
	if (rc == 0)
		l->zone->since = 0;
	return rc;
}

int pfs_seqlevel_add(struct pfs_seqlevel *l, const struct pfs_seqnode_entry *e,
		     struct pfs_error *err)
{
	int rc = add_item(l, e, 0, err);

	l->zone->since = 0;
	return rc;
}

int pfs_seqlevel_close(struct pfs_seqlevel *l, uint64_t to, struct pfs_error *err)
{
	if (to < l->zone->pos || to > file_size(l))
		return pfs_fail(err, PFS_E_INVALID,
				"a change of a file that ends before it begins");
	l->zone->pos = to;
	return 0;
}

int pfs_seqlevel_finish(struct pfs_seqlevel *l, struct pfs_error *err)
{
	return l->zone ? go_on(l, UINT64_MAX, true, err) : 0;
}
