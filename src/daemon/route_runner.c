/*
 * What runners ask, by the unix socket: work, more time, and to take the result.
 *
 * Each attempt at a job has a folder of its own in the mount,
 * /.pfs/datum/<pipeline>.<id>.<attempt>. It goes when the next attempt begins or
 * the job is at its end, so a runner that lost its lease has no way to the
 * folder of the one that has it now.
 */
#include "daemon/route.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_MS    30000
#define WAIT_MAX_MS 60000
#define SLICE_MS    1000 /* a lease that runs out is no event */

#define DATUM_NAME_SIZE (PFS_NAME_TEXT_SIZE + 1 + PFS_COMMIT_ID_HEX_SIZE + 11)

static void format_datum(const char *pipeline, const struct pfs_commit_id *id, uint32_t attempt,
			 char out[DATUM_NAME_SIZE])
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];

	snprintf(out, DATUM_NAME_SIZE, "%s.%s.%u", pipeline, pfs_commit_id_format(id, hex),
		 attempt);
}

/* The folders of these attempts, of which there are PFS_JOB_ATTEMPTS_MAX at most. */
static void remove_datums(struct pfs_daemon *d, const char *pipeline,
			  const struct pfs_commit_id *id, uint32_t up_to)
{
	char name[DATUM_NAME_SIZE];

	for (uint32_t attempt = 1; attempt <= up_to && attempt <= PFS_JOB_ATTEMPTS_MAX; attempt++) {
		format_datum(pipeline, id, attempt, name);
		pfs_view_remove_datum(d->view, name);
	}
}

static int add_datum(struct pfs_daemon *d, const struct pfs_task *t, const char *name,
		     struct pfs_error *err)
{
	struct pfs_datum_input *inputs = calloc(t->n_inputs + 1, sizeof(*inputs));
	int rc;

	if (!inputs)
		return pfs_fail_nomem(err, "a job's inputs");
	for (size_t i = 0; i < t->n_inputs; i++)
		inputs[i] = (struct pfs_datum_input){ t->inputs[i].name, t->inputs[i].repo,
						      t->inputs[i].commit, t->inputs[i].path };
	rc = pfs_view_add_datum(d->view, name, inputs, t->n_inputs, t->out_repo, t->out_branch,
				err);
	free(inputs);
	return rc;
}

static json_t *make_steps(const struct pfs_task *t)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < t->n_steps; i++)
		json_array_append_new(
			steps,
			json_pack("{s:o, s:o}", "image",
				  pfs_json_bytes(t->steps[i].image, strlen(t->steps[i].image)),
				  "line",
				  pfs_json_bytes(t->steps[i].line, strlen(t->steps[i].line))));
	return steps;
}

static json_t *make_mount(const char *source, const char *target, bool readonly)
{
	return json_pack("{s:s, s:s, s:b}", "source", source, "target", target, "readonly",
			 (int)readonly);
}

static json_t *make_mounts(struct pfs_daemon *d, const struct pfs_task *t, const char *datum)
{
	json_t *mounts = json_array();
	char *source, target[PFS_NAME_TEXT_SIZE + 256 + 8];

	for (size_t i = 0; i < t->n_inputs; i++) {
		if (asprintf(&source, "%s/.pfs/datum/%s/in/%s", d->mount, datum,
			     t->inputs[i].name) < 0)
			goto nomem;
		snprintf(target, sizeof(target), "/in/%s", t->inputs[i].name);
		json_array_append_new(mounts, make_mount(source, target, true));
		free(source);
	}
	if (asprintf(&source, "%s/.pfs/datum/%s/out", d->mount, datum) < 0)
		goto nomem;
	json_array_append_new(mounts, make_mount(source, "/out", false));
	free(source);
	return mounts;
nomem:
	json_decref(mounts);
	return NULL;
}

