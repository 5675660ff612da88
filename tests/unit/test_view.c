#include "../view_fixture.h"

TestSuite(view, .init = setup, .fini = teardown, .timeout = 60);

/* ---- places ---- */

Test(view, mkdir_makes_repos_branches_and_directories)
{
	OK(make_dir("/", "r"));
	cr_expect_str_eq(names_of("/"), "r ");
	OK(make_dir("/r", "b"));
	cr_expect_str_eq(names_of("/r"), "b ");
	OK(make_dir("/r/b", "a"));
	cr_expect_str_eq(names_of("/r/b"), "a ");
	cr_expect_eq(make_dir("/", "r"), PFS_E_EXISTS);
	cr_expect_eq(make_dir("/r", "b"), PFS_E_EXISTS);
	cr_expect_eq(make_dir("/r/b", "a"), PFS_E_EXISTS);
	cr_expect_eq(make_dir("/", "no good"), PFS_E_INVALID);
	cr_expect_eq(make_dir("/r", "0123456789abcdef0123456789abcdef"), PFS_E_INVALID);
}

Test(view, who_makes_a_branch_owns_it)
{
	OK(make_dir("/", "r"));
	OK(make_dir("/r", "b"));
	cr_expect_eq(attr("/r/b").uid, 7);
	cr_expect_eq(attr("/r/b").gid, 8);
	OK(put("/r/b", "f", "x"));
	cr_expect_eq(attr("/r/b/f").uid, 7);
}

Test(view, the_same_thing_found_twice_is_the_same_handle)
{
	static const char *const paths[] = {
		"/",        "/r",        "/r/b",           "/r/b/a",
		"/r/b/a/f", "/r/b/.pfs", "/r/b/.pfs/head", "/.pfs/datum"
	};
	const char *id = first_commit();
	struct pfs_handle *one, *two;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		one = at(paths[i]);
		two = at(paths[i]);
		cr_expect_eq(one, two, "%s", paths[i]);
		pfs_handle_unref(&one);
		pfs_handle_unref(&two);
	}
	one = at(below(id, "/a/f"));
	two = at(below(id, "/a/f"));
	cr_expect_eq(one, two, "in a commit");
	pfs_handle_unref(&two);
	two = at(below("b.1", "/a/f"));
	cr_expect_neq(one, two, "one directory has one place: that of another revision is another");
	pfs_handle_unref(&one);
	pfs_handle_unref(&two);
}

Test(view, every_place_has_a_number_of_its_own)
{
	const char *id = first_commit();
	const char *paths[] = { "/",      "/r",        "/r/b",  "/r/b/a",     "/r/b/a/f",
				"/r/b/g", "/r/b/.pfs", "/.pfs", "/.pfs/datum" };
	uint64_t seen[16];
	size_t n = 0;

	for (; n < sizeof(paths) / sizeof(*paths); n++)
		seen[n] = attr(paths[n]).ino;
	seen[n++] = attr(below(id, "")).ino;
	seen[n++] = attr(below(id, "/a")).ino;
	for (size_t i = 0; i < n; i++) {
		cr_expect_neq(seen[i], 0);
		cr_expect(i == 0 ? seen[i] == 1 : seen[i] > 1);
		for (size_t k = 0; k < i; k++)
			cr_expect_neq(seen[i], seen[k], "%zu and %zu", i, k);
	}
}

