#include "../view_fixture.h"

#include <pthread.h>
#include <time.h>

/* What the view tells who caches, and what it shows of pipelines' branches and running datums. */

static struct pfs_pipelines *p;

static struct pfs_commit_id commit_data(const char *text)
{
	struct pfs_commit_id id;

	OK(put("/data/master", "f", text));
	OK(pfs_commit_branch(h, "data", "master", NULL, &id, &err));
	return id;
}

static void setup_data(void)
{
	setup();
	p = pfs_instance_pipelines(pfs);
	OK(pfs_repo_create(h, "data", &err));
	OK(pfs_branch_create(h, "data", "master", NULL, &err));
}

TestSuite(change, .init = setup_data, .fini = teardown, .timeout = 60);

/* Read changes until one names `name` in `of` ("": itself); false when none comes in time. */
static bool told(struct pfs_handle *of, const char *name)
{
	struct pfs_view_change c;
	bool found = false;

	while (!found && pfs_view_next_change(v, 1000, &c) > 0) {
		found = c.handle == of && strcmp(c.name, name) == 0;
		pfs_handle_unref(&c.handle);
	}
	return found;
}

/* All changes that are waiting. */
static size_t drain(void)
{
	struct pfs_view_change c;
	size_t n = 0;

	while (pfs_view_next_change(v, 0, &c) > 0) {
		pfs_handle_unref(&c.handle);
		n++;
	}
	return n;
}

Test(change, names_and_bytes_that_others_change_are_told)
{
	struct pfs_handle *top = at("/data/master");
	struct pfs_handle *f;

	drain();
	OK(put_in(top, "f", "one"));
	cr_expect(told(top, "f"), "it came");
	f = at("/data/master/f");
	drain();
	OK(put_in(top, "f", "two"));
	cr_expect(told(f, ""), "it changed");
	drain();
	OK(pfs_view_unlink(v, top, "f", &err));
	cr_expect(told(top, "f"), "it went");
	pfs_handle_unref(&f);
	pfs_handle_unref(&top);
}

Test(change, a_quiet_thread_is_not_told_of)
{
	struct pfs_handle *top = at("/data/master");

	drain();
	pfs_view_quiet(true);
	OK(put_in(top, "f", "one"));
	pfs_view_quiet(false);
	cr_expect_eq(drain(), 0);
	OK(put_in(top, "g", "one"));
	cr_expect(told(top, "g"));
	pfs_handle_unref(&top);
}

Test(change, repos_and_branches_that_come_and_go_are_told)
{
	struct pfs_handle *root = at("/");
	struct pfs_handle *repo = at("/data");
	struct pfs_handle *branch = at("/data/master");

	drain();
	OK(pfs_repo_create(h, "more", &err));
	cr_expect(told(root, ""), "the listing of the root");
	OK(pfs_branch_create(h, "data", "dev", NULL, &err));
	cr_expect(told(repo, ""), "the listing of the repo");
	OK(pfs_branch_rename(h, "data", "master", "main", &err));
	cr_expect(told(repo, "master"), "the name it had");
	OK(pfs_repo_delete(h, "data", true, &err));
	cr_expect(told(root, "data"), "the repo");
	pfs_handle_unref(&branch);
	pfs_handle_unref(&repo);
	pfs_handle_unref(&root);
}

struct later {
	int64_t ms;
	void (*act)(void);
};

static void *act_later(void *arg)
{
	struct later *l = arg;

	usleep((useconds_t)l->ms * 1000);
	l->act();
	return NULL;
}

static void wake(void)
{
	pfs_view_wake(v);
}

