#include "history/gc.h"
#include "../cold.h"
#include "../world.h"
#include "store/adoption.h"
#include "store/packlog.h"
#include "store/packset.h"
#include "store/repack.h"
#include "store/store_i.h"
#include "base/limits.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Packs small enough that a test fills several. */
#define DATA_TARGET (256u << 10)
#define META_TARGET (32u << 10)

struct house {
	struct scratch dir;
	struct world w;
	struct pfs_history *h;
};

static void must(int rc, const struct pfs_error *err)
{
	cr_assert_eq(rc, 0, "%s", err->text);
}

static void house_up(struct house *s)
{
	struct pfs_error err = { 0 };
	char path[300];

	memset(&s->w, 0, sizeof(s->w));
	snprintf(path, sizeof(path), "%s/store", s->dir.path);
	must(pfs_store_open(path, &s->w.store, &err), &err);
	store_without_cache(s->w.store);
	snprintf(path, sizeof(path), "%s/meta.db", s->dir.path);
	must(pfs_meta_open(path, &s->w.meta, &err), &err);
	must(pfs_history_open(s->w.meta, s->w.store, s->dir.path, &s->w.h, &err), &err);
	s->h = s->w.h;
}

static void house_down(struct house *s)
{
	pfs_history_close(&s->w.h);
	pfs_meta_close(&s->w.meta);
	pfs_store_close(&s->w.store);
}

static void house_open(struct house *s)
{
	pfs_packwriter_set_targets(DATA_TARGET, META_TARGET);
	s->dir = scratch_new();
	house_up(s);
}

static void house_fini(struct house *s)
{
	house_down(s);
	scratch_fini(&s->dir);
}

/* Text that is always the same for a seed and does not compress by much. */
static char *text_of(unsigned seed, size_t len)
{
	static const char digits[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-";
	char *text = malloc(len + 1);

	scratch_fill(text, len, seed + 1);
	for (size_t i = 0; i < len; i++)
		text[i] = digits[text[i] & 63];
	text[len] = 0;
	return text;
}

static void put(struct house *s, const char *repo, const char *path, unsigned seed, size_t len)
{
	struct pfs_error err = { 0 };
	char *text = text_of(seed, len);

	must(world_write(&s->w, repo, "master", path, text, &err), &err);
	free(text);
}

static struct pfs_commit_id commit(struct house *s, const char *repo)
{
	struct pfs_commit_id id = { { 0 } };
	struct pfs_error err = { 0 };

	must(pfs_commit_branch(s->h, repo, "master", NULL, &id, &err), &err);
	return id;
}

static void make(struct house *s, const char *repo)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_create(s->h, repo, &err), &err);
	must(pfs_branch_create(s->h, repo, "master", NULL, &err), &err);
}

static void drop(struct house *s, const char *repo)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_delete(s->h, repo, true, &err), &err);
}

static void expect(struct house *s, const char *repo, const struct pfs_commit_id *id,
		   const char *path, unsigned seed, size_t len)
{
	struct pfs_error err = { 0 };
	char *want = text_of(seed, len), *got = malloc(len + 2);

	must(world_read(&s->w, repo, id, path, got, len + 2, &err), &err);
	cr_assert_eq(strcmp(got, want), 0, "%s of %s is another one", path, repo);
	free(want);
	free(got);
}

static struct pfs_gc_report run(struct house *s, bool dry_run, bool thorough)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	o.dry_run = dry_run;
	o.thorough = thorough;
	must(pfs_gc_run(s->h, &o, &r, &err), &err);
	cr_assert_not(r.stopped);
	return r;
}

static void complain(void *arg, const char *damage)
{
	cr_log_error("%s", damage);
}

static void check(struct house *s)
{
	struct pfs_error err = { 0 };

	must(pfs_store_check(s->w.store, complain, NULL, &err), &err);
}

