#include "tree/linkgroups.h"
#include "tree/links.h"
#include "tree/merge.h"
#include "tree/patch.h"
#include "tree/xattrs.h"
#include "format/xattrs.h"
#include "base/io.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
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
	seed = 1701;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&st);
}

TestSuite(links, .init = setup, .fini = teardown, .timeout = 300);

static void apply(struct pfs_id *root, const struct pfs_patch *list, size_t n)
{
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_patch_apply(st, root, list, n, root, &err), 0, "%s", err.text);
}

/* --- a file system: files that have names, in directories ---------------- */

#define FILES 12
#define NAMES 40
#define DIRS  7

struct file {
	uint32_t content, mode;
	unsigned char attrs[3]; /* user.0 to user.2; 0: not there */
	struct pfs_id set;      /* of them, as it came to be */
};

struct world {
	struct file files[FILES];
	char dirs[DIRS][64]; /* "": the root, always there */
	struct {
		char path[96];
		unsigned file;
	} names[NAMES];
	size_t n;
	/* What the tree has: numbers and values by name. */
	struct pfs_id root;
	struct {
		char path[96];
		struct pfs_entry e;
	} has[NAMES];
	size_t n_has;
};

static struct pfs_entry entry_of(const struct world *w, size_t name, bool numbered)
{
	const struct file *f = &w->files[w->names[name].file];
	struct pfs_entry e = { .type = PFS_ENTRY_FILE, .attrs.mode = (uint16_t)f->mode };
	const char *paths[NAMES];
	uint64_t numbers[NAMES];
	size_t n = 0, mine = 0;

	e.content.size = 4;
	memcpy(e.content.bytes, &f->content, 4);
	e.xattrs = f->set;
	for (size_t i = 0; i < w->n; i++) {
		if (w->names[i].file != w->names[name].file)
			continue;
		mine = i == name ? n : mine;
		paths[n++] = w->names[i].path;
	}
	pfs_links_number(st, paths, n, numbers);
	e.link = numbered ? numbers[mine] : 0;
	return e;
}

static int by_length(const void *a, const void *b)
{
	return (int)strlen(*(char *const *)a) - (int)strlen(*(char *const *)b);
}

/* The tree of a world from nothing; with `label` a number of the writer's own for each file. */
static struct pfs_id from_scratch(const struct world *w, bool label)
{
	struct pfs_entry dir = { .type = PFS_ENTRY_DIR, .attrs.mode = 0755 }, e[NAMES];
	struct pfs_patch list[NAMES];
	const char *dirs[DIRS];
	struct pfs_id root = { 0 };

	for (size_t i = 0; i < DIRS; i++)
		dirs[i] = w->dirs[i];
	qsort(dirs, DIRS, sizeof(*dirs), by_length);
	for (size_t i = 1; i < DIRS; i++)
		apply(&root, &(struct pfs_patch){ dirs[i], &dir }, 1);
	for (size_t i = 0; i < w->n; i++) {
		e[i] = entry_of(w, i, true);
		if (label) {
			e[i].link = 2048 * (w->names[i].file + 1);
			for (const char *p = w->names[i].path; *p; p++)
				e[i].link += *p == '/';
		}
		list[i] = (struct pfs_patch){ w->names[i].path, &e[i] };
	}
	apply(&root, list, w->n);
	return root;
}

static bool same_but_name(const struct pfs_entry *a, struct pfs_entry b)
{
	b.name = a->name;
	b.name_len = a->name_len;
	return pfs_entry_equal(a, &b);
}

