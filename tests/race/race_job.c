/*
 * Commits, a planner in each of two threads, runners of which some are lost in
 * the middle, somebody who stops jobs and somebody who looks on, all at once.
 * For ThreadSanitizer; and whatever the order was: one job for each commit and
 * pipeline, a job succeeded exactly when its output is committed, and no output
 * holds what a lost or stopped attempt wrote.
 */
#include "../world.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define COMMITS 24
#define RUNNERS 4
#define LOST_MS \
	300 /* a lost runner writes within its lease; later nobody but the mount could stop it */

static struct world w;
static atomic_bool all_committed;
static atomic_uint claimed, lost, late, finished, refused;

static const struct {
	const char *name, *text;
} pipelines[] = {
	{ "a", "image i\ninput text\nrun x\n" },
	{ "b", "image i\ninput pps://a\nrun x\n" },
	{ "c", "image i\nrun x\n" },
};

#define N_PIPELINES (sizeof(pipelines) / sizeof(*pipelines))

static void *make_commits(void *arg)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	char text[16];

	for (unsigned i = 0; i < COMMITS; i++) {
		snprintf(text, sizeof(text), "%u", i);
		CHECK(world_write(&w, "data", "master", "text/f", text, &err) == 0, "%s", err.text);
		CHECK(pfs_commit_branch(w.h, "data", "master", &o, &id, &err) == 0, "%s", err.text);
		usleep(500);
	}
	atomic_store(&all_committed, true);
	return NULL;
}

static bool all_done(void)
{
	struct pfs_job_query query = { .unfinished = true, .max = 1 };
	struct pfs_job_row *rows = NULL;
	struct pfs_error err = { 0 };
	bool committed = atomic_load(&all_committed);
	size_t n = 0;

	CHECK(pfs_planner_turn(w.p, &err) >= 0, "%s", err.text);
	CHECK(pfs_meta_list_jobs(w.meta, &query, &rows, &n, &err) == 0, "%s", err.text);
	free(rows);
	return committed && n == 0;
}

static void *plan(void *arg)
{
	struct pfs_error err = { 0 };

	while (!all_done())
		CHECK(pfs_planner_turn(w.p, &err) >= 0, "%s", err.text);
	return NULL;
}

/* The result names job and attempt; what is half done has another name. */
static int work(const struct pfs_task *t, const char *file, struct pfs_error *err)
{
	char text[64], hex[PFS_COMMIT_ID_HEX_SIZE];

	snprintf(text, sizeof(text), "%s %u", pfs_commit_id_format(&t->job.id, hex),
		 t->job.attempt);
	return world_write(&w, t->out_repo, t->out_branch, file, text, err);
}

/*
 * Every fifth claim is lost right after it was made, and its lease is short. A
 * machine may be too busy for even that to be over in time; what such an
 * attempt wrote cannot be told from the next one's, so then it is not looked for.
 */
static void run_one(struct pfs_task *t, bool lose)
{
	struct pfs_error err = { 0 };
	bool stop = false;
	int rc;

	CHECK(work(t, lose ? "half" : "result", &err) == 0, "%s", err.text);
	if (lose) {
		atomic_fetch_add(&lost, 1);
		if (pfs_clock_ns() >= t->job.started_ns + LOST_MS * 1000000LL)
			atomic_fetch_add(&late, 1);
		return;
	}
	rc = pfs_job_log_append(w.p, t->job.pipeline, &t->job.id, t->job.attempt, "x\n", 2, &err);
	CHECK(rc == 0, "%s", err.text);
	rc = pfs_job_heartbeat(w.p, t->job.pipeline, &t->job.id, t->job.attempt, 60000, &stop,
			       &err);
	CHECK(rc == 0 || rc == PFS_E_CONFLICT, "%s", err.text);
	rc = pfs_job_finish(w.p, t->job.pipeline, &t->job.id, t->job.attempt, NULL, &err);
	CHECK(rc == 0 || rc == PFS_E_CONFLICT, "%s", err.text);
	atomic_fetch_add(rc == 0 ? &finished : &refused, 1);
}

