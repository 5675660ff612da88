#include "../world.h"

#include "base/clock.h"
#include "base/lock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

#define LEASE_MS 60000

static struct scratch dir;
static struct world w;
static struct pfs_error err;

#define OK(call) cr_assert_geq((call), 0, "%s", err.text)

static void setup(void)
{
	dir = scratch_new();
	OK(world_open(&w, dir.path, &err));
	OK(pfs_repo_create(w.h, "data", &err));
	OK(world_branch(&w, "data", "master", &err));
	OK(world_branch(&w, "data", "dev", &err));
}

static void teardown(void)
{
	world_close(&w);
	scratch_fini(&dir);
}

/* What a kill -9 between two calls comes to: nothing was told to end. */
static void reopen(void)
{
	world_close(&w);
	OK(world_open(&w, dir.path, &err));
}

TestSuite(job, .init = setup, .fini = teardown);

static void put(const char *name, const char *text)
{
	OK(pfs_pipeline_put(w.p, name, "data", "master", text, strlen(text), &err));
}

/* A user writes text/f and commits. */
static struct pfs_commit_id commit_unseen(const char *branch, const char *text,
					  enum pfs_commit_origin origin)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id id;

	o.origin = origin;
	OK(world_write(&w, "data", branch, "text/f", text, &err));
	OK(pfs_commit_branch(w.h, "data", branch, &o, &id, &err));
	return id;
}

/* The same, and the planner has its turn. */
static struct pfs_commit_id commit_on(const char *branch, const char *text)
{
	struct pfs_commit_id id = commit_unseen(branch, text, PFS_ORIGIN_USER);

	OK(pfs_planner_turn(w.p, &err));
	return id;
}

static struct pfs_commit_id commit(const char *text)
{
	return commit_on("master", text);
}

/* Claim and throw the task away; the job, or one without a name. */
static struct pfs_job claim_for(int64_t lease_ms)
{
	struct pfs_task task = { 0 };
	struct pfs_job job = { 0 };
	int rc = pfs_job_claim(w.p, "runner-1", lease_ms, &task, &err);

	OK(rc);
	if (rc == 1)
		job = task.job;
	pfs_task_fini(&task);
	return job;
}

static struct pfs_job claim(void)
{
	return claim_for(LEASE_MS);
}

static struct pfs_job inspect(const char *pipeline, const struct pfs_commit_id *id)
{
	struct pfs_job job = { 0 };

	OK(pfs_job_inspect(w.p, pipeline, id, &job, &err));
	return job;
}

static int finish(const struct pfs_job *job, const char *reason)
{
	return pfs_job_finish(w.p, job->pipeline, &job->id, job->attempt, reason, &err);
}

static size_t count_jobs(const char *pipeline)
{
	struct pfs_job *list = NULL;
	size_t n = 0;

	OK(pfs_job_list(w.p, pipeline, 0, &list, &n, &err));
	free(list);
	return n;
}

static void expect_output(const char *pipeline, const struct pfs_commit_id *id, const char *path,
			  const char *text)
{
	char got[64] = "";

	OK(world_read(&w, pipeline, id, path, got, sizeof(got), &err));
	cr_expect_str_eq(got, text);
}

static bool has_output(const char *pipeline, const struct pfs_commit_id *id, const char *path)
{
	char got[64];

	return world_read(&w, pipeline, id, path, got, sizeof(got), &err) == 0;
}

