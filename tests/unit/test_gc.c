#include "../gc_fixture.h"

Test(gc, what_is_named_stays_and_nothing_else_does)
{
	struct pfs_commit_id kept, first, second;
	struct pfs_gc_report r;
	struct house s;

	house_open(&s);
	make(&s, "kept");
	make(&s, "gone");
	put(&s, "kept", "a", 1, 400000);
	kept = commit(&s, "kept");
	put(&s, "gone", "b", 2, 900000);
	put(&s, "gone", "d/e", 3, 3000);
	first = commit(&s, "gone");
	put(&s, "gone", "b", 4, 900000);
	second = commit(&s, "gone");
	r = run(&s, false, true);
	cr_expect_eq(r.dead_objects + r.double_objects, 0, "everything is named: %llu",
		     (unsigned long long)r.dead_objects);
	expect(&s, "gone", &first, "b", 2, 900000);
	expect(&s, "gone", &second, "b", 4, 900000);
	drop(&s, "gone");
	r = run(&s, false, true);
	cr_expect_gt(r.freed_bytes, 1000000u);
	cr_expect_eq(r.left_bytes, 0);
	expect(&s, "kept", &kept, "a", 1, 400000);
	r = run(&s, true, true);
	cr_expect_eq(r.dead_objects + r.double_objects, 0);
	cr_expect_eq(r.live_bytes, bytes_on_disk(&s));
	check(&s);
	house_down(&s);
	house_up(&s);
	expect(&s, "kept", &kept, "a", 1, 400000);
	r = run(&s, true, true);
	cr_expect_eq(r.dead_objects + r.double_objects, 0, "what went stays away");
	house_fini(&s);
}

Test(gc, a_dry_run_and_the_question_what_would_go_are_right_to_the_byte)
{
	struct pfs_gc_share share;
	struct pfs_gc_report dry, r;
	struct pfs_error err = { 0 };
	struct pfs_commit_id kept;
	uint64_t before, after;
	struct house s;

	house_open(&s);
	make(&s, "kept");
	make(&s, "gone");
	put(&s, "kept", "shared", 1, 300000);
	put(&s, "kept", "own", 2, 100000);
	kept = commit(&s, "kept");
	put(&s, "gone", "shared", 1, 300000);
	put(&s, "gone", "own", 3, 200000);
	for (unsigned i = 0; i < 300; i++) {
		char name[20];

		snprintf(name, sizeof(name), "n%u", i);
		put(&s, "gone", name, 10 + i, 500);
	}
	commit(&s, "gone");
	put(&s, "gone", "own", 4, 200000);
	commit(&s, "gone");
	put(&s, "gone", "not committed", 5, 70000);
	before = bytes_on_disk(&s);
	dry = run(&s, true, true);
	cr_expect_eq(dry.live_bytes + dry.dead_bytes + dry.double_bytes, before);
	must(pfs_gc_would_free(s.h, "gone", NULL, &share, &err), &err);
	cr_expect_geq(share.store_bytes, 300000u, "two times 200 kB at six bits a byte");
	cr_expect_leq(share.store_bytes, 600000u, "not what both have");
	cr_expect_geq(share.workspace_bytes, 70000u);
	must(pfs_gc_would_free(s.h, "kept", "master", &share, &err), &err);
	cr_expect_eq(share.store_bytes, 0, "commits stay with their repo");
	must(pfs_gc_would_free(s.h, "gone", NULL, &share, &err), &err);
	cr_expect_eq(bytes_on_disk(&s), before, "asking changes nothing");

	drop(&s, "gone");
	dry = run(&s, true, true);
	cr_expect_eq(dry.dead_bytes, share.store_bytes);
	cr_expect_eq(dry.dead_objects, share.objects);
	cr_expect_eq(dry.freed_bytes, dry.dead_bytes);
	cr_expect_eq(bytes_on_disk(&s), before);
	r = run(&s, false, true);
	cr_expect_eq(r.freed_bytes, share.store_bytes);
	cr_expect_eq(r.dead_objects, dry.dead_objects);
	after = bytes_on_disk(&s);
	cr_expect_eq(before - after, share.store_bytes);
	expect(&s, "kept", &kept, "shared", 1, 300000);
	must(pfs_gc_would_free(s.h, "kept", NULL, &share, &err), &err);
	cr_expect_eq(share.store_bytes, after, "the only one there is");
	cr_expect_eq(pfs_gc_would_free(s.h, "gone", NULL, &share, &err), PFS_E_NOTFOUND);
	house_fini(&s);
}

