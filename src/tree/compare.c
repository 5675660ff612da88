/*
 * What differs between two directories, without reading what is equal.
 *
 *	frames   a/  ──▶  a/b/  ──▶  a/b/c/      a stack on the heap: depth is
 *	                              ▲ here      data, not recursion
 */
#include "tree/pair.h"
#include "tree/tree.h"
#include "base/stop.h"

#include <stdlib.h>
#include <string.h>

/* One pair of directories. */
struct frame {
	struct pfs_pair pair;
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
	int failed; /* and every further step likewise */
	struct pfs_error why;
};

static void frame_free(struct frame *f)
{
	pfs_pair_fini(&f->pair);
	free(f);
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
	rc = pfs_pair_init(&f->pair, c->st, a, b, err);
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

/* The two entries of one name; NULL where it is not. */
static int take_pair(struct pfs_compare *c, const struct frame *f,
		     const struct pfs_treenode_entry *a, const struct pfs_treenode_entry *b,
		     struct pfs_difference *out, struct pfs_error *err)
{
	int rc;

	if (a)
		pfs_entry_from_node(a, &c->was);
	if (b)
		pfs_entry_from_node(b, &c->is);
	rc = set_path(c, f, a ? &c->was : &c->is, err);
	return rc < 0 ? rc : weigh(c, a ? &c->was : NULL, b ? &c->is : NULL, out);
}

static int step(struct pfs_compare *c, struct pfs_difference *out, struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0) {
		const struct pfs_treenode_entry *a, *b;
		struct frame *f;

		rc = pfs_stop_check(err);
		if (rc < 0)
			return rc;
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
		rc = pfs_pair_next(&f->pair, &a, &b, err);
		if (rc > 0)
			rc = take_pair(c, f, a, b, out, err);
		else if (rc == 0)
			frame_free(c->frames[--c->depth]);
		if (rc < 0)
			return pfs_wrap(err, rc, "compare \"%.256s\"", pfs_buf_str(&c->path));
	}
	return rc;
}

int pfs_compare_next(struct pfs_compare *c, struct pfs_difference *out, struct pfs_error *err)
{
	int rc = c->failed ? c->failed : step(c, out, &c->why);

	if (rc >= 0)
		return rc;
	c->failed = rc;
	if (err)
		*err = c->why;
	return rc;
}