static void *run_jobs(void *arg)
{
	struct pfs_error err = { 0 };

	while (!all_done()) {
		struct pfs_task t = { 0 };
		bool lose = atomic_fetch_add(&claimed, 1) % 5 == 4;
		int rc = pfs_job_claim(w.p, "runner", lose ? LOST_MS : 60000, &t, &err);

		CHECK(rc >= 0, "%s", err.text);
		if (rc == 1)
			run_one(&t, lose);
		pfs_task_fini(&t);
	}
	return NULL;
}

/* Stop one of c's jobs now and then, and look at everything all the time. */
static void *look_on(void *arg)
{
	struct pfs_error err = { 0 };

	for (unsigned i = 0; !all_done(); i++) {
		struct pfs_job job;
		int rc = pfs_job_current(w.p, "c", &job, &err);

		CHECK(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
		if (rc == 0 && i % 50 == 0) {
			rc = pfs_job_stop(w.p, "c", &job.id, &err);
			CHECK(rc == 0 || rc == PFS_E_CONFLICT, "%s", err.text);
		}
		if (rc == 0)
			CHECK(pfs_job_wait(w.p, "c", &job.id, 1, &job, &err) >= 0, "%s", err.text);
	}
	return NULL;
}

static void check_job(const struct pfs_job *job)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE], want[64], got[64] = "";
	struct pfs_error err = { 0 };
	struct pfs_commit c = { 0 };
	int rc;

	pfs_commit_id_format(&job->id, hex);
	CHECK(pfs_job_state_final(job->state), "%s@%s has not ended", job->pipeline, hex);
	rc = pfs_commit_inspect(w.h, job->pipeline, hex, &c, &err);
	pfs_commit_fini(&c);
	CHECK((rc == 0) == (job->state == PFS_JOB_SUCCESS), "%s@%s is %s: %s", job->pipeline, hex,
	      pfs_job_state_name(job->state), rc ? err.text : "and its commit is there");
	if (rc < 0)
		return;
	snprintf(want, sizeof(want), "%s %u", hex, job->attempt);
	CHECK(world_read(&w, job->pipeline, &job->id, "result", got, sizeof(got), &err) == 0, "%s",
	      err.text);
	CHECK(strcmp(got, want) == 0, "%s says \"%s\", not \"%s\"", job->pipeline, got, want);
	CHECK(atomic_load(&late) || world_read(&w, job->pipeline, &job->id, "half", got,
					       sizeof(got), &err) == PFS_E_NOTFOUND,
	      "%s@%s holds what a lost attempt wrote", job->pipeline, hex);
}

static void check_all(void)
{
	struct pfs_error err = { 0 };
	struct pfs_job *jobs = NULL;
	size_t n = 0;

	CHECK(pfs_job_list(w.p, NULL, 0, &jobs, &n, &err) == 0, "%s", err.text);
	CHECK(n == COMMITS * N_PIPELINES, "%zu jobs", n);
	for (size_t i = 0; i < n; i++)
		check_job(&jobs[i]);
	free(jobs);
}

int main(void)
{
	void *(*const roles[])(void *) = { make_commits, plan, look_on };
	pthread_t threads[3 + RUNNERS];
	struct scratch dir = scratch_new();
	struct pfs_error err = { 0 };
	size_t n = 0;

	CHECK(world_open(&w, dir.path, &err) == 0, "%s", err.text);
	CHECK(pfs_repo_create(w.h, "data", &err) == 0, "%s", err.text);
	CHECK(world_branch(&w, "data", "master", &err) == 0, "%s", err.text);
	for (size_t i = 0; i < N_PIPELINES; i++)
		CHECK(pfs_pipeline_put(w.p, pipelines[i].name, "data", "master", pipelines[i].text,
				       strlen(pipelines[i].text), &err) == 0,
		      "%s", err.text);
	for (; n < 3; n++)
		CHECK(pthread_create(&threads[n], NULL, roles[n], NULL) == 0, "thread");
	for (; n < 3 + RUNNERS; n++)
		CHECK(pthread_create(&threads[n], NULL, run_jobs, NULL) == 0, "thread");
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	check_all();
	printf("%u finished, %u lost, %u of them too late, %u refused\n", atomic_load(&finished),
	       atomic_load(&lost), atomic_load(&late), atomic_load(&refused));
	CHECK(atomic_load(&finished) > COMMITS, "hardly any job ran");
	world_close(&w);
	scratch_fini(&dir);
	return 0;
}