static json_t *make_env(const struct pfs_task *t, const char *hex)
{
	return json_pack("[s++, s++, s++]", "PACH_JOB_ID=", hex, "", "PACH_OUTPUT_COMMIT_ID=", hex,
			 "", "PPS_PIPELINE_NAME=", t->job.pipeline, "");
}

static int put_task(struct pfs_daemon *d, const struct pfs_task *t, const char *datum,
		    struct pfs_reply *rp, struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	PFS_AUTO(pfs_json_free) json_t *v = NULL;

	pfs_commit_id_format(&t->job.id, hex);
	v = json_pack("{s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "pipeline", t->job.pipeline, "id", hex,
		      "attempt", (int)t->job.attempt, "lease_ms", LEASE_MS, "steps", make_steps(t),
		      "mounts", make_mounts(d, t, datum), "env", make_env(t, hex));
	if (!v)
		return pfs_fail_nomem(err, "a task");
	rp->content_type = "application/json";
	return pfs_json_format(v, &rp->body, err);
}

/* Give a claimed job its folder and tell the runner; a job that cannot have one fails. */
static int hand_out(struct pfs_request *rq, const struct pfs_task *t, struct pfs_reply *rp,
		    struct pfs_error *err)
{
	struct pfs_daemon *d = rq->daemon;
	char datum[DATUM_NAME_SIZE];
	int rc;

	remove_datums(d, t->job.pipeline, &t->job.id, t->job.attempt);
	format_datum(t->job.pipeline, &t->job.id, t->job.attempt, datum);
	rc = add_datum(d, t, datum, err);
	if (rc == 0)
		rc = put_task(d, t, datum, rp, err);
	if (rc == 0)
		return 0;
	pfs_view_remove_datum(d->view, datum);
	/*
	 * Left alone it would be claimed again and again when its lease runs
	 * out. What hinders it is in the text; the claim itself found nothing.
	 */
	if (rc != PFS_E_NOMEM)
		pfs_job_finish(d->pipelines, t->job.pipeline, &t->job.id, t->job.attempt, err->text,
			       NULL);
	return rc;
}

static int parse_claim(struct pfs_request *rq, char runner[128], int64_t *out_wait_ms,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *body = NULL;
	const char *name;
	int rc = pfs_json_parse(rq->body.data, rq->body.len, &body, err);

	if (rc < 0)
		return rc;
	name = pfs_json_str(body, "runner");
	if (!name || !*name || strlen(name) > 127)
		return pfs_fail(err, PFS_E_INVALID,
				"\"runner\" is missing: a name of 1 to 127 bytes");
	strcpy(runner, name);
	*out_wait_ms = pfs_json_int(body, "wait_ms", 0);
	if (*out_wait_ms < 0 || *out_wait_ms > WAIT_MAX_MS)
		return pfs_fail(err, PFS_E_INVALID, "\"wait_ms\" is 0 to %d", WAIT_MAX_MS);
	return 0;
}

static int claim(struct pfs_request *rq, const char *runner, int64_t wait_ms, struct pfs_task *out,
		 struct pfs_error *err)
{
	struct pfs_daemon *d = rq->daemon;
	int64_t until = pfs_clock_monotonic_ms() + wait_ms;

	for (;;) {
		uint64_t seen = pfs_event_newest(d->history);
		int64_t left;
		int rc = 0;

		/* Nobody there to take it: a job given away now would wait for its lease to end. */
		if (pfs_request_gone(rq))
			return 0;
		rc = pfs_job_claim(d->pipelines, runner, LEASE_MS, out, err);
		left = until - pfs_clock_monotonic_ms();
		if (rc != 0 || left <= 0)
			return rc;
		pfs_event_wait(d->history, seen, left < SLICE_MS ? left : SLICE_MS);
	}
}