/* Bring the tree up to the world, a few names at a time, in any order. */
static void catch_up(struct world *w)
{
	struct pfs_entry e[NAMES];
	struct pfs_patch list[2 * NAMES];
	size_t n = 0;

	for (size_t i = 0; i < w->n_has; i++) {
		bool there = false;

		for (size_t k = 0; k < w->n; k++)
			there |= strcmp(w->has[i].path, w->names[k].path) == 0;
		if (!there)
			list[n++] = (struct pfs_patch){ w->has[i].path, NULL };
	}
	for (size_t i = 0; i < w->n; i++) {
		bool same = false;

		e[i] = entry_of(w, i, true);
		e[i].name = "";
		for (size_t k = 0; k < w->n_has; k++)
			same |= strcmp(w->has[k].path, w->names[i].path) == 0 &&
				same_but_name(&e[i], w->has[k].e);
		if (!same)
			list[n++] = (struct pfs_patch){ w->names[i].path, &e[i] };
	}
	for (size_t i = n; i > 1; i--) {
		size_t k = roll(i);
		struct pfs_patch x = list[k];

		list[k] = list[i - 1];
		list[i - 1] = x;
	}
	for (size_t i = 0, k; i < n; i += k) {
		k = 1 + roll(n - i);
		apply(&w->root, list + i, k);
	}
	w->n_has = w->n;
	for (size_t i = 0; i < w->n; i++) {
		memcpy(w->has[i].path, w->names[i].path, sizeof(w->has[i].path));
		w->has[i].e = e[i];
	}
}

static size_t find_name(const struct world *w, const char *path)
{
	size_t i = 0;

	while (i < w->n && strcmp(w->names[i].path, path) != 0)
		i++;
	return i;
}

static void new_path(const struct world *w, char out[96])
{
	const char *dir = w->dirs[roll(DIRS)];

	snprintf(out, 96, "%s%s%c%llu", dir, *dir ? "/" : "", "ab.-"[roll(4)],
		 (unsigned long long)roll(6));
}

/* A directory, with all that is in it, gets another name: one entry moves in the tree. */
static void move_directory(struct world *w)
{
	size_t at = 1 + roll(DIRS - 1), len = strlen(w->dirs[at]);
	char from[64], to[64];
	struct pfs_found f = { 0 };
	struct pfs_patch moves[2] = { { from, NULL }, { to, &f.e } };

	memcpy(from, w->dirs[at], sizeof(from));
	snprintf(to, sizeof(to), "%.*s%c%llu", (int)(strrchr(from, 'd') - from), from, 'd',
		 (unsigned long long)roll(1000));
	for (size_t i = 0; i < DIRS; i++)
		if (strcmp(w->dirs[i], to) == 0)
			return;
	for (size_t i = 0; i < DIRS; i++) {
		char rest[64];

		if (strncmp(w->dirs[i], from, len) != 0 ||
		    (w->dirs[i][len] && w->dirs[i][len] != '/'))
			continue;
		memcpy(rest, w->dirs[i] + len, sizeof(rest) - len);
		snprintf(w->dirs[i], sizeof(w->dirs[i]), "%.30s%.30s", to, rest);
	}
	catch_up(w);
	cr_assert_eq(pfs_tree_lookup(st, &w->root, from, &f, NULL), 0);
	apply(&w->root, moves, 2);
	pfs_found_fini(&f);
	for (size_t i = 0; i < w->n; i++) {
		char rest[96];

		if (strncmp(w->names[i].path, from, len) != 0 || w->names[i].path[len] != '/')
			continue;
		memcpy(rest, w->names[i].path + len, sizeof(rest) - len);
		snprintf(w->names[i].path, sizeof(w->names[i].path), "%.40s%.50s", to, rest);
		memcpy(w->has[i].path, w->names[i].path, sizeof(w->has[i].path));
	}
}

static void change_attribute(struct file *f)
{
	unsigned i = (unsigned)roll(3);
	char name[] = "user.0";
	struct pfs_error err = { 0 };

	name[5] = (char)('0' + i);
	f->attrs[i] = (unsigned char)roll(3);
	if (f->attrs[i])
		cr_assert_eq(pfs_xattrs_set(st, &f->set, name, &f->attrs[i], 1, &f->set, &err), 0,
			     "%s", err.text);
	else
		cr_assert(pfs_xattrs_remove(st, &f->set, name, &f->set, NULL) <= 0);
}

