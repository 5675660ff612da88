#include "workspace_fixture.h"
#include "tree/chunker.h"

Test(workspace_commit, equal_content_has_an_equal_root_whatever_the_history)
{
	struct pfs_node_attr set = { .attrs.mtime_sec = 7 };
	struct fixture f = begin();
	struct pfs_sealed first, second;
	struct pfs_node *n;

	n = put(&f, f.root, "f", "same");
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_MTIME, &set, &err));
	pfs_node_unref(&n);
	first = commit(&f);
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("f"), false, &err));
	put_only(&f, f.root, "other", "for a while");
	commit(&f);
	OK(pfs_workspace_rename(f.ws, f.root, NAME("other"), f.root, NAME("f"), false, false,
				&err));
	n = find(&f, f.root, "f");
	set.size_bytes = 0;
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	write_at(&f, n, 2, "me");
	write_at(&f, n, 0, "sa");
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_MTIME, &set, &err));
	pfs_node_unref(&n);
	second = seal(&f);
	cr_expect(pfs_id_equal(&first.root.dir, &second.root.dir));
	end(&f);
}

Test(workspace_commit, a_file_open_for_writing_is_committed_as_it_is_and_stays_dirty)
{
	struct fixture f = begin();
	struct pfs_node *n = make(&f, f.root, PFS_ENTRY_FILE, "f");
	struct pfs_found found = { 0 };
	struct pfs_sealed s;
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, 0, NAME("before"), &err));
	s = seal(&f);
	OK(pfs_workspace_write(o, 6, NAME(" after"), &err));
	OK(pfs_workspace_settle(f.ws, &s, &err));
	cr_expect(pfs_workspace_dirty(f.ws));
	OK(pfs_tree_find(f.st, &s.root.dir, NAME("f"), &found, &err));
	cr_expect_eq(found.e.content.size, 6);
	pfs_workspace_close_file(&o);
	s = commit(&f);
	OK(pfs_tree_find(f.st, &s.root.dir, NAME("f"), &found, &err));
	cr_expect_eq(found.e.content.size, 12);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	pfs_found_fini(&found);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_commit, what_changes_between_seal_and_settle_differs_from_the_new_base)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d");
	struct pfs_sealed s;

	put_only(&f, d, "gone", "1");
	put_only(&f, d, "moved", "2");
	put_only(&f, d, "stays", "3");
	s = seal(&f);
	OK(pfs_workspace_remove_name(f.ws, d, NAME("gone"), false, &err));
	OK(pfs_workspace_rename(f.ws, d, NAME("moved"), f.root, NAME("here"), false, false, &err));
	put_only(&f, d, "late", "4");
	OK(pfs_workspace_settle(f.ws, &s, &err));
	for (int again = 0; again < 2; again++) {
		cr_expect_not(has(&f, d, "gone"));
		cr_expect_not(has(&f, d, "moved"));
		cr_expect(has(&f, d, "stays"));
		cr_expect(has(&f, d, "late"));
		cr_expect_str_eq(text_at(&f, "here"), "2");
		cr_expect(pfs_workspace_dirty(f.ws));
		pfs_node_unref(&d);
		close_ws(&f);
		open_ws(&f);
		d = find(&f, f.root, "d");
	}
	OK(pfs_workspace_remove_name(f.ws, d, NAME("stays"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, d, NAME("late"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("d"), true, &err));
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_commit, a_directory_emptied_between_seal_and_settle_can_be_removed)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d");
	struct pfs_sealed s;

	put_only(&f, d, "x", "1");
	s = seal(&f);
	OK(pfs_workspace_remove_name(f.ws, d, NAME("x"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("d"), true, &err));
	OK(pfs_workspace_settle(f.ws, &s, &err));
	cr_expect_not(has(&f, f.root, "d"));
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_commit, a_directory_is_not_empty_because_of_what_only_a_seal_remembers)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d");

	put_only(&f, d, "a", "1");
	commit(&f);
	put_only(&f, d, "x", "2");
	seal(&f);
	OK(pfs_workspace_remove_name(f.ws, d, NAME("x"), false, &err));
	FAILS(PFS_E_NOTEMPTY, pfs_workspace_remove_name(f.ws, f.root, NAME("d"), true, &err));
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_commit, only_the_last_seal_can_be_settled)
{
	struct fixture f = begin();
	struct pfs_sealed s;

	put_only(&f, f.root, "f", "x");
	s = seal(&f);
	seal(&f);
	FAILS(PFS_E_CONFLICT, pfs_workspace_settle(f.ws, &s, &err));
	s = commit(&f);
	FAILS(PFS_E_CONFLICT, pfs_workspace_settle(f.ws, &s, &err));
	end(&f);
}

