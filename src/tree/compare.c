/*
 * What differs between two directories, without reading what is equal.
 *
 * A frame is one pair of directories; in it two walks go side by side. Where
 * both stand before equal nodes, at any level, both skip them; otherwise the
 * higher one descends, until names can be compared. Boundaries differ only
 * near changes, so the walks meet again a node or two behind each.
 *
 *	frames   a/  ──▶  a/b/  ──▶  a/b/c/      a stack on the heap: depth is
 *	                              ▲ here      data, not recursion
 */
#include "tree/walk.h"
#include "tree/tree.h"

#include <stdlib.h>
#include <string.h>

struct side {
	struct pfs_walk walk;
	bool has; /* the walk stands on an item that is not done with */
	size_t last_len;
	char last[PFS_NAME_SIZE_MAX]; /* the name passed last: order is checked across nodes */
};

struct frame {
	struct side a, b;
	size_t path_len; /* of the directory, with its slash */
};

struct pfs_compare {
	struct pfs_store *st;
	bool attributes;
	struct frame **frames;
	size_t depth, cap;
	struct pfs_buf path;
	bool enter; /* the difference handed out last is of directories: they come next */
	struct pfs_id enter_a, enter_b;
	struct pfs_entry was, is;
};

static void frame_free(struct frame *f)
{
	pfs_walk_fini(&f->a.walk);
	pfs_walk_fini(&f->b.walk);
	free(f);
}

static void side_init(struct side *s)
{
	s->has = false;
	s->last_len = 0;
}

/* Go into a pair of directories; the path is theirs, without a slash behind it. */
static int push_frame(struct pfs_compare *c, const struct pfs_id *a, const struct pfs_id *b,
		      struct pfs_error *err)
{
	struct frame *f;
	int rc = 0;

	if (c->depth == PFS_TREE_DEPTH_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "directories more than %u deep",
				PFS_TREE_DEPTH_MAX);
	if (c->depth == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct frame **frames = realloc(c->frames, cap * sizeof(struct frame *));

		if (!frames)
			return pfs_fail_nomem(err, "a comparison");
		c->frames = frames;
		c->cap = cap;
	}
	if (c->depth > 0)
		rc = pfs_buf_add(&c->path, "/", 1, err);
	f = rc == 0 ? malloc(sizeof(*f)) : NULL;
	if (!f)
		return rc < 0 ? rc : pfs_fail_nomem(err, "a comparison");
	f->path_len = c->path.len;
	side_init(&f->a);
	side_init(&f->b);
	rc = pfs_walk_init(&f->a.walk, c->st, a, err);
	if (rc == 0) {
		rc = pfs_walk_init(&f->b.walk, c->st, b, err);
		if (rc < 0)
			pfs_walk_fini(&f->a.walk);
	}
	if (rc < 0) {
		free(f);
		return rc;
	}
	c->frames[c->depth++] = f;
	return 0;
}

int pfs_compare_open(struct pfs_store *st, const struct pfs_id *a, const struct pfs_id *b,
		     bool attributes, struct pfs_compare **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_compare_close) struct pfs_compare *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return pfs_fail_nomem(err, "a comparison");
	c->st = st;
	c->attributes = attributes;
	pfs_buf_init(&c->path, (PFS_NAME_SIZE_MAX + 1) * (size_t)PFS_TREE_DEPTH_MAX);
	rc = pfs_id_equal(a, b) ? 0 : push_frame(c, a, b, err);
	if (rc < 0)
		return rc;
	*out = c;
	c = NULL;
	return 0;
}

void pfs_compare_close(struct pfs_compare **out)
{
	struct pfs_compare *c = *out;

	if (!c)
		return;
	while (c->depth > 0)
		frame_free(c->frames[--c->depth]);
	free(c->frames);
	pfs_buf_fini(&c->path);
	free(c);
	*out = NULL;
}

/* --- two walks side by side --------------------------------------------- */

/* The item stood at was passed; the next one has to be behind it. */
static void pass(struct side *s)
{
	const struct pfs_treenode_entry *e = pfs_walk_item(&s->walk);

	memcpy(s->last, e->name, e->name_len);
	s->last_len = e->name_len;
	s->has = false;
}

static int check_order(const struct side *s, struct pfs_error *err)
{
	const struct pfs_treenode_entry *e = pfs_walk_item(&s->walk);

	if (s->last_len &&
	    pfs_treenode_name_compare(s->last, s->last_len, e->name, e->name_len) >= 0)
		return pfs_fail(err, PFS_E_CORRUPT, "directory: names out of order between nodes");
	return 0;
}

/* Stand on an item, if there is one: 1, or 0 at the end. */
static int settle(struct side *s, struct pfs_error *err)
{
	int rc;

	if (s->has)
		return 1;
	rc = pfs_walk_next(&s->walk, err);
	if (rc <= 0)
		return rc;
	s->has = true;
	rc = check_order(s, err);
	return rc < 0 ? rc : 1;
}

