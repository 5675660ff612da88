/* The control files of a branch, and commits that fail. */
#include "../view_fixture.h"

TestSuite(view_control, .init = setup, .fini = teardown, .timeout = 60);

/* ---- control files ---- */

Test(view_control, control_files_tell_what_happened)
{
	const char *id = first_commit();
	char want[256];

	cr_expect_str_eq(text_of("/r/b/.pfs/status"), "");
	OK(put("/r/b", "g", "changed"));
	OK(put("/r/b", "new\nname", "x"));
	cr_expect_not_null(strstr(text_of("/r/b/.pfs/status"), "M g\n"));
	cr_expect_not_null(strstr(text_of("/r/b/.pfs/status"), "+ new\\nname\n"),
			   "one change is one line: %s", text_of("/r/b/.pfs/status"));
	cr_expect_not_null(strstr(text_of("/r/b/.pfs/diff"), "M g\n"));
	snprintf(want, sizeof(want), "%s\n", id);
	cr_expect_str_eq(text_of("/r/b/.pfs/head"), want);
	cr_expect_str_eq(text_of("/r/b/.pfs/commit"), want);
	cr_expect_str_eq(text_of(below(id, "/.pfs/head")), want);
	cr_expect_not_null(strstr(text_of("/r/b/.pfs/log"), " first\n"));
	cr_expect_str_eq(text_of("/r/b/.pfs/provenance"), "");
	cr_expect_not_null(strstr(text_of("/r/b/.pfs/stats"), "size_bytes 6\n"));
	cr_expect_not_null(strstr(text_of(below(id, "/.pfs/diff")), "+ g\n"));
	cr_expect_str_eq(names_of("/r/b/.pfs"), "commit diff head log provenance stats status ");
	cr_expect_str_eq(names_of(below(id, "/.pfs")), "diff head log provenance stats ");
	cr_expect_eq(walk(below(id, "/.pfs/commit")), PFS_E_NOTFOUND);
}

Test(view_control, a_branch_without_commits_has_empty_control_files)
{
	static const char *const names[] = { "commit", "head", "log", "provenance", "diff" };

	OK(make_dir("/", "r"));
	OK(make_dir("/r", "b"));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/r/b/.pfs/%s", names[i]);
		if (strcmp(names[i], "diff") != 0)
			cr_expect_str_eq(text_of(path), "", "%s", names[i]);
	}
}

Test(view_control, nothing_written_is_nothing_committed)
{
	const char *id = first_commit();
	struct pfs_handle *c = at("/r/b/.pfs/commit");
	struct pfs_file *f = NULL;

	OK(pfs_view_open(v, c, PFS_OPEN_WRITE | PFS_OPEN_TRUNCATE, &f, &err));
	OK(pfs_file_flush(f, &err));
	OK(pfs_file_close(&f, &err));
	cr_expect_eq(strncmp(text_of("/r/b/.pfs/head"), id, 32), 0);
	pfs_handle_unref(&c);
}

Test(view_control, a_flush_commits_and_the_close_after_it_does_not_again)
{
	struct pfs_handle *c;
	struct pfs_file *f = NULL;
	char back[64];
	size_t n;

	first_commit();
	c = at("/r/b/.pfs/commit");
	OK(pfs_view_open(v, c, PFS_OPEN_READ | PFS_OPEN_WRITE, &f, &err));
	OK(pfs_file_write(f, 0, "two ", 4, &err));
	OK(pfs_file_write(f, 4, "words\n", 6, &err));
	OK(pfs_file_flush(f, &err));
	OK(pfs_file_read(f, 0, back, sizeof(back), &n, &err));
	cr_expect_eq(n, 33, "the id and a newline");
	OK(pfs_file_flush(f, &err));
	OK(pfs_file_close(&f, &err));
	pfs_handle_unref(&c);
	cr_expect_eq(strncmp(text_of("/r/b/.pfs/head"), back, 32), 0);
	cr_expect_not_null(strstr(text_of("/r/b/.pfs/log"), " two words\n"));
	cr_expect_eq(walk("/r/b.2"), 0);
	cr_expect_eq(walk("/r/b.3"), PFS_E_NOTFOUND);
}

Test(view_control, a_message_that_lost_a_part_commits_nothing)
{
	static char much[40000];
	struct pfs_handle *c;
	struct pfs_file *f = NULL;

	first_commit();
	memset(much, 'x', sizeof(much));
	c = at("/r/b/.pfs/commit");
	OK(pfs_view_open(v, c, PFS_OPEN_WRITE, &f, &err));
	OK(pfs_file_write(f, 0, much, sizeof(much), &err));
	cr_expect_eq(pfs_file_write(f, sizeof(much), much, sizeof(much), &err), PFS_E_LIMIT);
	cr_expect_eq(pfs_file_close(&f, &err), PFS_E_LIMIT);
	cr_expect_eq(walk("/r/b.2"), PFS_E_NOTFOUND);
	pfs_handle_unref(&c);
}

