/*
 * The story of a pipeline and its reader, cut off at its n-th fault point for
 * every n: by the process ending there, by an I/O error, by a full disk.
 * Commits are made, planned, claimed and finished; after each cut a new process
 * goes on. However often: exactly one job for each commit and pipeline, all of
 * them succeed in the end, and a job has succeeded exactly when its output is
 * committed.
 */
#include "../world.h"
#include "base/fault.h"

#include <sys/wait.h>
#include <unistd.h>

#define COMMITS 2

static const char first[] = "image i\ninput text\nrun x\n";
static const char second[] = "image i\ninput pps://first\nrun x\n";

static int set_up(struct world *w, struct pfs_error *err)
{
	int rc = pfs_repo_create(w->h, "data", err);

	if (rc == PFS_E_EXISTS)
		rc = 0;
	if (rc == 0)
		rc = world_branch(w, "data", "master", err);
	if (rc == 0)
		rc = pfs_pipeline_put(w->p, "first", "data", "master", first, sizeof(first) - 1,
				      err);
	if (rc == 0)
		rc = pfs_pipeline_put(w->p, "second", "data", "master", second, sizeof(second) - 1,
				      err);
	return rc;
}

static int make_commits(struct world *w, struct pfs_error *err)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id id;
	char text[8];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < COMMITS; i++) {
		snprintf(text, sizeof(text), "%u", i);
		rc = world_write(w, "data", "master", "text/f", text, err);
		if (rc == 0)
			rc = pfs_commit_branch(w->h, "data", "master", &o, &id, err);
		if (rc == 0)
			rc = pfs_planner_turn(w->p, err);
	}
	return rc < 0 ? rc : 0;
}

