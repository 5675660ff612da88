/*
 * gRPC calls over one HTTP/2 connection to a unix socket.
 *
 *	PFS_AUTO(pfs_grpc_end) struct pfs_grpc_call *call = NULL;
 *
 *	rc = pfs_grpc_begin(g, "/pkg.Service/Method", headers, n, timeout_ms, &call, err);
 *	rc = pfs_grpc_send(call, message, len, true, err);       once, or many times
 *	while ((rc = pfs_grpc_receive(call, &reply, -1, err)) > 0)
 *		...                                              once, or many times
 *
 * Connecting is lazy. When the peer goes away, every open call fails with
 * PFS_E_IO and the next one connects anew; nothing is repeated behind the
 * caller's back, who alone knows what may be repeated.
 *
 * The connection object owns one thread, which does nothing but read and write
 * the socket. Threads: any; a call belongs to one thread at a time.
 */
#ifndef PFS_NET_GRPC_H
#define PFS_NET_GRPC_H

#include "net/room.h"
#include "base/buf.h"

struct pfs_grpc;
struct pfs_grpc_call;

struct pfs_grpc_header {
	const char *name; /* lower case */
	const char *value;
};

#define PFS_GRPC_HEADERS_MAX 8u

/* Connects to nothing yet, but starts the thread. `socket` is a path. */
int pfs_grpc_open(const char *socket, struct pfs_grpc **out, struct pfs_error *err);

/* All calls must have ended. */
void pfs_grpc_close(struct pfs_grpc **g);

/* Begin a call; `timeout_ms` is for the whole of it, 0 for none. */
int pfs_grpc_begin(struct pfs_grpc *g, const char *path, const struct pfs_grpc_header *headers,
		   size_t n_headers, int64_t timeout_ms, struct pfs_grpc_call **out,
		   struct pfs_error *err);

/*
 * Queue one message; waits while more than a megabyte is queued. `last` closes
 * our side. When the peer ended the call already, its status is the answer.
 */
int pfs_grpc_send(struct pfs_grpc_call *call, const void *message, size_t len, bool last,
		  struct pfs_error *err);

/*
 * The next message, replacing what was in `out`: 1; 0 when the peer ended the
 * call well; negative when it failed, PFS_E_BUSY when nothing came within
 * `wait_ms` (negative: no limit but the call's own, which is PFS_E_TIMEOUT).
 */
int pfs_grpc_receive(struct pfs_grpc_call *call, struct pfs_buf *out, int64_t wait_ms,
		     struct pfs_error *err);

/* Forget the call; resets the stream when it is still open. */
void pfs_grpc_end(struct pfs_grpc_call **call);

/* One message there, one back. */
int pfs_grpc_unary(struct pfs_grpc *g, const char *path, const struct pfs_grpc_header *headers,
		   size_t n_headers, const void *message, size_t len, int64_t timeout_ms,
		   struct pfs_buf *reply, struct pfs_error *err);

#endif
