#include "../world.h"
#include <pfs/pfs.h>

#include <criterion/criterion.h>

static struct scratch dir;
static struct world w;

static void must(int rc, const struct pfs_error *err)
{
	cr_assert_geq(rc, 0, "%s", err->text);
}

static void setup(void)
{
	struct pfs_error err = { 0 };

	dir = scratch_new();
	must(world_open(&w, dir.path, &err), &err);
}

static void teardown(void)
{
	world_close(&w);
	scratch_fini(&dir);
}

TestSuite(stats, .init = setup, .fini = teardown, .timeout = 60);

static struct pfs_stats read_stats(void)
{
	struct pfs_stats s;
	struct pfs_error err = { 0 };

	must(pfs_stats_read(w.h, &s, &err), &err);
	return s;
}

Test(stats, an_empty_instance_has_nothing)
{
	struct pfs_stats s = read_stats();

	cr_expect_eq(s.repos + s.branches + s.commits + s.head_bytes + s.workspace_bytes, 0);
	cr_expect_eq(s.objects + s.object_bytes + s.deltas + s.bundled, 0);
}

Test(stats, heads_count_and_what_is_behind_them_does_not)
{
	static char large[1 << 20]; /* more than what may go meanwhile of what was committed */
	struct pfs_commit_id id;
	struct pfs_stats s, later;
	struct pfs_error err = { 0 };

	for (int i = 0; i < 2; i++) {
		const char *repo = i ? "books" : "maps";

		must(pfs_repo_create(w.h, repo, &err), &err);
		must(world_branch(&w, repo, "master", &err), &err);
		must(world_write(&w, repo, "master", "a", "ten bytes.", &err), &err);
		must(pfs_commit_branch(w.h, repo, "master", NULL, &id, &err), &err);
	}
	must(world_write(&w, "books", "master", "a", "five.", &err), &err);
	must(pfs_commit_branch(w.h, "books", "master", NULL, &id, &err), &err);
	must(world_branch(&w, "books", "empty", &err), &err);
	s = read_stats();
	cr_expect_eq(s.repos, 2);
	cr_expect_eq(s.branches, 3);
	cr_expect_eq(s.commits, 3);
	cr_expect_eq(s.head_bytes, 15);
	cr_expect_gt(s.objects, 0);
	cr_expect_geq(s.pack_bytes, s.objects);
	cr_expect_gt(s.index_memory, 48 * s.objects);
	memset(large, 'x', sizeof(large) - 1);
	must(world_write(&w, "books", "master", "large", large, &err), &err);
	later = read_stats();
	cr_expect_gt(later.workspace_bytes, s.workspace_bytes);
	cr_expect_eq(later.head_bytes, s.head_bytes);
	cr_expect_eq(later.objects, s.objects);
}
