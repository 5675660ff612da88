#include "base/limits.h"
#include "net/http.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * A server of one thread on a unix socket: takes connections one after the
 * other, keeps what it was sent, and answers each request with the next row.
 */
struct server {
	char dir[64];
	struct sockaddr_un address;
	int fd;
	pthread_t thread;
	const char *const *replies; /* NULL-terminated; "" hangs up without one */
	int delay_ms;               /* before each reply */
	char seen[65536];
	size_t n_seen;
	int connections;
};

static bool is_whole(const char *text, size_t len)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4);
	const char *length = memmem(text, len, "Content-Length: ", 16);
	size_t body;

	if (!end)
		return false;
	body = len - (size_t)(end + 4 - text);
	if (memmem(text, len, "chunked", 7))
		return body >= 5 && memcmp(text + len - 5, "0\r\n\r\n", 5) == 0;
	return body >= (length ? strtoul(length + 16, NULL, 10) : 0);
}

/* False when the client hung up first. */
static bool read_request(struct server *s, int fd)
{
	size_t from = s->n_seen;

	while (!is_whole(s->seen + from, s->n_seen - from)) {
		ssize_t n = read(fd, s->seen + s->n_seen, sizeof(s->seen) - 1 - s->n_seen);

		if (n <= 0)
			return false;
		s->n_seen += (size_t)n;
	}
	s->seen[s->n_seen] = 0;
	return true;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	size_t i = 0;

	while (s->replies[i]) {
		int fd = accept(s->fd, NULL, NULL);

		if (fd < 0)
			break;
		s->connections++;
		while (s->replies[i] && read_request(s, fd)) {
			struct timespec delay = { .tv_sec = s->delay_ms / 1000,
						  .tv_nsec = s->delay_ms % 1000 * 1000000L };
			const char *reply = s->replies[i++];

			nanosleep(&delay, NULL);
			if (!reply[0] || send(fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
				break;
		}
		close(fd);
	}
	return NULL;
}

static void server_start(struct server *s, const char *const *replies)
{
	strcpy(s->dir, "/tmp/pfs-http.XXXXXX");
	cr_assert(mkdtemp(s->dir));
	s->replies = replies;
	s->address.sun_family = AF_UNIX;
	snprintf(s->address.sun_path, sizeof(s->address.sun_path), "%s/s", s->dir);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(s->fd, (struct sockaddr *)&s->address, sizeof(s->address)), 0);
	cr_assert_eq(listen(s->fd, 8), 0);
	cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	unlink(s->address.sun_path);
	rmdir(s->dir);
}

static struct pfs_http *open_client(const struct server *s)
{
	struct pfs_http *h = NULL;

	cr_assert_eq(pfs_http_open("http://localhost", s->address.sun_path, &h, NULL), 0);
	return h;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

Test(http, sends_a_body_and_keeps_the_connection)
{
	static const char *const replies[] = { OK, OK, NULL };
	const struct pfs_http_request rq = { .method = "POST",
					     .target = "/a/../b?x=%2F",
					     .body = "data",
					     .body_len = 4,
					     .content_type = "text/plain" };
	struct server s = { 0 };
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(100) };
	struct pfs_error err = { 0 };
	struct pfs_http *h;

	server_start(&s, replies);
	h = open_client(&s);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pfs_http_send(h, &rq, &reply, &err), 0, "%s", err.text);
	pfs_http_close(&h);
	server_stop(&s);
	cr_expect_eq(reply.status, 200);
	cr_expect_str_eq(pfs_buf_str(&reply.body), "hellohello",
			 "bodies are collected one after the other");
	cr_expect_eq(s.connections, 1);
	cr_expect_eq(strncmp(s.seen, "POST /a/../b?x=%2F HTTP/1.1\r\n", 29), 0, "%s", s.seen);
	cr_expect(strstr(s.seen, "Content-Type: text/plain\r\n"));
	cr_expect_not(strstr(s.seen, "Expect:"));
	pfs_buf_fini(&reply.body);
}