Test(gc, little_garbage_is_left_until_somebody_is_thorough)
{
	struct pfs_gc_report r;
	struct house s;
	uint64_t before;

	house_open(&s);
	make(&s, "kept");
	make(&s, "gone");
	for (unsigned i = 0; i < 20; i++) {
		char name[20];

		snprintf(name, sizeof(name), "n%u", i);
		put(&s, "kept", name, i, 60000);
		commit(&s, "kept");
		put(&s, "gone", "x", 100 + i, 6000);
		commit(&s, "gone");
	}
	drop(&s, "gone");
	before = bytes_on_disk(&s);
	r = run(&s, false, false);
	cr_expect_eq(r.freed_bytes + r.left_bytes, r.dead_bytes + r.double_bytes);
	cr_expect_gt(r.left_bytes, 0);
	cr_expect_eq(before - bytes_on_disk(&s), r.freed_bytes);
	r = run(&s, false, true);
	cr_expect_eq(r.left_bytes, 0);
	r = run(&s, true, true);
	cr_expect_eq(r.dead_objects + r.double_objects, 0);
	house_fini(&s);
}

static struct pfs_node *find(struct pfs_workspace *ws, const char *name)
{
	struct pfs_node *root = pfs_workspace_root(ws), *n = NULL;
	struct pfs_error err = { 0 };

	must(pfs_workspace_lookup(ws, root, name, strlen(name), &n, &err), &err);
	pfs_node_unref(&root);
	return n;
}

Test(gc, who_has_a_file_open_goes_on_reading_when_the_repo_is_deleted)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_open *open = NULL;
	struct pfs_error err = { 0 };
	struct pfs_gc_report r;
	char *want = text_of(1, 300000), *got = malloc(300000);
	struct pfs_node *n;
	struct house s;
	size_t len;

	house_open(&s);
	make(&s, "gone");
	put(&s, "gone", "a", 1, 300000);
	commit(&s, "gone");
	must(pfs_history_workspace(s.h, "gone", "master", &ws, &err), &err);
	n = find(ws, "a");
	must(pfs_workspace_open_file(ws, n, false, false, &open, &err), &err);
	drop(&s, "gone");
	r = run(&s, false, true);
	must(pfs_workspace_read(open, 0, got, 300000, &len, &err), &err);
	cr_expect_eq(len, 300000u);
	cr_expect_eq(memcmp(got, want, len), 0);
	pfs_workspace_close_file(&open);
	pfs_node_unref(&n);
	pfs_history_release(s.h, &ws);
	r = run(&s, false, true);
	cr_expect_gt(r.freed_bytes, 200000u);
	cr_expect_eq(r.live_objects, 0);
	free(want);
	free(got);
	house_fini(&s);
}

Test(gc, what_a_closed_workspace_moved_is_named_by_its_journal)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct pfs_node *root;
	struct house s;

	house_open(&s);
	make(&s, "r");
	put(&s, "r", "d/a", 1, 200000);
	commit(&s, "r");
	must(pfs_history_workspace(s.h, "r", "master", &ws, &err), &err);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_rename(ws, root, "d", 1, root, "moved", 5, false, false, &err), &err);
	pfs_node_unref(&root);
	pfs_history_release(s.h, &ws);
	house_down(&s);
	house_up(&s);
	run(&s, false, true);
	id = commit(&s, "r");
	expect(&s, "r", &id, "moved/a", 1, 200000);
	house_fini(&s);
}

struct patience {
	unsigned asked, until;
};

static bool lose_it(void *arg)
{
	struct patience *p = arg;

	return ++p->asked > p->until;
}

