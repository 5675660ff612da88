#include "daemon/facts.h"
#include "daemon/route.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX         10000000u
#define WAIT_MAX_SECONDS 86400u
#define SLICE_MS         1000
#define RUNNER_SILENT_MS 150000 /* each asks once a minute at least */
#define FOLLOW_MS        200    /* a log has no events: how often it is looked at */

/* Why a job does not begin, where that is known: rows tell only how it ended. */
static void explain(struct pfs_daemon *d, struct pfs_job *job)
{
	int64_t last = d->runner_ms;

	if (job->state == PFS_JOB_CREATED && !job->reason[0] &&
	    (!last || pfs_clock_monotonic_ms() - last > RUNNER_SILENT_MS))
		snprintf(job->reason, sizeof(job->reason),
			 "no runner has asked for work%s: pfs-runner(8) is to run",
			 last ? " for minutes" : "");
}

int route_job_list(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *pipeline = pfs_request_get(rq, "pipeline", NULL);
	PFS_AUTO(pfs_pipeline_fini) struct pfs_pipeline p = { 0 };
	struct pfs_job *list = NULL;
	size_t n = 0;
	uint64_t max, told = 0;
	const char *commit = pfs_request_get(rq, "commit", NULL);
	struct pfs_commit_id id;
	int rc = pfs_request_number(rq, "n", 0, LIST_MAX, &max, err);

	if (rc == 0 && commit)
		rc = pfs_route_commit_id(commit, &id, err);
	if (rc == 0 && pipeline)
		rc = pfs_pipeline_inspect(rq->daemon->pipelines, pipeline, &p, err);
	if (rc == 0)
		rc = pfs_daemon_plan(rq->daemon, err);
	if (rc == 0)
		rc = pfs_job_list(rq->daemon->pipelines, pipeline, commit ? 0 : max, &list, &n,
				  err);
	rp->content_type = "application/x-ndjson";
	for (size_t i = 0; rc == 0 && i < n && (!max || told < max); i++) {
		if (commit && !pfs_commit_id_equal(&list[i].id, &id))
			continue;
		explain(rq->daemon, &list[i]);
		rc = pfs_facts_job(&list[i], &rp->body, err);
		told++;
	}
	free(list);
	return rc;
}

static int get_id(const struct pfs_request *rq, struct pfs_commit_id *out, struct pfs_error *err)
{
	return pfs_route_commit_id(rq->captures[1], out, err);
}

static int wait_job(struct pfs_request *rq, const struct pfs_commit_id *id, uint64_t seconds,
		    struct pfs_job *job, struct pfs_error *err)
{
	struct pfs_daemon *d = rq->daemon;
	int64_t until = pfs_clock_monotonic_ms() + (int64_t)seconds * 1000;

	while (!pfs_job_state_final(job->state)) {
		int64_t left = until - pfs_clock_monotonic_ms();
		int rc;

		if (left <= 0 || pfs_request_gone(rq))
			return pfs_fail(err, PFS_E_TIMEOUT, "job %s is still %s after %llu seconds",
					job->pipeline, pfs_job_state_name(job->state),
					(unsigned long long)seconds);
		rc = pfs_job_wait(d->pipelines, rq->captures[0], id,
				  left < SLICE_MS ? left : SLICE_MS, job, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			rc = pfs_job_inspect(d->pipelines, rq->captures[0], id, job, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ?wait=<seconds> answers when the job is at its end. */
int route_job_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_commit_id id;
	struct pfs_job job;
	uint64_t seconds;
	int rc = get_id(rq, &id, err);

	if (rc == 0)
		rc = pfs_request_number(rq, "wait", 0, WAIT_MAX_SECONDS, &seconds, err);
	if (rc == 0)
		rc = pfs_daemon_plan(rq->daemon, err);
	if (rc == 0)
		rc = pfs_job_inspect(rq->daemon->pipelines, rq->captures[0], &id, &job, err);
	if (rc == 0 && seconds)
		rc = wait_job(rq, &id, seconds, &job, err);
	if (rc < 0)
		return rc;
	rp->content_type = "application/json";
	explain(rq->daemon, &job);
	return pfs_facts_job(&job, &rp->body, err);
}

int route_job_stop(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_commit_id id;
	int rc = get_id(rq, &id, err);

	if (rc == 0)
		rc = pfs_job_stop(rq->daemon->pipelines, rq->captures[0], &id, err);
	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "Stopped job %s@%s.\n", rq->captures[0], rq->captures[1]);
}

/* A log on its way out. */
struct follower {
	struct pfs_request *rq; /* borrowed: lives as long as its answer is sent */
	struct pfs_commit_id id;
	char pipeline[PFS_NAME_TEXT_SIZE];
	uint64_t off;
	bool follow;
};

static void follower_free(void *arg)
{
	free(arg);
}

static int64_t follower_read(void *arg, uint64_t pos, void *out, size_t len)
{
	struct follower *f = arg;
	struct pfs_daemon *d = f->rq->daemon;
	struct pfs_job job;
	size_t got;

	for (;;) {
		/* The state first: what is in the log when the job has ended is all there will be. */
		bool ended = !f->follow ||
			     pfs_job_inspect(d->pipelines, f->pipeline, &f->id, &job, NULL) < 0 ||
			     pfs_job_state_final(job.state);

		if (pfs_job_log_read(d->pipelines, f->pipeline, &f->id, f->off, out, len, &got,
				     NULL) < 0)
			return PFS_REPLY_BROKEN;
		f->off += got;
		if (got)
			return (int64_t)got;
		if (ended)
			return PFS_REPLY_END;
		if (pfs_request_gone(f->rq))
			return PFS_REPLY_BROKEN;
		pfs_event_wait(d->history, pfs_event_newest(d->history), FOLLOW_MS);
	}
}

int route_job_log(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_commit_id id;
	struct pfs_job job;
	struct follower *f;
	int rc = get_id(rq, &id, err);

	if (rc == 0)
		rc = pfs_job_inspect(rq->daemon->pipelines, rq->captures[0], &id, &job, err);
	if (rc < 0)
		return rc;
	f = calloc(1, sizeof(*f));
	if (!f)
		return pfs_fail_nomem(err, "sending a log");
	*f = (struct follower){ .rq = rq, .id = id, .follow = pfs_request_is_on(rq, "follow") };
	memcpy(f->pipeline, job.pipeline, sizeof(f->pipeline));
	rp->arg = f;
	rp->free = follower_free;
	rp->read = follower_read;
	rp->size = PFS_REPLY_SIZE_UNKNOWN;
	return 0;
}