/* Bytes of records and of what footers say of them, by the sizes of files alone: all packs are sealed first. */
static uint64_t bytes_on_disk(struct house *s)
{
	struct pfs_store_parts parts;
	struct pfs_pack *pack;
	uint64_t bytes = 0;
	size_t pos = 0;

	cr_assert(pfs_store_parts(s->w.store, &parts));
	while ((pack = pfs_packset_next(parts.set, &pos))) {
		char path[PFS_PACK_PATH_SIZE];
		struct stat st;

		if (!pack->sealed)
			cr_assert_geq(pfs_packlog_seal(parts.log, pack, NULL), 0);
		pfs_pack_path(pack->uuid, pack->kind, true, path);
		cr_assert_eq(fstatat(parts.dir, path, &st, 0), 0, "%s", path);
		bytes += (uint64_t)st.st_size - PFS_PACKHDR_SIZE - PFS_PACKTRAILER_SIZE;
	}
	return bytes;
}

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

/* --- kinds of records and packs -------------------------------------------- */

static struct pfs_store_stats stats_of(struct house *s)
{
	struct pfs_store_stats stats;

	pfs_store_stats(s->w.store, &stats);
	return stats;
}

#define EDITED 14000

/* A file that is one chunk: `edit` bytes of it are other than those of edit 0. */
static char *edited_text(unsigned edit)
{
	char *text = text_of(1, EDITED);

	for (unsigned i = 0; i < edit; i++)
		text[500 + 600 * i] ^= 1;
	return text;
}

/* As a delta against edit 0, once that is durable. */
static void put_edited(struct house *s, const char *repo, unsigned edit)
{
	char *text = edited_text(edit), *base = edited_text(0);
	struct pfs_store_item item = { .data = text, .len = EDITED };
	struct pfs_error err = { 0 };
	struct pfs_id near;

	pfs_store_id(s->w.store, PFS_KIND_CHUNK, base, EDITED, &near);
	item.near = &near;
	if (edit)
		must(pfs_store_put_batch(s->w.store, PFS_KIND_CHUNK, &item, 1, &err), &err);
	must(world_write(&s->w, repo, "master", "edited", text, &err), &err);
	free(text);
	free(base);
}

static void expect_edited(struct house *s, const char *repo, const struct pfs_commit_id *id,
			  unsigned edit)
{
	char *text = edited_text(edit), got[EDITED + 2];
	struct pfs_error err = { 0 };

	must(world_read(&s->w, repo, id, "edited", got, sizeof(got), &err), &err);
	cr_assert_eq(strcmp(got, text), 0, "edit %u is another one", edit);
	free(text);
}

/*
 * Another repo has what this one's file was edited from, in packs before it.
 * Each collection moves some of it: bases that nothing names go along as long as
 * deltas lean on them.
 */
Test(gc, a_base_stays_for_its_deltas_wherever_both_move)
{
	struct pfs_commit_id ids[8];
	struct pfs_gc_report r;
	struct house s;
	char name[20];

	house_open(&s);
	make(&s, "gone");
	put_edited(&s, "gone", 0);
	put(&s, "gone", "fill", 100, DATA_TARGET);
	commit(&s, "gone");
	make(&s, "kept");
	for (unsigned i = 0; i < 8; i++) {
		put_edited(&s, "kept", i + 1);
		ids[i] = commit(&s, "kept");
		snprintf(name, sizeof(name), "fill%u", i);
		put(&s, "gone", name, 200 + i, DATA_TARGET / 4);
		commit(&s, "gone");
	}
	cr_assert_geq(stats_of(&s).deltas, 8);
	drop(&s, "gone");
	for (unsigned again = 0; again < 3; again++) {
		run(&s, false, true);
		for (unsigned i = 0; i < 8; i++)
			expect_edited(&s, "kept", &ids[i], i + 1);
		check(&s);
		r = run(&s, true, true);
		cr_expect_eq(r.dead_bytes + r.double_bytes, 0);
		cr_expect_eq(r.live_bytes, bytes_on_disk(&s));
		make(&s, "more");
		put(&s, "more", "a", 300 + again, 2 * DATA_TARGET);
		put_edited(&s, "more", 12 + again);
		commit(&s, "more");
		drop(&s, "more");
	}
	house_down(&s);
	house_up(&s);
	for (unsigned i = 0; i < 8; i++)
		expect_edited(&s, "kept", &ids[i], i + 1);
	drop(&s, "kept");
	run(&s, false, true);
	cr_expect_eq(run(&s, true, true).live_objects, 0);
	cr_expect_eq(bytes_on_disk(&s), 0);
	house_fini(&s);
}

