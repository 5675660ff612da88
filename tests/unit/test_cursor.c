/*
 * A cursor, and whatever walks as it does, over directories that cannot be read
 * throughout: what was met once is met again by whoever goes on.
 */
#include "../treenode_fixture.h"
#include "tree/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES     6000
#define NODES_MAX 1024

static struct pfs_store *st;

static void setup(void)
{
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&st);
}

TestSuite(cursor, .init = setup, .fini = teardown, .timeout = 300);

/* --- a directory of several levels, and all of its nodes ------------------ */

struct node {
	struct pfs_id id;
	unsigned level;
	uint64_t direct;
	char last[PFS_NAME_SIZE_MAX + 1];
};

struct nodes {
	struct node items[NODES_MAX];
	size_t n;
};

static struct pfs_id make_dir(void)
{
	static char names[NAMES][PFS_NAME_SIZE_MAX + 1];
	static struct pfs_entry e = { .type = PFS_ENTRY_FILE };
	struct pfs_edit *edits = calloc(NAMES, sizeof(*edits));
	struct pfs_id zero = { 0 }, root = { 0 };

	for (size_t i = 0; i < NAMES; i++) {
		memset(names[i], 'a' + (int)(i / 1000), 200);
		sprintf(names[i] + 200, "%05zu", i);
		edits[i] = (struct pfs_edit){ names[i], 205, &e };
	}
	cr_assert_eq(pfs_tree_edit(st, &zero, edits, NAMES, &root, NULL), 0);
	free(edits);
	return root;
}

/* The root first, which nobody knows by a last name; then the others, level by level. */
static void list_nodes(const struct pfs_id *root, struct nodes *out)
{
	out->n = 1;
	out->items[0] = (struct node){ .id = *root, .direct = NAMES };
	for (size_t i = 0; i < out->n; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		struct pfs_treenode_iter it;
		struct pfs_treenode t;

		cr_assert_eq(pfs_store_get(st, PFS_KIND_DIRNODE, &out->items[i].id, &o, NULL), 0);
		cr_assert_eq(pfs_treenode_open(o->data, o->len, &t, NULL), 0);
		out->items[i].level = t.level;
		pfs_treenode_iter_init(&it, &t);
		while (t.level > 0 && pfs_treenode_iter_next(&it, NULL) > 0) {
			struct node *below = &out->items[out->n++];

			cr_assert_lt(out->n, NODES_MAX);
			*below = (struct node){ .id = it.e.id, .direct = it.e.direct };
			memcpy(below->last, it.name, it.name_len);
		}
	}
}

/* Another store, which has all of them but one. */
static struct pfs_store *without(const struct nodes *nodes, size_t lost)
{
	struct pfs_store *other;

	cr_assert_eq(pfs_store_open_mem(&other, NULL), 0);
	for (size_t i = 0; i < nodes->n; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		struct pfs_id id;

		if (i == lost)
			continue;
		cr_assert_eq(pfs_store_get(st, PFS_KIND_DIRNODE, &nodes->items[i].id, &o, NULL), 0);
		cr_assert_eq(pfs_store_put(other, PFS_KIND_DIRNODE, o->data, o->len, &id, NULL), 0);
	}
	return other;
}

/* --- going on after an error ----------------------------------------------- */

/* Step until it fails, and on: the names before, or NAMES when it ends well. */
static size_t step(struct pfs_cursor *c, const char *where)
{
	struct pfs_error err = { 0 }, again = { 0 };
	const struct pfs_entry *e;
	size_t n = 0;
	int rc;

	while ((rc = pfs_cursor_next(c, &e, &err)) > 0)
		n++;
	for (int time = 0; rc < 0 && time < 3; time++) {
		cr_assert_eq(pfs_cursor_next(c, &e, &again), rc, "%s: goes on", where);
		cr_expect_str_eq(again.text, err.text, "%s", where);
		cr_assert_eq(pfs_cursor_next(c, &e, NULL), rc, "%s: goes on", where);
	}
	cr_expect(rc == 0 || rc == PFS_E_CORRUPT, "%s: %s", where, err.text);
	return rc == 0 ? NAMES : n;
}

