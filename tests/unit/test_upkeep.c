#include "history/gc.h"
#include "../world.h"
#include "store/packwriter.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <unistd.h>

#define FILES 1500

static struct scratch dir;
static struct world w;

static void must(int rc, const struct pfs_error *err)
{
	cr_assert_eq(rc, 0, "%s", err->text);
}

static void up(void)
{
	struct pfs_error err = { 0 };
	char path[300];

	memset(&w, 0, sizeof(w));
	snprintf(path, sizeof(path), "%s/store", dir.path);
	must(pfs_store_open(path, &w.store, &err), &err);
	snprintf(path, sizeof(path), "%s/meta.db", dir.path);
	must(pfs_meta_open(path, &w.meta, &err), &err);
	must(pfs_history_open(w.meta, w.store, dir.path, &w.h, &err), &err);
}

static void down(void)
{
	pfs_history_close(&w.h);
	pfs_meta_close(&w.meta);
	pfs_store_close(&w.store);
}

static void reopen(void)
{
	down();
	up();
}

static void start(void)
{
	pfs_packwriter_set_targets(128 << 10, 64 << 10);
	dir = scratch_new();
	up();
}

static void end(void)
{
	down();
	scratch_fini(&dir);
}

TestSuite(upkeep, .init = start, .fini = end);

static void text_of(char out[600], unsigned i)
{
	snprintf(
		out, 600,
		"/* file %u: all of them are much alike, and long enough for chunks of their own,\n"
		" * which is more than what is kept in a directory itself.\n */\n"
		"#include <stdio.h>\n\nint main(int argc, char **argv)\n{\n"
		"\tprintf(\"%u %%d\\n\", argc * %u);\n\treturn argv[%u] != NULL;\n}\n",
		i, i * 7919, i * 31, i % 7);
}

static struct pfs_commit_id commit_files(const char *repo, unsigned n)
{
	struct pfs_commit_id id = { { 0 } };
	struct pfs_error err = { 0 };
	char path[40], text[600];

	must(pfs_repo_create(w.h, repo, &err), &err);
	must(world_branch(&w, repo, "master", &err), &err);
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "d%u/f%u", i / 40, i);
		text_of(text, i);
		must(world_write(&w, repo, "master", path, text, &err), &err);
	}
	must(pfs_commit_branch(w.h, repo, "master", NULL, &id, &err), &err);
	return id;
}

static void expect_files(const char *repo, const struct pfs_commit_id *id, unsigned n)
{
	struct pfs_error err = { 0 };
	char path[40], text[600], got[600];

	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "d%u/f%u", i / 40, i);
		text_of(text, i);
		must(world_read(&w, repo, id, path, got, sizeof(got), &err), &err);
		cr_assert_str_eq(got, text, "%s", path);
	}
}

static struct pfs_tidy_report tidy(uint64_t budget)
{
	struct pfs_tidy_options o = PFS_TIDY_OPTIONS_INIT;
	struct pfs_tidy_report r = { .more = true }, sum = { 0 };
	struct pfs_error err = { 0 };

	o.budget_bytes = budget;
	for (unsigned steps = 0; r.more; steps++) {
		cr_assert_lt(steps, 1000, "no end");
		must(pfs_history_tidy(w.h, &o, &r, &err), &err);
		sum.packs_seen += r.packs_seen;
		sum.packs_rewritten += r.packs_rewritten;
		sum.written_bytes += r.written_bytes;
		sum.freed_bytes += r.freed_bytes;
	}
	return sum;
}

static void expect_sound(void)
{
	struct pfs_fsck_options o = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	o.level = PFS_FSCK_FULL;
	must(pfs_fsck_run(w.h, &o, &r, &err), &err);
	cr_expect_eq(r.damages + r.missing + r.names, 0);
}

Test(upkeep, tidying_makes_the_store_smaller_and_changes_nothing)
{
	struct pfs_commit_id id = commit_files("books", FILES);
	struct pfs_tidy_report r = tidy(100000);

	cr_expect_gt(r.packs_rewritten, 0);
	cr_expect_gt(r.freed_bytes, 2 * r.written_bytes);
	expect_files("books", &id, FILES);
	expect_sound();
	reopen();
	r = tidy(1 << 20);
	cr_expect_eq(r.packs_rewritten, 0, "what was looked at is known after a restart");
	expect_files("books", &id, FILES);
	expect_sound();
}

Test(upkeep, what_was_tidied_is_collected_when_nobody_wants_it)
{
	struct pfs_commit_id id = commit_files("kept", 200);
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	commit_files("gone", FILES);
	tidy(100000);
	must(pfs_repo_delete(w.h, "gone", true, &err), &err);
	o.thorough = true;
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
	cr_expect_gt(r.freed_bytes, 0);
	expect_files("kept", &id, 200);
	expect_sound();
}

