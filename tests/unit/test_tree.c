#include "tree/tree.h"
#include "base/io.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

/* --- a set of names, the obviously right way ----------------------------- */

struct thing {
	char name[PFS_NAME_SIZE_MAX + 1];
	bool there;
	struct pfs_entry e;
};

/* Sorted by name; which of them are there is what tests change. */
struct model {
	struct thing *things;
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct thing *)a)->name, ((const struct thing *)b)->name);
}

/* How the names of a set look: each shape brings out another rule of the format. */
enum shape { COUNTED, RANDOM, LONG, NESTED, SHAPES };

static void make_name(enum shape shape, size_t i, char *out)
{
	static const char *const words[] = { "data", "img", "x", "index.html", "src" };

	switch (shape) {
	case COUNTED:
		sprintf(out, "file-%08zu.txt", i);
		break;
	case RANDOM:
		sprintf(out, "%llx-%zu", (unsigned long long)roll(UINT64_MAX), i);
		break;
	case LONG:
		memset(out, 'a' + (int)(i % 3), 230);
		sprintf(out + 230, "%zu", i);
		break;
	default:
		sprintf(out, "%s%s%zu", words[roll(5)], words[roll(5)], i);
	}
}

static void new_value(struct pfs_entry *e)
{
	static char target[4000];

	memset(target, 't', sizeof(target));
	memset(e, 0, sizeof(*e));
	e->attrs.mode = (uint16_t)roll(010000);
	e->attrs.mtime_sec = (int64_t)roll(1u << 31) - 1000;
	e->attrs.mtime_nsec = roll(2) ? (uint32_t)roll(1000000000) : 0;
	e->attrs.uid = (uint32_t)roll(3);
	e->attrs.gid = (uint32_t)roll(2);
	if (roll(8) == 0)
		memset(&e->xattrs, (int)roll(255) + 1, sizeof(e->xattrs));
	e->link = roll(8) == 0 ? roll(100) + 1 : 0;
	switch (roll(7)) {
	case 0:
		e->type = PFS_ENTRY_DIR;
		e->link = 0;
		if (roll(2)) {
			memset(&e->dir, (int)roll(255) + 1, sizeof(e->dir));
			e->dir_entries = roll(1000) + 1;
			e->dir_bytes = roll(100000);
		}
		break;
	case 1:
		e->type = PFS_ENTRY_SYMLINK;
		e->target = target;
		e->target_len = roll(10) ? roll(20) + 1 : roll(4000) + 1;
		break;
	case 2:
		e->type = (enum pfs_entry_type)(PFS_ENTRY_FIFO + roll(4));
		e->rdev = e->type >= PFS_ENTRY_CHR ? roll(70000) : 0;
		break;
	default:
		e->type = PFS_ENTRY_FILE;
		e->content.size = roll(3) ? roll(200000) : roll(257);
		e->content.form = e->content.size > 256 ? (enum pfs_content_form)(1 + roll(2))
							: PFS_CONTENT_INLINE;
		if (e->content.form == PFS_CONTENT_INLINE)
			memset(e->content.bytes, (int)roll(256), e->content.size);
		else
			memset(&e->content.id, (int)roll(255) + 1, sizeof(e->content.id));
	}
}

static void model_init(struct model *m, size_t n, enum shape shape)
{
	m->things = calloc(n, sizeof(*m->things));
	m->n = n;
	for (size_t i = 0; i < n; i++) {
		make_name(shape, i, m->things[i].name);
		new_value(&m->things[i].e);
	}
	qsort(m->things, n, sizeof(*m->things), by_name);
	for (size_t i = 0; i < n; i++) {
		m->things[i].e.name = m->things[i].name;
		m->things[i].e.name_len = strlen(m->things[i].name);
	}
}

static struct pfs_edit edit_of(const struct thing *t)
{
	return (struct pfs_edit){ t->name, strlen(t->name), t->there ? &t->e : NULL };
}

static struct pfs_id from_scratch(struct pfs_store *st, const struct model *m)
{
	struct pfs_edit *edits = calloc(m->n + 1, sizeof(*edits));
	struct pfs_id zero = { 0 }, root = { 0 };
	struct pfs_error err = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->things[i].there)
			edits[n++] = edit_of(&m->things[i]);
	cr_assert_eq(pfs_tree_edit(st, &zero, edits, n, &root, &err), 0, "%s", err.text);
	free(edits);
	return root;
}

