#include "cli/client.h"
#include "base/io.h"
#include "net/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_MS     60000
#define REPLY_MAX      (64u << 20)
#define LINE_MAX_BYTES (4u << 20)

struct pfs_client {
	struct pfs_http *http;
	char *where;
	bool is_url;
};

int pfs_client_open(const char *where, struct pfs_client **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_client_close) struct pfs_client *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return pfs_fail_nomem(err, "a client");
	c->where = strdup(where);
	if (!c->where)
		return pfs_fail_nomem(err, "a client");
	for (size_t n = strlen(c->where); n > 1 && c->where[n - 1] == '/'; n--)
		c->where[n - 1] = 0;
	c->is_url = strstr(where, "://") != NULL;
	rc = pfs_http_open(c->is_url ? c->where : "http://localhost", c->is_url ? NULL : c->where,
			   &c->http, err);
	if (rc < 0)
		return rc;
	*out = c;
	c = NULL;
	return 0;
}

void pfs_client_close(struct pfs_client **client)
{
	struct pfs_client *c = *client;

	*client = NULL;
	if (!c)
		return;
	pfs_http_close(&c->http);
	free(c->where);
	free(c);
}

void pfs_target_fini(struct pfs_target *t)
{
	pfs_buf_fini(&t->text);
}

void pfs_target_add(struct pfs_target *t, const char *plain)
{
	if (t->rc == 0)
		t->rc = pfs_buf_add_str(&t->text, plain, NULL);
}

void pfs_target_add_path(struct pfs_target *t, const char *path)
{
	if (t->rc == 0)
		t->rc = pfs_http_escape(&t->text, path, true, NULL);
}

void pfs_target_set(struct pfs_target *t, const char *name, const char *value)
{
	if (!value)
		return;
	pfs_target_add(t, t->has_query ? "&" : "?");
	pfs_target_add(t, name);
	pfs_target_add(t, "=");
	if (t->rc == 0)
		t->rc = pfs_http_escape(&t->text, value, false, NULL);
	t->has_query = true;
}

static int fail_connect(const struct pfs_client *c, const struct pfs_error *why,
			struct pfs_error *err)
{
	int sys = why->sys;

	if (c->is_url)
		pfs_fail(err, PFS_E_IO, "pfsd does not answer on %s: is it running?", c->where);
	else if (sys == EACCES || sys == EPERM)
		pfs_fail(err, PFS_E_DENIED,
			 "%s belongs to somebody else: run pfs as the user of pfsd", c->where);
	else
		pfs_fail(err, PFS_E_IO,
			 "pfsd does not answer on %s: start it with pfsd --data DIR --mount DIR "
			 "--socket %s",
			 c->where, c->where);
	if (err)
		err->sys = sys;
	return sys == EACCES || sys == EPERM ? PFS_E_DENIED : PFS_E_IO;
}

/* What pfsd said, without what every answer of it has around it. */
static int fail_status(const struct pfs_http_reply *reply, struct pfs_error *err)
{
	const char *text = pfs_buf_str(&reply->body);
	int len = (int)reply->body.len;
	int code = reply->error_code[0] ? pfs_code_parse(reply->error_code) : PFS_E_IO;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len >= 5 && memcmp(text, "pfs: ", 5) == 0) {
		text += 5;
		len -= 5;
	}
	if (len == 0 || !reply->error_code[0])
		return pfs_fail(err, code, "pfsd answered with status %ld", reply->status);
	return pfs_fail(err, code, "%.*s", len, text);
}

static int send_request(struct pfs_client *c, struct pfs_http_request *rq,
			const struct pfs_target *t, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(REPLY_MAX) };
	struct pfs_error why = { 0 };
	int rc;

	if (t->rc < 0)
		return pfs_fail(err, t->rc, "the request is too long");
	rq->target = pfs_buf_str(&t->text);
	rc = pfs_http_send(c->http, rq, &reply, &why);
	if (rc == PFS_E_IO && why.sys)
		rc = fail_connect(c, &why, err);
	else if (rc < 0)
		pfs_fail(err, rc, "%s", why.text);
	else if (reply.status >= 400)
		rc = fail_status(&reply, err);
	else if (out)
		rc = pfs_buf_add(out, reply.body.data, reply.body.len, err);
	pfs_buf_fini(&reply.body);
	return rc;
}

int pfs_client_call(struct pfs_client *c, const char *method, const struct pfs_target *t,
		    const void *body, size_t body_len, struct pfs_buf *reply, struct pfs_error *err)
{
	struct pfs_http_request rq = { .method = method, .body = body, .body_len = body_len };

	return send_request(c, &rq, t, reply, err);
}

