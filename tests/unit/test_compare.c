#include "../treenode_fixture.h"
#include "tree/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pfs_store *st;
static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

static void setup(void)
{
	seed = 777;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&st);
}

TestSuite(compare, .init = setup, .fini = teardown, .timeout = 300);

/* --- a file system in memory, three levels deep --------------------------- */

struct item {
	bool there, dir;
	uint32_t content, mode;
	struct item *below; /* dir: `n` of them */
	size_t n;
};

static void make_item(struct item *it, int depth, size_t n)
{
	it->there = roll(4) > 0;
	it->dir = depth > 0 && roll(3) == 0;
	it->content = (uint32_t)roll(3);
	it->mode = 0644;
	it->n = depth > 0 ? n : 0;
	it->below = it->n ? calloc(n, sizeof(*it->below)) : NULL;
	for (size_t i = 0; i < it->n; i++)
		make_item(&it->below[i], depth - 1, n / 4 + 1);
}

static struct item copy_item(const struct item *from)
{
	struct item to = *from;

	to.below = to.n ? calloc(to.n, sizeof(*to.below)) : NULL;
	for (size_t i = 0; i < to.n; i++)
		to.below[i] = copy_item(&from->below[i]);
	return to;
}

static void free_item(struct item *it)
{
	for (size_t i = 0; i < it->n; i++)
		free_item(&it->below[i]);
	free(it->below);
}

static void change_items(struct item *it, size_t one_in)
{
	for (size_t i = 0; i < it->n; i++) {
		struct item *below = &it->below[i];

		if (roll(one_in) == 0) {
			switch (roll(4)) {
			case 0:
				below->there = !below->there;
				break;
			case 1:
				below->content = (uint32_t)roll(1000);
				break;
			case 2:
				below->mode = (uint32_t)roll(512);
				break;
			default:
				below->dir = below->n && !below->dir;
			}
		}
		change_items(below, one_in);
	}
}

static void name_of(size_t i, char *out)
{
	sprintf(out, "%s%04zu", i % 3 ? "name." : "name-", i);
}

static struct pfs_entry entry_of(const struct item *it, const struct pfs_id *dir)
{
	struct pfs_entry e = { .type = it->dir ? PFS_ENTRY_DIR : PFS_ENTRY_FILE,
			       .attrs.mode = (uint16_t)it->mode };
	struct pfs_tree_totals t;

	if (it->dir) {
		cr_assert_eq(pfs_tree_totals(st, dir, &t, NULL), 0);
		e.dir = *dir;
		e.dir_entries = t.entries;
		e.dir_bytes = t.bytes;
	} else {
		e.content.size = 4;
		memcpy(e.content.bytes, &it->content, 4);
	}
	return e;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct pfs_edit *)a)->name, ((const struct pfs_edit *)b)->name);
}

static struct pfs_id build(const struct item *it)
{
	struct pfs_edit *edits = calloc(it->n + 1, sizeof(*edits));
	struct pfs_entry *entries = calloc(it->n + 1, sizeof(*entries));
	char(*names)[16] = calloc(it->n + 1, sizeof(*names));
	struct pfs_id root = { 0 };
	struct pfs_error err = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < it->n; i++) {
		struct pfs_id below = { 0 };

		if (!it->below[i].there)
			continue;
		if (it->below[i].dir)
			below = build(&it->below[i]);
		entries[n] = entry_of(&it->below[i], &below);
		name_of(i, names[n]);
		edits[n] = (struct pfs_edit){ names[n], strlen(names[n]), &entries[n] };
		n++;
	}
	qsort(edits, n, sizeof(*edits), by_name);
	cr_assert_eq(pfs_tree_edit(st, &root, edits, n, &root, &err), 0, "%s", err.text);
	free(edits);
	free(entries);
	free(names);
	return root;
}

/* --- the obvious comparison ---------------------------------------------- */

struct text {
	char *p;
	size_t len, cap;
};

static void say(struct text *t, char kind, const char *path)
{
	size_t need = strlen(path) + 4;

	if (t->len + need > t->cap) {
		t->cap = 2 * t->cap + need;
		t->p = realloc(t->p, t->cap);
	}
	t->len += (size_t)sprintf(t->p + t->len, "%c %s\n", kind, path);
}

static void naive(const struct item *a, const struct item *b, const char *path, bool attributes,
		  struct text *out);