/* Small chunks that lie in packs into bundles. */
static void bundle_all(struct house *s)
{
	const struct pfs_repack_options o = { .budget = 64u << 20 };
	struct pfs_repack_done done = { 0 };
	struct pfs_repack *r = NULL;
	struct pfs_error err = { 0 };
	int rc;

	bytes_on_disk(s); /* which seals them */
	must(pfs_repack_new(s->w.store, 0, &r, &err), &err);
	while ((rc = pfs_repack_step(r, &o, &done, &err)) == 1)
		;
	must(rc, &err);
	pfs_repack_free(&r);
	cr_assert_gt(stats_of(s).bundled, 0);
}

static void put_small(struct house *s, const char *repo, unsigned first, unsigned n)
{
	char name[20];

	for (unsigned i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put(s, repo, name, i, 300 + i);
	}
}

static void expect_small(struct house *s, const struct pfs_commit_id *id, unsigned first,
			 unsigned n)
{
	char name[20];

	for (unsigned i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		expect(s, "kept", id, name, i, 300 + i);
	}
}

Test(gc, a_bundle_stays_while_one_of_its_members_is_wanted)
{
	struct pfs_commit_id id;
	struct pfs_gc_report r;
	struct house s;
	uint64_t before;

	house_open(&s);
	make(&s, "kept");
	make(&s, "gone");
	make(&s, "whole");
	for (unsigned i = 0; i < 20; i++) {
		put_small(&s, "gone", 1000 + 20 * i, 19);
		put_small(&s, "kept", 20 * i, 2);
	}
	put_small(&s, "whole", 2000, 200);
	commit(&s, "gone");
	id = commit(&s, "kept");
	commit(&s, "whole");
	bundle_all(&s);
	before = bytes_on_disk(&s);
	/* Some members go and come again, so that they are there twice. */
	drop(&s, "gone");
	r = run(&s, false, true);
	cr_expect_eq(before - bytes_on_disk(&s), r.freed_bytes);
	for (unsigned i = 0; i < 20; i++)
		expect_small(&s, &id, 20 * i, 2);
	make(&s, "gone");
	put_small(&s, "gone", 1000, 300);
	commit(&s, "gone");
	bundle_all(&s);
	drop(&s, "whole");
	r = run(&s, false, true);
	cr_expect_gt(r.freed_bytes, 0);
	drop(&s, "gone");
	run(&s, false, true);
	for (unsigned i = 0; i < 20; i++)
		expect_small(&s, &id, 20 * i, 2);
	r = run(&s, true, true);
	cr_expect_eq(r.freed_bytes + r.left_bytes, 0);
	cr_expect_eq(r.live_bytes, bytes_on_disk(&s));
	check(&s);
	drop(&s, "kept");
	run(&s, false, true);
	cr_expect_eq(bytes_on_disk(&s), 0, "not one of its members");
	house_fini(&s);
}

#define PIECE 14000

/* A file of these pieces becomes part of the store as it is. */
static void adopt(struct house *s, unsigned first, unsigned n)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/adoptee", s->dir.path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(pfs_adoption_begin(s->w.store, &a, &err), &err);
	for (unsigned i = 0; i < n; i++) {
		char *text = text_of(first + i, PIECE);
		struct pfs_store_item item = { .data = text, .len = PIECE };

		cr_assert_eq(write(fd, text, PIECE), PIECE);
		must(pfs_adoption_add(a, (uint64_t)i * PIECE, &item, 1, &err), &err);
		free(text);
	}
	close(fd);
	must(pfs_adoption_commit(&a, AT_FDCWD, path, &err), &err);
	cr_assert_eq(unlink(path), 0);
	must(pfs_store_sync(s->w.store, &err), &err);
}

