#include "net/grpc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/lock.h"
#include "net/grpcwire.h"

#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * A stream's window holds the longest message, so that a reader who is slow
 * stops its own stream and no other; the connection's window is handed back
 * as soon as bytes arrive.
 */
#define STREAM_WINDOW (17 << 20)
#define CONN_WINDOW   (64 << 20)
#define SEND_QUEUE    (1u << 20)
#define READ_SIZE     65536

/*
 * Phases of the connection, all under lock:
 *
 *	session == NULL   nobody connected; the next begin does
 *	session, !broken  calls run
 *	session, broken   the loop will fail all calls and tear down; begin waits
 */
struct pfs_grpc {
	struct pfs_lock lock; /* PFS_RANK_NET; protects all below */
	pthread_cond_t torn_down;
	nghttp2_session *session;
	int fd; /* closed by the loop only: it may be polling it */
	bool broken;
	bool stopping;
	char why[128];         /* the connection broke */
	const uint8_t *unsent; /* borrowed from the session until its next mem_send */
	size_t n_unsent;
	struct pfs_grpc_call *calls;

	int wake; /* eventfd; never changes */
	pthread_t loop;
	struct sockaddr_un address;
};

struct pfs_grpc_call {
	struct pfs_grpc *g;
	struct pfs_grpc_call *prev, *next;
	char path[128];
	int64_t deadline_ms; /* 0: none */
	pthread_cond_t changed;

	/* Protected by g->lock. */
	int32_t stream;
	struct pfs_buf out; /* framed, from out_at on still to go */
	size_t out_at;
	bool out_last;
	struct pfs_buf in; /* as it came, from in_at on not yet taken */
	size_t in_at;
	bool closed; /* nothing more will come */
	bool lost;   /* with the connection */
	int http_status;
	int status; /* grpc-status; negative: none came */
	uint32_t h2_error;
	char text[PFS_GRPC_TEXT_SIZE];
};

static void wake_loop(struct pfs_grpc *g)
{
	uint64_t one = 1;

	if (write(g->wake, &one, sizeof(one)) < 0)
		return; /* the counter is full: the loop is awake anyhow */
}

static void break_connection(struct pfs_grpc *g, const char *why)
{
	assert(pfs_held(&g->lock));
	if (g->broken || !g->session)
		return;
	g->broken = true;
	snprintf(g->why, sizeof(g->why), "%s", why);
	wake_loop(g);
}

/* ---- callbacks of nghttp2, all under lock ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct pfs_grpc_call *call =
		nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	const char *text = (const char *)value;

	if (!call)
		return 0;
	if (name_len == 7 && memcmp(name, ":status", 7) == 0)
		call->http_status = pfs_grpcwire_status(text, len);
	else if (name_len == 11 && memcmp(name, "grpc-status", 11) == 0)
		call->status = pfs_grpcwire_status(text, len);
	else if (name_len == 12 && memcmp(name, "grpc-message", 12) == 0)
		pfs_grpcwire_text(text, len, call->text, sizeof(call->text));
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
		   size_t len, void *arg)
{
	struct pfs_grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);

	nghttp2_session_consume_connection(session, len);
	if (!call)
		return 0;
	if (pfs_buf_add(&call->in, data, len, NULL) < 0) {
		snprintf(call->text, sizeof(call->text), "no memory for the reply");
		call->status = PFS_GRPC_RESOURCE_EXHAUSTED;
		return nghttp2_submit_rst_stream(session, 0, stream, NGHTTP2_CANCEL);
	}
	pthread_cond_broadcast(&call->changed);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t h2_error, void *arg)
{
	struct pfs_grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);

	if (!call)
		return 0;
	call->closed = true;
	call->h2_error = h2_error;
	pthread_cond_broadcast(&call->changed);
	return 0;
}

static ssize_t on_body_wanted(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room,
			      uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct pfs_grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
	size_t n;

	if (!call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = call->out.len - call->out_at;
	if (n == 0 && !call->out_last)
		return NGHTTP2_ERR_DEFERRED;
	if (n > room)
		n = room;
	if (n)
		memcpy(to, call->out.data + call->out_at, n);
	call->out_at += n;
	if (call->out_at == call->out.len) {
		pfs_buf_clear(&call->out);
		call->out_at = 0;
		if (call->out_last)
			*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	pthread_cond_broadcast(&call->changed);
	return (ssize_t)n;
}

/* ---- the socket ---- */