static void write_something(void)
{
	put("/data/master", "later", "x");
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

Test(change, the_reader_sleeps_until_a_change_a_wake_or_its_time)
{
	struct pfs_handle *top = at("/data/master");
	struct later cases[] = { { 50, wake }, { 50, write_something } };
	int want[] = { 0, 1 };
	struct pfs_view_change c;
	int64_t begin;

	drain();
	for (size_t i = 0; i < 2; i++) {
		pthread_t t;

		begin = now_ms();
		pthread_create(&t, NULL, act_later, &cases[i]);
		cr_expect_eq(pfs_view_next_change(v, 10000, &c), want[i]);
		cr_expect_lt(now_ms() - begin, 5000, "case %zu", i);
		pthread_join(t, NULL);
		pfs_handle_unref(&c.handle);
		drain();
	}
	begin = now_ms();
	cr_expect_eq(pfs_view_next_change(v, 30, &c), 0);
	cr_expect_geq(now_ms() - begin, 29);
	pfs_handle_unref(&top);
}

/* ---- pipelines ---- */

static const char pachfile[] = "image busybox\ninput f\nrun cp /in/f /out/copy\n";

/* Run what is to be done: the output gets one file with this text. */
static struct pfs_commit_id run_job(const char *text)
{
	struct pfs_task t;
	struct pfs_handle *out;
	struct pfs_datum_input in;
	struct pfs_commit_id id;

	OK(pfs_planner_turn(p, &err));
	cr_assert_eq(pfs_job_claim(p, "test", 60000, &t, &err), 1, "a job to run: %s", err.text);
	in = (struct pfs_datum_input){ .name = t.inputs[0].name,
				       .repo = t.inputs[0].repo,
				       .commit = t.inputs[0].commit,
				       .path = t.inputs[0].path };
	OK(pfs_view_add_datum(v, "job", &in, 1, t.out_repo, t.out_branch, &err));
	out = at("/.pfs/datum/job/out");
	OK(put_in(out, "copy", text));
	pfs_handle_unref(&out);
	pfs_view_remove_datum(v, "job");
	id = t.job.id;
	OK(pfs_job_finish(p, "copy", &id, t.job.attempt, NULL, &err));
	pfs_task_fini(&t);
	return id;
}

Test(change, a_pipelines_branch_shows_its_head_and_follows_it)
{
	struct pfs_handle *out = NULL, *branch, *copy, *again;
	struct pfs_file *file = NULL;

	OK(pfs_pipeline_put(p, "copy", "data", "master", pachfile, strlen(pachfile), &err));
	cr_expect_eq(walk("/copy/master"), 0, "empty while it has no head");
	cr_expect_eq(walk("/copy/master/copy"), PFS_E_NOTFOUND);
	commit_data("one");
	run_job("first");
	cr_expect_str_eq(text_of("/copy/master/copy"), "first");
	branch = at("/copy/master");
	copy = at("/copy/master/copy");
	cr_expect_eq(
		pfs_view_create(v, branch, "x", PFS_OPEN_WRITE, 0644, &me, &out, NULL, &file, &err),
		PFS_E_READONLY);
	cr_expect_eq(pfs_view_unlink(v, branch, "copy", &err), PFS_E_READONLY);
	drain();
	commit_data("two");
	run_job("second");
	cr_expect(told(branch, "copy"), "what was found in the old head");
	cr_expect_str_eq(text_of("/copy/master/copy"), "second");
	again = at("/copy/master/copy");
	cr_expect_neq(copy, again);
	pfs_handle_unref(&again);
	again = at("/copy/master");
	cr_expect_eq(branch, again, "the branch itself is the same place");
	pfs_handle_unref(&again);
	pfs_handle_unref(&copy);
	pfs_handle_unref(&branch);
}

/* Claim what is next under a lease that ends at once; its folder in the mount is `name`. */
static struct pfs_job claim_briefly(const char *name)
{
	const struct timespec moment = { .tv_nsec = 5000000 };
	struct pfs_task t;
	struct pfs_job job;

	cr_assert_eq(pfs_job_claim(p, "test", 1, &t, &err), 1, "a job to run: %s", err.text);
	OK(pfs_view_add_datum(v, name, NULL, 0, t.out_repo, t.out_branch, &err));
	job = t.job;
	pfs_task_fini(&t);
	nanosleep(&moment, NULL);
	return job;
}

Test(change, a_runner_that_lost_its_lease_reaches_the_output_no_more)
{
	struct pfs_handle *out, *sub, *old, *made = NULL;
	struct pfs_file *file = NULL;
	struct pfs_job job;

	OK(pfs_pipeline_put(p, "copy", "data", "master", pachfile, strlen(pachfile), &err));
	commit_data("one");
	OK(pfs_planner_turn(p, &err));
	job = claim_briefly("a");
	out = at("/.pfs/datum/a/out");
	OK(pfs_view_mkdir(v, out, "sub", 0755, &me, &sub, NULL, &err));
	OK(put_in(sub, "f", "first"));
	pfs_handle_unref(&sub);
	pfs_handle_unref(&out);
	pfs_view_remove_datum(v, "a");
	OK(pfs_job_finish(p, "copy", &job.id, job.attempt, NULL, &err));

	/* Attempt 1 of the next job has all of it in its hands and is clean when it is lost. */
	commit_data("two");
	OK(pfs_planner_turn(p, &err));
	claim_briefly("b");
	out = at("/.pfs/datum/b/out");
	sub = at("/.pfs/datum/b/out/sub");
	old = at("/.pfs/datum/b/out/sub/f");
	job = claim_briefly("c");
	cr_expect_eq(job.attempt, 2);
	cr_expect_eq(put_in(out, "late", "x"), PFS_E_NOTFOUND);
	cr_expect_eq(put_in(sub, "late", "x"), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_view_mkdir(v, out, "late", 0755, &me, &made, NULL, &err), PFS_E_NOTFOUND);
	OK(pfs_view_open(v, old, PFS_OPEN_WRITE, &file, &err));
	OK(pfs_file_write(file, 0, "LATE", 4, &err));
	OK(pfs_file_close(&file, &err));
	cr_expect_str_eq(text_of("/.pfs/datum/c/out/sub/f"), "first");
	OK(put("/.pfs/datum/c/out", "mine", "second"));
	OK(pfs_job_finish(p, "copy", &job.id, job.attempt, NULL, &err));
	cr_expect_str_eq(text_of("/copy/master/sub/f"), "first");
	cr_expect_str_eq(text_of("/copy/master/mine"), "second");
	cr_expect_eq(walk("/copy/master/late"), PFS_E_NOTFOUND);
	cr_expect_eq(walk("/copy/master/sub/late"), PFS_E_NOTFOUND);
	pfs_handle_unref(&old);
	pfs_handle_unref(&sub);
	pfs_handle_unref(&out);
}

Test(change, a_runner_lost_with_a_stopped_job_reaches_the_output_no_more)
{
	struct pfs_handle *out;
	struct pfs_job job;

	OK(pfs_pipeline_put(p, "copy", "data", "master", pachfile, strlen(pachfile), &err));
	commit_data("one");
	OK(pfs_planner_turn(p, &err));
	job = claim_briefly("a");
	out = at("/.pfs/datum/a/out");
	OK(pfs_job_stop(p, "copy", &job.id, &err));
	commit_data("two");
	OK(pfs_planner_turn(p, &err));
	job = claim_briefly("b");
	cr_expect_eq(job.attempt, 1, "of the next job");
	cr_expect_eq(put_in(out, "late", "x"), PFS_E_NOTFOUND);
	OK(put("/.pfs/datum/b/out", "mine", "x"));
	OK(pfs_job_finish(p, "copy", &job.id, job.attempt, NULL, &err));
	cr_expect_eq(walk("/copy/master/late"), PFS_E_NOTFOUND);
	cr_expect_str_eq(text_of("/copy/master/mine"), "x");
	pfs_handle_unref(&out);
}

Test(change, provenance_names_the_input)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE], want[128];
	struct pfs_commit_id id;

	OK(pfs_pipeline_put(p, "copy", "data", "master", pachfile, strlen(pachfile), &err));
	id = commit_data("one");
	run_job("first");
	snprintf(want, sizeof(want), "data@%s\n", pfs_commit_id_format(&id, hex));
	cr_expect_str_eq(text_of("/copy/master/.pfs/provenance"), want);
}

