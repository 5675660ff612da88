#include "workspace_fixture.h"

Test(workspace_name, refuses_names_that_cannot_be)
{
	static const struct {
		const char *name;
		int code;
	} rows[] = {
		{ "", PFS_E_INVALID },
		{ ".", PFS_E_INVALID },
		{ "..", PFS_E_INVALID },
		{ "a/b", PFS_E_INVALID },
	};
	struct fixture f = begin();
	struct pfs_node_make m = { .type = PFS_ENTRY_FILE };
	struct pfs_node *n;
	char longest[PFS_NAME_SIZE_MAX + 2];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		FAILS(rows[i].code,
		      pfs_workspace_make(f.ws, f.root, NAME(rows[i].name), &m, &n, &err));
		FAILS(rows[i].code,
		      pfs_workspace_lookup(f.ws, f.root, NAME(rows[i].name), &n, &err));
	}
	memset(longest, 'x', sizeof(longest));
	FAILS(PFS_E_NAMETOOLONG,
	      pfs_workspace_make(f.ws, f.root, longest, sizeof(longest) - 1, &m, &n, &err));
	OK(pfs_workspace_make(f.ws, f.root, longest, sizeof(longest) - 2, &m, &n, &err));
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_name, a_removed_file_lives_until_its_last_reference)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "still here");
	struct pfs_open *o;

	OK(pfs_workspace_sync(f.ws, &err));
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("f"), false, &err));
	cr_expect_not(has(&f, f.root, "f"));
	cr_expect_eq(attr_of(&f, n).nlink, 0);
	OK(pfs_workspace_write(o, 0, NAME("STILL"), &err));
	cr_expect_str_eq(read_open(o), "STILL here");
	cr_expect_eq(spool_files(&f), 1);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	OK(pfs_workspace_tick(f.ws, 0, &err));
	cr_expect_eq(spool_files(&f), 0, "its bytes are given back");
	end(&f);
}

Test(workspace_name, nothing_can_be_made_in_a_removed_directory)
{
	struct fixture f = begin();
	struct pfs_node_make m = { .type = PFS_ENTRY_FILE };
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *n;

	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("d"), true, &err));
	FAILS(PFS_E_NOTFOUND, pfs_workspace_make(f.ws, d, NAME("x"), &m, &n, &err));
	FAILS(PFS_E_NOTFOUND, pfs_workspace_lookup(f.ws, d, NAME("x"), &n, &err));
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_name, a_directory_does_not_move_into_itself)
{
	struct fixture f = begin();
	struct pfs_node *a = make(&f, f.root, PFS_ENTRY_DIR, "a");
	struct pfs_node *b = make(&f, a, PFS_ENTRY_DIR, "b");

	FAILS(PFS_E_INVALID,
	      pfs_workspace_rename(f.ws, f.root, NAME("a"), b, NAME("c"), false, false, &err));
	FAILS(PFS_E_INVALID,
	      pfs_workspace_rename(f.ws, f.root, NAME("a"), a, NAME("b"), false, true, &err));
	FAILS(PFS_E_INVALID,
	      pfs_workspace_rename(f.ws, a, NAME("b"), f.root, NAME("a"), false, true, &err));
	pfs_node_unref(&b);
	pfs_node_unref(&a);
	end(&f);
}

Test(workspace_name, a_name_that_moves_away_leaves_a_whiteout)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *w;
	struct pfs_node *n = put(&f, f.root, "f", "x");
	struct pfs_node *t = put(&f, d, "g", "replaced");

	commit(&f);
	FAILS(PFS_E_EXISTS,
	      pfs_workspace_rename_away(f.ws, f.root, NAME("f"), d, NAME("g"), true, &err));
	FAILS(PFS_E_INVALID,
	      pfs_workspace_rename_away(f.ws, f.root, NAME("d"), d, NAME("h"), false, &err));
	FAILS(PFS_E_NOTFOUND,
	      pfs_workspace_rename_away(f.ws, f.root, NAME("no"), d, NAME("g"), false, &err));
	OK(pfs_workspace_rename_away(f.ws, f.root, NAME("f"), d, NAME("g"), false, &err));
	cr_expect_eq(attr_of(&f, n).nlink, 1);
	cr_expect_eq(attr_of(&f, t).nlink, 0);
	pfs_node_unref(&t);
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	for (int round = 0; round < 3; round++) {
		w = find(&f, f.root, "f");
		cr_expect_eq(pfs_node_type(w), PFS_ENTRY_CHR, "round %d", round);
		cr_expect_eq(attr_of(&f, w).rdev, 0);
		cr_expect_eq(attr_of(&f, w).attrs.mode, 0);
		pfs_node_unref(&w);
		if (round == 0) {
			close_ws(&f);
			open_ws(&f);
		} else {
			commit(&f);
		}
	}
	end(&f);
}