Test(job, leads_from_a_commit_to_an_output_with_the_same_id)
{
	struct pfs_commit_id id;
	struct pfs_task task = { 0 };
	struct pfs_commit c = { 0 };
	struct pfs_job job;

	put("count", "image a\ninput text\nrun wc  -l\nimage b\nrun sort\n");
	id = commit("one");
	job = inspect("count", &id);
	cr_expect_eq(job.state, PFS_JOB_CREATED);
	cr_expect_eq(job.attempt, 0);
	cr_expect_str_eq(job.repo, "data");
	cr_expect_str_eq(job.branch, "master");
	cr_assert_eq(pfs_job_claim(w.p, "runner-1", LEASE_MS, &task, &err), 1);
	cr_expect_eq(task.job.state, PFS_JOB_RUNNING);
	cr_expect_eq(task.job.attempt, 1);
	cr_expect_str_eq(task.job.runner, "runner-1");
	cr_assert_eq(task.n_steps, 2);
	cr_expect_str_eq(task.steps[0].image, "a");
	cr_expect_str_eq(task.steps[0].line, "wc  -l");
	cr_expect_str_eq(task.steps[1].image, "b");
	cr_assert_eq(task.n_inputs, 1);
	cr_expect_str_eq(task.inputs[0].name, "text");
	cr_expect_str_eq(task.inputs[0].repo, "data");
	cr_expect_str_eq(task.inputs[0].path, "text");
	cr_expect(pfs_commit_id_equal(&task.inputs[0].commit, &id));
	cr_expect_str_eq(task.out_repo, "count");
	cr_expect_str_eq(task.out_branch, "master");
	OK(world_write(&w, task.out_repo, task.out_branch, "counts/f", "1", &err));
	OK(finish(&task.job, NULL));
	OK(finish(&task.job, NULL)); /* told again: the answer was lost */
	pfs_task_fini(&task);

	job = inspect("count", &id);
	cr_expect_eq(job.state, PFS_JOB_SUCCESS);
	cr_expect_gt(job.finished_ns, 0);
	cr_expect_str_eq(job.reason, "");
	OK(pfs_commit_inspect(w.h, "count", "master", &c, &err));
	cr_expect(pfs_commit_id_equal(&c.id, &id), "the output bears the input's id");
	cr_expect_eq(c.origin, PFS_ORIGIN_AUTO);
	cr_expect_str_eq(c.message, "pipeline count version 1");
	cr_assert_eq(c.n_provenance, 1);
	cr_expect_str_eq(c.provenance[0].repo, "data");
	cr_expect(pfs_commit_id_equal(&c.provenance[0].id, &id));
	pfs_commit_fini(&c);
	expect_output("count", &id, "counts/f", "1");
	cr_expect_eq(claim().attempt, 0, "there is nothing left to do");
	OK(pfs_planner_turn(w.p, &err));
	cr_expect_eq(count_jobs(NULL), 1, "an output starts nothing");
}

Test(job, is_made_once_for_every_commit_and_pipeline_in_order)
{
	struct pfs_commit_id first, second;
	struct pfs_job *list = NULL;
	size_t n = 0;

	commit_unseen("master", "before there was a pipeline", PFS_ORIGIN_USER);
	put("a", "image i\nrun x\n");
	put("b", "image i\nrun x\n");
	first = commit("1");
	reopen();
	cr_expect_geq(pfs_planner_turn(w.p, &err), 0);
	cr_expect_eq(pfs_planner_turn(w.p, &err), 0, "a second look sees nothing new");
	second = commit("2");
	commit_on("dev", "another branch");
	commit_unseen("master", "not a user's", PFS_ORIGIN_AUTO);
	OK(pfs_planner_turn(w.p, &err));
	OK(pfs_job_list(w.p, NULL, 0, &list, &n, &err));
	cr_assert_eq(n, 4);
	cr_expect(pfs_commit_id_equal(&list[0].id, &second), "newest first");
	cr_expect(pfs_commit_id_equal(&list[3].id, &first));
	free(list);
	OK(pfs_job_list(w.p, "a", 1, &list, &n, &err));
	cr_assert_eq(n, 1);
	cr_expect_str_eq(list[0].pipeline, "a");
	free(list);
	cr_expect_eq(pfs_job_list(w.p, "nobody", 0, &list, &n, &err), PFS_E_NOTFOUND);
}

static uint64_t add_idle_events(unsigned n)
{
	struct pfs_txn *txn = NULL;
	uint64_t cursor = 0;

	OK(pfs_txn_begin(w.meta, &txn, &err));
	for (unsigned i = 0; i < n; i++)
		OK(pfs_txn_add_event(txn, "branch.created", "data", "x", NULL, &err));
	OK(pfs_txn_commit(&txn, &err));
	cr_expect_geq(pfs_planner_turn(w.p, &err), (int)n);
	OK(pfs_meta_read_cursor(w.meta, "planner", &cursor, &err));
	return cursor;
}

