#include "../world.h"

#include <criterion/criterion.h>
#include <sys/stat.h>

static struct scratch dir;
static struct world w;

static void expect_ok(int rc, const struct pfs_error *err)
{
	cr_assert_geq(rc, 0, "%s", err->text);
}

static void setup(void)
{
	struct pfs_error err = { 0 };

	dir = scratch_new();
	expect_ok(world_open(&w, dir.path, &err), &err);
	expect_ok(pfs_repo_create(w.h, "data", &err), &err);
	expect_ok(pfs_repo_create(w.h, "other", &err), &err);
}

static void teardown(void)
{
	world_close(&w);
	scratch_fini(&dir);
}

static void reopen(void)
{
	struct pfs_error err = { 0 };

	world_close(&w);
	expect_ok(world_open(&w, dir.path, &err), &err);
}

TestSuite(pipeline, .init = setup, .fini = teardown);

static int put_on(const char *name, const char *repo, const char *branch, const char *text,
		  struct pfs_error *err)
{
	return pfs_pipeline_put(w.p, name, repo, branch, text, strlen(text), err);
}

static int put(const char *name, const char *text, struct pfs_error *err)
{
	return put_on(name, "data", "master", text, err);
}

static void must_put(const char *name, const char *text)
{
	struct pfs_error err = { 0 };

	expect_ok(put(name, text, &err), &err);
}

static size_t count_pipelines(void)
{
	struct pfs_pipeline *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	expect_ok(pfs_pipeline_list(w.p, &list, &n, &err), &err);
	pfs_pipelines_free(&list, n);
	return n;
}

Test(pipeline, is_what_was_put_also_after_a_restart)
{
	const char *text = "image a\n# a \"comment\"\nrun  x  'y'\n";
	struct pfs_pipeline p = { 0 };
	struct pfs_error err = { 0 };

	must_put("count", text);
	reopen();
	expect_ok(pfs_pipeline_inspect(w.p, "count", &p, &err), &err);
	cr_expect_str_eq(p.name, "count");
	cr_expect_str_eq(p.repo, "data");
	cr_expect_str_eq(p.branch, "master");
	cr_expect_str_eq(p.text, text);
	cr_expect_eq(p.version, 1);
	cr_expect_gt(p.created_ns, 0);
	pfs_pipeline_fini(&p);
	cr_expect_eq(pfs_pipeline_inspect(w.p, "nobody", &p, &err), PFS_E_NOTFOUND);
	cr_expect(strstr(err.text, "nobody"));
}

Test(pipeline, counts_its_versions_and_keeps_the_day_it_was_made)
{
	struct pfs_pipeline first = { 0 }, p = { 0 };
	struct pfs_error err = { 0 };

	must_put("count", "image a\nrun x\n");
	expect_ok(pfs_pipeline_inspect(w.p, "count", &first, &err), &err);
	must_put("count", "image a\nrun y\n");
	expect_ok(pfs_pipeline_inspect(w.p, "count", &p, &err), &err);
	cr_expect_eq(p.version, 2);
	cr_expect_eq(p.created_ns, first.created_ns);
	cr_expect_geq(p.updated_ns, first.updated_ns);
	cr_expect_str_eq(p.text, "image a\nrun y\n");
	cr_expect_eq(count_pipelines(), 1);
	pfs_pipeline_fini(&first);
	pfs_pipeline_fini(&p);
}

Test(pipeline, owns_its_output_repo_and_branch)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct pfs_branch branch;
	struct pfs_repo repo;

	must_put("count", "image a\nrun x\n");
	expect_ok(pfs_repo_inspect(w.h, "count", &repo, &err), &err);
	cr_expect_str_eq(repo.owner, "count");
	expect_ok(pfs_branch_inspect(w.h, "count", "master", &branch, &err), &err);
	cr_expect_str_eq(branch.owner, "count");
	cr_expect_eq(pfs_commit_branch(w.h, "count", "master", &o, &id, &err), PFS_E_DENIED,
		     "a user commits on it");
	cr_expect_eq(pfs_repo_delete(w.h, "count", true, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_repo_delete(w.h, "data", true, &err), PFS_E_DENIED, "it is read");
}

