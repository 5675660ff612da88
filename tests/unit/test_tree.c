#include "tree/tree.h"
#include "format/treenode.h"

#include <criterion/criterion.h>
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
	static const char *const words[] = {"data", "img", "x", "index.html", "src"};

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
	static const char target[4000] = "target";

	memset(e, 0, sizeof(*e));
	e->attrs.mode = (uint16_t)roll(010000);
	e->attrs.mtime_sec = (int64_t)roll(1u << 31) - 1000;
	e->attrs.mtime_nsec = roll(2) ? (uint32_t)roll(1000000000) : 0;
	e->attrs.uid = (uint32_t)roll(3);
	e->attrs.gid = (uint32_t)roll(2);
	if (roll(8) == 0)
		memset(&e->xattrs, (int)roll(255) + 1, sizeof(e->xattrs));
	if (roll(8) == 0)
		e->link = roll(100) + 1;
	switch (roll(7)) {
	case 0:
		e->type = PFS_ENTRY_DIR;
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
	return (struct pfs_edit){t->name, strlen(t->name), t->there ? &t->e : NULL};
}

static struct pfs_id from_scratch(struct pfs_store *st, const struct model *m)
{
	struct pfs_edit *edits = calloc(m->n + 1, sizeof(*edits));
	struct pfs_id zero = {0}, root = {0};
	struct pfs_error err = {0};
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
	struct pfs_id out = {0};
	struct pfs_error err = {0};

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
	struct pfs_error err = {0};

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
	static const size_t sizes[] = {1, 3, 20, 150, 400, 1000, 5000, 20000};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		for (unsigned shape = 0; shape < SHAPES; shape++) {
			PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
			struct model m;
			struct pfs_id root = {0}, fresh;
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