/* Write what the session has to say, as far as the socket takes it now. */
static void flush(struct pfs_grpc *g)
{
	assert(pfs_held(&g->lock));
	while (g->session && !g->broken) {
		ssize_t n;

		if (g->n_unsent == 0) {
			n = nghttp2_session_mem_send(g->session, &g->unsent);
			if (n < 0)
				break_connection(g, nghttp2_strerror((int)n));
			if (n <= 0)
				return;
			g->n_unsent = (size_t)n;
		}
		n = send(g->fd, g->unsent, g->n_unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!pthread_equal(pthread_self(), g->loop))
				wake_loop(g); /* which waits until the socket takes more */
			return;
		}
		if (n < 0) {
			break_connection(g, strerror(errno));
			return;
		}
		g->unsent += n;
		g->n_unsent -= (size_t)n;
	}
}

static void take_input(struct pfs_grpc *g)
{
	uint8_t data[READ_SIZE];

	assert(pfs_held(&g->lock));
	for (int rounds = 0; rounds < 16; rounds++) {
		ssize_t n = recv(g->fd, data, sizeof(data), MSG_DONTWAIT);
		ssize_t used;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			break_connection(g, n < 0 ? strerror(errno)
						  : "the peer closed the connection");
			return;
		}
		used = nghttp2_session_mem_recv(g->session, data, (size_t)n);
		if (used < 0) {
			break_connection(g, nghttp2_strerror((int)used));
			return;
		}
		if (n < READ_SIZE)
			break;
	}
}

/* A peer that broke the protocol was told so by now; nothing more will come. */
static void check_ended(struct pfs_grpc *g)
{
	assert(pfs_held(&g->lock));
	if (g->session && !nghttp2_session_want_read(g->session) &&
	    !nghttp2_session_want_write(g->session))
		break_connection(g, "the session ended");
}

static void tear_down(struct pfs_grpc *g)
{
	assert(pfs_held(&g->lock));
	nghttp2_session_del(g->session);
	g->session = NULL;
	g->n_unsent = 0;
	g->broken = false;
	pfs_fd_close(&g->fd);
	for (struct pfs_grpc_call *c = g->calls; c; c = c->next) {
		if (!c->closed)
			c->lost = true;
		c->closed = true;
		pthread_cond_broadcast(&c->changed);
	}
	pthread_cond_broadcast(&g->torn_down);
}

static void *run_loop(void *arg)
{
	struct pfs_grpc *g = arg;
	uint64_t count;

	pfs_lock(&g->lock);
	while (!g->stopping) {
		struct pollfd p[2] = { { .fd = g->wake, .events = POLLIN },
				       { .fd = g->fd, .events = POLLIN } };

		if (g->n_unsent)
			p[1].events |= POLLOUT;
		pfs_unlock(&g->lock);
		if (poll(p, 2, -1) < 0)
			p[0].revents = p[1].revents = 0;
		if (p[0].revents && read(g->wake, &count, sizeof(count)) < 0)
			count = 0;
		pfs_lock(&g->lock);
		if (g->session && !g->broken && p[1].fd == g->fd && p[1].revents)
			take_input(g);
		flush(g);
		check_ended(g);
		if (g->broken)
			tear_down(g);
	}
	if (g->session)
		tear_down(g);
	pfs_unlock(&g->lock);
	return NULL;
}

static int make_session(struct pfs_grpc *g, nghttp2_session **out)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
	};
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int rc = NGHTTP2_ERR_NOMEM;

	if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
		goto done;
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	rc = nghttp2_session_client_new2(out, callbacks, g, option);
	if (rc == 0)
		rc = nghttp2_submit_settings(*out, NGHTTP2_FLAG_NONE, settings, 2);
	if (rc == 0)
		rc = nghttp2_session_set_local_window_size(*out, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW);
done:
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return rc;
}

static int fail_connect(struct pfs_grpc *g, int sys, struct pfs_error *err)
{
	/* Never "not found": a missing daemon is not a missing thing. */
	pfs_fail(err, PFS_E_IO, "connect to %s: %s", g->address.sun_path, strerror(sys));
	if (err)
		err->sys = sys;
	return PFS_E_IO;
}