static void change_something(struct world *w)
{
	size_t i = w->n ? roll(w->n) : 0, k;
	char path[96];

	new_path(w, path);
	k = find_name(w, path);
	switch (roll(8)) {
	case 0:
	case 1: /* a name for a file, maybe its first */
		if (k == w->n && w->n < NAMES) {
			snprintf(w->names[w->n].path, sizeof(path), "%s", path);
			w->names[w->n++].file = (unsigned)roll(FILES);
		}
		break;
	case 2:
		if (w->n)
			w->names[i] = w->names[--w->n];
		break;
	case 3: /* rename, over another maybe */
		if (w->n && k != i) {
			snprintf(w->names[i].path, sizeof(path), "%s", path);
			if (k < w->n)
				w->names[k] = w->names[--w->n];
		}
		break;
	case 4:
		w->files[roll(FILES)].content = (uint32_t)roll(3);
		break;
	case 5:
		w->files[roll(FILES)].mode = 0600 + (uint32_t)roll(3);
		break;
	case 6:
		change_attribute(&w->files[roll(FILES)]);
		break;
	default:
		move_directory(w);
	}
}

static bool is_among(const char *path, const char *list, size_t n)
{
	for (; n > 0; n--, list += strlen(list) + 1)
		if (strcmp(path, list) == 0)
			return true;
	return false;
}

/* The directory that has all names of a file says which these are. */
static void check_names(const struct world *w, const struct pfs_id *root, size_t at,
			struct pfs_linkgroups *g)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf list = PFS_BUF_INIT(1 << 20);
	PFS_AUTO(pfs_found_fini) struct pfs_found name = { 0 }, home = { 0 };
	const char *path = w->names[at].path;
	struct pfs_links_file file;
	size_t len, n, want = 0;
	char above[96];

	cr_assert_eq(pfs_tree_lookup(st, root, path, &name, NULL), 0);
	if (!name.e.link)
		return;
	len = pfs_links_home(path, name.e.link);
	cr_assert_neq(len, SIZE_MAX);
	snprintf(above, sizeof(above), "%.*s", (int)len, path);
	cr_assert_eq(pfs_tree_lookup(st, root, above, &home, NULL), 0);
	cr_assert_eq(pfs_links_file(st, &name.e, &file, NULL), 0);
	cr_assert_eq(pfs_linkgroups_names(g, &home.e.dir, &file, &list, &n, NULL), 0);
	for (size_t i = 0; i < w->n; i++) {
		if (w->names[i].file != w->names[at].file)
			continue;
		want++;
		cr_assert(is_among(w->names[i].path + len + (len > 0), (const char *)list.data, n),
			  "%s is a name of %s", w->names[i].path, path);
	}
	cr_assert_eq(n, want);
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return len == 0 || (strncmp(path, dir, len) == 0 && path[len] == '/');
}

/* A directory says which names in it have others outside. */
static void check_outward(const struct world *w, const struct pfs_id *root, const char *dir,
			  struct pfs_linkgroups *g)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf list = PFS_BUF_INIT(1 << 20);
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	size_t n, want = 0;

	cr_assert_eq(pfs_tree_lookup(st, root, dir, &found, NULL), 0);
	cr_assert_eq(pfs_linkgroups_outward(g, &found.e.dir, &list, &n, NULL), 0);
	for (size_t i = 0; i < w->n; i++) {
		bool crosses = false;

		for (size_t k = 0; k < w->n; k++)
			crosses |= w->names[k].file == w->names[i].file &&
				   !is_below(w->names[k].path, dir);
		if (!crosses || !is_below(w->names[i].path, dir))
			continue;
		want++;
		cr_assert(is_among(w->names[i].path + strlen(dir) + 1, (const char *)list.data, n),
			  "%s has names outside of %s", w->names[i].path, dir);
	}
	cr_assert_eq(n, want, "%zu of %zu names below \"%s\"", n, want, dir);
}

static void check_groups(const struct world *w, const struct pfs_id *root, struct pfs_linkgroups *g)
{
	for (size_t i = 0; i < w->n; i++)
		check_names(w, root, i, g);
	for (size_t i = 0; i < DIRS; i++)
		check_outward(w, root, w->dirs[i], g);
}