Test(http, a_failing_status_is_a_reply_and_names_its_code)
{
	static const char *const replies[] = {
		"HTTP/1.1 404 Not Found\r\nx-pfs-error:  notfound \r\nContent-Length: 7\r\n\r\nno "
		"repo",
		"HTTP/1.1 409 C\r\nX-Pfs-Error: "
		"a-code-longer-than-the-place-it-is-kept-in\r\nContent-Length: 0\r\n\r\n",
		NULL
	};
	const struct pfs_http_request rq = { .method = "GET", .target = "/" };
	struct server s = { 0 };
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(100) };
	struct pfs_http *h;

	server_start(&s, replies);
	h = open_client(&s);
	cr_assert_eq(pfs_http_send(h, &rq, &reply, NULL), 0);
	cr_expect_eq(reply.status, 404);
	cr_expect_str_eq(reply.error_code, "notfound");
	cr_expect_str_eq(pfs_buf_str(&reply.body), "no repo");
	cr_assert_eq(pfs_http_send(h, &rq, &reply, NULL), 0);
	cr_expect_eq(reply.status, 409);
	cr_expect_str_eq(reply.error_code, "");
	pfs_http_close(&h);
	server_stop(&s);
	pfs_buf_fini(&reply.body);
}

static int64_t read_thrice(void *arg, void *out, size_t len)
{
	int *left = arg;

	if (*left == 0)
		return 0;
	(*left)--;
	memcpy(out, "part ", 5);
	return 5;
}

static int64_t read_badly(void *arg, void *out, size_t len)
{
	return PFS_E_CORRUPT;
}

static int take_reply(void *arg, const void *data, size_t len)
{
	return pfs_buf_add(arg, data, len, NULL);
}

static int refuse_reply(void *arg, const void *data, size_t len)
{
	return PFS_E_NOSPACE;
}

Test(http, streams_both_ways)
{
	static const char *const replies[] = { OK, NULL };
	PFS_AUTO(pfs_buf_fini) struct pfs_buf got = PFS_BUF_INIT(100);
	int left = 3;
	const struct pfs_http_request rq = { .method = "PUT",
					     .target = "/f",
					     .read_body = read_thrice,
					     .read_arg = &left,
					     .write_reply = take_reply,
					     .write_arg = &got };
	struct server s = { 0 };
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(100) };
	struct pfs_error err = { 0 };
	struct pfs_http *h;

	server_start(&s, replies);
	h = open_client(&s);
	cr_expect_eq(pfs_http_send(h, &rq, &reply, &err), 0, "%s", err.text);
	pfs_http_close(&h);
	server_stop(&s);
	cr_expect_str_eq(pfs_buf_str(&got), "hello");
	cr_expect_eq(reply.body.len, 0);
	cr_expect(strstr(s.seen, "\r\n\r\n5\r\npart \r\n5\r\npart \r\n5\r\npart \r\n0\r\n\r\n"),
		  "%s", s.seen);
}

Test(http, what_a_callback_refuses_is_what_the_caller_hears)
{
	static const char *const replies[] = { OK, OK, OK, NULL };
	static const struct {
		struct pfs_http_request rq;
		int want;
		const char *why;
	} rows[] = {
		{ { .method = "PUT", .target = "/", .read_body = read_badly },
		  PFS_E_CORRUPT,
		  "reading" },
		{ { .method = "GET", .target = "/", .write_reply = refuse_reply },
		  PFS_E_NOSPACE,
		  "writing" },
		{ { .method = "GET", .target = "/" },
		  PFS_E_LIMIT,
		  "a body of five bytes where four fit" },
	};
	struct server s = { 0 };

	server_start(&s, replies);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pfs_http_reply reply = { .status = 77, .body = PFS_BUF_INIT(4) };
		struct pfs_http *h = open_client(&s);
		int rc = pfs_http_send(h, &rows[i].rq, &reply, NULL);

		cr_expect_eq(rc, rows[i].want, "%s: %d", rows[i].why, rc);
		cr_expect_eq(reply.status, 77, "%s: wrote to out", rows[i].why);
		cr_expect_eq(reply.body.len, 0, "%s: wrote to out", rows[i].why);
		pfs_http_close(&h);
		pfs_buf_fini(&reply.body);
	}
	server_stop(&s);
}