static size_t *sorted(size_t n)
{
	struct pfs_edit *e = calloc(n + 1, sizeof(*e));
	char(*names)[16] = calloc(n + 1, sizeof(*names));
	size_t *order = calloc(n + 1, sizeof(*order));

	for (size_t i = 0; i < n; i++) {
		name_of(i, names[i]);
		e[i].name = names[i];
	}
	qsort(e, n, sizeof(*e), by_name);
	for (size_t i = 0; i < n; i++)
		order[i] = (size_t)((char(*)[16])e[i].name - names);
	free(e);
	free(names);
	return order;
}

static void naive_pair(const struct item *x, const struct item *y, const char *path,
		       bool attributes, struct text *out)
{
	bool x_dir = x && x->dir, y_dir = y && y->dir;

	if (!x || !y)
		say(out, x ? '-' : '+', path);
	else if (x->dir != y->dir || (!x->dir && x->content != y->content) ||
		 (attributes && x->mode != y->mode))
		say(out, '~', path);
	if (x_dir || y_dir)
		naive(x_dir ? x : NULL, y_dir ? y : NULL, path, attributes, out);
}

static void naive(const struct item *a, const struct item *b, const char *path, bool attributes,
		  struct text *out)
{
	size_t n = a ? a->n : b->n, *order = sorted(n);

	for (size_t k = 0; k < n; k++) {
		size_t i = order[k];
		const struct item *x = a && a->below[i].there ? &a->below[i] : NULL;
		const struct item *y = b && b->below[i].there ? &b->below[i] : NULL;
		char below[200], name[16];

		if (!x && !y)
			continue;
		name_of(i, name);
		sprintf(below, "%s%s%s", path, *path ? "/" : "", name);
		naive_pair(x, y, below, attributes, out);
	}
	free(order);
}

static void compare(const struct pfs_id *a, const struct pfs_id *b, bool attributes,
		    struct text *out)
{
	PFS_AUTO(pfs_compare_close) struct pfs_compare *c = NULL;
	struct pfs_difference d;
	struct pfs_error err = { 0 };
	int rc;

	cr_assert_eq(pfs_compare_open(st, a, b, attributes, &c, &err), 0, "%s", err.text);
	while ((rc = pfs_compare_next(c, &d, &err)) > 0) {
		cr_assert_eq(!d.was, d.kind == PFS_ADDED);
		cr_assert_eq(!d.is, d.kind == PFS_REMOVED);
		say(out, " +-~"[d.kind], d.path);
	}
	cr_assert_eq(rc, 0, "%s", err.text);
}

Test(compare, finds_what_a_walk_over_everything_finds)
{
	static const struct {
		size_t n;
		int depth;
	} rows[] = { { 3, 1 }, { 30, 3 }, { 3000, 0 }, { 2000, 1 }, { 200, 2 } };

	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		for (int round = 0; round < 3; round++) {
			struct item a, b;
			struct pfs_id ra, rb;
			struct text want = { 0 }, got = { 0 };

			make_item(&a, rows[r].depth + 1, rows[r].n);
			b = copy_item(&a);
			change_items(&b, round % 3 == 0 ? 2 : round % 3 == 1 ? 20 : 500);
			ra = build(&a);
			rb = build(&b);
			say(&want, ':', "");
			say(&got, ':', "");
			naive(&a, &b, "", round & 1, &want);
			compare(&ra, &rb, round & 1, &got);
			cr_assert_str_eq(got.p, want.p, "row %zu, round %d", r, round);
			free(want.p);
			free(got.p);
			free_item(&a);
			free_item(&b);
		}
	}
}

Test(compare, one_side_may_be_empty_and_equal_sides_say_nothing)
{
	struct item a;
	struct pfs_id root, zero = { 0 };
	struct text got = { 0 }, want = { 0 };

	make_item(&a, 3, 40);
	root = build(&a);
	say(&got, ':', "");
	say(&want, ':', "");
	compare(&root, &root, true, &got);
	compare(&zero, &zero, true, &got);
	cr_expect_str_eq(got.p, want.p);
	compare(&zero, &root, true, &got);
	naive(NULL, &a, "", true, &want);
	compare(&root, &zero, true, &got);
	naive(&a, NULL, "", true, &want);
	cr_expect_str_eq(got.p, want.p);
	free(got.p);
	free(want.p);
	free_item(&a);
}

