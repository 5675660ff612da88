/*
 * One HTTP/1.1 request over libcurl: unix socket or TCP, streaming, deadlines.
 *
 * Threads: a client belongs to one thread at a time; it keeps its connection.
 */
#ifndef PFS_NET_HTTP_H
#define PFS_NET_HTTP_H

#include "net/room.h"
#include "base/buf.h"

struct pfs_http;

/* A client for `base_url` ("http://host:port", no trailing slash); `socket` is a unix socket path or NULL. */
int pfs_http_open(const char *base_url, const char *socket, struct pfs_http **out,
		  struct pfs_error *err);
void pfs_http_close(struct pfs_http **h);

struct pfs_http_request {
	const char *method;       /* "GET" ... */
	const char *target;       /* "/path?query", already escaped */
	const char *content_type; /* NULL: application/octet-stream when there is a body */

	/* Body: bytes, or a callback that fills a buffer and returns the count, 0 at the end, negative on failure. */
	const void *body;
	size_t body_len;
	int64_t (*read_body)(void *arg, void *out, size_t len);
	void *read_arg;

	/* Reply body: collected in the reply when NULL; returns negative to give up. Called for status 2xx only. */
	int (*write_reply)(void *arg, const void *data, size_t len);
	void *write_arg;

	const char *range; /* "first-last", the bytes of the answer that are wanted; NULL: all */

	int64_t timeout_ms; /* of silence, not of the whole; 0: none */

	/* Asked ten times a second while the request is under way; true ends it with PFS_E_FAILED. May be NULL. */
	bool (*cancelled)(void *arg);
	void *cancel_arg;
};

struct pfs_http_reply {
	long status;
	struct pfs_buf body; /* init by the caller with its limit; fini by the caller */
	char error_code[32]; /* header X-Pfs-Error: a pfs_code_name, or "" */
};

/*
 * Zero whenever a reply came, whatever its status. Without one: PFS_E_TIMEOUT
 * after `timeout_ms` of silence, what a callback returned when it gave up,
 * else PFS_E_IO with the errno of a failed connect in err->sys.
 */
int pfs_http_send(struct pfs_http *h, const struct pfs_http_request *request,
		  struct pfs_http_reply *reply, struct pfs_error *err);

/* Append `s` percent-escaped; `keep_slash` leaves '/' as it is, for paths. */
int pfs_http_escape(struct pfs_buf *out, const char *s, bool keep_slash, struct pfs_error *err);

#endif
