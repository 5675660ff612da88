#include "scratch.h"
#include "tree/content.h"
#include "tree/tree.h"
#include "workspace/workspace.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <sqlite3.h>
#include <unistd.h>

struct fixture {
	struct scratch dir;
	char folder[300];
	struct pfs_store *st;
	struct pfs_workspace *ws;
	struct pfs_node *root;
};

static struct pfs_error err;

#define OK(call)          cr_assert_eq((call), 0, "%s: %s", #call, err.text)
#define FAILS(code, call) cr_expect_eq((call), (code), "%s: %s", #call, err.text)
#define NAME(s)           (s), strlen(s)

static void open_ws(struct fixture *f)
{
	struct pfs_root base = { .attrs.mode = 0755 };

	OK(pfs_workspace_open(f->folder, f->st, &base, &f->ws, &err));
	f->root = pfs_workspace_root(f->ws);
}

static void close_ws(struct fixture *f)
{
	pfs_node_unref(&f->root);
	pfs_workspace_close(&f->ws);
}

static struct fixture begin(void)
{
	struct fixture f = { .dir = scratch_new() };

	snprintf(f.folder, sizeof(f.folder), "%s/ws", f.dir.path);
	OK(pfs_store_open_mem(&f.st, &err));
	open_ws(&f);
	return f;
}

static void end(struct fixture *f)
{
	close_ws(f);
	pfs_store_close(&f->st);
	scratch_fini(&f->dir);
}

static struct pfs_node *make(struct fixture *f, struct pfs_node *dir, enum pfs_entry_type type,
			     const char *name)
{
	struct pfs_node_make m = { .type = type, .mode = 0644, .target = "to", .target_len = 2 };
	struct pfs_node *n = NULL;

	OK(pfs_workspace_make(f->ws, dir, NAME(name), &m, &n, &err));
	return n;
}

static void make_only(struct fixture *f, struct pfs_node *dir, enum pfs_entry_type type,
		      const char *name)
{
	struct pfs_node *n = make(f, dir, type, name);

	pfs_node_unref(&n);
}

static void write_at(struct fixture *f, struct pfs_node *n, uint64_t off, const char *text)
{
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f->ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, off, NAME(text), &err));
	pfs_workspace_close_file(&o);
}

static struct pfs_node *put(struct fixture *f, struct pfs_node *dir, const char *name,
			    const char *text)
{
	struct pfs_node *n = make(f, dir, PFS_ENTRY_FILE, name);

	write_at(f, n, 0, text);
	return n;
}

static void put_only(struct fixture *f, struct pfs_node *dir, const char *name, const char *text)
{
	struct pfs_node *n = put(f, dir, name, text);

	pfs_node_unref(&n);
}

static struct pfs_node *find(struct fixture *f, struct pfs_node *dir, const char *name)
{
	struct pfs_node *n = NULL;

	OK(pfs_workspace_lookup(f->ws, dir, NAME(name), &n, &err));
	return n;
}