Test(pipeline, put_that_is_refused_changes_nothing)
{
	static const struct {
		const char *name, *repo, *branch, *text;
		int code;
		const char *has;
	} bad[] = {
		{ "p", "data", "master", "image a\nrun x\nfrob\n", PFS_E_INVALID, "line 3" },
		{ "p", "data", "master", "image a\ninput s3://b\nrun x\n", PFS_E_UNSUPPORTED,
		  "S3" },
		{ "p", "nobody", "master", "image a\nrun x\n", PFS_E_NOTFOUND, "nobody" },
		{ "a/b", "data", "master", "image a\nrun x\n", PFS_E_INVALID, "a/b" },
		{ "..", "data", "master", "image a\nrun x\n", PFS_E_INVALID, ".." },
		{ "p", "data", "a/b", "image a\nrun x\n", PFS_E_INVALID, "a/b" },
		{ "p", "../x", "master", "image a\nrun x\n", PFS_E_INVALID, "../x" },
		{ "other", "data", "master", "image a\nrun x\n", PFS_E_EXISTS, "other" },
		{ "data", "data", "master", "image a\nrun x\n", PFS_E_CONFLICT, "feed itself" },
		{ "p", "data", "master", "image a\ninput pps://p\nrun x\n", PFS_E_CONFLICT,
		  "p -> p" },
		{ "p", "data", "master", "image a\ninput pps://q\nrun x\n", PFS_E_NOTFOUND,
		  "line 2: there is no pipeline \"q\"" },
		{ "p", "data", "dev", "image a\ninput pps://count\nrun x\n", PFS_E_INVALID,
		  "data@master, not on data@dev" },
		{ "p", "count", "master", "image a\nrun x\n", PFS_E_INVALID, "pps://count" },
	};
	uint64_t newest;

	must_put("count", "image a\nrun x\n");
	newest = pfs_event_newest(w.h);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct pfs_error err = { 0 };
		struct pfs_repo repo;

		cr_expect_eq(put_on(bad[i].name, bad[i].repo, bad[i].branch, bad[i].text, &err),
			     bad[i].code, "row %zu: %s", i, err.text);
		cr_expect(strstr(err.text, bad[i].has), "row %zu: \"%s\" lacks \"%s\"", i, err.text,
			  bad[i].has);
		cr_expect_eq(pfs_repo_inspect(w.h, "p", &repo, &err), PFS_E_NOTFOUND, "row %zu", i);
		cr_expect_eq(pfs_event_newest(w.h), newest, "row %zu left an event", i);
	}
	cr_expect_eq(count_pipelines(), 1);
}

Test(pipeline, refuses_to_feed_itself_and_names_the_circle)
{
	struct pfs_error err = { 0 };
	struct pfs_pipeline p = { 0 };

	must_put("a", "image i\nrun x\n");
	must_put("b", "image i\ninput pps://a\nrun x\n");
	must_put("c", "image i\ninput pps://b\ninput pps://a\nrun x\n");
	cr_expect_eq(put("a", "image i\ninput pps://c\nrun x\n", &err), PFS_E_CONFLICT);
	cr_expect(strstr(err.text, "a -> c -> a"), "not the shortest circle: %s", err.text);
	cr_expect_eq(put("a", "image i\ninput pps://b\nrun x\n", &err), PFS_E_CONFLICT);
	cr_expect(strstr(err.text, "a -> b -> a"), "%s", err.text);
	must_put("c", "image i\ninput pps://b\nrun x\n");
	cr_expect_eq(put("a", "image i\ninput pps://c\nrun x\n", &err), PFS_E_CONFLICT);
	cr_expect(strstr(err.text, "a -> b -> c -> a"), "%s", err.text);
	expect_ok(pfs_pipeline_inspect(w.p, "a", &p, &err), &err);
	cr_expect_eq(p.version, 1);
	pfs_pipeline_fini(&p);
}