Test(compare, directories_may_be_as_deep_as_paths_get_and_no_deeper)
{
	struct pfs_id dir = { 0 }, zero = { 0 };
	struct pfs_tree_totals t = { 0 };
	struct text got = { 0 };
	PFS_AUTO(pfs_compare_close) struct pfs_compare *c = NULL;
	struct pfs_difference d;
	int rc;

	for (unsigned i = 0; i < PFS_TREE_DEPTH_MAX; i++) {
		struct pfs_entry e = { .type = PFS_ENTRY_DIR,
				       .dir = dir,
				       .dir_entries = t.entries };
		struct pfs_edit edit = { "d", 1, &e };

		cr_assert_eq(pfs_tree_edit(st, &zero, &edit, 1, &dir, NULL), 0);
		cr_assert_eq(pfs_tree_totals(st, &dir, &t, NULL), 0);
	}
	cr_expect_eq(t.entries, PFS_TREE_DEPTH_MAX);
	say(&got, ':', "");
	compare(&zero, &dir, false, &got);
	{
		struct pfs_entry e = { .type = PFS_ENTRY_DIR,
				       .dir = dir,
				       .dir_entries = t.entries };
		struct pfs_edit edit = { "d", 1, &e };

		cr_assert_eq(pfs_tree_edit(st, &zero, &edit, 1, &dir, NULL), 0);
	}
	cr_assert_eq(pfs_compare_open(st, &zero, &dir, false, &c, NULL), 0);
	while ((rc = pfs_compare_next(c, &d, NULL)) > 0)
		;
	cr_expect_eq(rc, PFS_E_LIMIT);
	free(got.p);
}

/* --- trees that lie ------------------------------------------------------ */

Test(compare, trees_whose_nodes_do_not_fit_together_are_corrupt_to_everybody)
{
	struct pfs_treenode_entry ab[2] = { { .name = "a", .name_len = 1 },
					    { .name = "b", .name_len = 1 } };
	struct pfs_treenode_entry c = { .name = "c", .name_len = 1 }, inner[2];
	struct pfs_id leaf = put_node(st, ab, 2, 0), leaf_c = put_node(st, &c, 1, 0), mid,
		      zero = { 0 };
	struct {
		const char *why;
		struct pfs_id root;
	} rows[5];

	inner[0] = child("b", leaf, 2);
	inner[1] = child("c", leaf_c, 1);
	mid = put_node(st, inner, 2, 1);
	rows[0].why = "a level is skipped";
	rows[0].root = put_node(st, inner, 2, 2);
	rows[1].why = "more names than its parent says";
	inner[0] = child("b", leaf, 3);
	rows[1].root = put_node(st, inner, 2, 1);
	rows[2].why = "another last name than its parent says";
	inner[0] = child("bb", leaf, 2);
	rows[2].root = put_node(st, inner, 2, 1);
	rows[3].why = "the same names twice";
	inner[0] = child("b", leaf, 2);
	inner[1] = child("d", leaf, 2);
	rows[3].root = put_node(st, inner, 2, 1);
	rows[4].why = "a level points at its own height";
	inner[0] = child("c", mid, 3);
	rows[4].root = put_node(st, inner, 1, 1);
	for (size_t i = 0; i < 5; i++) {
		PFS_AUTO(pfs_compare_close) struct pfs_compare *cmp = NULL;
		PFS_AUTO(pfs_cursor_close) struct pfs_cursor *cur = NULL;
		struct pfs_edit edits[2] = { { "a", 1, NULL }, { "zz", 2, NULL } };
		struct pfs_difference d;
		const struct pfs_entry *e;
		struct pfs_id out = { { 77 } };
		int rc;

		cr_assert_eq(pfs_compare_open(st, &rows[i].root, &zero, false, &cmp, NULL), 0);
		while ((rc = pfs_compare_next(cmp, &d, NULL)) > 0)
			;
		cr_expect_eq(rc, PFS_E_CORRUPT, "compare: %s", rows[i].why);
		cr_assert_eq(pfs_cursor_open(st, &rows[i].root, &cur, NULL), 0);
		while ((rc = pfs_cursor_next(cur, &e, NULL)) > 0)
			;
		cr_expect_eq(rc, PFS_E_CORRUPT, "cursor: %s", rows[i].why);
		rc = pfs_tree_edit(st, &rows[i].root, edits, 2, &out, NULL);
		cr_expect_eq(rc, PFS_E_CORRUPT, "edit: %s", rows[i].why);
		cr_expect_eq(out.bytes[0], 77, "edit: %s: wrote to out", rows[i].why);
	}
}
