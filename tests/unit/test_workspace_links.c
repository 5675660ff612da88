/* Files with several names: in memory, in the journal, in what is committed, and from there. */
#include "tree/links.h"
#include "workspace_fixture.h"

#include <sqlite3.h>

static void link_to(struct fixture *f, struct pfs_node *n, struct pfs_node *dir, const char *name)
{
	OK(pfs_workspace_link(f->ws, n, dir, NAME(name), &err));
}

/* A name that nobody holds afterwards. */
static void link_only(struct fixture *f, const char *name, struct pfs_node *dir,
		      const char *new_name)
{
	struct pfs_node *n = find(f, f->root, name);

	link_to(f, n, dir, new_name);
	pfs_node_unref(&n);
}

static struct pfs_node *find_in(struct fixture *f, const char *dir_name, const char *name)
{
	struct pfs_node *dir = find(f, f->root, dir_name), *n = find(f, dir, name);

	pfs_node_unref(&dir);
	return n;
}

static const char *text_in(struct fixture *f, const char *dir_name, const char *name)
{
	struct pfs_node *n = find_in(f, dir_name, name);
	const char *text = text_of(f, n);

	pfs_node_unref(&n);
	return text;
}

/* The number of names, which all have to be one node. */
static unsigned names_of(struct fixture *f, const char *name)
{
	struct pfs_node *n = find(f, f->root, name);
	unsigned nlink = attr_of(f, n).nlink;

	pfs_node_unref(&n);
	return nlink;
}

static uint64_t ino_in(struct fixture *f, const char *dir_name, const char *name)
{
	struct pfs_node *n = find_in(f, dir_name, name);
	uint64_t ino = pfs_node_ino(n);

	pfs_node_unref(&n);
	return ino;
}

/* The number that a committed name has in its group. */
static uint64_t number_at(struct fixture *f, const struct pfs_sealed *s, const char *path)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };

	OK(pfs_tree_lookup(f->st, &s->root.dir, path, &found, &err));
	return found.e.link;
}

/* Numbers are what the page says, so that all names of a file are together. */
static void check_numbers(struct fixture *f, const struct pfs_sealed *s)
{
	struct pfs_id settled;

	OK(pfs_links_settle(f->st, &s->root.dir, NULL, &settled, &err));
	cr_expect(pfs_id_equal(&settled, &s->root.dir));
}

/* "x" and "d/y" are one file, which is committed and out of memory. */
static struct fixture begin_committed(void)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d");
	struct pfs_sealed s;

	put_only(&f, f.root, "x", "one");
	link_only(&f, "x", d, "y");
	put_only(&f, d, "alone", "z");
	pfs_node_unref(&d);
	s = commit(&f);
	check_numbers(&f, &s);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	return f;
}

Test(workspace_links, names_lead_to_one_file)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "a", "one"), *d = make(&f, f.root, PFS_ENTRY_DIR, "d");
	struct pfs_node *b;

	link_to(&f, n, d, "b");
	b = find(&f, d, "b");
	cr_expect_eq(n, b);
	cr_expect_eq(attr_of(&f, n).nlink, 2);
	write_at(&f, b, 0, "two");
	cr_expect_str_eq(text_at(&f, "a"), "two");
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("a"), false, &err));
	cr_expect_eq(attr_of(&f, b).nlink, 1);
	cr_expect_str_eq(text_of(&f, b), "two");
	OK(pfs_workspace_remove_name(f.ws, d, NAME("b"), false, &err));
	cr_expect_eq(attr_of(&f, b).nlink, 0);
	cr_expect_str_eq(text_of(&f, b), "two", "it is held");
	FAILS(PFS_E_NOTFOUND, pfs_workspace_link(f.ws, b, d, NAME("c"), &err));
	pfs_node_unref(&b);
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_links, refuses_what_cannot_be_linked)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "a", "one"), *d = make(&f, f.root, PFS_ENTRY_DIR, "d");

	make_only(&f, d, PFS_ENTRY_FILE, "b");
	FAILS(PFS_E_DENIED, pfs_workspace_link(f.ws, d, f.root, NAME("e"), &err));
	FAILS(PFS_E_EXISTS, pfs_workspace_link(f.ws, n, d, NAME("b"), &err));
	FAILS(PFS_E_EXISTS, pfs_workspace_link(f.ws, n, f.root, NAME("a"), &err));
	FAILS(PFS_E_NOTDIR, pfs_workspace_link(f.ws, n, n, NAME("c"), &err));
	OK(pfs_workspace_remove_name(f.ws, d, NAME("b"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("d"), true, &err));
	FAILS(PFS_E_NOTFOUND, pfs_workspace_link(f.ws, n, d, NAME("c"), &err));
	cr_expect_eq(attr_of(&f, n).nlink, 1);
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_links, end_at_the_limit)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "0", "one");
	struct pfs_sealed s;
	char name[16];

	for (unsigned i = 1; i < PFS_FILE_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		link_to(&f, n, f.root, name);
	}
	FAILS(PFS_E_LIMIT, pfs_workspace_link(f.ws, n, f.root, NAME("more"), &err));
	cr_expect_eq(attr_of(&f, n).nlink, PFS_FILE_NAMES_MAX);
	s = commit(&f);
	cr_expect_neq(number_at(&f, &s, "64999"), 0);
	cr_expect_eq(number_at(&f, &s, "64999"), number_at(&f, &s, "0"));
	pfs_node_unref(&n);
	cr_expect_eq(names_of(&f, "12345"), PFS_FILE_NAMES_MAX);
	end(&f);
}