int pfs_client_read(struct pfs_client *c, const struct pfs_target *t, int64_t patience_ms,
		    int (*write)(void *arg, const void *data, size_t len), void *arg,
		    struct pfs_error *err)
{
	struct pfs_http_request rq = {
		.method = "GET", .write_reply = write, .write_arg = arg, .timeout_ms = patience_ms
	};

	return send_request(c, &rq, t, NULL, err);
}

#define PROBE_SIZE 65536u /* pfsd reads so much before it says that it can ... */
#define PROBES     32u    /* ... and more at a time when it sends a whole file */

static int drop(void *arg, const void *data, size_t len)
{
	return 0;
}

int pfs_client_probe(struct pfs_client *c, const struct pfs_target *t, uint64_t off,
		     struct pfs_error *err)
{
	char range[48];
	struct pfs_http_request rq = { .method = "GET", .write_reply = drop, .range = range };
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < PROBES; i++, off += PROBE_SIZE) {
		snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, off, off + PROBE_SIZE - 1);
		rc = send_request(c, &rq, t, NULL, err);
	}
	return rc;
}

static int64_t read_some(void *arg, void *out, size_t len)
{
	int *fd = arg;
	ssize_t got;

	do {
		got = read(*fd, out, len);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? PFS_E_IO : got;
}

int pfs_client_send(struct pfs_client *c, const struct pfs_target *t, int fd, struct pfs_buf *reply,
		    struct pfs_error *err)
{
	struct pfs_http_request rq = { .method = "POST", .read_body = read_some, .read_arg = &fd };

	return send_request(c, &rq, t, reply, err);
}

/* Pieces of an answer, put together to lines. */
struct liner {
	int (*line)(void *arg, json_t *v, struct pfs_error *err);
	void *arg;
	struct pfs_buf partial;
	int rc;
	struct pfs_error *err;
};

static int take_line(struct liner *l, const void *data, size_t len)
{
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	int rc = pfs_json_parse(data, len, &v, l->err);

	if (rc < 0)
		return pfs_wrap(l->err, rc, "the answer of pfsd");
	return l->line(l->arg, v, l->err);
}

static int take_piece(void *arg, const void *data, size_t len)
{
	struct liner *l = arg;
	const char *p = data, *end = p + len, *newline;

	while (l->rc == 0 && p < end && (newline = memchr(p, '\n', (size_t)(end - p)))) {
		size_t n = (size_t)(newline - p);

		if (l->partial.len) {
			l->rc = pfs_buf_add(&l->partial, p, n, l->err);
			if (l->rc == 0)
				l->rc = take_line(l, l->partial.data, l->partial.len);
			pfs_buf_clear(&l->partial);
		} else if (n > 0) {
			l->rc = take_line(l, p, n);
		}
		p = newline + 1;
	}
	if (l->rc == 0 && p < end)
		l->rc = pfs_buf_add(&l->partial, p, (size_t)(end - p), l->err);
	return l->rc;
}

static int send_for_lines(struct pfs_client *c, struct pfs_http_request *rq,
			  const struct pfs_target *t,
			  int (*line)(void *arg, json_t *v, struct pfs_error *err), void *arg,
			  struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	struct liner l = { line, arg, PFS_BUF_INIT(LINE_MAX_BYTES), 0, &why };
	int rc;

	rq->write_reply = take_piece;
	rq->write_arg = &l;
	rc = send_request(c, rq, t, NULL, err);
	pfs_buf_fini(&l.partial);
	/* What went wrong here says more than that the answer was not taken. */
	if (l.rc < 0)
		return pfs_fail(err, l.rc, "%s", why.text);
	return rc;
}

int pfs_client_each(struct pfs_client *c, const struct pfs_target *t,
		    int (*line)(void *arg, json_t *v, struct pfs_error *err), void *arg,
		    struct pfs_error *err)
{
	struct pfs_http_request rq = { .method = "GET", .timeout_ms = SILENCE_MS };

	return send_for_lines(c, &rq, t, line, arg, err);
}

int pfs_client_work(struct pfs_client *c, const struct pfs_target *t, bool (*cancelled)(void *arg),
		    int (*line)(void *arg, json_t *v, struct pfs_error *err), void *arg,
		    struct pfs_error *err)
{
	struct pfs_http_request rq = { .method = "POST",
				       .cancelled = cancelled,
				       .cancel_arg = arg };

	return send_for_lines(c, &rq, t, line, arg, err);
}

static int collect(void *arg, const void *data, size_t len)
{
	return pfs_buf_add(arg, data, len, NULL);
}

int pfs_client_get(struct pfs_client *c, const struct pfs_target *t, int64_t patience_ms,
		   json_t **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(LINE_MAX_BYTES);
	int rc = pfs_client_read(c, t, patience_ms, collect, &text, err);

	return rc < 0 ? rc : pfs_json_parse(text.data, text.len, out, err);
}
