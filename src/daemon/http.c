#include "daemon/http.h"
#include "daemon/guard.h"
#include "daemon/route.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"

#include <microhttpd.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXCHANGE_MAGIC 0x50465852u /* "PFXR" */
#define IDLE_SECONDS   60u
#define STREAM_BLOCK   (256u * 1024)
#define STACK_SIZE     (1u << 20)
#define DRAIN_MAX      (64u << 20) /* of a body nobody wants, before the answer goes out anyway */
#define REPLY_BODY_MAX (64u << 20)

struct pfs_http_server {
	struct MHD_Daemon *mhd;
	struct pfs_daemon *daemon;
	bool is_local;
};

/* One request from its first line to its last byte. Passes through MHD's void *. */
struct exchange {
	uint32_t magic;
	char *target; /* owned: as it was sent */
	bool begun;
	bool answered;
	int rc; /* why it is refused; 0 so far */
	int64_t start_ms;
	struct pfs_error err;
	struct pfs_request rq;
	struct pfs_reply rp;
};

const char *pfs_request_header(const struct pfs_request *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name);
}

const char *pfs_request_get(const struct pfs_request *rq, const char *name, const char *otherwise)
{
	const char *value = pfs_uri_get(&rq->uri, name);

	return value && *value ? value : otherwise;
}

bool pfs_request_has(const struct pfs_request *rq, const char *name)
{
	return pfs_uri_get(&rq->uri, name) != NULL;
}

/* All switches that routes know. */
static const char *const switches[] = { "dry_run", "follow",  "force",         "inspect",
					"list",    "literal", "rebuild_index", "recursive",
					"repair",  "thorough" };

static bool means_on(const char *value)
{
	return !*value || strcmp(value, "1") == 0 || strcmp(value, "true") == 0;
}

static bool means_off(const char *value)
{
	return strcmp(value, "0") == 0 || strcmp(value, "false") == 0;
}

bool pfs_request_is_on(const struct pfs_request *rq, const char *name)
{
	const char *value = pfs_uri_get(&rq->uri, name);

	return value && means_on(value);
}

static int check_switches(const struct pfs_request *rq, struct pfs_error *err)
{
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		const char *value = pfs_uri_get(&rq->uri, switches[i]);

		if (value && !means_on(value) && !means_off(value))
			return pfs_fail(err, PFS_E_INVALID, "%s=%.40s: true or false is wanted",
					switches[i], value);
	}
	return 0;
}

int pfs_request_number(const struct pfs_request *rq, const char *name, uint64_t otherwise,
		       uint64_t max, uint64_t *out, struct pfs_error *err)
{
	const char *text = pfs_request_get(rq, name, NULL);
	char *end;
	unsigned long long n;

	if (!text) {
		*out = otherwise;
		return 0;
	}
	errno = 0;
	n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n > max)
		return pfs_fail(err, PFS_E_INVALID, "%s=%.40s: a number from 0 to %llu is wanted",
				name, text, (unsigned long long)max);
	*out = n;
	return 0;
}

bool pfs_request_gone(const struct pfs_request *rq)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct pollfd p = { .events = POLLRDHUP };

	if (rq->daemon->stopping)
		return true;
	if (!info)
		return false;
	p.fd = info->connect_fd;
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL | POLLRDHUP));
}

static int add_header_va(struct pfs_reply *rp, struct pfs_error *err, const char *name,
			 const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));

static int add_header_va(struct pfs_reply *rp, struct pfs_error *err, const char *name,
			 const char *fmt, va_list ap)
{
	char *value;
	int len = vasprintf(&value, fmt, ap);

	if (len < 0)
		return pfs_fail_nomem(err, "a reply's header");
	/* A name with a line break in it must not become a header of its own. */
	pfs_text_tame(value, (size_t)len);
	rp->headers[rp->n_headers].name = name;
	rp->headers[rp->n_headers++].value = value;
	return 0;
}