static int descend(struct side *s, struct pfs_error *err)
{
	int rc = pfs_walk_descend(&s->walk, err);

	return rc < 0 ? rc : check_order(s, err);
}

/*
 * Bring both sides to level 0 entries that have to be compared, skipping equal
 * nodes. *has_a and *has_b tell which side has one; neither: the end.
 */
static int next_pair(struct frame *f, bool *has_a, bool *has_b, struct pfs_error *err)
{
	struct side *a = &f->a, *b = &f->b;

	for (;;) {
		int rc_a = settle(a, err), rc_b = rc_a < 0 ? rc_a : settle(b, err);
		unsigned level_a = rc_a > 0 ? a->walk.level : 0;
		unsigned level_b = rc_b > 0 ? b->walk.level : 0;
		int rc = 0;

		if (rc_a < 0 || rc_b < 0)
			return rc_a < 0 ? rc_a : rc_b;
		*has_a = rc_a > 0;
		*has_b = rc_b > 0;
		if (level_a == 0 && level_b == 0)
			return 0;
		if (rc_a && rc_b && level_a == level_b &&
		    pfs_id_equal(&pfs_walk_item(&a->walk)->id, &pfs_walk_item(&b->walk)->id)) {
			pass(a);
			pass(b);
			continue;
		}
		if (level_a >= level_b)
			rc = descend(a, err);
		if (rc == 0 && level_b >= level_a)
			rc = descend(b, err);
		if (rc < 0)
			return rc;
	}
}

/* --- what one pair of entries amounts to -------------------------------- */

static const struct pfs_id *subtree(const struct pfs_entry *e)
{
	static const struct pfs_id none;

	return e && e->type == PFS_ENTRY_DIR ? &e->dir : &none;
}

/* 1 when there is something to report; either way what is below is entered next if it differs. */
static int weigh(struct pfs_compare *c, const struct pfs_entry *was, const struct pfs_entry *is,
		 struct pfs_difference *out)
{
	bool both_dirs = was && is && was->type == PFS_ENTRY_DIR && is->type == PFS_ENTRY_DIR;
	bool attrs_differ;

	c->enter_a = *subtree(was);
	c->enter_b = *subtree(is);
	c->enter = !pfs_id_equal(&c->enter_a, &c->enter_b);
	out->kind = !was ? PFS_ADDED : !is ? PFS_REMOVED : PFS_CHANGED;
	if (was && is) {
		struct pfs_entry other = *is;

		if (both_dirs)
			other.dir = was->dir; /* what is below speaks for itself */
		attrs_differ = c->attributes && !pfs_entry_equal(was, &other);
		if (!attrs_differ && (both_dirs || pfs_entry_same_content(was, is)))
			return 0;
	}
	out->path = pfs_buf_str(&c->path);
	out->was = was;
	out->is = is;
	return 1;
}

static int set_path(struct pfs_compare *c, const struct frame *f, const struct pfs_entry *e,
		    struct pfs_error *err)
{
	c->path.len = f->path_len;
	return pfs_buf_add(&c->path, e->name, e->name_len, err);
}

/* Take the smaller name, or both when they are the same. */
static int take_pair(struct pfs_compare *c, struct frame *f, bool has_a, bool has_b,
		     struct pfs_difference *out, struct pfs_error *err)
{
	const struct pfs_treenode_entry *a = pfs_walk_item(&f->a.walk);
	const struct pfs_treenode_entry *b = pfs_walk_item(&f->b.walk);
	int rc, order = has_a ? -1 : 1;

	if (has_a && has_b)
		order = pfs_treenode_name_compare(a->name, a->name_len, b->name, b->name_len);
	has_a = order <= 0;
	has_b = order >= 0;
	if (has_a)
		pfs_entry_from_node(a, &c->was);
	if (has_b)
		pfs_entry_from_node(b, &c->is);
	rc = set_path(c, f, has_a ? &c->was : &c->is, err);
	if (rc < 0)
		return rc;
	if (has_a)
		pass(&f->a);
	if (has_b)
		pass(&f->b);
	return weigh(c, has_a ? &c->was : NULL, has_b ? &c->is : NULL, out);
}

int pfs_compare_next(struct pfs_compare *c, struct pfs_difference *out, struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0) {
		struct frame *f;
		bool has_a = false, has_b = false;

		if (c->enter) {
			c->enter = false;
			rc = push_frame(c, &c->enter_a, &c->enter_b, err);
			if (rc < 0)
				return pfs_wrap(err, rc, "compare \"%.256s\"",
						pfs_buf_str(&c->path));
		}
		if (c->depth == 0)
			return 0;
		f = c->frames[c->depth - 1];
		rc = next_pair(f, &has_a, &has_b, err);
		if (rc == 0 && (has_a || has_b))
			rc = take_pair(c, f, has_a, has_b, out, err);
		else if (rc == 0)
			frame_free(c->frames[--c->depth]);
		if (rc < 0)
			return pfs_wrap(err, rc, "compare \"%.256s\"", pfs_buf_str(&c->path));
	}
	return rc;
}