int route_runner_claim(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(pfs_task_fini) struct pfs_task task = { 0 };
	char runner[128];
	int64_t wait_ms = 0;
	int rc = parse_claim(rq, runner, &wait_ms, err);

	if (rc < 0)
		return rc;
	if (!rq->daemon->mount) {
		rp->status = 503;
		return pfs_fail(
			err, PFS_E_UNSUPPORTED,
			"containers read and write through the mount, and pfsd has none: %s",
			rq->daemon->no_mount_why);
	}
	rc = claim(rq, runner, wait_ms, &task, err);
	if (rc > 0)
		return hand_out(rq, &task, rp, err);
	if (rc == 0)
		rp->status = 204;
	return rc;
}

/* "<pipeline>/<id>?attempt=N" */
struct lease {
	const char *pipeline;
	struct pfs_commit_id id;
	uint32_t attempt;
};

static int parse_lease(struct pfs_request *rq, struct lease *out, struct pfs_error *err)
{
	uint64_t attempt;
	int rc = pfs_route_commit_id(rq->captures[1], &out->id, err);

	if (rc == 0)
		rc = pfs_request_number(rq, "attempt", 0, UINT32_MAX, &attempt, err);
	if (rc < 0)
		return rc;
	if (attempt == 0)
		return pfs_fail(err, PFS_E_INVALID, "attempt= is missing");
	out->pipeline = rq->captures[0];
	out->attempt = (uint32_t)attempt;
	return 0;
}

static void drop_datum_of_ended_job(struct pfs_daemon *d, const struct lease *l)
{
	struct pfs_job job;
	int rc = pfs_job_inspect(d->pipelines, l->pipeline, &l->id, &job, NULL);

	if (rc == PFS_E_NOTFOUND || (rc == 0 && pfs_job_state_final(job.state)))
		remove_datums(d, l->pipeline, &l->id, PFS_JOB_ATTEMPTS_MAX);
}

int route_runner_heartbeat(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct lease l;
	bool stop = false;
	int rc = parse_lease(rq, &l, err);

	if (rc < 0)
		return rc;
	rc = pfs_job_heartbeat(rq->daemon->pipelines, l.pipeline, &l.id, l.attempt, LEASE_MS, &stop,
			       err);
	if (rc < 0) {
		drop_datum_of_ended_job(rq->daemon, &l);
		return rc;
	}
	rp->content_type = "application/json";
	return pfs_reply_printf(rp, err, "{\"cancel\":%s}\n", stop ? "true" : "false");
}

int route_runner_log(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct lease l;
	int rc = parse_lease(rq, &l, err);

	if (rc == 0 && rq->body.len)
		rc = pfs_job_log_append(rq->daemon->pipelines, l.pipeline, &l.id, l.attempt,
					rq->body.data, rq->body.len, err);
	return rc;
}

static int parse_outcome(struct pfs_request *rq, char reason[PFS_ERROR_TEXT_SIZE], bool *out_ok,
			 struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *body = NULL;
	const json_t *ok;
	const char *why;
	int rc = pfs_json_parse(rq->body.data, rq->body.len, &body, err);

	if (rc < 0)
		return rc;
	ok = json_object_get(body, "ok");
	if (!json_is_boolean(ok))
		return pfs_fail(err, PFS_E_INVALID, "\"ok\" is missing: true or false");
	why = pfs_json_str(body, "reason");
	snprintf(reason, PFS_ERROR_TEXT_SIZE, "%s",
		 why && *why ? why : "the runner gave no reason");
	*out_ok = json_is_true(ok);
	return 0;
}

int route_runner_finish(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	char reason[PFS_ERROR_TEXT_SIZE];
	struct lease l;
	bool ok = false;
	int rc = parse_lease(rq, &l, err);

	if (rc == 0)
		rc = parse_outcome(rq, reason, &ok, err);
	if (rc < 0)
		return rc;
	rc = pfs_job_finish(rq->daemon->pipelines, l.pipeline, &l.id, l.attempt, ok ? NULL : reason,
			    err);
	drop_datum_of_ended_job(rq->daemon, &l);
	return rc;
}