static bool always(void *arg)
{
	return true;
}

Test(http, silence_ends_after_its_time_and_a_caller_may_end_it_sooner, .timeout = 30)
{
	static const char *const replies[] = { OK, OK, NULL };
	static const struct {
		struct pfs_http_request rq;
		int want;
	} rows[] = {
		{ { .method = "GET", .target = "/", .timeout_ms = 150 }, PFS_E_TIMEOUT },
		{ { .method = "GET", .target = "/", .cancelled = always }, PFS_E_FAILED },
	};
	struct server s = { .delay_ms = 500 };

	server_start(&s, replies);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pfs_http_reply reply = { .body = PFS_BUF_INIT(100) };
		struct pfs_http *h = open_client(&s);

		cr_expect_eq(pfs_http_send(h, &rows[i].rq, &reply, NULL), rows[i].want, "row %zu",
			     i);
		pfs_http_close(&h);
		pfs_buf_fini(&reply.body);
	}
	server_stop(&s);
}

Test(http, a_server_that_is_not_there_or_hangs_up_is_an_io_error)
{
	static const char *const replies[] = { "", NULL };
	const struct pfs_http_request rq = { .method = "GET", .target = "/x" };
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(100) };
	struct pfs_error err = { 0 };
	struct server s = { 0 };
	struct pfs_http *h = NULL;

	cr_assert_eq(pfs_http_open("http://localhost", "/nowhere/s", &h, NULL), 0);
	cr_expect_eq(pfs_http_send(h, &rq, &reply, &err), PFS_E_IO);
	cr_expect(strstr(err.text, "/nowhere/s: No such file"), "%s", err.text);
	pfs_http_close(&h);
	server_start(&s, replies);
	h = open_client(&s);
	cr_expect_eq(pfs_http_send(h, &rq, &reply, &err), PFS_E_IO, "%s", err.text);
	pfs_http_close(&h);
	server_stop(&s);
	pfs_buf_fini(&reply.body);
}

Test(http, a_kept_connection_that_died_is_replaced)
{
	static const char *const replies[] = { OK, "", OK, NULL };
	const struct pfs_http_request rq = {
		.method = "POST", .target = "/", .body = "x", .body_len = 1
	};
	struct pfs_http_reply reply = { .body = PFS_BUF_INIT(100) };
	struct pfs_error err = { 0 };
	struct server s = { 0 };
	struct pfs_http *h;

	server_start(&s, replies);
	h = open_client(&s);
	cr_expect_eq(pfs_http_send(h, &rq, &reply, &err), 0, "%s", err.text);
	cr_expect_eq(pfs_http_send(h, &rq, &reply, &err), 0, "%s", err.text);
	pfs_http_close(&h);
	server_stop(&s);
	cr_expect_eq(s.connections, 2);
	pfs_buf_fini(&reply.body);
}

Test(http, escapes_all_but_the_unreserved)
{
	static const struct {
		const char *in;
		bool keep_slash;
		const char *want;
	} rows[] = {
		{ "aZ09-._~", false, "aZ09-._~" },
		{ "a b/c", true, "a%20b/c" },
		{ "a/b", false, "a%2Fb" },
		{ "?&=#%+", false, "%3F%26%3D%23%25%2B" },
		{ "\xc3\xa4\x01", false, "%C3%A4%01" },
		{ "", true, "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(100);

		cr_expect_eq(pfs_http_escape(&b, rows[i].in, rows[i].keep_slash, NULL), 0);
		cr_expect_str_eq(pfs_buf_str(&b), rows[i].want);
	}
}