static int due(int64_t every_ns, int64_t rest_ns)
{
	struct pfs_gc_policy p = { sizeof(p), every_ns, rest_ns };
	struct pfs_error err = { 0 };
	const char *why = NULL;
	int rc = pfs_gc_is_due(w.h, &p, &why, &err);

	cr_assert_geq(rc, 0, "%s", err.text);
	cr_expect_eq(rc == 1, why != NULL);
	return rc;
}

static void collect(bool dry_run)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	o.dry_run = dry_run;
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
}

Test(upkeep, a_collection_is_due_when_something_was_deleted)
{
	const int64_t hour = 3600000000000;
	struct pfs_upkeep u;
	struct pfs_error err = { 0 };

	commit_files("books", 10);
	cr_expect_eq(due(0, 0), 0);
	must(pfs_repo_delete(w.h, "books", true, &err), &err);
	cr_expect_eq(due(0, hour), 0, "more may follow");
	cr_expect_eq(due(0, -1), 0, "nobody wants to know");
	cr_expect_eq(due(0, 0), 1);
	collect(true);
	cr_expect_eq(due(0, 0), 1, "that one only looked");
	reopen();
	cr_expect_eq(due(0, 0), 1);
	collect(false);
	cr_expect_eq(due(0, 0), 0);
	reopen();
	cr_expect_eq(due(0, 0), 0);
	must(pfs_history_upkeep(w.h, &u, &err), &err);
	cr_expect_gt(u.gc_ended_ns, 0);
}

Test(upkeep, a_collection_is_due_when_the_last_was_long_ago_and_something_changed)
{
	struct pfs_upkeep u;
	struct pfs_error err = { 0 };

	commit_files("books", 10);
	cr_expect_eq(due(3600000000000, -1), 0, "it counts from now");
	cr_expect_eq(due(1, -1), 1);
	must(pfs_history_upkeep(w.h, &u, &err), &err);
	cr_expect_eq(u.gc_ended_ns, 0, "there was none");
	collect(false);
	cr_expect_eq(due(1, -1), 0, "nothing has changed");
	commit_files("more", 10);
	cr_expect_eq(due(3600000000000, -1), 0);
	cr_expect_eq(due(1, -1), 1);
}

/* Told to stop at the n-th question. */
struct patience {
	unsigned left;
	unsigned damages;
	char text[300];
};

static bool lose_patience(void *arg)
{
	struct patience *p = arg;

	return p->left-- == 0 ? (p->left = 0, true) : false;
}

static void hear(void *arg, const char *damage)
{
	struct patience *p = arg;

	p->damages++;
	snprintf(p->text, sizeof(p->text), "%s", damage);
}

Test(upkeep, scrubbing_stops_within_a_pack_and_loses_nothing)
{
	struct patience p = { .left = 3 };
	struct pfs_scrub_options o = PFS_SCRUB_OPTIONS_INIT;
	struct pfs_scrub_state s;
	struct pfs_error err = { 0 };

	commit_files("books", FILES);
	o.budget_bytes = UINT64_MAX;
	o.stop = lose_patience;
	o.report = hear;
	o.arg = &p;
	must(pfs_history_scrub(w.h, &o, &s, &err), &err);
	cr_expect_eq(s.rounds, 0, "it did not come to the end");
	cr_expect_eq(s.read_bytes, 0);
	p.left = UINT32_MAX;
	must(pfs_history_scrub(w.h, &o, &s, &err), &err);
	cr_expect_eq(s.rounds, 1);
	cr_expect_gt(s.read_bytes, 100000);
	cr_expect_eq(p.damages, 0, "%s", p.text);
}

static void damage_pack(char uuid[33])
{
	char pattern[400];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/store/packs/d/*/*.pk", dir.path);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	snprintf(uuid, 33, "%.32s", strrchr(found.gl_pathv[0], '/') + 1);
	fd = open(found.gl_pathv[0], O_WRONLY);
	cr_assert(fd >= 0 && pwrite(fd, "other", 5, 1000) == 5);
	close(fd);
	globfree(&found);
}

Test(upkeep, scrubbing_tells_where_the_damage_is)
{
	struct patience p = { 0 };
	struct pfs_scrub_options o = PFS_SCRUB_OPTIONS_INIT;
	struct pfs_scrub_state s;
	struct pfs_upkeep u;
	struct pfs_error err = { 0 };
	char uuid[33];

	commit_files("books", FILES);
	damage_pack(uuid);
	o.budget_bytes = UINT64_MAX;
	o.report = hear;
	o.arg = &p;
	must(pfs_history_scrub(w.h, &o, &s, &err), &err);
	cr_expect_geq(p.damages, 1);
	cr_expect(strstr(p.text, uuid), "%s", p.text);
	cr_expect_eq(s.last_damages, p.damages);
	must(pfs_history_upkeep(w.h, &u, &err), &err);
	cr_expect_eq(u.scrub.rounds, 1);
	cr_expect_eq(u.scrub.last_damages, p.damages);
}