int pfs_reply_add_header(struct pfs_reply *rp, struct pfs_error *err, const char *name,
			 const char *fmt, ...)
{
	va_list ap;
	int rc;

	if (rp->n_headers == PFS_REPLY_HEADERS_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a reply has %u headers at most",
				PFS_REPLY_HEADERS_MAX);
	va_start(ap, fmt);
	rc = add_header_va(rp, err, name, fmt, ap);
	va_end(ap);
	return rc;
}

int pfs_reply_printf(struct pfs_reply *rp, struct pfs_error *err, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return pfs_fail_nomem(err, "a reply");
	rc = pfs_buf_add(&rp->body, text, (size_t)n, err);
	free(text);
	return rc;
}

static void reply_init(struct pfs_reply *rp)
{
	*rp = (struct pfs_reply){ .fd = -1, .body = PFS_BUF_INIT(REPLY_BODY_MAX) };
}

static void reply_fini(struct pfs_reply *rp)
{
	for (size_t i = 0; i < rp->n_headers; i++)
		free(rp->headers[i].value);
	if (rp->free)
		rp->free(rp->arg);
	if (rp->fd >= 0)
		close(rp->fd);
	pfs_buf_fini(&rp->body);
	reply_init(rp);
}

/* What a reply that is made while it is sent needs until then. */
struct stream {
	int64_t (*read)(void *arg, uint64_t off, void *out, size_t len);
	void (*free)(void *arg);
	void *arg;
	struct MHD_Connection *connection;
};

/* MHD counts the time a callback took as silence of the peer: start anew. */
static void restart_idle_clock(struct MHD_Connection *c)
{
	MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, IDLE_SECONDS);
}

static ssize_t stream_read(void *arg, uint64_t pos, char *out, size_t max)
{
	struct stream *s = arg;
	int64_t got = s->read(s->arg, pos, out, max);

	restart_idle_clock(s->connection);
	if (got == PFS_REPLY_END)
		return MHD_CONTENT_READER_END_OF_STREAM;
	return got < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : (ssize_t)got;
}

static void stream_free(void *arg)
{
	struct stream *s = arg;

	if (s->free)
		s->free(s->arg);
	free(s);
}

static struct MHD_Response *make_stream(struct pfs_reply *rp, struct MHD_Connection *c)
{
	struct stream *s = malloc(sizeof(*s));
	struct MHD_Response *r;

	if (!s)
		return NULL;
	*s = (struct stream){ rp->read, rp->free, rp->arg, c };
	r = MHD_create_response_from_callback(rp->size == PFS_REPLY_SIZE_UNKNOWN ? MHD_SIZE_UNKNOWN
										 : rp->size,
					      STREAM_BLOCK, stream_read, s, stream_free);
	if (!r) {
		free(s);
		return NULL;
	}
	rp->read = NULL;
	rp->free = NULL;
	rp->arg = NULL;
	return r;
}

static struct MHD_Response *make_from_body(struct pfs_reply *rp)
{
	size_t len = rp->body.len;
	char *text = pfs_buf_take(&rp->body);
	struct MHD_Response *r;

	if (!text)
		return NULL;
	r = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!r)
		free(text);
	return r;
}

static struct MHD_Response *make_response(struct exchange *x, struct MHD_Connection *c)
{
	struct pfs_reply *rp = &x->rp;
	struct MHD_Response *r;

	if (rp->read)
		return make_stream(rp, c);
	if (rp->fd < 0)
		return make_from_body(rp);
	r = MHD_create_response_from_fd_at_offset64(rp->size, rp->fd, rp->fd_off);
	if (r)
		rp->fd = -1;
	return r;
}

static void add_headers(struct MHD_Response *r, const struct pfs_reply *rp)
{
	const char *type = rp->content_type ? rp->content_type : "text/plain; charset=utf-8";

	if (!rp->has_own_type)
		MHD_add_response_header(r, "Content-Type", type);
	/* What a file holds is for programs: no browser may take it for a page of ours. */
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < rp->n_headers; i++)
		MHD_add_response_header(r, rp->headers[i].name, rp->headers[i].value);
}