Test(job, planner_writes_its_cursor_for_jobs_and_once_in_a_while)
{
	struct pfs_commit_id id;
	uint64_t cursor;

	put("a", "image i\nrun x\n");
	cursor = add_idle_events(100);
	cr_expect_lt(cursor, pfs_event_newest(w.h), "a flush for events that call for nothing");
	cr_expect_eq(add_idle_events(5000), pfs_event_newest(w.h), "it lags behind for ever");
	id = commit_unseen("master", "1", PFS_ORIGIN_USER);
	add_idle_events(200); /* the commit is not in the last batch */
	cr_expect_eq(inspect("a", &id).state, PFS_JOB_CREATED);
	cr_expect_eq(count_jobs(NULL), 1);
}

Test(job, waits_for_the_one_before_it_of_the_same_pipeline)
{
	struct pfs_commit_id first, second;
	struct pfs_job job;

	put("a", "image i\nrun x\n");
	first = commit("1");
	second = commit("2");
	job = claim();
	cr_expect(pfs_commit_id_equal(&job.id, &first));
	cr_expect_eq(claim().attempt, 0, "the second waits");
	OK(world_write(&w, "a", "master", "kept", "by the first", &err));
	OK(finish(&job, NULL));
	job = claim();
	cr_expect(pfs_commit_id_equal(&job.id, &second));
	OK(finish(&job, NULL));
	expect_output("a", &second, "kept", "by the first"); /* /out is not emptied */
}

Test(job, that_fails_leaves_no_output_and_does_not_stop_the_next)
{
	struct pfs_commit_id first, second;
	struct pfs_change *changes = NULL;
	struct pfs_branch branch;
	struct pfs_job job;
	size_t n = 77;

	put("a", "image i\nrun x\n");
	first = commit("1");
	second = commit("2");
	job = claim();
	OK(world_write(&w, "a", "master", "half", "done", &err));
	OK(finish(&job, "line 2: exit status 3"));
	OK(finish(&job, "line 2: exit status 3"));
	cr_expect_eq(finish(&job, NULL), PFS_E_CONFLICT, "too late to succeed");
	job = inspect("a", &first);
	cr_expect_eq(job.state, PFS_JOB_FAILURE);
	cr_expect_str_eq(job.reason, "line 2: exit status 3");
	OK(pfs_branch_inspect(w.h, "a", "master", &branch, &err));
	cr_expect_not(branch.has_head);
	OK(pfs_commit_status(w.h, "a", "master", 0, &changes, &n, &err));
	cr_expect_eq(n, 0, "what it wrote is thrown away at once");
	pfs_changes_free(&changes, n);
	job = claim();
	OK(finish(&job, NULL));
	cr_expect_not(has_output("a", &second, "half"),
		      "the failed job's file is in the next output");
}

Test(job, waits_for_the_pipelines_it_reads)
{
	struct pfs_commit c = { 0 };
	struct pfs_task task = { 0 };
	struct pfs_commit_id id;
	struct pfs_job job;

	put("a", "image i\nrun x\n");
	put("b", "image i\ninput pps://a\ninput text\nrun x\n");
	id = commit("1");
	job = claim();
	cr_assert_str_eq(job.pipeline, "a");
	cr_expect_eq(claim().attempt, 0);
	OK(world_write(&w, "a", "master", "x", "from a", &err));
	OK(finish(&job, NULL));
	cr_assert_eq(pfs_job_claim(w.p, "r", LEASE_MS, &task, &err), 1);
	cr_expect_str_eq(task.job.pipeline, "b");
	cr_assert_eq(task.n_inputs, 2);
	cr_expect_str_eq(task.inputs[0].name, "a");
	cr_expect_str_eq(task.inputs[0].repo, "a");
	cr_expect_str_eq(task.inputs[0].path, "");
	cr_expect_str_eq(task.inputs[1].repo, "data");
	OK(finish(&task.job, NULL));
	pfs_task_fini(&task);
	OK(pfs_commit_inspect(w.h, "b", "master", &c, &err));
	cr_assert_eq(c.n_provenance, 2);
	cr_expect_str_eq(c.provenance[0].repo, "a");
	cr_expect_str_eq(c.provenance[1].repo, "data");
	cr_expect(pfs_commit_id_equal(&c.provenance[0].id, &id));
	pfs_commit_fini(&c);
}