Test(workspace_name, a_node_is_the_same_wherever_it_moves)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *again;
	struct pfs_node *n = put(&f, f.root, "f", "x");
	uint64_t ino = pfs_node_ino(n);

	OK(pfs_workspace_rename(f.ws, f.root, NAME("f"), d, NAME("g"), false, false, &err));
	again = find(&f, d, "g");
	cr_expect_eq(again, n);
	pfs_node_unref(&again);
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	close_ws(&f);
	open_ws(&f);
	d = find(&f, f.root, "d");
	n = find(&f, d, "g");
	cr_expect_eq(pfs_node_ino(n), ino, "also after a restart");
	put_only(&f, f.root, "f", "another");
	again = find(&f, f.root, "f");
	cr_expect_neq(pfs_node_ino(again), ino, "numbers are not shared");
	pfs_node_unref(&again);
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	end(&f);
}

static uint64_t reads(struct fixture *f)
{
	struct pfs_store_stats s;

	pfs_store_stats(f->st, &s);
	return s.cache_hits + s.cache_misses;
}

Test(workspace_name, a_clean_directory_moves_without_being_read)
{
	struct fixture f = begin();
	struct pfs_node *big = make(&f, f.root, PFS_ENTRY_DIR, "big"), *n;
	uint64_t before;
	char name[32];

	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		make_only(&f, big, PFS_ENTRY_FILE, name);
	}
	commit(&f);
	before = reads(&f);
	OK(pfs_workspace_rename(f.ws, f.root, NAME("big"), f.root, NAME("other"), false, false,
				&err));
	cr_expect_leq(reads(&f) - before, 3, "only the name \"other\" was looked for");
	before = reads(&f);
	n = find(&f, big, "file-77");
	cr_expect_gt(reads(&f), before, "reading is counted at all");
	pfs_node_unref(&n);
	pfs_node_unref(&big);
	close_ws(&f);
	open_ws(&f);
	big = find(&f, f.root, "other");
	cr_expect(has(&f, big, "file-2999"));
	cr_expect_not(has(&f, f.root, "big"));
	pfs_node_unref(&big);
	end(&f);
}

Test(workspace_name, a_file_without_a_name_appears_whole_or_never)
{
	struct fixture f = begin();
	struct pfs_node_make m = { .type = PFS_ENTRY_FILE, .mode = 0600 };
	struct pfs_node *n, *gone;

	put_only(&f, f.root, "f", "old");
	OK(pfs_workspace_make_unnamed(f.ws, &m, &n, &err));
	write_at(&f, n, 0, "new");
	cr_expect_str_eq(text_at(&f, "f"), "old");
	OK(pfs_workspace_place(f.ws, n, f.root, NAME("f"), &err));
	cr_expect_str_eq(text_at(&f, "f"), "new");
	FAILS(PFS_E_INVALID, pfs_workspace_place(f.ws, n, f.root, NAME("g"), &err));
	OK(pfs_workspace_make_unnamed(f.ws, &m, &gone, &err));
	write_at(&f, gone, 0, "never seen");
	pfs_node_unref(&gone);
	pfs_node_unref(&n);
	OK(pfs_workspace_tick(f.ws, 0, &err));
	cr_expect_eq(spool_files(&f), 1);
	end(&f);
}

Test(workspace_name, depth_has_a_limit_and_nothing_recurses_below_it)
{
	struct fixture f = begin();
	struct pfs_node *at = pfs_node_ref(f.root), *n;
	struct pfs_node_make m = { .type = PFS_ENTRY_DIR, .mode = 0755 };
	unsigned depth = 0;
	int rc;

	while ((rc = pfs_workspace_make(f.ws, at, NAME("d"), &m, &n, &err)) == 0) {
		pfs_node_unref(&at);
		at = n;
		depth++;
	}
	cr_expect_eq(rc, PFS_E_LIMIT);
	cr_expect_eq(depth, PFS_TREE_DEPTH_MAX - 1);
	put_only(&f, at, "f", "at the bottom");
	pfs_node_unref(&at);
	commit(&f);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	end(&f);
}