/* Change about `many` things, in a cluster or all over; returns the new root. */
static struct pfs_id change_some(struct pfs_store *st, struct model *m, const struct pfs_id *root,
				 size_t many, bool cluster, int there_in_ten)
{
	struct pfs_edit *edits = calloc(m->n + 1, sizeof(*edits));
	size_t n = 0, first = roll(m->n);
	struct pfs_id out = { 0 };
	struct pfs_error err = { 0 };

	for (size_t i = 0; i < m->n; i++) {
		struct thing *t = &m->things[i];

		if (cluster ? i < first || i >= first + many : roll(m->n) >= many)
			continue;
		t->there = (int)roll(10) < there_in_ten;
		if (roll(4)) {
			const char *name = t->e.name;

			new_value(&t->e);
			t->e.name = name;
			t->e.name_len = strlen(name);
		}
		edits[n++] = edit_of(t);
	}
	cr_assert_eq(pfs_tree_edit(st, root, edits, n, &out, &err), 0, "%s", err.text);
	free(edits);
	return out;
}

static void check_walk(struct pfs_store *st, const struct model *m, const struct pfs_id *root)
{
	PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
	const struct pfs_entry *e;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_cursor_open(st, root, &c, &err), 0, "%s", err.text);
	for (size_t i = 0; i < m->n; i++) {
		if (!m->things[i].there)
			continue;
		cr_assert_eq(pfs_cursor_next(c, &e, &err), 1, "%s", err.text);
		cr_assert(pfs_entry_equal(e, &m->things[i].e), "%.*s", (int)e->name_len, e->name);
	}
	cr_assert_eq(pfs_cursor_next(c, &e, &err), 0);
}

Test(tree, an_edited_directory_is_the_one_built_from_scratch, .timeout = 600)
{
	static const size_t sizes[] = { 1, 3, 20, 150, 400, 1000, 5000, 20000 };

	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		for (unsigned shape = 0; shape < SHAPES; shape++) {
			PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
			struct model m;
			struct pfs_id root = { 0 }, fresh;
			unsigned rounds = sizes[s] > 2000 ? 12 : 40;

			seed = 88172645463325252 + s * 10 + shape;
			cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
			model_init(&m, sizes[s], (enum shape)shape);
			for (unsigned round = 0; round < rounds; round++) {
				size_t many = roll(3) == 0 ? sizes[s]
					      : roll(3)    ? 1 + roll(4)
							   : 1 + roll(sizes[s]);
				int there = round == 0     ? 10
					    : roll(5) == 0 ? 0
					    : roll(5) == 0 ? 10
							   : 6;

				root = change_some(st, &m, &root, many, roll(2), there);
				fresh = from_scratch(st, &m);
				cr_assert(pfs_id_equal(&root, &fresh),
					  "shape %u, %zu names, round %u, %zu changes", shape,
					  sizes[s], round, many);
			}
			check_walk(st, &m, &root);
			free(m.things);
		}
	}
}

/* --- the nodes of pfs-tree(5), EXAMPLES ---------------------------------- */

static void check_golden(struct pfs_store *st, const struct pfs_id *root, const char *path)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf want = PFS_BUF_INIT(1 << 20);
	PFS_AUTO(pfs_object_unref) const struct pfs_object *got = NULL;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_io_load(AT_FDCWD, path, &want, &err), 0, "%s", err.text);
	cr_assert_eq(pfs_store_get(st, PFS_KIND_DIRNODE, root, &got, &err), 0, "%s", err.text);
	cr_expect(got->len == want.len && memcmp(got->data, want.data, want.len) == 0, "%s", path);
}

static struct pfs_entry example_file(const char *name, const char *text)
{
	struct pfs_entry e = { .name = name, .name_len = strlen(name), .type = PFS_ENTRY_FILE };

	e.attrs.mode = 0644;
	e.content.size = strlen(text);
	memcpy(e.content.bytes, text, strlen(text));
	return e;
}