Test(job, cannot_run_when_what_it_reads_has_failed)
{
	struct pfs_commit_id id;
	struct pfs_job job;

	put("a", "image i\nrun x\n");
	put("b", "image i\ninput pps://a\nrun x\n");
	put("c", "image i\ninput pps://b\nrun x\n");
	id = commit("1");
	job = claim();
	OK(finish(&job, "broken"));
	cr_expect_eq(claim().attempt, 0);
	job = inspect("b", &id);
	cr_expect_eq(job.state, PFS_JOB_UNRUNNABLE);
	cr_expect(strstr(job.reason, "pps://a") && strstr(job.reason, "failure"), "%s", job.reason);
	job = inspect("c", &id);
	cr_expect_eq(job.state, PFS_JOB_UNRUNNABLE);
	cr_expect(strstr(job.reason, "pps://b") && strstr(job.reason, "unrunnable"), "%s",
		  job.reason);
	cr_expect_gt(job.finished_ns, 0);
}

Test(job, fails_when_an_input_is_not_in_the_commit)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	struct pfs_commit_id id;
	struct pfs_job job;

	put("a", "image i\ninput text\ninput nowhere/at/all\nrun x\n");
	put("b", "image i\ninput text/f/g\nrun x\n");
	put("c", "image i\ninput text/f\nrun x\n");
	id = commit("1");
	job = claim();
	cr_expect_str_eq(job.pipeline, "c",
			 "the others end, and this one is next in the same call");
	job = inspect("a", &id);
	cr_expect_eq(job.state, PFS_JOB_FAILURE);
	cr_expect(strstr(job.reason, "line 3") && strstr(job.reason, "nowhere/at/all") &&
			  strstr(job.reason, pfs_commit_id_format(&id, hex)),
		  "%s", job.reason);
	job = inspect("b", &id);
	cr_expect_eq(job.state, PFS_JOB_FAILURE, "a file is no directory");
}

Test(job, whose_runner_is_silent_goes_to_another_one)
{
	struct pfs_job first, second;
	struct pfs_commit_id id;
	bool stop;

	put("a", "image i\nrun x\n");
	id = commit("1");
	first = claim_for(1);
	OK(world_write(&w, "a", "master", "half", "by the first", &err));
	usleep(5000);
	second = claim();
	cr_assert_eq(second.attempt, 2);
	cr_expect(pfs_commit_id_equal(&second.id, &id));
	cr_expect_eq(finish(&first, NULL), PFS_E_CONFLICT);
	cr_expect_eq(finish(&first, "late"), PFS_E_CONFLICT);
	cr_expect_eq(pfs_job_heartbeat(w.p, "a", &id, 1, LEASE_MS, &stop, &err), PFS_E_CONFLICT);
	cr_expect_eq(pfs_job_log_append(w.p, "a", &id, 1, "x", 1, &err), PFS_E_CONFLICT);
	cr_expect_eq(inspect("a", &id).state, PFS_JOB_RUNNING, "nobody else's word counts");
	OK(finish(&second, NULL));
	cr_expect_not(has_output("a", &id, "half"), "the second starts from the head");
}

Test(job, stays_with_a_runner_that_gives_signs_of_life)
{
	struct pfs_commit_id id;
	struct pfs_job job;
	bool stop = true;

	put("a", "image i\nrun x\n");
	id = commit("1");
	job = claim_for(1);
	OK(pfs_job_heartbeat(w.p, "a", &id, job.attempt, LEASE_MS, &stop, &err));
	cr_expect_not(stop);
	usleep(5000);
	cr_expect_eq(claim().attempt, 0);
	OK(finish(&job, NULL));
	cr_expect_eq(pfs_job_heartbeat(w.p, "a", &id, job.attempt, LEASE_MS, &stop, &err),
		     PFS_E_CONFLICT, "it has ended");
}

Test(job, that_loses_every_runner_fails)
{
	struct pfs_commit_id id, next;
	struct pfs_job job;

	put("a", "image i\nrun x\n");
	id = commit("1");
	next = commit("2");
	for (unsigned i = 0; i < PFS_JOB_ATTEMPTS_MAX; i++) {
		cr_assert_eq(claim_for(1).attempt, i + 1);
		usleep(3000);
	}
	job = claim();
	cr_expect(pfs_commit_id_equal(&job.id, &next), "the pipeline goes on");
	job = inspect("a", &id);
	cr_expect_eq(job.state, PFS_JOB_FAILURE);
	cr_expect(strstr(job.reason, "runners were lost"), "%s", job.reason);
}