static enum MHD_Result send_reply(struct exchange *x, struct MHD_Connection *c)
{
	unsigned status = x->rp.status ? (unsigned)x->rp.status : 200;
	struct MHD_Response *r = make_response(x, c);
	enum MHD_Result done;

	if (!r)
		return MHD_NO;
	add_headers(r, &x->rp);
	x->rp.status = (int)status;
	x->answered = true;
	restart_idle_clock(c);
	done = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result answer(struct exchange *x, struct MHD_Connection *c)
{
	if (x->rc == 0 && x->rq.route)
		x->rc = x->rq.route->answer(&x->rq, &x->rp, &x->err);
	if (x->rc < 0)
		pfs_route_fail(&x->rq, &x->rp, x->rc, &x->err);
	return send_reply(x, c);
}

static int check_guard(struct exchange *x, const struct pfs_http_server *s)
{
	if (s->is_local)
		return 0;
	return pfs_guard_check(pfs_request_header(&x->rq, "Host"),
			       pfs_request_header(&x->rq, "Origin"), s->daemon->listen_host,
			       &x->err);
}

static int begin(struct exchange *x, const struct pfs_http_server *s, const char *method)
{
	struct pfs_request *rq = &x->rq;
	int rc;

	rq->is_head = strcmp(method, "HEAD") == 0;
	rq->method = rq->is_head ? "GET" : method;
	rc = check_guard(x, s);
	if (rc == 0)
		rc = pfs_uri_parse(x->target, &rq->uri, &x->err);
	if (rc == 0)
		rc = pfs_route_find(rq, &x->rp, &x->err);
	if (rc == 0)
		rc = check_switches(rq, &x->err);
	if (rc < 0)
		return rc;
	rq->body.limit = rq->route->body_max;
	return rq->route->upload ? rq->route->upload->begin(rq, &x->err) : 0;
}

/*
 * A refusal that goes out while the body still comes in may be lost: closing
 * with unread bytes resets the connection. So the body is read first, unless
 * the peer waits to be told to send it, or it would take for ever.
 */
static bool refuse_at_once(struct exchange *x)
{
	const char *expect = pfs_request_header(&x->rq, "Expect");
	const char *length = pfs_request_header(&x->rq, "Content-Length");

	return expect || (length && strtoull(length, NULL, 10) > DRAIN_MAX);
}

static void take_body(struct exchange *x, const char *data, size_t len)
{
	const struct pfs_route *route = x->rq.route;

	if (x->rc < 0)
		return;
	if (route->upload)
		x->rc = route->upload->take(&x->rq, data, len, &x->err);
	else if (route->body_max == 0)
		return; /* as the old servers, which read no body there either */
	else
		x->rc = pfs_buf_add(&x->rq.body, data, len, &x->err);
	if (x->rc < 0)
		pfs_wrap(&x->err, x->rc, "request body");
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **context)
{
	struct pfs_http_server *s = cls;
	struct exchange *x = *context;

	if (!x || x->magic != EXCHANGE_MAGIC)
		return MHD_NO;
	if (!x->begun) {
		x->begun = true;
		x->rq.connection = c;
		x->rc = begin(x, s, method);
		if (x->rc < 0 && refuse_at_once(x))
			return answer(x, c);
		restart_idle_clock(c);
		return MHD_YES;
	}
	if (*data_len) {
		take_body(x, data, *data_len);
		*data_len = 0;
		restart_idle_clock(c);
		return MHD_YES;
	}
	return answer(x, c);
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *c)
{
	struct pfs_http_server *s = cls;
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->magic = EXCHANGE_MAGIC;
	x->target = strdup(target);
	if (!x->target) {
		free(x);
		return NULL;
	}
	x->start_ms = pfs_clock_monotonic_ms();
	x->rq.daemon = s->daemon;
	x->rq.is_local = s->is_local;
	x->rq.connection = c;
	reply_init(&x->rp);
	return x;
}

static void log_request(struct exchange *x, enum MHD_RequestTerminationCode code)
{
	bool cut = code != MHD_REQUEST_TERMINATED_COMPLETED_OK;
	/* What only the client can mend is not worth a line. */
	bool ours = x->rp.status == 500 || x->rp.status == 507;
	enum pfs_log_level level = ours ? PFS_LOG_WARN : PFS_LOG_DEBUG;

	x->rq.daemon->n_requests++;
	if (x->rc < 0)
		x->rq.daemon->n_errors++;
	if (x->rc < 0 || cut)
		pfs_log(level, "request.%s method=%s target=%s status=%d ms=%lld why=%s",
			cut ? "cut" : "failed",
			x->rq.is_head  ? "HEAD"
			: x->rq.method ? x->rq.method
				       : "?",
			x->target, x->rp.status,
			(long long)(pfs_clock_monotonic_ms() - x->start_ms),
			x->rc < 0 ? x->err.text : "the peer hung up");
	else
		pfs_log(PFS_LOG_DEBUG, "request.done method=%s target=%s status=%d ms=%lld",
			x->rq.is_head ? "HEAD" : x->rq.method, x->target, x->rp.status,
			(long long)(pfs_clock_monotonic_ms() - x->start_ms));
}

static void on_completed(void *cls, struct MHD_Connection *c, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *context;

	*context = NULL;
	if (!x || x->magic != EXCHANGE_MAGIC)
		return;
	if (x->rq.route && x->rq.route->upload)
		x->rq.route->upload->drop(&x->rq);
	log_request(x, code);
	reply_fini(&x->rp);
	pfs_buf_fini(&x->rq.body);
	pfs_uri_fini(&x->rq.uri);
	x->magic = 0;
	free(x->target);
	free(x);
}

static void on_connection(void *cls, struct MHD_Connection *c, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct pfs_http_server *s = cls;

	s->daemon->n_connections += code == MHD_CONNECTION_NOTIFY_STARTED ? 1 : -1;
}

/* The target is decoded once, by uri.c; MHD's own decoding is left without effect. */
static size_t keep_escapes(void *cls, struct MHD_Connection *c, char *text)
{
	return strlen(text);
}

static void on_mhd_message(void *cls, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void on_mhd_message(void *cls, const char *fmt, va_list ap)
{
	char line[512];

	vsnprintf(line, sizeof(line), fmt, ap);
	pfs_log(PFS_LOG_DEBUG, "http.message text=%s", line);
}

int pfs_http_serve(struct pfs_daemon *d, int take_fd, bool is_local, struct pfs_http_server **out,
		   struct pfs_error *err)
{
	struct pfs_http_server *s = calloc(1, sizeof(*s));

	if (!s) {
		close(take_fd);
		return pfs_fail_nomem(err, "an HTTP server");
	}
	s->daemon = d;
	s->is_local = is_local;
	s->mhd = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
			MHD_USE_ITC | MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, s,
		/* First, or messages about the rest go elsewhere. */
		MHD_OPTION_EXTERNAL_LOGGER, on_mhd_message, NULL, MHD_OPTION_LISTEN_SOCKET, take_fd,
		MHD_OPTION_CONNECTION_LIMIT, PFS_HTTP_CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)(2 * PFS_HTTP_HEADER_MAX), MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK,
		on_target, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
	if (!s->mhd) {
		close(take_fd);
		free(s);
		return pfs_fail(err, PFS_E_IO, "libmicrohttpd does not start");
	}
	*out = s;
	return 0;
}

void pfs_http_stop(struct pfs_http_server **server)
{
	struct pfs_http_server *s = *server;

	*server = NULL;
	if (!s)
		return;
	MHD_stop_daemon(s->mhd);
	free(s);
}