static int connect_now(struct pfs_grpc *g, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	nghttp2_session *session = NULL;
	int rc;

	assert(pfs_held(&g->lock));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return pfs_fail_errno(err, errno, "socket");
	/* A unix socket connects at once or not at all, so the lock is not held for long. */
	if (connect(fd, (const struct sockaddr *)&g->address, sizeof(g->address)) < 0)
		return fail_connect(g, errno, err);
	rc = make_session(g, &session);
	if (rc != 0) {
		nghttp2_session_del(session);
		return pfs_fail(err, PFS_E_NOMEM, "HTTP/2 session: %s", nghttp2_strerror(rc));
	}
	g->session = session;
	g->fd = fd;
	fd = -1;
	wake_loop(g);
	return 0;
}

int pfs_grpc_open(const char *socket, struct pfs_grpc **out, struct pfs_error *err)
{
	struct pfs_grpc *g;
	sigset_t all, before;
	int rc;

	if (strlen(socket) >= sizeof(g->address.sun_path))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "socket path %s is too long", socket);
	g = calloc(1, sizeof(*g));
	if (!g)
		return pfs_fail_nomem(err, "a gRPC connection");
	g->fd = -1;
	g->address.sun_family = AF_UNIX;
	strcpy(g->address.sun_path, socket);
	g->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->wake < 0) {
		rc = pfs_fail_errno(err, errno, "eventfd");
		free(g);
		return rc;
	}
	pfs_lock_init(&g->lock, PFS_RANK_NET);
	pfs_cond_init(&g->torn_down);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&g->loop, NULL, run_loop, g);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		close(g->wake);
		pthread_cond_destroy(&g->torn_down);
		pfs_lock_fini(&g->lock);
		free(g);
		return pfs_fail_errno(err, rc, "thread of a gRPC connection");
	}
	*out = g;
	return 0;
}

void pfs_grpc_close(struct pfs_grpc **grpc)
{
	struct pfs_grpc *g = *grpc;

	*grpc = NULL;
	if (!g)
		return;
	pfs_lock(&g->lock);
	assert(!g->calls);
	g->stopping = true;
	wake_loop(g);
	pfs_unlock(&g->lock);
	pthread_join(g->loop, NULL);
	close(g->wake);
	pthread_cond_destroy(&g->torn_down);
	pfs_lock_fini(&g->lock);
	free(g);
}

/* ---- calls ---- */

static void set_pair(nghttp2_nv *nv, const char *name, const char *value)
{
	*nv = (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value),
	};
}

static int submit(struct pfs_grpc_call *call, const struct pfs_grpc_header *headers,
		  size_t n_headers)
{
	nghttp2_data_provider body = { .read_callback = on_body_wanted };
	nghttp2_nv nv[6 + PFS_GRPC_HEADERS_MAX];
	size_t n = 0;

	set_pair(&nv[n++], ":method", "POST");
	set_pair(&nv[n++], ":scheme", "http");
	set_pair(&nv[n++], ":authority", "localhost");
	set_pair(&nv[n++], ":path", call->path);
	set_pair(&nv[n++], "te", "trailers");
	set_pair(&nv[n++], "content-type", "application/grpc");
	for (size_t i = 0; i < n_headers; i++)
		set_pair(&nv[n++], headers[i].name, headers[i].value);
	call->stream = nghttp2_submit_request(call->g->session, NULL, nv, n, &body, call);
	return call->stream < 0 ? call->stream : 0;
}

static int begin_stream(struct pfs_grpc_call *call, const struct pfs_grpc_header *headers,
			size_t n_headers, struct pfs_error *err)
{
	struct pfs_grpc *g = call->g;
	int rc = 0;

	/* Twice: a session that was told to go away is left behind and a new one made. */
	for (int attempt = 0; attempt < 2; attempt++) {
		while (g->broken)
			pfs_cond_wait(&g->torn_down, &g->lock, -1);
		if (!g->session)
			rc = connect_now(g, err);
		if (rc < 0)
			return rc;
		rc = submit(call, headers, n_headers);
		if (rc == 0)
			return 0;
		break_connection(g, nghttp2_strerror(rc));
	}
	return pfs_fail(err, PFS_E_IO, "%s: %s", g->address.sun_path, nghttp2_strerror(rc));
}

static void free_call(struct pfs_grpc_call *call)
{
	pfs_buf_fini(&call->in);
	pfs_buf_fini(&call->out);
	pthread_cond_destroy(&call->changed);
	free(call);
}

