/* What is not committed. */
#include "../fsck_fixture.h"

TestSuite(fsck_spaces, .init = setup, .fini = teardown, .timeout = 120);

/* A file of which only the attributes differ: its bytes are in the store. */
static void change_mode(const char *path)
{
	const struct pfs_node_attr set = { .attrs = { .mode = 0600 } };
	struct pfs_workspace *ws = NULL;
	struct pfs_node *root, *n = NULL;
	struct pfs_error err = { 0 };

	must(pfs_history_workspace(w.h, "books", "master", &ws, &err), &err);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_lookup(ws, root, path, strlen(path), &n, &err), &err);
	must(pfs_workspace_setattr(ws, n, PFS_NODE_MODE, &set, &err), &err);
	pfs_node_unref(&n);
	pfs_node_unref(&root);
	pfs_history_release(w.h, &ws);
}

static size_t count_changes(void)
{
	struct pfs_change *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	must(pfs_commit_status(w.h, "books", "master", 0, &list, &n, &err), &err);
	pfs_changes_free(&list, n);
	return n;
}

Test(fsck_spaces, what_a_workspace_keeps_in_the_store_is_named_by_branch_and_path)
{
	struct pfs_fsck_report r;

	write_text("text", 1);
	commit();
	fill_up(100);
	change_mode("text");
	for (int closed = 0; closed < 2; closed++) {
		if (closed)
			reopen();
		else
			damage_text(1);
		r = fsck(PFS_FSCK_FULL, false);
		cr_expect_eq(r.missing, 1, "the same object is told of once: %s", said.all);
		cr_expect_eq(r.affected, 2, "%s", said.all);
		expect_said("books@master:/text, not committed, cannot be read whole");
	}
}

static bool remove_spool_file(const char *path, const void *part, size_t len)
{
	return strstr(path, "/spool/") && unlink(path) == 0;
}

static void lose_spool_file(bool open)
{
	if (!open)
		world_close(&w);
	cr_assert(below(dir.path, remove_spool_file, NULL, 0), "no spool file");
	if (!open)
		reopen();
}

Test(fsck_spaces, a_spool_file_that_is_gone_is_named_in_an_open_workspace_too)
{
	struct pfs_fsck_report r;

	write_text("dir/new", 1);
	lose_spool_file(true);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.affected, 1, "%s", said.all);
	expect_said("books@master:/dir/new, not committed: spool file");
	expect_said("books@master:/dir/new, not committed, cannot be read whole");
	r = fsck(PFS_FSCK_QUICK, false);
	cr_expect_eq(r.missing, 0, "that is for the next level: %s", said.all);
}

Test(fsck_spaces, the_rest_of_a_workspace_that_lost_a_file_can_be_used_again)
{
	struct pfs_fsck_report r;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };

	write_text("first", 1);
	commit();
	write_text("dir/new", 2);
	world_close(&w);
	reopen();
	lose_spool_file(false);
	cr_expect_eq(pfs_history_workspace(w.h, "books", "master", &ws, &err), PFS_E_CORRUPT);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1);
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1, "nothing brings the bytes back");
	expect_said("books@master:/dir/new, not committed, has zeros now where bytes are lost");
	cr_expect_null(strstr(said.all, "more path"), "it is the only one: %s", said.all);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing + r.remaining, 0, "%s", said.all);
	cr_expect_eq(count_changes(), 2, "dir and dir/new");
	write_text("third", 3);
	commit();
}

static uint64_t size_of(const char *path)
{
	struct pfs_node_attr attr = { 0 };
	struct pfs_workspace *ws = NULL;
	struct pfs_node *root, *n = NULL;
	struct pfs_error err = { 0 };

	must(pfs_history_workspace(w.h, "books", "master", &ws, &err), &err);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_lookup(ws, root, path, strlen(path), &n, &err), &err);
	must(pfs_workspace_getattr(ws, n, &attr, &err), &err);
	pfs_node_unref(&n);
	pfs_node_unref(&root);
	pfs_history_release(w.h, &ws);
	return attr.size_bytes;
}