Test(links, the_order_of_edits_never_changes_a_root)
{
	static const char *const dirs[DIRS] = { "",      "d1", "d1/d2", "d1/d2/d3",
						"d1/d4", "d5", "d5/d6" };
	struct pfs_linkgroups *groups = NULL;

	cr_assert_eq(pfs_linkgroups_new(st, &groups, NULL), 0);
	for (int round = 0; round < 60; round++) {
		struct world *w = calloc(1, sizeof(*w));
		struct pfs_entry dir = { .type = PFS_ENTRY_DIR, .attrs.mode = 0755 };

		for (size_t i = 0; i < DIRS; i++) {
			snprintf(w->dirs[i], sizeof(w->dirs[i]), "%s", dirs[i]);
			if (i)
				apply(&w->root, &(struct pfs_patch){ dirs[i], &dir }, 1);
		}
		for (int step = 0; step < 120; step++) {
			struct pfs_id fresh, settled;

			change_something(w);
			if (roll(3))
				continue;
			catch_up(w);
			fresh = from_scratch(w, false);
			cr_assert(pfs_id_equal(&w->root, &fresh), "round %d, step %d", round, step);
			cr_assert_eq(pfs_links_settle(st, &fresh, NULL, &settled, NULL), 0);
			cr_assert(pfs_id_equal(&settled, &fresh), "settling what is settled");
			check_groups(w, &fresh, groups);
			settled = from_scratch(w, true);
			cr_assert_eq(pfs_links_settle(st, &settled, NULL, &settled, NULL), 0);
			cr_assert(pfs_id_equal(&settled, &fresh), "round %d, step %d: settled",
				  round, step);
		}
		free(w);
	}
	pfs_linkgroups_free(&groups);
}

/* --- numbers, case by case ----------------------------------------------- */

Test(links, a_number_follows_from_the_first_name_and_the_home)
{
	const char *one[] = { "a/x" }, *two[] = { "a/x", "a/y" }, *turned[] = { "a/y", "a/x" };
	const char *deep[] = { "b/c/x", "b/c/y" }, *wide[] = { "a/x", "a/y", "z" };
	const char *order[] = { "a.b", "a/x" };
	uint64_t n[3], m[3];

	pfs_links_number(st, one, 1, n);
	cr_expect_eq(n[0], 0);
	pfs_links_number(st, two, 2, n);
	pfs_links_number(st, turned, 2, m);
	cr_expect(n[0] == n[1] && n[0] == m[0] && n[0] == m[1] && n[0] % 2048 == 0);
	pfs_links_number(st, deep, 2, m);
	cr_expect_eq(m[0], n[0], "the same within another directory");
	pfs_links_number(st, wide, 3, m);
	cr_expect_neq(m[0], n[0], "another home");
	cr_expect(m[0] % 2048 == 1 && m[1] == m[0] && m[2] == m[0] - 1);
	pfs_links_number(st, order, 2, n);
	pfs_links_number(st, (const char *[]){ "a/x", "b" }, 2, m);
	cr_expect_eq(n[1] / 2048, m[0] / 2048, "a/x comes before a.b");
}

Test(links, gives_the_golden_numbers)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf want = PFS_BUF_INIT(4096), got = want;
	const char *paths[] = { "a/x", "a/y", "z" };
	uint64_t n[3];

	pfs_links_number(st, paths, 3, n);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(pfs_buf_printf(&got, NULL, "%s %" PRIu64 "\n", paths[i], n[i]), 0);
	cr_assert_eq(pfs_io_load(AT_FDCWD, PFS_GOLDEN "/tree-v1/links", &want, NULL), 0);
	cr_expect_str_eq(pfs_buf_str(&got), pfs_buf_str(&want));
}

/* --- merging ------------------------------------------------------------- */

struct plan {
	const char *path, *content;
	int group; /* names with the same one are one file; 0: by itself */
};

static struct pfs_id tree_of(const struct plan *p)
{
	struct pfs_entry dir = { .type = PFS_ENTRY_DIR }, e;
	struct pfs_id root = { 0 };

	apply(&root, &(struct pfs_patch){ "d", &dir }, 1);
	for (; p->path; p++) {
		e = (struct pfs_entry){ .type = PFS_ENTRY_FILE };
		e.content.size = strlen(p->content);
		memcpy(e.content.bytes, p->content, e.content.size);
		e.link = p->group ? 2048 * (uint64_t)p->group + (strchr(p->path, '/') != NULL) : 0;
		apply(&root, &(struct pfs_patch){ p->path, &e }, 1);
	}
	cr_assert_eq(pfs_links_settle(st, &root, NULL, &root, NULL), 0);
	return root;
}