Test(workspace_links, of_the_base_come_together)
{
	struct fixture f = begin_committed();
	struct pfs_node *x, *y;
	struct pfs_sealed s;

	cr_expect_eq(names_of(&f, "x"), 2, "nobody looked for the other one");
	y = find_in(&f, "d", "y");
	x = find(&f, f.root, "x");
	cr_expect_eq(x, y);
	cr_expect_not(attr_of(&f, x).dirty);
	pfs_node_unref(&x);
	write_at(&f, y, 3, " more");
	pfs_node_unref(&y);
	cr_expect_str_eq(text_at(&f, "x"), "one more");
	s = commit(&f);
	check_numbers(&f, &s);
	cr_expect_neq(number_at(&f, &s, "x"), 0);
	cr_expect_eq(number_at(&f, &s, "d/y"), number_at(&f, &s, "x") + 1, "one level up");
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect_str_eq(text_in(&f, "d", "y"), "one more");
	end(&f);
}

struct seen {
	uint64_t ino;
	const char *name;
};

static int each_name(void *arg, const struct pfs_node_name *item)
{
	struct seen *s = arg;

	if (strcmp(item->name, s->name) == 0)
		s->ino = item->ino;
	return 0;
}

static uint64_t listed(struct fixture *f, struct pfs_node *dir, const char *name)
{
	struct seen s = { .name = name };

	OK(pfs_workspace_list(f->ws, dir, each_name, &s, &err));
	return s.ino;
}

Test(workspace_links, of_the_base_have_one_number_whoever_asks_first)
{
	struct fixture f = begin_committed();
	struct pfs_node *d = find(&f, f.root, "d");
	uint64_t x = listed(&f, f.root, "x"), y = listed(&f, d, "y");

	cr_expect_eq(x, y);
	cr_expect_eq(ino_in(&f, "d", "y"), x);
	cr_expect_eq(listed(&f, f.root, "x"), x);
	pfs_node_unref(&d);
	close_ws(&f);
	open_ws(&f);
	cr_expect_eq(ino_in(&f, "d", "y"), x, "after a restart");
	end(&f);
}

Test(workspace_links, of_the_base_lose_one_name_by_one)
{
	struct fixture f = begin_committed();
	struct pfs_sealed s;

	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("x"), false, &err));
	cr_expect_str_eq(text_in(&f, "d", "y"), "one");
	s = commit(&f);
	cr_expect_eq(number_at(&f, &s, "d/y"), 0, "it has no other name any more");
	cr_expect_not(has(&f, f.root, "x"));
	end(&f);
}

Test(workspace_links, stay_together_when_a_directory_with_one_of_them_moves)
{
	struct fixture f = begin_committed();
	struct pfs_node *deep = make(&f, f.root, PFS_ENTRY_DIR, "deep");
	struct pfs_sealed s;

	OK(pfs_workspace_rename(f.ws, f.root, NAME("d"), deep, NAME("e"), false, false, &err));
	cr_expect_eq(names_of(&f, "x"), 2);
	pfs_node_unref(&deep);
	close_ws(&f);
	open_ws(&f);
	s = commit(&f);
	check_numbers(&f, &s);
	cr_expect_eq(number_at(&f, &s, "deep/e/y"), number_at(&f, &s, "x") + 2);
	cr_expect_eq(names_of(&f, "x"), 2);
	end(&f);
}

Test(workspace_links, stay_together_when_a_directory_moves_during_a_commit)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *e;
	struct pfs_sealed s;

	put_only(&f, f.root, "x", "one");
	link_only(&f, "x", d, "y");
	e = make(&f, f.root, PFS_ENTRY_DIR, "e");
	s = seal(&f);
	OK(pfs_workspace_rename(f.ws, f.root, NAME("d"), e, NAME("d"), false, false, &err));
	OK(pfs_workspace_settle(f.ws, &s, &err));
	pfs_node_unref(&d);
	pfs_node_unref(&e);
	cr_expect_eq(names_of(&f, "x"), 2);
	s = commit(&f);
	check_numbers(&f, &s);
	cr_expect_eq(number_at(&f, &s, "e/d/y"), number_at(&f, &s, "x") + 2);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	end(&f);
}