int pfs_grpc_begin(struct pfs_grpc *g, const char *path, const struct pfs_grpc_header *headers,
		   size_t n_headers, int64_t timeout_ms, struct pfs_grpc_call **out,
		   struct pfs_error *err)
{
	struct pfs_grpc_call *call = calloc(1, sizeof(*call));
	int rc;

	assert(n_headers <= PFS_GRPC_HEADERS_MAX);
	if (!call)
		return pfs_fail_nomem(err, "a gRPC call");
	assert(strlen(path) < sizeof(call->path));
	strcpy(call->path, path);
	call->g = g;
	call->status = -1;
	call->deadline_ms = timeout_ms > 0 ? pfs_clock_monotonic_ms() + timeout_ms : 0;
	pfs_cond_init(&call->changed);
	pfs_buf_init(&call->out, SEND_QUEUE + PFS_GRPC_MESSAGE_MAX + PFS_GRPC_FRAME_SIZE);
	pfs_buf_init(&call->in, 2 * (size_t)STREAM_WINDOW);
	pfs_lock(&g->lock);
	rc = begin_stream(call, headers, n_headers, err);
	if (rc == 0) {
		call->next = g->calls;
		if (g->calls)
			g->calls->prev = call;
		g->calls = call;
	}
	pfs_unlock(&g->lock);
	if (rc == 0)
		*out = call;
	else
		free_call(call);
	return rc;
}

static void reset_stream(struct pfs_grpc_call *call)
{
	struct pfs_grpc *g = call->g;

	assert(pfs_held(&g->lock));
	if (call->closed)
		return;
	call->closed = true;
	nghttp2_session_set_stream_user_data(g->session, call->stream, NULL);
	nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
	flush(g);
}

/* Why a closed call is over; 0 when it ended well. */
static int tell_end(struct pfs_grpc_call *call, struct pfs_error *err)
{
	int status = call->status;

	if (status < 0 && call->lost)
		return pfs_fail(err, PFS_E_IO, "%s: connection lost: %s", call->g->address.sun_path,
				call->g->why);
	if (status < 0 && call->http_status != 200 && call->http_status != 0)
		return pfs_fail(err, PFS_E_IO, "%s: HTTP status %d", call->path, call->http_status);
	if (status < 0)
		status = call->h2_error == NGHTTP2_CANCEL              ? PFS_GRPC_CANCELLED
			 : call->h2_error == NGHTTP2_ENHANCE_YOUR_CALM ? PFS_GRPC_RESOURCE_EXHAUSTED
								       : PFS_GRPC_UNAVAILABLE;
	if (status == PFS_GRPC_OK && call->in.len > call->in_at)
		return pfs_fail(err, PFS_E_CORRUPT, "%s ended in the middle of a message",
				call->path);
	if (status == PFS_GRPC_OK)
		return 0;
	return pfs_fail(err, pfs_grpcwire_code(status), "%s (grpc %d)",
			call->text[0] ? call->text : "no reason given", status);
}

/*
 * Wait for a change. PFS_E_TIMEOUT at the call's deadline, which also resets
 * its stream; PFS_E_BUSY at `until_ms` (negative: never).
 */
static int wait_change(struct pfs_grpc_call *call, int64_t until_ms, struct pfs_error *err)
{
	int64_t now = pfs_clock_monotonic_ms();
	int64_t until = until_ms;

	if (call->deadline_ms && now >= call->deadline_ms) {
		reset_stream(call);
		return pfs_fail(err, PFS_E_TIMEOUT, "no answer to %s in time", call->path);
	}
	if (until_ms >= 0 && now >= until_ms)
		return pfs_fail(err, PFS_E_BUSY, "no message yet");
	if (call->deadline_ms && (until < 0 || call->deadline_ms < until))
		until = call->deadline_ms;
	pfs_cond_wait(&call->changed, &call->g->lock, until < 0 ? -1 : until - now);
	return 0;
}

static int queue_message(struct pfs_grpc_call *call, const void *message, size_t len, bool last,
			 struct pfs_error *err)
{
	struct pfs_grpc *g = call->g;
	int rc = 0;

