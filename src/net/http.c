#include "net/http.h"
#include "base/clock.h"
#include "base/limits.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS     1000 /* how often silence is measured */
#define CANCEL_MS   100  /* how often a caller who may cancel is asked */
#define CONNECT_MS  10000L
#define STATUS_NONE 0

struct pfs_http {
	CURL *easy;
	CURLM *multi; /* holds the connection between requests */
	char *base_url;
	char *socket; /* NULL: TCP */
};

/* One request on its way. */
struct exchange {
	struct pfs_http *http;
	const struct pfs_http_request *request;
	struct pfs_buf *body;
	int64_t last_ms; /* when a byte last moved in either direction */
	char error_code[32];
	int rc; /* why we ourselves stopped, with err filled */
	struct pfs_error *err;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready = CURLE_FAILED_INIT;

static void init_curl(void)
{
	curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* A proxy from the environment is for the world outside, not for this machine. */
static bool is_local(const char *base_url)
{
	static const char *const hosts[] = { "127.", "localhost", "[::1]" };
	const char *host = strstr(base_url, "://");

	host = host ? host + 3 : base_url;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
		if (strncmp(host, hosts[i], strlen(hosts[i])) == 0)
			return true;
	return false;
}

int pfs_http_open(const char *base_url, const char *socket, struct pfs_http **out,
		  struct pfs_error *err)
{
	PFS_AUTO(pfs_http_close) struct pfs_http *h = NULL;

	pthread_once(&curl_once, init_curl);
	if (curl_ready != CURLE_OK)
		return pfs_fail(err, PFS_E_IO, "libcurl: %s", curl_easy_strerror(curl_ready));
	h = calloc(1, sizeof(*h));
	if (!h)
		return pfs_fail_nomem(err, "an HTTP client");
	h->easy = curl_easy_init();
	h->multi = curl_multi_init();
	h->base_url = strdup(base_url);
	h->socket = socket ? strdup(socket) : NULL;
	if (!h->easy || !h->multi || !h->base_url || (socket && !h->socket))
		return pfs_fail_nomem(err, "an HTTP client");
	*out = h;
	h = NULL;
	return 0;
}

void pfs_http_close(struct pfs_http **http)
{
	struct pfs_http *h = *http;

	*http = NULL;
	if (!h)
		return;
	if (h->easy)
		curl_easy_cleanup(h->easy);
	if (h->multi)
		curl_multi_cleanup(h->multi);
	free(h->base_url);
	free(h->socket);
	free(h);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	static const char name[] = "X-Pfs-Error:";
	struct exchange *x = arg;
	size_t len = size * n, from = sizeof(name) - 1, to = len;

	x->last_ms = pfs_clock_monotonic_ms();
	if (len >= 5 && strncmp(line, "HTTP/", 5) == 0)
		x->error_code[0] = 0; /* a new reply, after "100 Continue" for example */
	if (len < from || strncasecmp(line, name, from) != 0)
		return len;
	while (from < to && (line[from] == ' ' || line[from] == '\t'))
		from++;
	while (to > from && strchr(" \t\r\n", line[to - 1]))
		to--;
	if (to - from < sizeof(x->error_code)) {
		memcpy(x->error_code, line + from, to - from);
		x->error_code[to - from] = 0;
	}
	return len;
}

static size_t on_reply(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	const struct pfs_http_request *rq = x->request;
	size_t len = size * n;
	long status = STATUS_NONE;

	x->last_ms = pfs_clock_monotonic_ms();
	curl_easy_getinfo(x->http->easy, CURLINFO_RESPONSE_CODE, &status);
	if (rq->write_reply && status >= 200 && status < 300) {
		x->rc = rq->write_reply(rq->write_arg, data, len);
		if (x->rc < 0)
			pfs_fail(x->err, x->rc, "the reply was not taken");
	} else {
		x->rc = pfs_buf_add(x->body, data, len, x->err);
		if (x->rc < 0)
			pfs_wrap(x->err, x->rc, "reply body");
	}
	return x->rc < 0 ? 0 : len;
}

static size_t on_body_wanted(char *out, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	int64_t got = x->request->read_body(x->request->read_arg, out, size * n);

	x->last_ms = pfs_clock_monotonic_ms();
	if (got >= 0)
		return (size_t)got;
	x->rc = pfs_fail(x->err, (int)got, "the request body could not be read");
	return CURL_READFUNC_ABORT;
}

static void set_body(CURL *e, struct exchange *x)
{
	const struct pfs_http_request *rq = x->request;

	if (rq->read_body) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_body_wanted);
		curl_easy_setopt(e, CURLOPT_READDATA, x);
		/*
		 * A kept connection may turn out to be dead after bytes were taken
		 * from the callback, which cannot give them twice.
		 */
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	} else if (rq->body || (strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "HEAD") != 0 &&
				strcmp(rq->method, "DELETE") != 0)) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, rq->body ? rq->body : "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body_len);
	} else if (strcmp(rq->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, rq->method);
}

static void set_transfer(CURL *e, struct exchange *x, const char *url, struct curl_slist *headers)
{
	curl_easy_reset(e); /* keeps the connection */
	curl_easy_setopt(e, CURLOPT_URL, url);
	if (x->http->socket)
		curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, x->http->socket);
	if (x->http->socket || is_local(x->http->base_url))
		curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS,
			 1L); /* what is escaped stays so, ".." is refused there */
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	if (x->request->range)
		curl_easy_setopt(e, CURLOPT_RANGE, x->request->range);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_reply);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
	set_body(e, x);
}