/* Who writes through a borrowed descriptor tells nobody: names must still be equal in the commit. */
Test(workspace_links, of_a_file_being_written_are_sealed_as_one)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "a", "one");
	struct pfs_sealed s;
	struct pfs_open *o;

	link_to(&f, n, f.root, "b");
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	cr_assert_eq(pwrite(pfs_workspace_local_fd(o), "two", 3, 0), 3);
	s = commit(&f);
	check_numbers(&f, &s);
	cr_expect_neq(number_at(&f, &s, "a"), 0);
	cr_assert_eq(pwrite(pfs_workspace_local_fd(o), "six", 3, 0), 3);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	s = commit(&f);
	check_numbers(&f, &s);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect_str_eq(text_at(&f, "b"), "six");
	end(&f);
}

/* A large committed file is written into without being copied; what was written after the seal stays. */
Test(workspace_links, of_a_patched_file_are_settled_once)
{
	struct fixture f = begin();
	struct pfs_node *n = make(&f, f.root, PFS_ENTRY_FILE, "a");
	struct pfs_node_attr large = { .size_bytes = 2 * PFS_PATCHED_SIZE_MIN };
	struct pfs_sealed s;
	struct pfs_open *o;

	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &large, &err));
	link_to(&f, n, f.root, "b");
	link_to(&f, n, f.root, "c");
	pfs_node_unref(&n);
	commit(&f);
	n = find(&f, f.root, "b");
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, 0, "one", 3, &err));
	s = seal(&f);
	OK(pfs_workspace_write(o, 4, "two", 3, &err));
	OK(pfs_workspace_settle(f.ws, &s, &err));
	check_numbers(&f, &s);
	cr_expect(memcmp(text_at(&f, "c"), "one\0two", 7) == 0);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	s = commit(&f);
	check_numbers(&f, &s);
	cr_expect_neq(number_at(&f, &s, "c"), 0);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect(memcmp(text_at(&f, "a"), "one\0two", 7) == 0);
	cr_expect_eq(names_of(&f, "a"), 3);
	end(&f);
}

Test(workspace_links, are_what_a_new_base_says_after_a_reset)
{
	struct fixture f = begin_committed();
	struct pfs_node *x = find(&f, f.root, "x"), *again;
	struct pfs_sealed now = seal(&f);

	write_at(&f, x, 0, "two");
	OK(pfs_workspace_reset(f.ws, &now.root, &err));
	cr_expect_eq(attr_of(&f, x).nlink, 0);
	again = find(&f, f.root, "x");
	cr_expect_eq(attr_of(&f, again).nlink, 2);
	cr_expect_str_eq(text_of(&f, again), "one");
	cr_expect_eq(pfs_node_ino(again), ino_in(&f, "d", "y"));
	pfs_node_unref(&again);
	pfs_node_unref(&x);
	end(&f);
}

static void change_journal(struct fixture *f, const char *sql)
{
	char path[360];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/journal.db", f->folder);
	cr_assert_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "pfs"), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* A program that knew one name of each node changed that one alone. */
Test(workspace_links, that_an_earlier_version_parted_stay_parted)
{
	struct fixture f = begin_committed();
	struct pfs_node *x = find(&f, f.root, "x");
	struct pfs_sealed s;

	write_at(&f, x, 0, "two");
	pfs_node_unref(&x);
	close_ws(&f);
	change_journal(&f, "DELETE FROM name WHERE name = CAST('y' AS BLOB);"
			   "ALTER TABLE node ADD COLUMN link INTEGER NOT NULL DEFAULT 0;"
			   "ALTER TABLE meta DROP COLUMN links; PRAGMA user_version = 3;");
	open_ws(&f);
	cr_expect_str_eq(text_in(&f, "d", "y"), "one");
	cr_expect_str_eq(text_at(&f, "x"), "two");
	cr_expect_eq(names_of(&f, "x"), 1);
	s = commit(&f);
	cr_expect_eq(number_at(&f, &s, "x"), 0);
	cr_expect_str_eq(text_in(&f, "d", "y"), "one");
	end(&f);
}

Test(workspace_links, of_directories_are_refused_in_a_journal)
{
	struct fixture f = begin_committed();
	struct pfs_root base = { .attrs.mode = 0755 };

	make_only(&f, f.root, PFS_ENTRY_DIR, "e");
	make_only(&f, f.root, PFS_ENTRY_DIR, "g");
	close_ws(&f);
	change_journal(&f, "UPDATE name SET ino = (SELECT ino FROM name WHERE name ="
			   " CAST('e' AS BLOB)) WHERE name = CAST('g' AS BLOB)");
	FAILS(PFS_E_CORRUPT, pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err));
	end(&f);
}