Test(job, stopped_keeps_its_output_until_the_runner_has_let_go)
{
	struct pfs_commit_id first, second;
	struct pfs_job job, next;
	bool stop = false;

	put("a", "image i\nrun x\n");
	first = commit("1");
	second = commit("2");
	job = claim();
	OK(pfs_job_stop(w.p, "a", &first, &err));
	OK(pfs_job_stop(w.p, "a", &first, &err));
	cr_expect_eq(inspect("a", &first).state, PFS_JOB_KILLED);
	cr_expect_eq(claim().attempt, 0, "the old container may still be writing");
	OK(pfs_job_heartbeat(w.p, "a", &first, job.attempt, LEASE_MS, &stop, &err));
	cr_expect(stop);
	OK(world_write(&w, "a", "master", "last", "gasp", &err));
	cr_expect_eq(finish(&job, "killed"), PFS_E_CONFLICT);
	next = claim();
	cr_expect(pfs_commit_id_equal(&next.id, &second));
	OK(finish(&next, NULL));
	cr_expect_not(has_output("a", &second, "last"));
	cr_expect_eq(pfs_job_stop(w.p, "a", &second, &err), PFS_E_CONFLICT);
	cr_expect(strstr(err.text, "committed"), "%s", err.text);
	cr_expect_eq(inspect("a", &first).state, PFS_JOB_KILLED);
}

Test(job, stopped_before_it_ran_never_does)
{
	struct pfs_commit_id id;

	put("a", "image i\nrun x\n");
	id = commit("1");
	OK(pfs_job_stop(w.p, "a", &id, &err));
	cr_expect_eq(claim().attempt, 0);
	cr_expect_eq(pfs_job_stop(w.p, "nobody", &id, &err), PFS_E_NOTFOUND);
}

/* What finish() does first, as if the power went right after it. */
static void commit_output(const struct pfs_job *job)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id id;

	o.id = &job->id;
	o.origin = PFS_ORIGIN_AUTO;
	o.as_owner = job->pipeline;
	OK(pfs_commit_branch(w.h, job->pipeline, "master", &o, &id, &err));
}

Test(job, whose_output_is_committed_has_succeeded_whatever_its_row_says)
{
	struct pfs_commit_id ids[4];
	struct pfs_job job;

	put("a", "image i\nrun x\n");
	for (size_t i = 0; i < 4; i++)
		ids[i] = commit("x");
	job = claim();
	commit_output(&job);
	reopen();
	cr_expect_eq(inspect("a", &ids[0]).state, PFS_JOB_SUCCESS, "found at the start");
	job = claim_for(1);
	commit_output(&job);
	usleep(5000);
	job = claim();
	cr_expect_eq(inspect("a", &ids[1]).state, PFS_JOB_SUCCESS, "found by a claim");
	cr_expect(pfs_commit_id_equal(&job.id, &ids[2]));
	commit_output(&job);
	OK(finish(&job, NULL));
	cr_expect_eq(inspect("a", &ids[2]).state, PFS_JOB_SUCCESS, "found by finish");
	job = claim();
	commit_output(&job);
	OK(finish(&job, "the answer was lost"));
	cr_expect_eq(inspect("a", &ids[3]).state, PFS_JOB_SUCCESS, "a commit cannot be taken back");
}

Test(job, runs_the_text_it_was_made_with)
{
	struct pfs_task task = { 0 };
	struct pfs_commit c = { 0 };

	put("a", "image i\nrun old\n");
	commit("1");
	put("a", "image i\nrun new\n");
	commit("2");
	cr_assert_eq(pfs_job_claim(w.p, "r", LEASE_MS, &task, &err), 1);
	cr_expect_eq(task.job.version, 1);
	cr_expect_str_eq(task.steps[0].line, "old");
	OK(finish(&task.job, NULL));
	pfs_task_fini(&task);
	cr_assert_eq(pfs_job_claim(w.p, "r", LEASE_MS, &task, &err), 1);
	cr_expect_eq(task.job.version, 2);
	cr_expect_str_eq(task.steps[0].line, "new");
	OK(finish(&task.job, NULL));
	pfs_task_fini(&task);
	OK(pfs_commit_inspect(w.h, "a", "master^", &c, &err));
	cr_expect_str_eq(c.message, "pipeline a version 1");
	pfs_commit_fini(&c);
}

