#include "runner/pfsd.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#define SILENCE_MS 10000 /* pfsd answers everything but a claim at once */

struct pfsd {
	struct pfs_http *http;
	struct pfsd_patience patience;
};

int pfsd_open(const char *socket, struct pfsd_patience patience, struct pfsd **out,
	      struct pfs_error *err)
{
	struct pfsd *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return pfs_fail_nomem(err, "a client of pfsd");
	d->patience = patience;
	rc = pfs_http_open("http://localhost", socket, &d->http, err);
	if (rc < 0) {
		free(d);
		return rc;
	}
	*out = d;
	return 0;
}

void pfsd_close(struct pfsd **d)
{
	if (*d) {
		pfs_http_close(&(*d)->http);
		free(*d);
	}
	*d = NULL;
}

/* The code that pfsd names; a conflict is any 409, so that an older pfsd is understood too. */
static int fail_status(const struct pfs_http_reply *reply, struct pfs_error *err)
{
	int code = reply->status == 409       ? PFS_E_CONFLICT
		   : reply->error_code[0]     ? pfs_code_parse(reply->error_code)
		   : reply->status == 404     ? PFS_E_NOTFOUND
		   : reply->status / 100 == 4 ? PFS_E_INVALID
					      : PFS_E_IO;

	return pfs_fail(err, code, "pfsd answers %ld: %.300s", reply->status,
			reply->body.len ? pfs_buf_str(&reply->body) : "no reason given");
}

static int post(struct pfsd *d, const char *target, const char *type, const void *body, size_t len,
		int64_t timeout_ms, struct pfs_http_reply *reply, struct pfs_error *err)
{
	const struct pfs_http_request request = {
		.method = "POST",
		.target = target,
		.content_type = type,
		.body = body,
		.body_len = len,
		.timeout_ms = timeout_ms,
		.cancelled = d->patience.over,
		.cancel_arg = d->patience.arg,
	};
	int rc = pfs_http_send(d->http, &request, reply, err);

	if (rc < 0)
		return rc;
	return reply->status / 100 == 2 ? 0 : fail_status(reply, err);
}

static int post_json(struct pfsd *d, const char *target, json_t *body, int64_t timeout_ms,
		     struct pfs_http_reply *reply, struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *owned = body;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(PFS_HTTP_JSON_MAX);
	int rc;

	if (!body)
		return pfs_fail_nomem(err, "a message to pfsd");
	rc = pfs_json_format(body, &text, err);
	if (rc < 0)
		return rc;
	return post(d, target, "application/json", text.data, text.len, timeout_ms, reply, err);
}

int pfsd_claim(struct pfsd *d, const char *runner, int64_t wait_ms, json_t **out,
	       struct pfs_error *err)
{
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(PFS_HTTP_JSON_MAX) };
	json_t *body = json_pack("{s:s,s:I}", "runner", runner, "wait_ms", (json_int_t)wait_ms);
	int rc;

	rc = post_json(d, "/runner/claim", body, wait_ms + SILENCE_MS, &reply, err);
	if (rc == 0 && reply.status != 204) {
		rc = pfs_json_parse(reply.body.data, reply.body.len, out, err);
		if (rc == 0)
			rc = 1;
	}
	pfs_buf_fini(&reply.body);
	return rc;
}

static int make_target(const struct pfsd_job *job, const char *verb, struct pfs_buf *out,
		       struct pfs_error *err)
{
	int rc;

	rc = pfs_buf_add_str(out, "/runner/", err);
	if (rc == 0)
		rc = pfs_http_escape(out, job->pipeline, false, err);
	if (rc == 0)
		rc = pfs_buf_add_str(out, "/", err);
	if (rc == 0)
		rc = pfs_http_escape(out, job->id, false, err);
	if (rc == 0)
		rc = pfs_buf_printf(out, err, "/%s?attempt=%lld", verb, (long long)job->attempt);
	return rc;
}

int pfsd_heartbeat(struct pfsd *d, const struct pfsd_job *job, bool *out_cancel,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf target = PFS_BUF_INIT(4096);
	PFS_AUTO(pfs_json_free) json_t *answer = NULL;
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(65536) };
	int rc;

	rc = make_target(job, "heartbeat", &target, err);
	if (rc == 0)
		rc = post_json(d, pfs_buf_str(&target), json_object(), SILENCE_MS, &reply, err);
	if (rc == 0)
		rc = pfs_json_parse(reply.body.data, reply.body.len, &answer, err);
	if (rc == 0)
		*out_cancel = json_is_true(json_object_get(answer, "cancel"));
	pfs_buf_fini(&reply.body);
	return rc;
}

int pfsd_log(struct pfsd *d, const struct pfsd_job *job, const void *data, size_t len,
	     struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf target = PFS_BUF_INIT(4096);
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(65536) };
	int rc;

	rc = make_target(job, "log", &target, err);
	if (rc == 0)
		rc = post(d, pfs_buf_str(&target), "text/plain", data, len, SILENCE_MS, &reply,
			  err);
	pfs_buf_fini(&reply.body);
	return rc;
}

int pfsd_finish(struct pfsd *d, const struct pfsd_job *job, const char *reason,
		struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf target = PFS_BUF_INIT(4096);
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(65536) };
	json_t *body = json_pack("{s:b}", "ok", reason == NULL);
	int rc;

	if (body && reason) /* a run line may hold any bytes */
		json_object_set_new(body, "reason", pfs_json_bytes(reason, strlen(reason)));
	rc = make_target(job, "finish", &target, err);
	if (rc == 0)
		rc = post_json(d, pfs_buf_str(&target), body, SILENCE_MS, &reply, err);
	else
		json_decref(body);
	pfs_buf_fini(&reply.body);
	return rc;
}