static bool has(struct fixture *f, struct pfs_node *dir, const char *name)
{
	struct pfs_node *n = NULL;
	int rc = pfs_workspace_lookup(f->ws, dir, NAME(name), &n, &err);

	pfs_node_unref(&n);
	cr_assert(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
	return rc == 0;
}

static const char *read_open(struct pfs_open *o)
{
	static char text[512];
	size_t got;

	OK(pfs_workspace_read(o, 0, text, sizeof(text) - 1, &got, &err));
	text[got] = 0;
	return text;
}

static const char *text_of(struct fixture *f, struct pfs_node *n)
{
	struct pfs_open *o;
	const char *text;

	OK(pfs_workspace_open_file(f->ws, n, false, false, &o, &err));
	text = read_open(o);
	pfs_workspace_close_file(&o);
	return text;
}

static const char *text_at(struct fixture *f, const char *name)
{
	struct pfs_node *n = find(f, f->root, name);
	const char *text = text_of(f, n);

	pfs_node_unref(&n);
	return text;
}

static struct pfs_sealed seal(struct fixture *f)
{
	struct pfs_sealed s;

	OK(pfs_workspace_seal(f->ws, NULL, &s, &err));
	return s;
}

static struct pfs_sealed commit(struct fixture *f)
{
	struct pfs_sealed s = seal(f);

	OK(pfs_workspace_settle(f->ws, &s, &err));
	return s;
}

static unsigned spool_files(struct fixture *f)
{
	char path[320];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/spool", f->folder);
	d = opendir(path);
	cr_assert(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static struct pfs_node_attr attr_of(struct fixture *f, struct pfs_node *n)
{
	struct pfs_node_attr a;

	OK(pfs_workspace_getattr(f->ws, n, &a, &err));
	return a;
}

/* --- names ---------------------------------------------------------------- */

Test(workspace, refuses_names_that_cannot_be)
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

Test(workspace, a_removed_file_lives_until_its_last_reference)
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

Test(workspace, nothing_can_be_made_in_a_removed_directory)
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

Test(workspace, a_directory_does_not_move_into_itself)
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

Test(workspace, a_node_is_the_same_wherever_it_moves)
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

Test(workspace, a_clean_directory_moves_without_being_read)
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

Test(workspace, a_file_without_a_name_appears_whole_or_never)
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

Test(workspace, depth_has_a_limit_and_nothing_recurses_below_it)
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

/* --- listing -------------------------------------------------------------- */

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

Test(workspace, a_listing_merges_base_and_changes_in_order)
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

/* --- files ---------------------------------------------------------------- */

Test(workspace, truncation_cuts_and_fills_with_zeros)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "0123456789");
	struct pfs_node_attr set = { .size_bytes = 4 };
	struct pfs_open *o;
	char bytes[8];
	size_t got;

	commit(&f);
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	set.size_bytes = 8;
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	OK(pfs_workspace_open_file(f.ws, n, false, false, &o, &err));
	OK(pfs_workspace_read(o, 0, bytes, sizeof(bytes), &got, &err));
	cr_expect_eq(got, 8);
	cr_expect_eq(memcmp(bytes, "0123\0\0\0\0", 8), 0);
	FAILS(PFS_E_DENIED, pfs_workspace_write(o, 0, "x", 1, &err));
	pfs_workspace_close_file(&o);
	set.size_bytes = PFS_FILE_SIZE_MAX + 1;
	FAILS(PFS_E_LIMIT, pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	FAILS(PFS_E_ISDIR, pfs_workspace_setattr(f.ws, f.root, PFS_NODE_SIZE, &set, &err));
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace, who_reads_sees_what_is_written_later_whatever_is_committed_in_between)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "one");
	struct pfs_open *old, *early, *writer;

	OK(pfs_workspace_open_file(f.ws, n, false, false, &old, &err));
	cr_expect_geq(pfs_workspace_local_fd(old), 0);
	commit(&f);
	cr_expect_not(pfs_workspace_dirty(f.ws), "readers do not keep it dirty");
	cr_expect_str_eq(read_open(old), "one", "its descriptor goes on");
	OK(pfs_workspace_open_file(f.ws, n, true, false, &writer, &err));
	cr_expect_eq(pfs_workspace_local_fd(writer), pfs_workspace_local_fd(old),
		     "everybody has the same file");
	OK(pfs_workspace_write(writer, 0, NAME("two"), &err));
	cr_expect_str_eq(read_open(old), "two");
	pfs_workspace_close_file(&writer);
	pfs_workspace_close_file(&old);
	commit(&f);

	OK(pfs_workspace_open_file(f.ws, n, false, false, &early, &err));
	cr_expect_eq(pfs_workspace_local_fd(early), -1, "clean, read from the store");
	cr_expect_str_eq(read_open(early), "two");
	write_at(&f, n, 0, "six");
	cr_expect_str_eq(read_open(early), "six");
	commit(&f);
	cr_expect_str_eq(read_open(early), "six");
	pfs_workspace_close_file(&early);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace, appending_seeking_and_allocating_do_as_the_kernel_does)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "abc");
	struct pfs_open *o;
	uint64_t at;

	commit(&f);
	OK(pfs_workspace_open_file(f.ws, n, false, false, &o, &err));
	OK(pfs_workspace_seek(o, 1, SEEK_DATA, &at, &err));
	cr_expect_eq(at, 1);
	OK(pfs_workspace_seek(o, 1, SEEK_HOLE, &at, &err));
	cr_expect_eq(at, 3);
	FAILS(PFS_E_NOTFOUND, pfs_workspace_seek(o, 3, SEEK_DATA, &at, &err));
	FAILS(PFS_E_INVALID, pfs_workspace_seek(o, 0, SEEK_END, &at, &err));
	pfs_workspace_close_file(&o);
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_append(o, NAME("def"), &err));
	cr_expect_str_eq(read_open(o), "abcdef");
	FAILS(PFS_E_NOTFOUND, pfs_workspace_seek(o, 6, SEEK_HOLE, &at, &err));
	OK(pfs_workspace_allocate(o, 0, 0, 100, &err));
	cr_expect_eq(attr_of(&f, n).size_bytes, 100);
	FAILS(PFS_E_LIMIT, pfs_workspace_write(o, PFS_FILE_SIZE_MAX, "x", 1, &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace, times_that_were_set_stay_set)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "abc");
	struct pfs_node_attr set = { .attrs = { .mtime_sec = 1234567890,
						.mtime_nsec = 123456789 } };

	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_MTIME, &set, &err));
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	for (int round = 0; round < 3; round++) {
		n = find(&f, f.root, "f");
		cr_expect_eq(attr_of(&f, n).attrs.mtime_sec, 1234567890, "round %d", round);
		cr_expect_eq(attr_of(&f, n).attrs.mtime_nsec, 123456789u, "round %d", round);
		if (round == 1) {
			struct pfs_open *o;

			OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
			pfs_workspace_close_file(&o);
		}
		pfs_node_unref(&n);
		commit(&f);
	}
	end(&f);
}