static int add_header(struct curl_slist **list, const char *line, struct pfs_error *err)
{
	struct curl_slist *more = curl_slist_append(*list, line);

	if (!more)
		return pfs_fail_nomem(err, "HTTP headers");
	*list = more;
	return 0;
}

static void free_headers(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

static int make_headers(const struct pfs_http_request *rq, struct curl_slist **list,
			struct pfs_error *err)
{
	char line[256];
	int rc;

	/* No "Expect: 100-continue": it costs a round trip, and silence from servers without it. */
	rc = add_header(list, "Expect:", err);
	if (rc < 0 || (!rq->body && !rq->read_body))
		return rc;
	snprintf(line, sizeof(line), "Content-Type: %s",
		 rq->content_type ? rq->content_type : "application/octet-stream");
	return add_header(list, line, err);
}

/* Whether the caller or the clock ends this transfer. */
static int check_patience(struct exchange *x, int64_t *out_wait_ms)
{
	const struct pfs_http_request *rq = x->request;
	int64_t silent = pfs_clock_monotonic_ms() - x->last_ms;

	*out_wait_ms = rq->cancelled ? CANCEL_MS : POLL_MS;
	if (rq->cancelled && rq->cancelled(rq->cancel_arg))
		return pfs_fail(x->err, PFS_E_FAILED, "cancelled");
	if (rq->timeout_ms <= 0)
		return 0;
	if (silent >= rq->timeout_ms)
		return pfs_fail(x->err, PFS_E_TIMEOUT, "no answer for %lld ms", (long long)silent);
	if (rq->timeout_ms - silent < *out_wait_ms)
		*out_wait_ms = rq->timeout_ms - silent;
	return 0;
}

static int fail_curl(struct exchange *x, CURLcode code)
{
	const char *where = x->http->socket ? x->http->socket : x->http->base_url;
	long sys = 0;
	int rc = code == CURLE_OPERATION_TIMEDOUT ? PFS_E_TIMEOUT : PFS_E_IO;

	curl_easy_getinfo(x->http->easy, CURLINFO_OS_ERRNO, &sys);
	if (code == CURLE_OUT_OF_MEMORY)
		return pfs_fail_nomem(x->err, "an HTTP request");
	if (code != CURLE_COULDNT_CONNECT)
		sys = 0;
	pfs_fail(x->err, rc, "%s: %s", where, sys ? strerror((int)sys) : curl_easy_strerror(code));
	if (x->err)
		x->err->sys = (int)sys;
	return rc;
}

static int transfer(struct exchange *x)
{
	CURLM *m = x->http->multi;
	CURLMsg *msg;
	int running = 1, left;
	int64_t wait_ms;

	while (running) {
		int rc;

		if (curl_multi_perform(m, &running) != CURLM_OK)
			return pfs_fail(x->err, PFS_E_IO, "libcurl: the transfer broke down");
		if (!running)
			break;
		rc = check_patience(x, &wait_ms);
		if (rc < 0)
			return rc;
		curl_multi_poll(m, NULL, 0, (int)wait_ms, NULL);
	}
	if (x->rc < 0)
		return x->rc;
	while ((msg = curl_multi_info_read(m, &left)))
		if (msg->msg == CURLMSG_DONE && msg->data.result != CURLE_OK)
			return fail_curl(x, msg->data.result);
	return 0;
}

int pfs_http_send(struct pfs_http *h, const struct pfs_http_request *request,
		  struct pfs_http_reply *reply, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf url = PFS_BUF_INIT(PFS_HTTP_HEADER_MAX);
	PFS_AUTO(free_headers) struct curl_slist *headers = NULL;
	struct exchange x = { .http = h, .request = request, .body = &reply->body, .err = err };
	size_t before = reply->body.len;
	int rc;

	rc = pfs_buf_printf(&url, err, "%s%s", h->base_url, request->target);
	if (rc == 0)
		rc = make_headers(request, &headers, err);
	if (rc < 0)
		return rc;
	set_transfer(h->easy, &x, pfs_buf_str(&url), headers);
	x.last_ms = pfs_clock_monotonic_ms();
	if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK)
		return pfs_fail_nomem(err, "an HTTP request");
	rc = transfer(&x);
	curl_multi_remove_handle(h->multi, h->easy);
	if (rc < 0) {
		reply->body.len = before;
		return pfs_wrap(err, rc, "%s %s", request->method, request->target);
	}
	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &reply->status);
	memcpy(reply->error_code, x.error_code, sizeof(reply->error_code));
	return 0;
}

int pfs_http_escape(struct pfs_buf *out, const char *s, bool keep_slash, struct pfs_error *err)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	size_t before = out->len;
	int rc = 0;

	for (; *s && rc == 0; s++) {
		if (strchr(plain, *s) || (keep_slash && *s == '/'))
			rc = pfs_buf_add_u8(out, (uint8_t)*s, err);
		else
			rc = pfs_buf_printf(out, err, "%%%02X", (unsigned)(unsigned char)*s);
	}
	if (rc < 0)
		out->len = before;
	return rc;
}