Test(tree, writes_the_golden_directory)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	struct pfs_entry e[4] = {
		{ .name = "bin", .name_len = 3, .type = PFS_ENTRY_DIR },
		example_file("hello", "hello, pfs\n"),
		{ .name = "hello.link", .name_len = 10, .type = PFS_ENTRY_SYMLINK },
		{ .name = "zeros", .name_len = 5, .type = PFS_ENTRY_FILE }
	};
	struct pfs_edit edits[4];
	struct pfs_id root = { 0 };

	e[0].attrs = (struct pfs_attrs){ .mode = 0755, .mtime_sec = 1700000000 };
	e[1].attrs.mtime_sec = 1700000001;
	e[2].attrs = (struct pfs_attrs){ .mode = 0777, .mtime_sec = 1700000000, .mtime_nsec = 5 };
	e[2].target = "hello";
	e[2].target_len = 5;
	e[3].attrs = (struct pfs_attrs){
		.mode = 0600, .uid = 1000, .gid = 100, .mtime_sec = 1700000002
	};
	e[3].link = 7;
	e[3].content.size = 100010;
	e[3].content.form = PFS_CONTENT_SEQ;
	for (unsigned char i = 0; i < 32; i++)
		e[3].content.id.bytes[i] = i;
	for (size_t i = 0; i < 4; i++)
		edits[i] = (struct pfs_edit){ e[i].name, e[i].name_len, &e[i] };
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	cr_assert_eq(pfs_tree_edit(st, &root, edits, 4, &root, NULL), 0);
	check_golden(st, &root, PFS_GOLDEN "/tree-v1/dir");
}

Test(tree, writes_the_golden_root_of_two_levels)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	struct pfs_id root = { 0 };

	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	for (int i = 599; i >= 0; i--) {
		char name[16], text[16];
		struct pfs_entry e;
		struct pfs_edit edit = { name, 9, &e };

		sprintf(name, "name-%04d", i);
		sprintf(text, "%d\n", i);
		e = example_file(name, text);
		e.attrs.mtime_sec = i;
		cr_assert_eq(pfs_tree_edit(st, &root, &edit, 1, &root, NULL), 0);
	}
	check_golden(st, &root, PFS_GOLDEN "/tree-v1/dir-root");
}

/* --- finding ------------------------------------------------------------- */

Test(tree, finds_what_is_there_and_nothing_else)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	PFS_AUTO(pfs_found_fini) struct pfs_found f = { 0 };
	PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
	struct model m;
	struct pfs_id root = { 0 };
	struct pfs_error err = { 0 };

	seed = 4711;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	model_init(&m, 4000, RANDOM);
	root = change_some(st, &m, &root, m.n, false, 6);
	cr_assert_eq(pfs_cursor_open(st, &root, &c, NULL), 0);
	for (size_t i = 0; i < m.n; i++) {
		const struct thing *t = &m.things[i];
		const struct pfs_entry *e;
		size_t next = i;
		int rc = pfs_tree_find(st, &root, t->name, strlen(t->name), &f, &err);

		cr_assert_eq(rc, t->there ? 0 : PFS_E_NOTFOUND, "%s", t->name);
		if (t->there)
			cr_assert(pfs_entry_equal(&f.e, &t->e), "%s", t->name);
		for (next += i % 2; next < m.n && !m.things[next].there; next++)
			;
		cr_assert_eq(pfs_cursor_seek(c, t->name, strlen(t->name), i % 2, &err), 0);
		for (int step = 0; step < 3; step++) {
			rc = pfs_cursor_next(c, &e, &err);
			cr_assert_eq(rc, next < m.n, "behind %s", t->name);
			if (!rc)
				break;
			cr_assert(pfs_entry_equal(e, &m.things[next].e), "behind %s", t->name);
			for (next++; next < m.n && !m.things[next].there; next++)
				;
		}
	}
	free(m.things);
}