/* What a runner does, without a container: the output names the job. */
static int run_jobs(struct world *w, struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	struct pfs_task t = { 0 };
	int rc;

	while ((rc = pfs_job_claim(w->p, "runner", 60000, &t, err)) == 1) {
		rc = world_write(w, t.out_repo, t.out_branch, "result",
				 pfs_commit_id_format(&t.job.id, hex), err);
		if (rc == 0)
			rc = pfs_job_finish(w->p, t.job.pipeline, &t.job.id, t.job.attempt, NULL,
					    err);
		pfs_task_fini(&t);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* In the child: the whole story, from wherever the point is reached. */
static int tell(const char *data)
{
	struct pfs_error err = { 0 };
	struct world w;
	int rc;

	rc = world_open(&w, data, &err);
	if (rc == 0)
		rc = make_commits(&w, &err);
	if (rc == 0)
		rc = run_jobs(&w, &err);
	if (rc == 0)
		rc = pfs_planner_turn(w.p, &err);
	_exit(rc < 0 ? 2 : 0);
}

/* Leases of a process that is gone run out by the clock; a test cannot wait a minute. */
static void expire_leases(struct world *w)
{
	struct pfs_job_query query = { .state = PFS_JOB_RUNNING };
	struct pfs_job_row *rows = NULL;
	struct pfs_txn *txn = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	CHECK(pfs_meta_list_jobs(w->meta, &query, &rows, &n, &err) == 0, "%s", err.text);
	CHECK(pfs_txn_begin(w->meta, &txn, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < n; i++) {
		rows[i].lease_until_ns = 1;
		CHECK(pfs_txn_update_job(txn, &rows[i], rows[i].state, rows[i].attempt, &err) == 0,
		      "%s", err.text);
	}
	CHECK(pfs_txn_commit(&txn, &err) == 0, "%s", err.text);
	free(rows);
}

static bool has_commit(struct world *w, const char *repo, const struct pfs_commit_id *id)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	struct pfs_commit c = { 0 };
	struct pfs_error err = { 0 };
	int rc = pfs_commit_inspect(w->h, repo, pfs_commit_id_format(id, hex), &c, &err);

	CHECK(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
	pfs_commit_fini(&c);
	return rc == 0;
}

/* Right after the cut: success and commit are one. */
static void check_agreement(struct world *w)
{
	struct pfs_job *jobs = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	CHECK(pfs_job_list(w->p, NULL, 0, &jobs, &n, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < n; i++) {
		bool there = has_commit(w, jobs[i].pipeline, &jobs[i].id);

		CHECK(there == (jobs[i].state == PFS_JOB_SUCCESS), "%s is %s, its commit is %s",
		      jobs[i].pipeline, pfs_job_state_name(jobs[i].state),
		      there ? "there" : "not there");
	}
	free(jobs);
}

static void check_output(struct world *w, const char *pipeline, const struct pfs_commit_id *id)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE], got[64] = "";
	struct pfs_error err = { 0 };
	struct pfs_job job;

	pfs_commit_id_format(id, hex);
	CHECK(pfs_job_inspect(w->p, pipeline, id, &job, &err) == 0, "%s", err.text);
	CHECK(job.state == PFS_JOB_SUCCESS, "%s@%s is %s: %s", pipeline, hex,
	      pfs_job_state_name(job.state), job.reason);
	CHECK(world_read(w, pipeline, id, "result", got, sizeof(got), &err) == 0, "%s", err.text);
	CHECK(strcmp(got, hex) == 0, "%s@%s says %s", pipeline, hex, got);
}

/* Go on where it was cut off; then nothing may be missing and nothing be double. */
static void check_after(const char *data)
{
	struct pfs_commit *commits = NULL;
	struct pfs_error err = { 0 };
	struct pfs_job *jobs = NULL;
	size_t n = 0, n_jobs = 0;
	struct world w;

	CHECK(world_open(&w, data, &err) == 0, "%s", err.text);
	check_agreement(&w);
	expire_leases(&w);
	CHECK(pfs_planner_turn(w.p, &err) >= 0, "%s", err.text);
	CHECK(run_jobs(&w, &err) == 0, "%s", err.text);
	CHECK(pfs_commit_list(w.h, "data", NULL, 0, &commits, &n, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < n; i++) {
		check_output(&w, "first", &commits[i].id);
		check_output(&w, "second", &commits[i].id);
	}
	CHECK(pfs_job_list(w.p, NULL, 0, &jobs, &n_jobs, &err) == 0, "%s", err.text);
	CHECK(n_jobs == 2 * n, "%zu jobs for %zu commits and 2 pipelines", n_jobs, n);
	free(jobs);
	pfs_commits_free(&commits, n);
	world_close(&w);
}

/* 0 when the story ended before point `at`. */
static int story(enum pfs_fault_mode mode, unsigned at)
{
	struct scratch dir = scratch_new();
	struct pfs_error err = { 0 };
	struct world w;
	int status;
	pid_t child;

	CHECK(world_open(&w, dir.path, &err) == 0, "%s", err.text);
	CHECK(set_up(&w, &err) == 0, "%s", err.text);
	world_close(&w);
	child = fork();
	CHECK(child >= 0, "fork");
	if (child == 0) {
		pfs_fault_arm(mode, at);
		tell(dir.path);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status), "the story was killed");
	CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2 ||
		      WEXITSTATUS(status) == PFS_FAULT_EXIT,
	      "point %u: exit %d", at, WEXITSTATUS(status));
	check_after(dir.path);
	scratch_fini(&dir);
	return WEXITSTATUS(status);
}

int main(void)
{
	static const enum pfs_fault_mode modes[] = { PFS_FAULT_STOP, PFS_FAULT_FAIL,
						     PFS_FAULT_NOSPACE };

#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
		unsigned at = 1, last = 0;

		/* An error that somebody could live with ends nothing: go on until none is felt for a while. */
		for (; at < last + 40; at++)
			if (story(modes[m], at) != 0)
				last = at;
		printf("mode %d: %u points, one job each\n", (int)modes[m], last);
		CHECK(last > 20, "the story has hardly any fault points");
	}
	return 0;
}