Test(pipeline, stays_where_its_readers_expect_it)
{
	struct pfs_error err = { 0 };

	must_put("a", "image i\nrun x\n");
	must_put("b", "image i\ninput pps://a\nrun x\n");
	cr_expect_eq(put_on("a", "other", "master", "image i\nrun x\n", &err), PFS_E_BUSY);
	cr_expect(strstr(err.text, "pipeline b"), "%s", err.text);
	must_put("b", "image i\nrun x\n");
	expect_ok(put_on("a", "other", "master", "image i\nrun x\n", &err), &err);
}

Test(pipeline, deleted_leaves_an_ordinary_repo)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct pfs_repo repo;

	must_put("a", "image i\nrun x\n");
	must_put("b", "image i\ninput pps://a\nrun x\n");
	cr_expect_eq(pfs_pipeline_delete(w.p, "a", &err), PFS_E_BUSY);
	cr_expect(strstr(err.text, "pipeline b reads"), "%s", err.text);
	expect_ok(pfs_pipeline_delete(w.p, "b", &err), &err);
	expect_ok(pfs_pipeline_delete(w.p, "a", &err), &err);
	cr_expect_eq(pfs_pipeline_delete(w.p, "a", &err), PFS_E_NOTFOUND);
	cr_expect_eq(count_pipelines(), 0);
	expect_ok(pfs_repo_inspect(w.h, "a", &repo, &err), &err);
	cr_expect_str_eq(repo.owner, "");
	expect_ok(world_write(&w, "a", "master", "mine", "now", &err), &err);
	expect_ok(pfs_commit_branch(w.h, "a", "master", &o, &id, &err), &err);
	cr_expect_eq(put("a", "image i\nrun x\n", &err), PFS_E_EXISTS, "it is somebody's repo now");
	cr_expect(strstr(err.text, "pfs delete repo a"), "%s", err.text);
	expect_ok(pfs_repo_delete(w.h, "data", true, &err), &err);
}

Test(pipeline, takes_over_what_a_pipeline_of_its_name_left_behind)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct pfs_repo repo;

	expect_ok(pfs_repo_create(w.h, "a", &err), &err);
	expect_ok(world_branch(&w, "a", "master", &err), &err);
	cr_expect_eq(put("a", "image i\nrun x\n", &err), PFS_E_EXISTS, "nobody computed it");
	expect_ok(world_write(&w, "a", "master", "out", "put", &err), &err);
	o.origin = PFS_ORIGIN_AUTO;
	expect_ok(pfs_commit_branch(w.h, "a", "master", &o, &id, &err), &err);
	must_put("a", "image i\nrun x\n");
	expect_ok(pfs_repo_inspect(w.h, "a", &repo, &err), &err);
	cr_expect_str_eq(repo.owner, "a");
}

Test(pipeline, forgets_logs_of_pipelines_that_are_gone)
{
	struct pfs_error err = { 0 };
	char path[400];
	struct stat st;

	must_put("a", "image i\nrun x\n");
	snprintf(path, sizeof(path), "%s/logs/a", dir.path);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/logs/gone", dir.path);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/logs/gone/x.log", dir.path);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/logs/.not-a-pipeline", dir.path);
	cr_assert_eq(mkdir(path, 0700), 0);
	reopen();
	cr_expect_eq(stat(path, &st), 0, "what is not ours stays");
	snprintf(path, sizeof(path), "%s/logs/gone", dir.path);
	cr_expect_neq(stat(path, &st), 0);
	snprintf(path, sizeof(path), "%s/logs/a", dir.path);
	cr_expect_eq(stat(path, &st), 0);
	expect_ok(pfs_pipeline_delete(w.p, "a", &err), &err);
	cr_expect_neq(stat(path, &st), 0);
}