Test(job, survives_a_restart_at_every_step)
{
	struct pfs_commit_id id;
	struct pfs_job job;
	bool stop;

	put("a", "image i\ninput text\nrun x\n");
	reopen();
	id = commit("1");
	reopen();
	job = claim();
	cr_assert_eq(job.attempt, 1);
	reopen();
	cr_expect_eq(claim().attempt, 0, "the lease holds");
	OK(pfs_job_heartbeat(w.p, "a", &id, 1, LEASE_MS, &stop, &err));
	OK(world_write(&w, "a", "master", "x", "y", &err));
	reopen();
	OK(finish(&job, NULL));
	reopen();
	cr_expect_eq(inspect("a", &id).state, PFS_JOB_SUCCESS);
	expect_output("a", &id, "x", "y");
	cr_expect_eq(count_jobs(NULL), 1);
}

static void *finish_soon(void *arg)
{
	usleep(50000);
	finish(arg, NULL);
	return NULL;
}

Test(job, wait_ends_with_the_job_or_the_time)
{
	struct pfs_commit_id id;
	struct pfs_job job, got = { 0 };
	pthread_t t;
	int64_t began;

	put("a", "image i\nrun x\n");
	id = commit("1");
	job = claim();
	began = pfs_clock_monotonic_ms();
	cr_expect_eq(pfs_job_wait(w.p, "a", &id, 30, &got, &err), 0);
	cr_expect_geq(pfs_clock_monotonic_ms() - began, 25);
	cr_expect_eq(pfs_job_wait(w.p, "a", &id, 0, &got, &err), 0);
	cr_assert_eq(pthread_create(&t, NULL, finish_soon, &job), 0);
	cr_expect_eq(pfs_job_wait(w.p, "a", &id, -1, &got, &err), 1);
	cr_expect_eq(got.state, PFS_JOB_SUCCESS);
	pthread_join(t, NULL);
	cr_expect_eq(pfs_job_wait(w.p, "a", &id, 0, &got, &err), 1);
	cr_expect_eq(pfs_job_wait(w.p, "b", &id, 0, &got, &err), PFS_E_NOTFOUND);
}

Test(job, current_is_unfinished_else_succeeded_else_failed)
{
	struct pfs_commit_id ids[3];
	struct pfs_job job;

	put("a", "image i\nrun x\n");
	cr_expect_eq(pfs_job_current(w.p, "a", &job, &err), PFS_E_NOTFOUND);
	ids[0] = commit("1");
	job = claim();
	OK(finish(&job, "no"));
	OK(pfs_job_current(w.p, "a", &job, &err));
	cr_expect(pfs_commit_id_equal(&job.id, &ids[0]), "the failed one is all there is");
	ids[1] = commit("2");
	job = claim();
	OK(finish(&job, NULL));
	ids[2] = commit("3");
	OK(pfs_job_current(w.p, "a", &job, &err));
	cr_expect(pfs_commit_id_equal(&job.id, &ids[2]), "one is to come");
	job = claim();
	OK(finish(&job, "no"));
	OK(pfs_job_current(w.p, "a", &job, &err));
	cr_expect(pfs_commit_id_equal(&job.id, &ids[1]), "the last good one");
}