Test(fsck_spaces, a_file_that_lost_its_bytes_has_its_size_still)
{
	write_text("new", 2);
	lose_spool_file(false);
	fsck(PFS_FSCK_REACH, true);
	expect_said("books@master:/new, not committed, has zeros now where bytes are lost");
	cr_expect_eq(size_of("new"), strlen(text_of(2)));
	commit();
}

Test(fsck_spaces, one_whose_size_is_not_known_is_empty_and_told_to_be)
{
	must(world_write(&w, "books", "master", "new", "", &(struct pfs_error){ 0 }),
	     &(struct pfs_error){ 0 });
	lose_spool_file(false);
	fsck(PFS_FSCK_REACH, true);
	expect_said("books@master:/new, not committed, is empty now");
	cr_expect_eq(size_of("new"), 0);
}

static bool ruin_journal(const char *path, const void *part, size_t len)
{
	const char *end = strrchr(path, '/');
	FILE *f;

	if (strcmp(end, "/journal.db-wal") == 0)
		unlink(path);
	if (strcmp(end, "/journal.db") != 0)
		return false;
	f = fopen(path, "w");
	cr_assert(f);
	fputs("this is not a database, this is a text", f);
	fclose(f);
	return true;
}

Test(fsck_spaces, a_workspace_that_lost_its_journal_is_put_aside)
{
	struct pfs_fsck_report r;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	char lost[400];

	write_text("first", 1);
	commit();
	write_text("new", 2);
	world_close(&w);
	cr_assert(below(dir.path, ruin_journal, NULL, 0), "no journal");
	reopen();
	cr_expect_lt(pfs_history_workspace(w.h, "books", "master", &ws, &err), 0);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	expect_said("what is not committed on books@master");
	cr_expect_null(strstr(said.all, "run pfs fsck"), "it runs: %s", said.all);
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.mended, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1, "%s", said.all);
	snprintf(lost, sizeof(lost), "is now %.300s/lost/", dir.path);
	expect_said(lost);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 0, "%s", said.all);
	cr_expect_eq(count_changes(), 0);
	write_text("third", 3);
	commit();
}

static bool remove_journal(const char *path, const void *part, size_t len)
{
	const char *end = strrchr(path, '/');

	if (strcmp(end, "/journal.db-wal") == 0)
		unlink(path);
	return strcmp(end, "/journal.db") == 0 && unlink(path) == 0;
}

static bool empty_journal(const char *path, const void *part, size_t len)
{
	return strcmp(strrchr(path, '/'), "/journal.db") == 0 && truncate(path, 0) == 0;
}

static bool is_spool_file(const char *path, const void *part, size_t len)
{
	return strstr(path, part) && strstr(path, "/spool/") && strchr(strrchr(path, '/'), '-');
}

static bool has_spool_files(const char *below_folder)
{
	return below(dir.path, is_spool_file, below_folder, 0);
}

static void check_lost_journal(bool (*lose)(const char *path, const void *part, size_t len))
{
	struct pfs_fsck_report r;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };

	write_text("first", 1);
	commit();
	write_text("new", 2);
	world_close(&w);
	cr_assert(below(dir.path, lose, NULL, 0), "no journal");
	reopen();
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	expect_said("what is not committed on books@master");
	expect_said("journal.db is lost");
	cr_expect_eq(pfs_history_workspace(w.h, "books", "master", &ws, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "fsck"), "%s", err.text);
	cr_expect(strstr(err.text, "books@master"), "%s", err.text);
	cr_expect(has_spool_files("/workspaces/"), "opening must not remove anything");
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.mended, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1, "%s", said.all);
	cr_expect(has_spool_files("/lost/"), "%s", said.all);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 0, "%s", said.all);
	cr_expect_eq(count_changes(), 0);
	write_text("third", 3);
	commit();
}

Test(fsck_spaces, files_without_a_journal_are_damage_and_put_aside)
{
	check_lost_journal(remove_journal);
}

Test(fsck_spaces, files_with_an_empty_journal_are_likewise)
{
	check_lost_journal(empty_journal);
}