Test(workspace, what_is_made_in_a_setgid_directory_has_its_group)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *n;
	struct pfs_node_attr set = { .attrs = { .mode = 02775, .gid = 77 } };

	OK(pfs_workspace_setattr(f.ws, d, PFS_NODE_MODE | PFS_NODE_GID, &set, &err));
	n = make(&f, d, PFS_ENTRY_FILE, "f");
	cr_expect_eq(attr_of(&f, n).attrs.gid, 77);
	pfs_node_unref(&n);
	n = make(&f, d, PFS_ENTRY_DIR, "sub");
	cr_expect_eq(attr_of(&f, n).attrs.mode & 02000, 02000);
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	end(&f);
}

/* --- commit --------------------------------------------------------------- */

Test(workspace, equal_content_has_an_equal_root_whatever_the_history)
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

Test(workspace, a_file_open_for_writing_is_committed_as_it_is_and_stays_dirty)
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

Test(workspace, what_changes_between_seal_and_settle_differs_from_the_new_base)
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

Test(workspace, a_directory_emptied_between_seal_and_settle_can_be_removed)
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

Test(workspace, a_directory_is_not_empty_because_of_what_only_a_seal_remembers)
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

Test(workspace, only_the_last_seal_can_be_settled)
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

Test(workspace, a_commit_gives_the_spool_back)
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

Test(workspace, a_reset_keeps_nodes_whose_name_stays_and_tells_who_caches)
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

Test(workspace, an_eviction_leaves_nothing_that_leads_in)
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

/* --- who caches ----------------------------------------------------------- */

static int wakes;

static void count_wake(void *arg)
{
	wakes++;
}

Test(workspace, changes_are_told_but_for_those_of_quiet_threads)
{
	struct fixture f = begin();
	struct pfs_node_change c;

	pfs_workspace_watch(f.ws, count_wake, NULL);
	pfs_workspace_quiet(true);
	make_only(&f, f.root, PFS_ENTRY_FILE, "unheard");
	pfs_workspace_quiet(false);
	cr_expect_eq(wakes, 0);
	cr_expect_eq(pfs_workspace_next_change(f.ws, &c), 0);
	make_only(&f, f.root, PFS_ENTRY_FILE, "heard");
	cr_expect_eq(wakes, 1);
	cr_assert_eq(pfs_workspace_next_change(f.ws, &c), 1);
	cr_expect_eq(c.node, f.root);
	cr_expect_str_eq(c.name, "heard");
	pfs_node_unref(&c.node);
	end(&f);
}

Test(workspace, a_reader_of_changes_that_is_too_slow_is_told_once)
{
	struct fixture f = begin();
	struct pfs_node_change c;
	char name[32];

	pfs_workspace_watch(f.ws, NULL, NULL);
	for (int i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make_only(&f, f.root, PFS_ENTRY_FILE, name);
	}
	cr_assert_eq(pfs_workspace_next_change(f.ws, &c), 1);
	cr_expect(c.lost);
	cr_expect_eq(pfs_workspace_next_change(f.ws, &c), 0);
	end(&f);
}

/* --- the folder ----------------------------------------------------------- */