Test(view, listings_tell_the_numbers_that_lookups_tell)
{
	const char *id = first_commit();
	const char *paths[] = { "/", "/r", "/r/b", "/r/b/.pfs", NULL };
	char commit_path[64];

	snprintf(commit_path, sizeof(commit_path), "/r/%s", id);
	paths[4] = commit_path;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct pfs_handle *d = at(paths[i]);
		struct pfs_listing *l = NULL;
		struct pfs_list_item item;

		OK(pfs_view_list(v, d, &l, &err));
		while (pfs_listing_next(l, &item, &err) > 0) {
			struct pfs_handle *c = NULL, *same = NULL;
			struct pfs_attr a, b;

			OK(pfs_listing_lookup(l, d, &item, &same, &b, &err));
			OK(pfs_view_lookup(v, d, item.name, &c, &a, &err));
			cr_expect_eq(a.ino, item.ino, "%s/%s", paths[i], item.name);
			cr_expect_eq(a.type, item.type, "%s/%s", paths[i], item.name);
			cr_expect_eq(same, c, "%s/%s", paths[i], item.name);
			cr_expect_eq(b.ino, a.ino, "%s/%s", paths[i], item.name);
			cr_expect_eq(b.size_bytes, a.size_bytes, "%s/%s", paths[i], item.name);
			pfs_handle_unref(&same);
			pfs_handle_unref(&c);
		}
		pfs_listing_close(&l);
		pfs_handle_unref(&d);
	}
}

Test(view, what_is_not_there_is_not_found)
{
	static const char *const paths[] = { "/x",          "/r/x",    "/r/b/x",        "/r/b/a/x",
					     "/r/b/.pfs/x", "/.pfs/x", "/.pfs/datum/x", "/r/b^",
					     "/r/deadbeef", "/r/b.99", "/r/b^7" };

	first_commit();
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		cr_expect_eq(walk(paths[i]), PFS_E_NOTFOUND, "%s", paths[i]);
	cr_expect_eq(walk("/r/b/g/x"), PFS_E_NOTDIR);
	cr_expect_eq(walk("/r/b.1/g/x"), PFS_E_NOTDIR);
	cr_expect_eq(walk("/r/../r"), PFS_E_INVALID);
}

Test(view, a_listing_continues_where_it_is_told)
{
	const char *id = first_commit();
	const char *paths[] = { "/r/b", below(id, "") };
	struct pfs_list_item item;

	for (size_t i = 0; i < 2; i++) {
		struct pfs_handle *d = at(paths[i]);
		struct pfs_listing *l = NULL;

		OK(pfs_view_list(v, d, &l, &err));
		OK(pfs_listing_seek(l, 1, &err));
		cr_assert_eq(pfs_listing_next(l, &item, &err), 1);
		cr_expect_str_eq(item.name, "g");
		cr_expect_eq(pfs_listing_next(l, &item, &err), 0);
		OK(pfs_listing_seek(l, 0, &err));
		cr_assert_eq(pfs_listing_next(l, &item, &err), 1);
		cr_expect_str_eq(item.name, "a");
		pfs_listing_close(&l);
		pfs_handle_unref(&d);
	}
}

/* ---- commits ---- */

Test(view, a_commit_holds_what_the_branch_held_and_keeps_it)
{
	const char *id = first_commit();

	OK(put("/r/b", "g", "changed"));
	cr_expect_str_eq(text_of("/r/b/g"), "changed");
	cr_expect_str_eq(text_of(below(id, "/g")), "two");
	cr_expect_str_eq(text_of(below(id, "/a/f")), "one");
	cr_expect(attr(below(id, "/a")).immutable);
	cr_expect(!attr("/r/b/a").immutable);
	cr_expect(attr("/r/b/a").watched);
	cr_expect(attr(below("b.1", "")).volatile_, "tomorrow it may be another");
	cr_expect(attr(below("b.1", "/a")).immutable);
}