Test(workspace_commit, a_commit_gives_the_spool_back)
{
	struct fixture f = begin();

	put_only(&f, f.root, "a", "x");
	put_only(&f, f.root, "b", "y");
	OK(pfs_workspace_sync(f.ws, &err));
	cr_expect_eq(spool_files(&f), 2);
	commit(&f);
	OK(pfs_workspace_tick(f.ws, 0, &err));
	cr_expect_eq(spool_files(&f), 0);
	cr_expect_str_eq(text_at(&f, "b"), "y");
	end(&f);
}

Test(workspace_commit, a_reset_keeps_nodes_whose_name_stays_and_tells_who_caches)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *gone, *same, *again;
	struct pfs_node_change c;
	struct pfs_sealed s;

	same = put(&f, d, "same", "committed");
	s = commit(&f);
	write_at(&f, same, 0, "CHANGED");
	gone = put(&f, d, "gone", "x");
	while (pfs_workspace_next_change(f.ws, &c))
		pfs_node_unref(&c.node);
	OK(pfs_workspace_reset(f.ws, &s.root, &err));
	cr_expect_eq(pfs_workspace_next_change(f.ws, &c), 1);
	cr_expect(c.lost);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect_str_eq(text_of(&f, same), "committed");
	cr_expect_str_eq(text_of(&f, gone), "x", "held, but nameless");
	cr_expect_eq(attr_of(&f, gone).nlink, 0);
	again = find(&f, d, "same");
	cr_expect_eq(again, same);
	cr_expect_not(has(&f, d, "gone"));
	pfs_node_unref(&again);
	pfs_node_unref(&same);
	pfs_node_unref(&gone);
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_commit, an_eviction_leaves_nothing_that_leads_in)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *same, *again, *out = NULL;
	const struct pfs_node_make file = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_node *last = f.root;
	struct pfs_sealed s;

	same = put(&f, d, "same", "committed");
	s = commit(&f);
	put_only(&f, d, "gone", "x");
	OK(pfs_workspace_evict(f.ws, &s.root, &err));
	f.root = pfs_workspace_root(f.ws);
	cr_expect_neq(f.root, last);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect_eq(pfs_workspace_make(f.ws, last, "late", 4, &file, &out, &err), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_workspace_make(f.ws, d, "late", 4, &file, &out, &err), PFS_E_NOTFOUND);
	write_at(&f, same, 0, "CHANGED");
	pfs_node_unref(&d);
	d = find(&f, f.root, "d");
	again = find(&f, d, "same");
	cr_expect_neq(again, same);
	cr_expect_str_eq(text_of(&f, again), "committed");
	pfs_node_unref(&again);
	cr_expect_eq(attr_of(&f, same).nlink, 0);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect_not(has(&f, d, "gone"));
	put_only(&f, d, "new", "y");
	pfs_node_unref(&d);
	pfs_node_unref(&same);
	pfs_node_unref(&last);
	OK(pfs_workspace_sync(f.ws, &err));
	close_ws(&f);
	open_ws(&f);
	d = find(&f, f.root, "d");
	cr_expect(has(&f, d, "same"));
	cr_expect(has(&f, d, "new"));
	cr_expect_not(has(&f, d, "late"));
	cr_expect_not(has(&f, f.root, "late"));
	pfs_node_unref(&d);
	end(&f);
}

static void put_bytes(struct fixture *f, struct pfs_node *n, const void *data, size_t len)
{
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f->ws, n, true, true, &o, &err));
	OK(pfs_workspace_write(o, 0, data, len, &err));
	pfs_workspace_close_file(&o);
}

/* By how much a commit makes the store grow. */
static uint64_t growth(struct fixture *f)
{
	struct pfs_store_stats before, after;

	OK(pfs_store_sync(f->st, &err));
	pfs_store_stats(f->st, &before);
	commit(f);
	OK(pfs_store_sync(f->st, &err));
	pfs_store_stats(f->st, &after);
	return after.pack_bytes - before.pack_bytes;
}

/* How a file is replaced by another one of its name. */
enum replacing { REWRITE, UNLINK, RENAME };

static void replace(struct fixture *f, enum replacing how, const void *data, size_t len)
{
	struct pfs_node *n;

	if (how == UNLINK)
		OK(pfs_workspace_remove_name(f->ws, f->root, NAME("f"), false, &err));
	n = how == REWRITE ? find(f, f->root, "f")
			   : make(f, f->root, PFS_ENTRY_FILE, how == RENAME ? "f.tmp" : "f");
	put_bytes(f, n, data, len);
	pfs_node_unref(&n);
	if (how == RENAME)
		OK(pfs_workspace_rename(f->ws, f->root, NAME("f.tmp"), f->root, NAME("f"), false,
					false, &err));
}

#define CUTS_MAX 100u

