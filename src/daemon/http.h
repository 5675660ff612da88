/*
 * HTTP by libmicrohttpd: bytes to struct pfs_request, struct pfs_reply to bytes.
 *
 * A thread for each connection, because requests wait: for jobs, for events,
 * for slow readers. Nothing here knows a route; nothing past here knows MHD.
 *
 *	begin ──▶ accept ──▶ take, take, ... ──▶ answer ──▶ done
 *	             │ refused: the body is read and dropped, then the answer
 *	             └ cut off: done only, nothing was placed
 *
 * Threads: a request and its reply belong to the connection's thread.
 */
#ifndef PFS_DAEMON_HTTP_H
#define PFS_DAEMON_HTTP_H

#include "base/buf.h"
#include "daemon/daemon.h"
#include "daemon/uri.h"

struct pfs_route;
struct pfs_http_server;

struct pfs_request {
	struct pfs_daemon *daemon;
	const char *method; /* "GET" also for HEAD: the body is dropped on the way */
	bool is_head;
	bool is_local; /* came by the unix socket */
	struct pfs_uri uri;
	const struct pfs_route *route;
	const char *captures[PFS_URI_CAPTURES_MAX];
	struct pfs_buf body; /* of a route that collects it */
	void *upload;        /* of a route that takes it as it comes; freed by its .drop */
	void *connection;    /* MHD's */
	char capture_store[PFS_PATH_SIZE_MAX + 1];
};

/* A header of the request, or NULL. Borrowed. */
const char *pfs_request_header(const struct pfs_request *rq, const char *name);

/* A parameter, or `otherwise` when it is absent or empty. Borrowed. */
const char *pfs_request_get(const struct pfs_request *rq, const char *name, const char *otherwise);
bool pfs_request_has(const struct pfs_request *rq, const char *name);

/*
 * A switch: "?force", "force=true" or "force=1" is on; absent, "force=false" or
 * "force=0" is off. A request with any other value never gets to its route.
 */
bool pfs_request_is_on(const struct pfs_request *rq, const char *name);

/* A parameter that is a number from 0 to `max`. PFS_E_INVALID names it. */
int pfs_request_number(const struct pfs_request *rq, const char *name, uint64_t otherwise,
		       uint64_t max, uint64_t *out, struct pfs_error *err);

/* Nobody waits for the answer any more: the peer hung up, or pfsd is to end. */
bool pfs_request_gone(const struct pfs_request *rq);

#define PFS_REPLY_HEADERS_MAX  8u
#define PFS_REPLY_SIZE_UNKNOWN UINT64_MAX
#define PFS_REPLY_END          (-1) /* of .read: no more bytes */
#define PFS_REPLY_BROKEN       (-2) /* of .read: hang up, so that the peer sees it is not whole */

struct pfs_reply {
	int status;               /* 0: 200 */
	const char *content_type; /* NULL: text */
	bool has_own_type;        /* there is a Content-Type among the headers */
	struct {
		const char *name;
		char *value; /* owned */
	} headers[PFS_REPLY_HEADERS_MAX];
	size_t n_headers;

	struct pfs_buf body; /* the answer, unless one of the two below is set */

	/* Bytes that are made as they are sent: how many, PFS_REPLY_END or PFS_REPLY_BROKEN. */
	int64_t (*read)(void *arg, uint64_t off, void *out, size_t len);
	void (*free)(void *arg);
	void *arg;     /* owned: .free gets it */
	uint64_t size; /* of .read and of .fd; or PFS_REPLY_SIZE_UNKNOWN */

	int fd; /* owned; -1: none */
	uint64_t fd_off;
};

/* PFS_REPLY_HEADERS_MAX is ours to keep; PFS_E_NOMEM only. */
int pfs_reply_add_header(struct pfs_reply *rp, struct pfs_error *err, const char *name,
			 const char *fmt, ...) PFS_PRINTF(4, 5);

/* The text of the answer. */
int pfs_reply_printf(struct pfs_reply *rp, struct pfs_error *err, const char *fmt, ...)
	PFS_PRINTF(3, 4);

/*
 * Serve on a listening socket, which the server owns from then on, also when
 * this fails.
 */
int pfs_http_serve(struct pfs_daemon *d, int take_fd, bool is_local, struct pfs_http_server **out,
		   struct pfs_error *err);

/* Hang up on everybody and wait for their threads. d->stopping must be set. */
void pfs_http_stop(struct pfs_http_server **s);

#endif