Test(tree, a_path_leads_through_directories)
{
	static const struct {
		const char *path;
		int want;
		enum pfs_entry_type type;
	} rows[] = {
		{ "", 0, PFS_ENTRY_DIR },          { "a", 0, PFS_ENTRY_DIR },
		{ "/a//b/", 0, PFS_ENTRY_DIR },    { "a/b/file", 0, PFS_ENTRY_FILE },
		{ "a/b/nope", PFS_E_NOTFOUND, 0 }, { "a/nope/file", PFS_E_NOTFOUND, 0 },
		{ "a/b/file/x", PFS_E_NOTDIR, 0 }, { "a/../a", PFS_E_INVALID, 0 },
	};
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	struct pfs_entry file = example_file("file", "x"), dir = { .type = PFS_ENTRY_DIR };
	struct pfs_edit edit = { "file", 4, &file };
	struct pfs_id zero = { 0 }, root;
	struct pfs_tree_totals t;

	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	cr_assert_eq(pfs_tree_edit(st, &zero, &edit, 1, &root, NULL), 0);
	for (const char *name = "ba"; *name; name++) {
		cr_assert_eq(pfs_tree_totals(st, &root, &t, NULL), 0);
		dir.dir = root;
		dir.dir_entries = t.entries;
		dir.dir_bytes = t.bytes;
		edit = (struct pfs_edit){ name, 1, &dir };
		cr_assert_eq(pfs_tree_edit(st, &zero, &edit, 1, &root, NULL), 0);
	}
	cr_assert_eq(pfs_tree_totals(st, &root, &t, NULL), 0);
	cr_expect(t.direct == 1 && t.entries == 3 && t.bytes == 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		PFS_AUTO(pfs_found_fini) struct pfs_found f = { 0 };
		int rc = pfs_tree_lookup(st, &root, rows[i].path, &f, NULL);

		cr_expect_eq(rc, rows[i].want, "\"%s\": %d", rows[i].path, rc);
		if (rc == 0)
			cr_expect_eq(f.e.type, rows[i].type, "\"%s\"", rows[i].path);
	}
}

Test(tree, edits_that_make_no_sense_are_refused_and_change_nothing)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	struct pfs_entry good = example_file("x", "x"), bad = good;
	struct pfs_id root = { { 5 } }, zero = { 0 };
	struct pfs_edit rows[][2] = { { { "b", 1, &good }, { "a", 1, &good } },
				      { { "a", 1, &good }, { "a", 1, NULL } },
				      { { "a", 1, &good }, { "b", 1, &bad } },
				      { { "..", 2, &good }, { "b", 1, &good } },
				      { { "a/b", 3, &good }, { "b", 1, &good } } };

	bad.content.size = 300;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		cr_expect_eq(pfs_tree_edit(st, &zero, rows[i], 2, &root, NULL), PFS_E_INVALID,
			     "row %zu", i);
		cr_expect_eq(root.bytes[0], 5, "row %zu wrote to out", i);
	}
	cr_assert_eq(pfs_tree_edit(st, &zero, rows[1] + 1, 1, &root, NULL), 0);
	cr_expect(pfs_id_is_zero(&root), "removing what is not there leaves the empty directory");
}

Test(tree, one_changed_name_among_many_is_one_node_of_each_level)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	struct pfs_store_stats before, after;
	struct model m;
	struct pfs_id root = { 0 };

	seed = 11;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	model_init(&m, 50000, COUNTED);
	root = change_some(st, &m, &root, m.n, false, 10);
	pfs_store_stats(st, &before);
	for (int i = 0; i < 50; i++)
		change_some(st, &m, &root, 1, true, 5);
	pfs_store_stats(st, &after);
	cr_expect_leq(after.objects - before.objects, 50 * 3 + 10, "%llu new nodes",
		      (unsigned long long)(after.objects - before.objects));
	free(m.things);
}

Test(tree, attributes_that_change_cost_one_node_of_each_level)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	struct pfs_store_stats before, after;
	struct model m;
	struct pfs_id zero = { 0 }, root, fresh;

	seed = 12;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	model_init(&m, 50000, COUNTED);
	root = change_some(st, &m, &zero, m.n, false, 10);
	for (int i = 0; i < 50; i++) {
		struct thing *t = &m.things[roll(m.n)];
		struct pfs_edit edit;

		t->e.attrs.mtime_sec++;
		edit = edit_of(t);
		pfs_store_stats(st, &before);
		cr_assert_eq(pfs_tree_edit(st, &root, &edit, 1, &root, NULL), 0);
		pfs_store_stats(st, &after);
		cr_expect_leq(after.cache_hits + after.cache_misses - before.cache_hits -
				      before.cache_misses,
			      3, "nodes read");
		cr_expect_leq(after.objects - before.objects, 3, "nodes written");
	}
	fresh = from_scratch(st, &m);
	cr_expect(pfs_id_equal(&root, &fresh));
	free(m.things);
}