Test(links, merging_keeps_the_names_of_a_file_together)
{
	static const struct {
		const char *why;
		struct plan base[5], ours[5], theirs[5], want[5];
	} rows[] = {
		{ "a name for a file that the other side changed",
		  { { "a", "1", 1 }, { "d/b", "1", 1 } },
		  { { "a", "2", 1 }, { "d/b", "2", 1 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "c", "1", 1 } },
		  { { "a", "2", 1 }, { "d/b", "2", 1 }, { "c", "2", 1 } } },
		{ "names from both sides",
		  { { "a", "1", 1 }, { "d/b", "1", 1 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "d/c", "1", 1 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "e", "1", 1 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "d/c", "1", 1 }, { "e", "1", 1 } } },
		{ "a name that one side gave a file of its own",
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "d/c", "1", 1 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "d/c", "3", 0 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "d/c", "1", 1 }, { "e", "1", 1 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "d/c", "3", 0 }, { "e", "1", 1 } } },
		{ "all names but one go",
		  { { "a", "1", 1 }, { "d/b", "1", 1 }, { "d/c", "1", 1 } },
		  { { "d/b", "1", 1 }, { "d/c", "1", 1 } },
		  { { "a", "1", 1 }, { "d/b", "1", 1 } },
		  { { "d/b", "1", 0 } } },
	};
	const struct pfs_merge_how how = { .policy = PFS_MERGE_OURS };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pfs_id b = tree_of(rows[i].base), o = tree_of(rows[i].ours);
		struct pfs_id t = tree_of(rows[i].theirs), want = tree_of(rows[i].want), got;
		struct pfs_error err = { 0 };

		cr_assert_eq(pfs_merge_trees(st, &b, &o, &t, &how, NULL, &got, &err), 0, "%s: %s",
			     rows[i].why, err.text);
		cr_expect(pfs_id_equal(&got, &want), "%s", rows[i].why);
	}
}

Test(links, a_name_whose_home_is_above_the_root_is_a_file_by_itself)
{
	struct pfs_id root = tree_of((struct plan[]){ { "a", "1", 1 }, { "d/b", "1", 1 }, { 0 } });
	PFS_AUTO(pfs_found_fini) struct pfs_found d = { 0 }, b = { 0 };
	struct pfs_id out;

	cr_assert_eq(pfs_tree_lookup(st, &root, "d", &d, NULL), 0);
	cr_assert_eq(pfs_links_settle(st, &d.e.dir, NULL, &out, NULL), 0);
	cr_assert_eq(pfs_tree_lookup(st, &d.e.dir, "b", &b, NULL), 0);
	cr_expect_neq(b.e.link, 0);
	cr_assert_eq(pfs_tree_lookup(st, &out, "b", &b, NULL), 0);
	cr_expect_eq(b.e.link, 0);
}

Test(links, a_patch_needs_its_directories_and_each_path_once)
{
	struct pfs_id root = tree_of((struct plan[]){ { "a", "1", 0 }, { "d/b", "1", 0 }, { 0 } });
	struct pfs_entry dir = { .type = PFS_ENTRY_DIR };
	struct {
		int want;
		struct pfs_patch list[2];
	} rows[] = { { PFS_E_NOTFOUND, { { "x/y", &dir }, { "z", &dir } } },
		     { PFS_E_NOTDIR, { { "a/y", &dir }, { "z", &dir } } },
		     { PFS_E_INVALID, { { "z", &dir }, { "z", NULL } } },
		     { PFS_E_INVALID, { { "d/y", &dir }, { "d", NULL } } } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pfs_id out = { { 77 } };

		cr_expect_eq(pfs_patch_apply(st, &root, rows[i].list, 2, &out, NULL), rows[i].want,
			     "row %zu", i);
		cr_expect_eq(out.bytes[0], 77, "row %zu: wrote to out", i);
	}
}