static size_t compare(struct pfs_store *in, const struct pfs_id *a, const struct pfs_id *b,
		      const char *where)
{
	PFS_AUTO(pfs_compare_close) struct pfs_compare *c = NULL;
	struct pfs_error err = { 0 }, again = { 0 };
	struct pfs_difference d;
	size_t n = 0;
	int rc;

	cr_assert_eq(pfs_compare_open(in, a, b, false, &c, NULL), 0);
	while ((rc = pfs_compare_next(c, &d, &err)) > 0)
		n++;
	for (int time = 0; rc < 0 && time < 3; time++) {
		cr_assert_eq(pfs_compare_next(c, &d, &again), rc, "%s: goes on", where);
		cr_expect_str_eq(again.text, err.text, "%s", where);
	}
	cr_expect(rc == 0 || rc == PFS_E_CORRUPT, "%s: %s", where, err.text);
	return rc == 0 ? NAMES : n;
}

/* Sought past the node that is lost, there are the names behind it. */
static size_t rest(struct pfs_cursor *c, const struct node *lost)
{
	const struct pfs_entry *e;
	size_t n = 0;
	int rc = pfs_cursor_seek(c, lost->last, strlen(lost->last), true, NULL);

	cr_assert_eq(rc, 0);
	while ((rc = pfs_cursor_next(c, &e, NULL)) > 0)
		n++;
	cr_expect_eq(rc, 0);
	return n;
}

Test(cursor, what_cannot_be_read_is_met_again_by_every_step_until_another_place_is_sought)
{
	static struct nodes nodes;
	struct pfs_id root = make_dir(), zero = { 0 };

	list_nodes(&root, &nodes);
	cr_assert_geq(nodes.items[0].level, 2, "only %u levels", nodes.items[0].level + 1);
	for (size_t i = 1; i < nodes.n; i++) {
		PFS_AUTO(pfs_store_close) struct pfs_store *in = without(&nodes, i);
		PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
		const struct node *lost = &nodes.items[i];
		const struct pfs_entry *e;
		char where[64];
		size_t before;

		sprintf(where, "node %zu of level %u is lost", i, lost->level);
		cr_assert_eq(pfs_cursor_open(in, &root, &c, NULL), 0);
		before = step(c, where);
		cr_expect_eq(before + lost->direct + rest(c, lost), NAMES, "%s", where);
		cr_assert_eq(pfs_cursor_seek(c, "", 0, false, NULL),
			     before == 0 ? PFS_E_CORRUPT : 0);
		cr_expect_eq(step(c, where), before, "%s: after a seek", where);

		/* A seek that fails stands nowhere. */
		cr_expect_eq(pfs_cursor_seek(c, lost->last, strlen(lost->last), false, NULL),
			     PFS_E_CORRUPT, "%s", where);
		cr_expect_eq(pfs_cursor_next(c, &e, NULL), PFS_E_CORRUPT, "%s: sought", where);
		cr_expect_eq(compare(in, &zero, &root, where), before, "%s", where);
		cr_expect_eq(compare(in, &root, &zero, where), before, "%s", where);
	}
}

/* --- nodes that are what their id says, and no nodes -------------------------- */

/* A root over two nodes, the first of which is wrong somewhere: each of its bytes in turn. */
Test(cursor, an_entry_that_cannot_be_read_is_met_again)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf first = PFS_BUF_INIT(1 << 20);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf second = PFS_BUF_INIT(1 << 20);
	struct pfs_treenode_entry items[20], inner[2], z = { .name = "z", .name_len = 1 };
	struct pfs_id zero = { 0 };
	char names[20][8];
	size_t failed = 0;

	for (size_t i = 0; i < 20; i++) {
		sprintf(names[i], "n%zu", 10 + i);
		items[i] = (struct pfs_treenode_entry){ .name = names[i], .name_len = 3 };
	}
	encode(items, 20, 0, &first);
	encode(&z, 1, 0, &second);
	inner[1] = child("z", put(st, &second), 1);
	for (size_t at = 0; at < first.len; at++) {
		PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
		struct pfs_id root;
		char where[64];
		size_t n;

		first.data[at] ^= 0xff;
		inner[0] = child("n29", put(st, &first), 20);
		first.data[at] ^= 0xff;
		root = put_node(st, inner, 2, 1);
		sprintf(where, "byte %zu is wrong", at);
		cr_assert_eq(pfs_cursor_open(st, &root, &c, NULL), 0);
		n = step(c, where);
		failed += n < NAMES;
		cr_expect_eq(compare(st, &root, &zero, where), n, "%s", where);
	}
	cr_expect_gt(failed, first.len / 2);
}