static struct pfs_pack *adopted_pack(struct house *s)
{
	struct pfs_store_parts parts;
	struct pfs_pack *pack;
	size_t pos = 0;

	cr_assert(pfs_store_parts(s->w.store, &parts));
	while ((pack = pfs_packset_next(parts.set, &pos)))
		if (pack->kind == PFS_PACK_ADOPTED)
			return pack;
	return NULL;
}

static bool is_there(struct house *s, const struct pfs_pack *pack, bool table)
{
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_store_parts parts;

	cr_assert(pfs_store_parts(s->w.store, &parts));
	if (table)
		pfs_pack_table_path(pack->uuid, path);
	else
		pfs_pack_path(pack->uuid, pack->kind, true, path);
	return faccessat(parts.dir, path, F_OK, 0) == 0;
}

static void put_pieces(struct house *s, const char *repo, unsigned first, unsigned n)
{
	char name[20];

	for (unsigned i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		put(s, repo, name, i, PIECE);
	}
}

Test(gc, an_adopted_file_goes_as_a_whole_or_leaves_what_is_wanted_compressed)
{
	struct pfs_commit_id id;
	struct pfs_store_parts parts;
	struct pfs_error err = { 0 };
	char *want = text_of(12, PIECE), got[PIECE];
	struct pfs_gc_report r;
	struct pfs_pack *pack;
	struct house s;
	int fd = -1;

	house_open(&s);
	adopt(&s, 0, 20);
	pack = adopted_pack(&s);
	make(&s, "kept");
	make(&s, "gone");
	put_pieces(&s, "kept", 0, 18);
	put_pieces(&s, "gone", 10, 10);
	id = commit(&s, "kept");
	commit(&s, "gone");
	cr_assert_eq(stats_of(&s).adopted_files, 1);
	drop(&s, "gone");
	/* Two of twenty: that does not pay. */
	r = run(&s, false, false);
	cr_expect_eq(r.freed_bytes, 0);
	cr_expect(is_there(&s, pack, false) && is_there(&s, pack, true));
	/* Somebody reads from the file itself while it goes. */
	cr_assert(pfs_store_parts(s.w.store, &parts));
	must(pfs_packset_lend(parts.set, pack, &fd, &err), &err);
	r = run(&s, false, true);
	cr_expect_gt(r.copied_bytes, 18u * PIECE / 2);
	cr_expect_lt(r.copied_bytes, 18u * PIECE, "compressed");
	cr_expect_not(is_there(&s, pack, false) || is_there(&s, pack, true));
	cr_expect_eq(pread(fd, got, PIECE, 12 * PIECE), PIECE);
	cr_expect_eq(memcmp(got, want, PIECE), 0);
	pfs_packset_return(parts.set, pack);
	for (unsigned i = 0; i < 18; i++) {
		char name[20];

		snprintf(name, sizeof(name), "p%u", i);
		expect(&s, "kept", &id, name, i, PIECE);
	}
	check(&s);
	/* Another one, of which nothing is wanted in the end. */
	adopt(&s, 50, 8);
	pack = adopted_pack(&s);
	make(&s, "gone");
	put_pieces(&s, "gone", 50, 8);
	commit(&s, "gone");
	cr_expect_eq(run(&s, false, true).freed_bytes, 0);
	cr_expect(is_there(&s, pack, false) && is_there(&s, pack, true));
	drop(&s, "gone");
	r = run(&s, false, false);
	cr_expect_geq(r.freed_bytes, 8u * PIECE);
	cr_expect_not(is_there(&s, pack, false) || is_there(&s, pack, true));
	house_down(&s);
	house_up(&s);
	expect(&s, "kept", &id, "p7", 7, PIECE);
	cr_expect_eq(stats_of(&s).adopted_files, 0);
	check(&s);
	free(want);
	house_fini(&s);
}