Test(job, log_is_kept_bounded_and_says_when_it_is_full)
{
	static char block[1 << 20];
	struct pfs_commit_id id, other = { { 1 } };
	struct pfs_job job;
	char got[256];
	size_t len = 7;

	put("a", "image i\nrun x\n");
	id = commit("1");
	OK(pfs_job_log_read(w.p, "a", &id, 0, got, sizeof(got), &len, &err));
	cr_expect_eq(len, 0, "nothing was printed yet");
	job = claim();
	OK(pfs_job_log_append(w.p, "a", &id, job.attempt, "one\n", 4, &err));
	OK(pfs_job_log_append(w.p, "a", &id, job.attempt, "two\n", 4, &err));
	OK(pfs_job_log_read(w.p, "a", &id, 2, got, sizeof(got), &len, &err));
	cr_assert_eq(len, 6);
	cr_expect_arr_eq(got, "e\ntwo\n", 6);
	cr_expect_eq(pfs_job_log_append(w.p, "a", &other, 1, "x", 1, &err), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_job_log_read(w.p, "../a", &id, 0, got, 1, &len, &err), PFS_E_NOTFOUND);
	for (unsigned i = 0; i < PFS_LOG_SIZE_MAX / sizeof(block) + 2; i++)
		OK(pfs_job_log_append(w.p, "a", &id, job.attempt, block, sizeof(block), &err));
	OK(pfs_job_log_read(w.p, "a", &id, PFS_LOG_SIZE_MAX, got, sizeof(got), &len, &err));
	cr_expect_gt(len, 0);
	cr_expect_lt(len, 100, "more than one notice");
	got[len] = 0;
	cr_expect(strstr(got, "the log is full"), "%s", got);
	OK(finish(&job, "no"));
	OK(pfs_job_log_append(w.p, "a", &id, job.attempt, "last words", 10, &err));
}

Test(job, goes_with_its_pipeline)
{
	struct pfs_commit_id first, second;
	struct pfs_change *changes = NULL;
	struct pfs_job job;
	size_t n = 0;
	bool stop;

	put("a", "image i\nrun x\n");
	first = commit("1");
	second = commit("2");
	job = claim();
	OK(world_write(&w, "a", "master", "half", "done", &err));
	OK(pfs_pipeline_delete(w.p, "a", &err));
	cr_expect_eq(pfs_job_heartbeat(w.p, "a", &first, 1, LEASE_MS, &stop, &err), PFS_E_CONFLICT);
	cr_expect_eq(finish(&job, NULL), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_job_wait(w.p, "a", &second, -1, &job, &err), PFS_E_NOTFOUND);
	cr_expect_eq(claim().attempt, 0);
	OK(pfs_commit_status(w.h, "a", "master", 0, &changes, &n, &err));
	cr_expect_eq(n, 0, "half a result looks like somebody's work");
	pfs_changes_free(&changes, n);
}

Test(job, on_a_new_branch_goes_on_from_the_output_of_its_parent)
{
	struct pfs_commit_id base, id;
	struct pfs_job job;
	const char *text = "image i\nrun x\n";

	put("a", text);
	base = commit("1");
	job = claim();
	OK(world_write(&w, "a", "master", "kept", "from master", &err));
	OK(finish(&job, NULL));
	OK(pfs_branch_create(w.h, "data", "topic", "master", &err));
	OK(pfs_pipeline_put(w.p, "a", "data", "topic", text, strlen(text), &err));
	id = commit_on("topic", "2");
	job = claim();
	cr_assert(pfs_commit_id_equal(&job.id, &id));
	OK(finish(&job, NULL));
	expect_output("a", &id, "kept", "from master");
	expect_output("a", &base, "kept", "from master");
}

Test(job, without_a_place_for_its_output_fails_at_birth_and_alone)
{
	struct pfs_txn *txn = NULL;
	struct pfs_commit_id id;
	struct pfs_job job;

	put("a", "image i\nrun x\n");
	put("b", "image i\nrun x\n");
	OK(pfs_txn_begin(w.meta, &txn, &err));
	OK(pfs_history_drop_owner(w.h, txn, "a", &err));
	OK(pfs_txn_commit(&txn, &err));
	id = commit("1");
	job = inspect("a", &id);
	cr_expect_eq(job.state, PFS_JOB_FAILURE);
	cr_expect(job.reason[0]);
	cr_expect_str_eq(claim().pipeline, "b");
}

Test(job, refuses_a_claim_that_makes_no_sense)
{
	struct pfs_task task;
	char name[200];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	cr_expect_eq(pfs_job_claim(w.p, "r", 0, &task, &err), PFS_E_INVALID);
	cr_expect_eq(pfs_job_claim(w.p, "r", INT64_MAX, &task, &err), PFS_E_INVALID);
	cr_expect_eq(pfs_job_claim(w.p, "", 1, &task, &err), PFS_E_INVALID);
	cr_expect_eq(pfs_job_claim(w.p, name, 1, &task, &err), PFS_E_INVALID);
}
