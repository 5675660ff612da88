/*
 * From events to jobs. The cursor moves in the transaction that makes the jobs,
 * so each commit makes its jobs exactly once, whatever is interrupted.
 */
#include "pipeline/pipelines.h"

#include "base/clock.h"
#include "base/fault.h"
#include "pipeline/jobrow.h"
#include "pipeline/pipelines_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURSOR "planner"

enum { BATCH = 64 };

/*
 * Most events call for no job, among them those about jobs. Writing down that
 * they were seen would cost a flush each time; so that is done once in a while,
 * and in between they are only remembered.
 */
enum { IDLE_EVENTS_MAX = 4096 };

/* One look at the events, in one transaction. */
struct turn {
	struct pfs_pipelines *p;
	struct pfs_txn *txn; /* owned; NULL until there is something to write */
	uint64_t cursor;     /* what the row says */
	uint64_t seen;       /* how far we are; at first what is remembered */
	bool jobs;           /* some were made */
};

/*
 * A branch of the output that is made for this commit goes on from the output
 * for the commit's parent, when there is one: results carry over to a branch as
 * the data does.
 */
static int inherit_output(struct turn *t, const char *name, const struct pfs_commit_row *c,
			  struct pfs_error *err)
{
	struct pfs_branch_row branch;
	struct pfs_repo_row repo;
	int rc;

	rc = pfs_meta_find_repo(t->p->meta, name, &repo, err);
	if (rc == 0)
		rc = pfs_meta_find_branch(t->p->meta, repo.id, c->branch, &branch, err);
	if (rc < 0 || branch.has_head || !c->has_parent ||
	    !pfs_meta_has_commit(t->p->meta, repo.id, &c->parent))
		return rc;
	rc = pfs_txn_move_branch(t->txn, branch.id, NULL, &c->parent, err);
	if (rc == 0)
		rc = pfs_txn_add_event(t->txn, "branch.moved", name, c->branch, &c->parent, err);
	return rc;
}

/* One pipeline that cannot have its output must not stop the others: its job fails at birth. */
static int make_output(struct turn *t, const struct pfs_commit_row *c, struct pfs_job_row *job,
		       struct pfs_error *err)
{
	struct pfs_error why;
	int rc;

	rc = pfs_history_add_output(t->p->history, t->txn, job->pipeline, job->branch,
				    job->pipeline, &why);
	if (rc == 0)
		return inherit_output(t, job->pipeline, c, err);
	if (rc != PFS_E_EXISTS)
		return pfs_fail(err, rc, "%s", why.text);
	pfs_jobrow_end(job, PFS_JOB_FAILURE, why.text);
	return 0;
}

static int make_job(struct turn *t, const struct pfs_event_row *e, const struct pfs_commit_row *c,
		    const struct pfs_pipeline_row *pipeline, struct pfs_error *err)
{
	struct pfs_job_row job = { .id = e->commit,
				   .version = pipeline->version,
				   .state = PFS_JOB_CREATED,
				   .created_ns = pfs_clock_ns() };
	struct pfs_error why;
	int rc;

	rc = pfs_meta_find_job(t->p->meta, pipeline->name, &e->commit, &job, &why);
	if (rc != PFS_E_NOTFOUND) /* there: an id that somebody chose twice */
		return rc < 0 ? pfs_fail(err, rc, "%s", why.text) : 0;
	memcpy(job.pipeline, pipeline->name, sizeof(job.pipeline));
	memcpy(job.repo, e->repo, sizeof(job.repo));
	memcpy(job.branch, e->branch, sizeof(job.branch));
	rc = make_output(t, c, &job, err);
	if (rc == 0)
		rc = pfs_txn_add_job(t->txn, &job, err);
	if (rc == 0)
		rc = pfs_txn_add_event(t->txn, "job.created", job.pipeline, job.branch, &job.id,
				       err);
	if (rc == 0 && job.finished_ns)
		rc = pfs_txn_add_event(t->txn, "job.finished", job.pipeline, job.branch, &job.id,
				       err);
	t->jobs = true;
	return rc;
}