/* `n` directories in each other, from "name" in `at` on; the lowest. */
static struct pfs_node *dig(struct fixture *f, struct pfs_node *at, const char *name, unsigned n)
{
	struct pfs_node *dir = make(f, at, PFS_ENTRY_DIR, name);

	while (--n > 0) {
		struct pfs_node *below = make(f, dir, PFS_ENTRY_DIR, "d");

		pfs_node_unref(&dir);
		dir = below;
	}
	return dir;
}

Test(workspace_name, what_moves_takes_its_depth_along)
{
	static const struct {
		const char *why;
		bool commit, change;
	} cases[] = {
		{ "in memory", false, false },
		{ "in the base", true, false },
		{ "in the base, and something new above it", true, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture f = begin();
		struct pfs_node *low = dig(&f, f.root, "x", 1000);
		struct pfs_node *bottom = dig(&f, f.root, "y", 1047), *fits;
		struct pfs_node *top;
		char name[16];

		put_only(&f, low, "f", "at the bottom");
		pfs_node_unref(&low);
		/* More names than levels that are left, so that they have to be looked through. */
		OK(pfs_workspace_lookup(f.ws, f.root, NAME("x"), &top, &err));
		for (int k = 0; k < 1200; k++) {
			snprintf(name, sizeof(name), "s%d", k);
			make_only(&f, top, PFS_ENTRY_DIR, name);
		}
		if (cases[i].commit)
			commit(&f);
		if (cases[i].change)
			make_only(&f, top, PFS_ENTRY_DIR, "new");
		OK(pfs_workspace_rename(f.ws, f.root, NAME("x"), bottom, NAME("x"), false, false,
					&err));
		OK(pfs_workspace_rename(f.ws, bottom, NAME("x"), f.root, NAME("x"), false, false,
					&err));
		fits = make(&f, bottom, PFS_ENTRY_DIR, "e");
		cr_expect_eq(pfs_workspace_rename(f.ws, f.root, NAME("x"), fits, NAME("x"), false,
						  false, &err),
			     PFS_E_LIMIT, "%s", cases[i].why);
		make_only(&f, fits, PFS_ENTRY_DIR, "z");
		cr_expect_eq(pfs_workspace_rename(f.ws, fits, NAME("z"), f.root, NAME("x"), false,
						  true, &err),
			     PFS_E_LIMIT, "exchanged, %s", cases[i].why);
		cr_expect_eq(pfs_workspace_rename(f.ws, f.root, NAME("x"), fits, NAME("z"), false,
						  true, &err),
			     PFS_E_LIMIT, "exchanged the other way, %s", cases[i].why);
		pfs_node_unref(&top);
		pfs_node_unref(&fits);
		pfs_node_unref(&bottom);
		commit(&f);
		end(&f);
	}
}

struct names {
	char last[256];
	unsigned n;
	unsigned stop_at;
	bool sorted;
};

static int take_name(void *arg, const struct pfs_node_name *item)
{
	struct names *l = arg;

	l->sorted = l->sorted && strcmp(l->last, item->name) < 0;
	strcpy(l->last, item->name);
	return ++l->n == l->stop_at ? 42 : 0;
}

Test(workspace_name, a_listing_merges_base_and_changes_in_order)
{
	struct fixture f = begin();
	struct names l = { .sorted = true };
	char name[32];

	for (int i = 0; i < 1000; i += 2) {
		snprintf(name, sizeof(name), "%04d", i);
		make_only(&f, f.root, PFS_ENTRY_FILE, name);
	}
	commit(&f);
	for (int i = 1; i < 1000; i += 4) {
		snprintf(name, sizeof(name), "%04d", i);
		make_only(&f, f.root, PFS_ENTRY_FILE, name);
		snprintf(name, sizeof(name), "%04d", i + 1);
		OK(pfs_workspace_remove_name(f.ws, f.root, NAME(name), false, &err));
	}
	OK(pfs_workspace_list(f.ws, f.root, take_name, &l, &err));
	cr_expect_eq(l.n, 500);
	cr_expect(l.sorted);
	l = (struct names){ .sorted = true, .stop_at = 7 };
	cr_expect_eq(pfs_workspace_list(f.ws, f.root, take_name, &l, &err), 42);
	cr_expect_eq(l.n, 7);
	end(&f);
}