/* A commit whose message is too long: PFS_E_LIMIT, and nobody looks at what close says. */
static void fail_to_commit(const char *path)
{
	static char much[PFS_MESSAGE_SIZE_MAX + 1];
	struct pfs_handle *c = at(path);
	struct pfs_file *f = NULL;

	memset(much, 'x', sizeof(much));
	OK(pfs_view_open(v, c, PFS_OPEN_WRITE | PFS_OPEN_TRUNCATE, &f, &err));
	cr_expect_eq(pfs_file_write(f, 0, much, sizeof(much), &err), PFS_E_LIMIT);
	cr_expect_eq(pfs_file_close(&f, &err), PFS_E_LIMIT);
	pfs_handle_unref(&c);
}

static int open_to_read(const char *path)
{
	struct pfs_handle *c = at(path);
	struct pfs_file *f = NULL;
	int rc = pfs_view_open(v, c, PFS_OPEN_READ, &f, &err);

	if (rc == 0)
		OK(pfs_file_close(&f, &err));
	pfs_handle_unref(&c);
	return rc;
}

Test(view_control, after_a_commit_that_failed_the_id_before_it_is_not_read_as_its_own)
{
	const char *id = first_commit();

	OK(make_dir("/r", "other"));
	fail_to_commit("/r/b/.pfs/commit");
	cr_expect_eq(open_to_read("/r/b/.pfs/commit"), PFS_E_LIMIT);
	cr_expect_not_null(strstr(err.text, "r@b"), "%s", err.text);
	cr_expect_not_null(strstr(err.text, "nothing was committed"), "%s", err.text);
	cr_expect_eq(open_to_read("/r/b/.pfs/commit"), PFS_E_LIMIT, "and again");
	cr_expect_eq(strncmp(text_of("/r/b/.pfs/head"), id, 32), 0, "the head is the head");
	cr_expect_eq(open_to_read("/r/other/.pfs/commit"), 0, "a branch of its own");

	commit("/r/b/.pfs/commit", "short");
	cr_expect_str_eq(text_of("/r/b/.pfs/commit"), text_of("/r/b/.pfs/head"));
	cr_expect_neq(strncmp(text_of("/r/b/.pfs/commit"), id, 32), 0);
}

Test(view_control, a_commit_by_another_way_makes_up_for_one_that_failed)
{
	struct pfs_commit_options options = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id id;

	first_commit();
	fail_to_commit("/r/b/.pfs/commit");
	OK(pfs_commit_branch(h, "r", "b", &options, &id, &err));
	cr_expect_eq(open_to_read("/r/b/.pfs/commit"), 0);
}

Test(view_control, a_commit_file_that_is_emptied_forgets_the_commit_that_failed)
{
	struct pfs_attr none = { 0 };
	struct pfs_handle *c;

	first_commit();
	fail_to_commit("/r/b/.pfs/commit");
	c = at("/r/b/.pfs/commit");
	OK(pfs_view_setattr(v, c, PFS_SET_SIZE, &none, NULL, &err));
	cr_expect_eq(open_to_read("/r/b/.pfs/commit"), 0);
	pfs_handle_unref(&c);
}

Test(view_control, a_failed_commit_is_not_read_back_through_the_file_that_made_it)
{
	static char much[PFS_MESSAGE_SIZE_MAX + 1];
	struct pfs_handle *c;
	struct pfs_file *f = NULL;
	char back[64];
	size_t n;

	first_commit();
	memset(much, 'x', sizeof(much));
	c = at("/r/b/.pfs/commit");
	OK(pfs_view_open(v, c, PFS_OPEN_READ | PFS_OPEN_WRITE, &f, &err));
	cr_expect_eq(pfs_file_write(f, 0, much, sizeof(much), &err), PFS_E_LIMIT);
	cr_expect_eq(pfs_file_flush(f, &err), PFS_E_LIMIT);
	cr_expect_eq(pfs_file_read(f, 0, back, sizeof(back), &n, &err), PFS_E_LIMIT);
	OK(pfs_file_write(f, 0, "short", 5, &err));
	OK(pfs_file_flush(f, &err));
	OK(pfs_file_read(f, 0, back, sizeof(back), &n, &err));
	cr_expect_eq(n, 33);
	OK(pfs_file_close(&f, &err));
	pfs_handle_unref(&c);
}

Test(view_control, the_name_of_the_control_folder_is_taken_at_the_top_only)
{
	struct pfs_handle *top;

	first_commit();
	top = at("/r/b");
	cr_expect_eq(make_dir("/r/b", ".pfs"), PFS_E_DENIED);
	cr_expect_eq(put("/r/b", ".pfs", "x"), PFS_E_DENIED);
	cr_expect_eq(pfs_view_rename(v, top, "g", top, ".pfs", 0, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_view_rename(v, top, ".pfs", top, "x", 0, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_view_rmdir(v, top, ".pfs", &err), PFS_E_DENIED);
	OK(make_dir("/r/b/a", ".pfs"));
	cr_expect_str_eq(names_of("/r/b"), "a g ", "and it is not listed");
	pfs_handle_unref(&top);
}