/* Where the store cuts these bytes. */
static size_t cuts_of(struct fixture *f, const void *data, size_t len, struct pfs_cut *cuts)
{
	struct pfs_chunker c;
	struct pfs_gear gear;
	size_t n = 0;

	OK(pfs_gear_init(&gear, pfs_store_keys(f->st)->gear_key, &err));
	OK(pfs_chunker_init(&c, &gear, &err));
	OK(pfs_chunker_feed(&c, data, len, &err));
	pfs_chunker_end(&c);
	while (n < CUTS_MAX && pfs_chunker_next(&c, &cuts[n]))
		n++;
	pfs_chunker_fini(&c);
	cr_assert_lt(n, CUTS_MAX);
	return n;
}

static bool same_cuts(const struct pfs_cut *a, size_t n_a, const struct pfs_cut *b, size_t n_b)
{
	bool same = n_a == n_b;

	for (size_t i = 0; same && i < n_a; i++)
		same = a[i].len == b[i].len;
	return same;
}

/*
 * Change a byte there, or a bit further on where no cut depends on it: each
 * store has a key of its own to cut by, and a chunk that begins elsewhere costs
 * the bytes that its base lacks.
 */
static void change_a_byte(struct fixture *f, unsigned char *bytes, size_t len, size_t at)
{
	struct pfs_cut was[CUTS_MAX], is[CUTS_MAX];
	size_t n = cuts_of(f, bytes, len, was);

	for (;; at += PFS_CHUNK_WINDOW) {
		cr_assert_lt(at, len);
		bytes[at] ^= 1;
		if (same_cuts(was, n, is, cuts_of(f, bytes, len, is)))
			return;
		bytes[at] ^= 1;
	}
}

Test(workspace_commit, a_file_that_is_written_anew_costs_what_is_different)
{
	static const size_t sizes[] = { 30000, 60000, 700000 };
	static unsigned char bytes[700000];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct fixture f = begin_on_disk();
		struct pfs_node *n = make(&f, f.root, PFS_ENTRY_FILE, "f");

		scratch_fill(bytes, sizes[i], 9);
		put_bytes(&f, n, bytes, sizes[i]);
		pfs_node_unref(&n);
		cr_expect_gt(growth(&f), sizes[i] * 9 / 10);
		for (enum replacing how = REWRITE; how <= RENAME; how++) {
			uint64_t more;

			change_a_byte(&f, bytes, sizes[i], sizes[i] / 3 + 1000 * how);
			replace(&f, how, bytes, sizes[i]);
			more = growth(&f);
			cr_expect_leq(more, 8000, "%zu bytes, replaced in way %d: %llu", sizes[i],
				      (int)how, (unsigned long long)more);
		}
		end(&f);
	}
}

#define ANEW_FILES 20u
#define ANEW_SIZE  30000u

/* d/e/file-<i>, in directories that are made here. */
static void make_tree(struct fixture *f, unsigned char (*bytes)[ANEW_SIZE])
{
	struct pfs_node *d = make(f, f->root, PFS_ENTRY_DIR, "d");
	struct pfs_node *e = make(f, d, PFS_ENTRY_DIR, "e");

	for (unsigned i = 0; i < ANEW_FILES; i++) {
		char name[20];
		struct pfs_node *n;

		snprintf(name, sizeof(name), "file-%u", i);
		n = make(f, e, PFS_ENTRY_FILE, name);
		put_bytes(f, n, bytes[i], ANEW_SIZE);
		pfs_node_unref(&n);
	}
	pfs_node_unref(&e);
	pfs_node_unref(&d);
}

static void remove_tree(struct fixture *f)
{
	struct pfs_node *d = find(f, f->root, "d"), *e = find(f, d, "e");

	for (unsigned i = 0; i < ANEW_FILES; i++) {
		char name[20];

		snprintf(name, sizeof(name), "file-%u", i);
		OK(pfs_workspace_remove_name(f->ws, e, NAME(name), false, &err));
	}
	OK(pfs_workspace_remove_name(f->ws, d, NAME("e"), true, &err));
	OK(pfs_workspace_remove_name(f->ws, f->root, NAME("d"), true, &err));
	pfs_node_unref(&e);
	pfs_node_unref(&d);
}

/* As a release is unpacked in the place of the one before. */
Test(workspace_commit, a_tree_that_is_made_anew_costs_what_is_different)
{
	static unsigned char bytes[ANEW_FILES][ANEW_SIZE];
	struct fixture f = begin_on_disk();
	uint64_t first, more;

	for (unsigned i = 0; i < ANEW_FILES; i++)
		scratch_fill(bytes[i], ANEW_SIZE, i + 1);
	make_tree(&f, bytes);
	first = growth(&f);
	cr_expect_gt(first, ANEW_FILES * ANEW_SIZE * 9 / 10);
	remove_tree(&f);
	for (unsigned i = 0; i < ANEW_FILES; i++)
		bytes[i][1000 * i] ^= 1;
	make_tree(&f, bytes);
	more = growth(&f);
	cr_expect_leq(more, first / 20, "%llu bytes, then %llu", (unsigned long long)first,
		      (unsigned long long)more);
	end(&f);
}