Test(workspace, is_opened_by_one_at_a_time)
{
	struct fixture f = begin();
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *second = NULL;

	FAILS(PFS_E_BUSY, pfs_workspace_open(f.folder, f.st, &base, &second, &err));
	cr_expect_null(second);
	end(&f);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

Test(workspace, sweeps_spool_files_nobody_names_and_nothing_else)
{
	struct fixture f = begin();
	char path[360];

	put_only(&f, f.root, "f", "mine");
	close_ws(&f);
	snprintf(path, sizeof(path), "%s/spool/00000000000000aa-99", f.folder);
	write_file(path, "left by a crash");
	snprintf(path, sizeof(path), "%s/spool/README", f.folder);
	write_file(path, "not ours");
	open_ws(&f);
	cr_expect_eq(spool_files(&f), 2);
	cr_expect_str_eq(text_at(&f, "f"), "mine");
	put_only(&f, f.root, "g", "a serial past all others");
	end(&f);
}

Test(workspace, says_what_is_damaged)
{
	struct fixture f = begin();
	struct pfs_root base = { .attrs.mode = 0755 };
	char path[360];

	put_only(&f, f.root, "f", "mine");
	close_ws(&f);
	snprintf(path, sizeof(path), "%s/spool", f.folder);
	OK(pfs_io_remove_all(AT_FDCWD, path, &err));
	FAILS(PFS_E_CORRUPT, pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err));
	cr_expect(strstr(err.text, "spool file"), "%s", err.text);
	snprintf(path, sizeof(path), "%s/journal.db", f.folder);
	write_file(path, "this is not a database, and long enough to be looked at closely by "
			 "whoever opens it");
	FAILS(PFS_E_CORRUPT, pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err));
	OK(pfs_workspace_remove(f.folder, &err));
	OK(pfs_workspace_remove(f.folder, &err));
	open_ws(&f);
	end(&f);
}

static void damage_journal(struct fixture *f, const char *sql)
{
	char path[360];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/journal.db", f->folder);
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

Test(workspace, refuses_each_damaged_row_of_its_journal)
{
	static const struct {
		const char *sql;
		int code;
	} rows[] = {
		{ "UPDATE node SET type = 9 WHERE type = 1", PFS_E_CORRUPT },
		{ "UPDATE node SET state = 2 WHERE type = 1", PFS_E_CORRUPT },
		{ "UPDATE node SET mode = 65536", PFS_E_CORRUPT },
		{ "UPDATE node SET mtime_nsec = 1000000000", PFS_E_CORRUPT },
		{ "UPDATE node SET dir = x'0102' WHERE type = 2", PFS_E_CORRUPT },
		{ "UPDATE node SET target = x'' WHERE type = 3", PFS_E_CORRUPT },
		{ "UPDATE node SET content = x'00' WHERE type = 1 AND state = 0", PFS_E_CORRUPT },
		{ "UPDATE node SET serial = serial + 100 WHERE state = 1", PFS_E_CORRUPT },
		{ "UPDATE node SET type = 1 WHERE ino = 1", PFS_E_CORRUPT },
		{ "DELETE FROM node WHERE type = 3", PFS_E_CORRUPT },
		{ "DELETE FROM node WHERE ino = 1", PFS_E_CORRUPT },
		{ "DELETE FROM name WHERE name = CAST('link' AS BLOB)", PFS_E_CORRUPT },
		{ "UPDATE name SET name = CAST('a/b' AS BLOB) WHERE name = CAST('link' AS BLOB)",
		  PFS_E_CORRUPT },
		{ "UPDATE name SET name = CAST('..' AS BLOB) WHERE name = CAST('link' AS BLOB)",
		  PFS_E_CORRUPT },
		{ "UPDATE name SET ino = 1 WHERE name = CAST('link' AS BLOB)", PFS_E_CORRUPT },
		/* A directory in itself, with no way to the root. */
		{ "UPDATE name SET parent = ino WHERE name = CAST('d' AS BLOB)", PFS_E_CORRUPT },
		{ "DELETE FROM meta", PFS_E_CORRUPT },
		{ "PRAGMA user_version = 2", PFS_E_UNSUPPORTED },
		{ "PRAGMA application_id = 7", PFS_E_CORRUPT },
	};
	struct pfs_root base = { .attrs.mode = 0755 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fixture f = begin();
		struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d");

		put_only(&f, d, "f", "x");
		make_only(&f, d, PFS_ENTRY_FILE, "empty");
		make_only(&f, f.root, PFS_ENTRY_SYMLINK, "link");
		pfs_node_unref(&d);
		close_ws(&f);
		damage_journal(&f, rows[i].sql);
		cr_expect_eq(pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err), rows[i].code,
			     "%s", rows[i].sql);
		end(&f);
	}
}