/* ---- datums ---- */

Test(change, a_datum_sees_its_inputs_read_only_and_writes_its_output)
{
	struct pfs_commit_id id = commit_data("one");
	struct pfs_datum_input in[] = { { "all", "data", id, "" }, { "one", "data", id, "f" } };
	struct pfs_handle *d, *out = NULL;
	struct pfs_file *file = NULL;

	OK(pfs_branch_create(h, "data", "out", NULL, &err));
	OK(pfs_view_add_datum(v, "d", in, 2, "data", "out", &err));
	cr_expect_eq(pfs_view_add_datum(v, "d", in, 2, "data", "out", &err), PFS_E_EXISTS);
	OK(put("/data/master", "f", "changed since"));
	cr_expect_str_eq(text_of("/.pfs/datum/d/in/all/f"), "one");
	cr_expect_str_eq(text_of("/.pfs/datum/d/in/one"), "one");
	d = at("/.pfs/datum/d/in/all");
	cr_expect_eq(pfs_view_create(v, d, "x", PFS_OPEN_WRITE, 0644, &me, &out, NULL, &file, &err),
		     PFS_E_READONLY);
	pfs_handle_unref(&d);
	OK(put("/.pfs/datum/d/out", "made", "here"));
	cr_expect_str_eq(text_of("/data/out/made"), "here");
	d = at("/.pfs/datum/d");
	pfs_view_remove_datum(v, "d");
	cr_expect_eq(walk("/.pfs/datum/d"), PFS_E_NOTFOUND);
	OK(pfs_view_lookup(v, d, "in", &out, NULL, &err));
	pfs_handle_unref(&out);
	pfs_handle_unref(&d);
	OK(pfs_view_add_datum(v, "d", in, 1, "data", "out", &err));
	cr_expect_eq(walk("/.pfs/datum/d/in/one"), PFS_E_NOTFOUND, "a name used again is another");
}

Test(change, a_datum_whose_input_is_missing_is_refused_by_its_name)
{
	struct pfs_commit_id id = commit_data("one");
	struct pfs_datum_input missing = { "x", "data", id, "nowhere/at/all" };
	struct pfs_datum_input twice[] = { { "x", "data", id, "" }, { "x", "data", id, "f" } };
	struct pfs_datum_input slash = { "a/b", "data", id, "" };
	struct pfs_datum_input climbs = { "x", "data", id, "../f" };

	cr_expect_eq(pfs_view_add_datum(v, "d", &missing, 1, "data", "master", &err),
		     PFS_E_NOTFOUND);
	cr_expect_not_null(strstr(err.text, "nowhere/at/all"), "%s", err.text);
	cr_expect_eq(pfs_view_add_datum(v, "d", twice, 2, "data", "master", &err), PFS_E_INVALID);
	cr_expect_eq(pfs_view_add_datum(v, "d", &slash, 1, "data", "master", &err), PFS_E_INVALID);
	cr_expect_eq(pfs_view_add_datum(v, "d", &climbs, 1, "data", "master", &err), PFS_E_INVALID);
	cr_expect_eq(pfs_view_add_datum(v, "../d", &missing, 1, "data", "master", &err),
		     PFS_E_INVALID);
	cr_expect_eq(walk("/.pfs/datum/d"), PFS_E_NOTFOUND, "nothing is half there");
}