	while (rc == 0 && !call->closed && call->out.len - call->out_at > SEND_QUEUE)
		rc = wait_change(call, -1, err);
	if (rc < 0)
		return rc;
	if (call->closed) {
		rc = tell_end(call, err);
		return rc < 0 ? rc
			      : pfs_fail(err, PFS_E_IO, "%s ended before all was sent", call->path);
	}
	if (call->out_at) { /* what is gone need not be kept while more is added */
		memmove(call->out.data, call->out.data + call->out_at,
			call->out.len - call->out_at);
		call->out.len -= call->out_at;
		call->out_at = 0;
	}
	rc = pfs_grpcwire_add(&call->out, message, len, err);
	if (rc < 0)
		return rc;
	call->out_last = last;
	nghttp2_session_resume_data(g->session, call->stream);
	flush(g);
	return 0;
}

int pfs_grpc_send(struct pfs_grpc_call *call, const void *message, size_t len, bool last,
		  struct pfs_error *err)
{
	int rc;

	pfs_lock(&call->g->lock);
	rc = queue_message(call, message, len, last, err);
	pfs_unlock(&call->g->lock);
	return rc;
}

/* 1 and a message moved out of the buffer, 0 when there is none. */
static int take_message(struct pfs_grpc_call *call, struct pfs_buf *out, struct pfs_error *err)
{
	size_t from, len, used;
	int rc;

	rc = pfs_grpcwire_next(call->in.data + call->in_at, call->in.len - call->in_at, &from, &len,
			       err);
	if (rc <= 0)
		return rc;
	pfs_buf_clear(out);
	rc = pfs_buf_add(out, call->in.data + call->in_at + from, len, err);
	if (rc < 0)
		return rc;
	used = from + len;
	call->in_at += used;
	if (call->in_at == call->in.len || call->in_at > STREAM_WINDOW / 2) {
		memmove(call->in.data, call->in.data + call->in_at, call->in.len - call->in_at);
		call->in.len -= call->in_at;
		call->in_at = 0;
	}
	if (!call->closed) { /* a closed stream has no window to hand back */
		nghttp2_session_consume_stream(call->g->session, call->stream, used);
		flush(call->g);
	}
	return 1;
}

int pfs_grpc_receive(struct pfs_grpc_call *call, struct pfs_buf *out, int64_t wait_ms,
		     struct pfs_error *err)
{
	int64_t until = wait_ms < 0 ? -1 : pfs_clock_monotonic_ms() + wait_ms;
	int rc = 0;

	pfs_lock(&call->g->lock);
	while (rc == 0) {
		if (call->in.len > call->in_at)
			rc = take_message(call, out, err);
		if (rc != 0)
			break;
		if (call->closed) {
			rc = tell_end(call, err);
			break;
		}
		rc = wait_change(call, until, err);
	}
	if (rc < 0 && rc != PFS_E_BUSY)
		reset_stream(call);
	pfs_unlock(&call->g->lock);
	return rc;
}

void pfs_grpc_end(struct pfs_grpc_call **handle)
{
	struct pfs_grpc_call *call = *handle;
	struct pfs_grpc *g;

	*handle = NULL;
	if (!call)
		return;
	g = call->g;
	pfs_lock(&g->lock);
	reset_stream(call);
	if (call->prev)
		call->prev->next = call->next;
	else
		g->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	pfs_unlock(&g->lock);
	free_call(call);
}

int pfs_grpc_unary(struct pfs_grpc *g, const char *path, const struct pfs_grpc_header *headers,
		   size_t n_headers, const void *message, size_t len, int64_t timeout_ms,
		   struct pfs_buf *reply, struct pfs_error *err)
{
	PFS_AUTO(pfs_grpc_end) struct pfs_grpc_call *call = NULL;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf rest = PFS_BUF_INIT(PFS_GRPC_MESSAGE_MAX);
	int rc;

	rc = pfs_grpc_begin(g, path, headers, n_headers, timeout_ms, &call, err);
	if (rc == 0)
		rc = pfs_grpc_send(call, message, len, true, err);
	if (rc < 0)
		return rc;
	rc = pfs_grpc_receive(call, reply, -1, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_IO, "%s: a reply without a message", path);
	/* The status stands behind the message. */
	if (rc > 0)
		rc = pfs_grpc_receive(call, &rest, -1, err);
	if (rc > 0)
		return pfs_fail(err, PFS_E_IO, "%s: a second message", path);
	return rc;
}