/* Whether a commit starts anything: a user made it, and it is still there. */
static int find_cause(struct turn *t, const struct pfs_event_row *e, struct pfs_commit_row *out,
		      bool *out_starts, struct pfs_error *err)
{
	struct pfs_repo_row repo;
	struct pfs_error why;
	int rc;

	*out_starts = false;
	rc = pfs_meta_find_repo(t->p->meta, e->repo, &repo, &why);
	if (rc == 0)
		rc = pfs_meta_find_commit(t->p->meta, repo.id, &e->commit, out, &why);
	if (rc < 0)
		return rc == PFS_E_NOTFOUND ? 0 : pfs_fail(err, rc, "%s", why.text);
	*out_starts = out->origin == PFS_ORIGIN_USER && !out->error;
	return 0;
}

static int take_commit(struct turn *t, const struct pfs_event_row *e, struct pfs_error *err)
{
	struct pfs_pipeline_row *pipelines = NULL;
	struct pfs_commit_row commit = { 0 };
	bool starts = false;
	size_t n = 0;
	int rc;

	rc = find_cause(t, e, &commit, &starts, err);
	if (rc == 0 && starts)
		rc = pfs_meta_list_pipelines_on(t->p->meta, e->repo, e->branch, &pipelines, &n,
						err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = make_job(t, e, &commit, &pipelines[i], err);
	pfs_pipeline_rows_free(&pipelines, n);
	pfs_commit_row_fini(&commit);
	return rc < 0 ? pfs_wrap(err, rc, "jobs of %s@%s", e->repo, e->branch) : 0;
}

/* 1 when there may be more. */
static int take_batch(struct turn *t, struct pfs_error *err)
{
	struct pfs_event_row events[BATCH];
	size_t n = 0;
	int rc;

	rc = pfs_meta_read_events(t->p->meta, t->seen, events, BATCH, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (strcmp(events[i].kind, "commit.finished") == 0)
			rc = take_commit(t, &events[i], err);
		if (rc == 0)
			t->seen = events[i].number;
	}
	return rc < 0 ? rc : n == BATCH;
}

static uint64_t idle_until(struct pfs_pipelines *p)
{
	uint64_t n;

	pfs_lock(&p->lock);
	n = p->idle_until;
	pfs_unlock(&p->lock);
	return n;
}

static void remember(struct pfs_pipelines *p, uint64_t seen)
{
	pfs_lock(&p->lock);
	if (p->idle_until < seen)
		p->idle_until = seen;
	pfs_unlock(&p->lock);
}

/*
 * The cursor is read inside the transaction: another turn may just have moved
 * it. Returns how many events were new.
 */
static int run_turn(struct turn *t, struct pfs_error *err)
{
	uint64_t from;
	int rc;

	rc = pfs_meta_read_cursor(t->p->meta, CURSOR, &t->cursor, err);
	if (rc < 0)
		return rc;
	if (t->seen < t->cursor)
		t->seen = t->cursor;
	from = t->seen;
	while ((rc = take_batch(t, err)) > 0)
		;
	if (rc < 0)
		return rc;
	if (t->jobs || t->seen - t->cursor > IDLE_EVENTS_MAX) {
		rc = pfs_txn_set_cursor(t->txn, CURSOR, t->seen, err);
		if (rc == 0)
			rc = pfs_fault("planner: jobs written", err);
		if (rc == 0)
			rc = pfs_txn_commit(&t->txn, err);
	}
	if (rc < 0)
		return rc;
	return t->seen - from > INT32_MAX ? INT32_MAX : (int)(t->seen - from);
}

int pfs_planner_turn(struct pfs_pipelines *p, struct pfs_error *err)
{
	struct turn t = { .p = p, .seen = idle_until(p) };
	int rc;

	if (pfs_meta_newest_event(p->meta) <= t.seen)
		return 0;
	rc = pfs_txn_begin(p->meta, &t.txn, err);
	if (rc == 0)
		rc = run_turn(&t, err);
	pfs_txn_abort(&t.txn);
	if (rc < 0)
		return pfs_wrap(err, rc, "plan jobs");
	remember(p, t.seen);
	return rc;
}