Test(gc, it_can_be_stopped_anywhere_and_starts_over)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_commit_id id;
	struct house s;
	unsigned stops = 0;

	house_open(&s);
	make(&s, "kept");
	make(&s, "gone");
	for (unsigned i = 0; i < 12; i++) {
		char name[20];

		snprintf(name, sizeof(name), "n%u", i);
		put(&s, "gone", name, i, 30000);
		put(&s, "kept", name, 100 + i, 30000);
		commit(&s, "gone");
		id = commit(&s, "kept");
	}
	drop(&s, "gone");
	o.thorough = true;
	o.stop = lose_it;
	for (bool stopped = true; stopped; stops++) {
		struct patience p = { .until = stops };
		struct pfs_error err = { 0 };
		struct pfs_gc_report r;

		o.stop_arg = &p;
		must(pfs_gc_run(s.h, &o, &r, &err), &err);
		stopped = r.stopped;
		for (unsigned i = 0; i < 12; i++) {
			char name[20];

			snprintf(name, sizeof(name), "n%u", i);
			expect(&s, "kept", &id, name, 100 + i, 30000);
		}
	}
	cr_expect_gt(stops, 10u);
	check(&s);
	house_fini(&s);
}

Test(gc, a_tree_that_cannot_be_read_whole_stops_it)
{
	struct pfs_store_parts parts;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct pfs_root root;
	struct house s;
	uint64_t before;

	house_open(&s);
	make(&s, "kept");
	make(&s, "gone");
	put(&s, "gone", "a", 1, 300000);
	commit(&s, "gone");
	put(&s, "kept", "a", 2, 3000);
	id = commit(&s, "kept");
	must(pfs_history_commit_root(s.h, "kept", &id, &root, &err), &err);
	drop(&s, "gone");
	before = bytes_on_disk(&s);
	house_down(&s);
	house_up(&s);
	cr_assert(pfs_store_parts(s.w.store, &parts));
	pfs_packset_lose(parts.set, &root.dir);
	cr_expect_eq(pfs_gc_run(s.h, NULL, &r, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "commit number"), "%s", err.text);
	house_down(&s);
	house_up(&s);
	cr_expect_eq(bytes_on_disk(&s), before);
	house_fini(&s);
}

/* --- files without a name -------------------------------------------------- */

/* Opened for writing, changed by a byte, perhaps with no name any more when its repo goes. */
static void outlive_its_repo(size_t size, bool nameless, bool changed)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_open *open = NULL;
	struct pfs_error err = { 0 };
	char *want = text_of(1, size), *got = malloc(size);
	struct pfs_node *root, *n;
	struct house s;
	size_t len;

	house_open(&s);
	make(&s, "gone");
	put(&s, "gone", "a", 1, size);
	commit(&s, "gone");
	put(&s, "gone", "a", 2, size);
	put(&s, "gone", "a", 1, size);
	commit(&s, "gone");
	must(pfs_history_workspace(s.h, "gone", "master", &ws, &err), &err);
	must(pfs_workspace_tick(ws, 0, &err), &err);
	n = find(ws, "a");
	must(pfs_workspace_open_file(ws, n, true, false, &open, &err), &err);
	if (changed) {
		want[size / 2] ^= 1;
		must(pfs_workspace_write(open, size / 2, want + size / 2, 1, &err), &err);
	}
	root = pfs_workspace_root(ws);
	if (nameless)
		must(pfs_workspace_remove_name(ws, root, "a", 1, false, &err), &err);
	pfs_node_unref(&root);
	pfs_node_unref(&n);
	/* Nor is it in the tree that the workspace stands on any more. */
	if (nameless)
		commit(&s, "gone");
	drop(&s, "gone");
	for (int again = 0; again < 2; again++) {
		run(&s, false, true);
		must(pfs_workspace_read(open, 0, got, size, &len, &err), &err);
		cr_assert_eq(len, size);
		cr_assert_eq(memcmp(got, want, len), 0, "other bytes");
	}
	pfs_workspace_close_file(&open);
	pfs_history_release(s.h, &ws);
	run(&s, false, true);
	cr_expect_eq(run(&s, true, true).live_objects, 0);
	free(want);
	free(got);
	house_fini(&s);
}

Test(gc, an_open_file_outlives_its_name_and_its_repo_patched_or_not)
{
	static const size_t sizes[] = { 30000, PFS_PATCHED_SIZE_MIN + 300000 };

	for (size_t i = 0; i < 8; i++)
		outlive_its_repo(sizes[i / 4], i & 1, i & 2);
}