Test(view, a_commit_takes_no_change)
{
	const char *id = first_commit();
	struct pfs_handle *top = at(below(id, ""));
	struct pfs_handle *f = at(below(id, "/g"));
	struct pfs_handle *out = NULL;
	struct pfs_file *file = NULL;
	struct pfs_attr a = { .mode = 0777 };

	cr_expect_eq(pfs_view_mkdir(v, top, "x", 0755, &me, &out, NULL, &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_rmdir(v, top, "a", &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_unlink(v, top, "g", &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_symlink(v, top, "x", "g", &me, &out, NULL, &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_rename(v, top, "g", top, "x", 0, &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_mknod(v, top, "x", PFS_TYPE_FIFO, 0644, 0, &me, &out, NULL, &err),
		     PFS_E_READONLY);
	cr_expect_eq(
		pfs_view_create(v, top, "x", PFS_OPEN_WRITE, 0644, &me, &out, NULL, &file, &err),
		PFS_E_READONLY);
	cr_expect_eq(pfs_view_create_unnamed(v, top, 0644, &me, &out, &file, &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_setattr(v, f, PFS_SET_MODE, &a, NULL, &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_open(v, f, PFS_OPEN_WRITE, &file, &err), PFS_E_READONLY);
	cr_expect_null(out);
	cr_expect_null(file);
	cr_expect_str_eq(names_of(below(id, "")), "a g ");
	pfs_handle_unref(&f);
	pfs_handle_unref(&top);
}

Test(view, a_committed_file_is_read_at_any_offset)
{
	/* Larger than a chunk. */
	static char big[300000];
	struct pfs_handle *d, *f = NULL;
	struct pfs_file *file = NULL;
	char back[1000];
	size_t n;

	OK(make_dir("/", "r"));
	OK(make_dir("/r", "b"));
	scratch_fill(big, sizeof(big), 3);
	d = at("/r/b");
	OK(pfs_view_create(v, d, "big", PFS_OPEN_WRITE, 0644, &me, &f, NULL, &file, &err));
	OK(pfs_file_write(file, 0, big, sizeof(big), &err));
	OK(pfs_file_close(&file, &err));
	pfs_handle_unref(&f);
	pfs_handle_unref(&d);
	commit("/r/b/.pfs/commit", "big");
	f = at("/r/b.1/big");
	OK(pfs_view_open(v, f, PFS_OPEN_READ, &file, &err));
	cr_expect(pfs_file_immutable(file));
	for (size_t off = 0; off < sizeof(big); off += 33333) {
		size_t want = sizeof(big) - off < sizeof(back) ? sizeof(big) - off : sizeof(back);

		OK(pfs_file_read(file, off, back, sizeof(back), &n, &err));
		cr_expect_eq(n, want);
		cr_expect_arr_eq(back, big + off, n);
	}
	OK(pfs_file_read(file, sizeof(big), back, sizeof(back), &n, &err));
	cr_expect_eq(n, 0);
	OK(pfs_file_close(&file, &err));
	pfs_handle_unref(&f);
}

Test(view, hash_size_and_files_are_attributes_of_what_is_committed)
{
	const char *id = first_commit();
	struct pfs_handle *f = at("/r/b/g");
	struct pfs_handle *c = at(below(id, ""));
	char value[128];
	size_t len;

	cr_expect_eq(pfs_view_getxattr(v, f, "user.pfs.hash", value, sizeof(value), &len, &err),
		     PFS_E_NOTFOUND);
	OK(pfs_view_getxattr(v, c, "user.pfs.size", value, sizeof(value), &len, &err));
	cr_expect(len == 1 && value[0] == '6', "3 + 3 bytes");
	OK(pfs_view_getxattr(v, c, "user.pfs.files", value, sizeof(value), &len, &err));
	cr_expect(len == 1 && value[0] == '3', "a, a/f, g");
	OK(pfs_view_getxattr(v, c, "user.pfs.hash", NULL, 0, &len, &err));
	cr_expect_eq(len, 64);
	cr_expect_eq(pfs_view_getxattr(v, c, "user.pfs.hash", value, 3, &len, &err), PFS_E_LIMIT);
	cr_expect_eq(pfs_view_getxattr(v, c, "user.other", value, 3, &len, &err), PFS_E_NOTFOUND);
	pfs_handle_unref(&f);
	pfs_handle_unref(&c);
}

Test(view, attributes_are_kept_by_branches_shown_by_commits_and_refused_elsewhere)
{
	const char *id = first_commit();
	struct pfs_handle *f = at("/r/b/g"), *c = at(below(id, "/g")), *r = at("/r");
	char value[8];
	size_t len;

	OK(pfs_view_setxattr(v, f, "user.a", "1", 1, PFS_SETXATTR_CREATE, &err));
	OK(pfs_view_getxattr(v, f, "user.a", value, sizeof(value), &len, &err));
	cr_expect(len == 1 && value[0] == '1');
	OK(pfs_view_listxattr(v, f, value, sizeof(value), &len, &err));
	cr_expect(len == 7 && strcmp(value, "user.a") == 0);
	cr_expect_eq(pfs_view_setxattr(v, f, "user.pfs.x", "", 0, 0, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_view_setxattr(v, f, "user.a", "", 0, 3, &err), PFS_E_INVALID);
	cr_expect_eq(pfs_view_setxattr(v, c, "user.a", "", 0, 0, &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_removexattr(v, c, "user.a", &err), PFS_E_READONLY);
	cr_expect_eq(pfs_view_setxattr(v, r, "user.a", "", 0, 0, &err), PFS_E_UNSUPPORTED);
	OK(pfs_view_removexattr(v, f, "user.a", &err));
	cr_expect_eq(pfs_view_removexattr(v, f, "user.a", &err), PFS_E_NOTFOUND);
	pfs_handle_unref(&r);
	pfs_handle_unref(&c);
	pfs_handle_unref(&f);
}

Test(view, what_was_deleted_shares_nothing)
{
	struct pfs_handle *f = at(below(first_commit(), "/g")), *t;
	struct pfs_file *from, *to;
	uint64_t size;

	OK(make_dir("/", "other"));
	OK(make_dir("/other", "b"));
	OK(put("/other/b", "t", ""));
	t = at("/other/b/t");
	OK(pfs_view_open(v, f, PFS_OPEN_READ, &from, &err));
	OK(pfs_view_open(v, t, PFS_OPEN_WRITE, &to, &err));
	cr_expect_eq(pfs_file_share(from, to, 1, &size, &err), PFS_E_UNSUPPORTED, "it is longer");
	OK(pfs_file_share(from, to, 100, &size, &err));
	cr_expect(size == 3 && strcmp(text_of("/other/b/t"), text_of("/r/b/g")) == 0);
	OK(pfs_repo_delete(h, "r", true, &err));
	cr_expect_eq(pfs_file_share(from, to, 100, &size, &err), PFS_E_UNSUPPORTED);
	OK(pfs_file_close(&from, &err));
	OK(pfs_file_close(&to, &err));
	pfs_handle_unref(&t);
	pfs_handle_unref(&f);
}

/* ---- names that change ---- */

Test(view, root_and_repos_hold_directories_only)
{
	struct pfs_handle *root = at("/");
	struct pfs_handle *repo, *out = NULL;
	struct pfs_file *f = NULL;

	OK(make_dir("/", "r"));
	repo = at("/r");
	cr_expect_eq(pfs_view_create(v, root, "x", PFS_OPEN_WRITE, 0644, &me, &out, NULL, &f, &err),
		     PFS_E_DENIED);
	cr_expect_not_null(strstr(err.text, "mkdir makes a repo"), "%s", err.text);
	cr_expect_eq(pfs_view_create(v, repo, "x", PFS_OPEN_WRITE, 0644, &me, &out, NULL, &f, &err),
		     PFS_E_DENIED);
	cr_expect_not_null(strstr(err.text, "mkdir makes a branch"), "%s", err.text);
	cr_expect_eq(pfs_view_symlink(v, root, "x", "r", &me, &out, NULL, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_view_unlink(v, repo, "x", &err), PFS_E_DENIED);
	pfs_handle_unref(&repo);
	pfs_handle_unref(&root);
}

Test(view, a_symlink_in_a_repo_makes_a_branch_and_rename_renames_it)
{
	struct pfs_handle *repo, *branch, *same, *out = NULL;
	struct pfs_attr a;

	first_commit();
	repo = at("/r");
	OK(pfs_view_symlink(v, repo, "copy", "b", &me, &out, &a, &err));
	cr_expect_eq(a.type, PFS_TYPE_DIR);
	pfs_handle_unref(&out);
	cr_expect_str_eq(text_of("/r/copy/a/f"), "one");
	branch = at("/r/copy");
	OK(put("/r/copy", "g", "mine"));
	OK(pfs_view_rename(v, repo, "copy", repo, "moved", 0, &err));
	cr_expect_eq(walk("/r/copy"), PFS_E_NOTFOUND);
	same = at("/r/moved");
	cr_expect_eq(branch, same, "it is still the same place");
	cr_expect_str_eq(text_of("/r/moved/g"), "mine");
	cr_expect_str_eq(text_of("/r/b/g"), "two");
	commit("/r/moved/.pfs/commit", "under its new name");
	cr_expect_not_null(strstr(text_of("/r/moved/.pfs/log"), "under its new name"));
	pfs_handle_unref(&same);
	pfs_handle_unref(&branch);
	pfs_handle_unref(&repo);
}

Test(view, a_branch_made_anew_is_another_place)
{
	struct pfs_handle *repo, *old, *fresh;

	OK(make_dir("/", "r"));
	OK(make_dir("/r", "b"));
	repo = at("/r");
	old = at("/r/b");
	OK(pfs_branch_delete(h, "r", "b", true, &err));
	cr_expect_eq(walk("/r/b"), PFS_E_NOTFOUND);
	OK(pfs_branch_create(h, "r", "b", NULL, &err));
	fresh = at("/r/b");
	cr_expect_neq(old, fresh);
	OK(put("/r/b", "x", "y"));
	pfs_handle_unref(&old);
	cr_expect_str_eq(text_of("/r/b/x"), "y");
	pfs_handle_unref(&fresh);
	pfs_handle_unref(&repo);
}

Test(view, rmdir_drops_what_is_empty_and_keeps_what_is_not)
{
	struct pfs_handle *root, *repo;

	first_commit();
	root = at("/");
	repo = at("/r");
	OK(make_dir("/r", "empty"));
	OK(pfs_view_rmdir(v, repo, "empty", &err));
	cr_expect_eq(pfs_view_rmdir(v, repo, "b", &err), PFS_E_NOTEMPTY);
	cr_expect_eq(pfs_view_rmdir(v, root, "r", &err), PFS_E_NOTEMPTY);
	OK(make_dir("/", "s"));
	OK(pfs_view_rmdir(v, root, "s", &err));
	cr_expect_str_eq(names_of("/"), "r ");
	pfs_handle_unref(&repo);
	pfs_handle_unref(&root);
}

Test(view, files_do_not_move_between_branches_but_by_copying)
{
	struct pfs_handle *one, *two, *repo;

	first_commit();
	OK(make_dir("/r", "c"));
	one = at("/r/b");
	two = at("/r/c");
	repo = at("/r");
	cr_expect_eq(pfs_view_rename(v, one, "g", two, "g", 0, &err), PFS_E_UNSUPPORTED);
	cr_expect_eq(pfs_view_rename(v, one, "g", repo, "g", 0, &err), PFS_E_UNSUPPORTED);
	pfs_handle_unref(&one);
	pfs_handle_unref(&two);
	pfs_handle_unref(&repo);
}

Test(view, below_a_setgid_directory_the_group_goes_on)
{
	struct pfs_attr set = { .mode = 02775, .gid = 55 };
	struct pfs_handle *d;

	OK(make_dir("/", "r"));
	OK(make_dir("/r", "b"));
	OK(make_dir("/r/b", "shared"));
	d = at("/r/b/shared");
	OK(pfs_view_setattr(v, d, PFS_SET_MODE | PFS_SET_GID, &set, NULL, &err));
	OK(put("/r/b/shared", "f", "x"));
	OK(make_dir("/r/b/shared", "sub"));
	cr_expect_eq(attr("/r/b/shared/f").gid, 55);
	cr_expect_eq(attr("/r/b/shared/sub").gid, 55);
	cr_expect_eq(attr("/r/b/shared/sub").mode, 02755);
	pfs_handle_unref(&d);
}

Test(view, what_is_removed_stays_usable_for_who_holds_it)
{
	struct pfs_handle *f, *d, *out = NULL;
	struct pfs_file *file = NULL;
	char back[8];
	size_t n;

	first_commit();
	f = at("/r/b/g");
	d = at("/r/b/a");
	OK(pfs_view_open(v, f, PFS_OPEN_READ | PFS_OPEN_WRITE, &file, &err));
	OK(pfs_branch_delete(h, "r", "b", true, &err));
	OK(pfs_file_write(file, 0, "TWO", 3, &err));
	OK(pfs_file_read(file, 0, back, sizeof(back), &n, &err));
	cr_expect(n == 3 && memcmp(back, "TWO", 3) == 0);
	OK(pfs_file_close(&file, &err));
	/* Whether the name is still found is the workspace's affair; that it does not crash is ours. */
	if (pfs_view_lookup(v, d, "f", &out, NULL, &err) == 0)
		pfs_handle_unref(&out);
	pfs_handle_unref(&f);
	pfs_handle_unref(&d);
}

/* ---- handing over ---- */

Test(view, another_instance_finds_what_this_one_holds)
{
	static const char *const paths[] = { "/",
					     "/r/m",
					     "/r/m/d/f",
					     "/r/m^/d/f",
					     "/r/m/.pfs/commit",
					     "/r/m/d/.pfs",
					     "/r/m/d/.pfs/f",
					     "/.pfs/datum/job/in/x/f",
					     "/.pfs/datum/job/out" };
	enum { N = sizeof(paths) / sizeof(*paths) };
	struct pfs_handle *held[N + 1] = { 0 }, *found[N + 1] = { 0 };
	struct pfs_datum_input in = { .name = "x", .repo = "r", .path = "d" };
	struct pfs_branch b;
	uint64_t inos[N];
	void *data;
	size_t len;

	OK(make_dir("/", "r"));
	OK(make_dir("/r", "m"));
	OK(make_dir("/r", "out"));
	OK(make_dir("/r/m", "d"));
	OK(make_dir("/r/m/d", ".pfs"));
	OK(put("/r/m/d/.pfs", "f", "below what has our name"));
	OK(put("/r/m/d", "f", "first"));
	commit("/r/m/.pfs/commit", "one");
	OK(put("/r/m/d", "f", "second"));
	commit("/r/m/.pfs/commit", "two");
	OK(pfs_branch_inspect(h, "r", "m", &b, &err));
	in.commit = b.head;
	OK(pfs_view_add_datum(v, "job", &in, 1, "r", "out", &err));
	for (size_t i = 0; i < N; i++) {
		held[i] = at(paths[i]);
		inos[i] = attr(paths[i]).ino;
	}
	/* The first time nobody can take it. */
	pfs_view_begin_hold(v);
	OK(pfs_view_hold(v, held, N + 1, &data, &len, &err));
	pfs_view_end_hold(v);
	free(data);
	commit("/r/m/.pfs/commit", "three");
	pfs_view_begin_hold(v);
	OK(pfs_view_hold(v, held, N + 1, &data, &len, &err));
	for (size_t i = 0; i < N; i++)
		pfs_handle_unref(&held[i]);
	pfs_close(&pfs);

	OK(pfs_open(dir.path, &pfs, &err));
	v = pfs_instance_view(pfs);
	h = pfs_instance_history(pfs);
	cr_expect_eq(pfs_view_take(v, data, len, found, N, &err), PFS_E_CORRUPT, "one less");
	OK(pfs_view_take(v, data, len, found, N + 1, &err));
	for (size_t i = 0; i < N; i++) {
		struct pfs_attr a;

		cr_assert_not_null(found[i], "%s", paths[i]);
		OK(pfs_view_getattr(v, found[i], &a, &err));
		cr_expect_eq(a.ino, inos[i], "%s", paths[i]);
		pfs_handle_unref(&found[i]);
	}
	cr_expect_null(found[N]);
	cr_expect_str_eq(text_of("/.pfs/datum/job/in/x/f"), "second");
	free(data);
}
