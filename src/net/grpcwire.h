/*
 * The bytes of gRPC inside HTTP/2, as pure functions: frames and statuses.
 *
 *	+------+-----------------+---------------------+
 *	| flag | length (be, 32) | message             |   flag 0: not compressed
 *	+------+-----------------+---------------------+
 *
 * Frames do not align with DATA frames: whoever receives keeps a buffer and
 * asks for the next whole message in it. An empty message is still a frame.
 *
 * Threads: any.
 */
#ifndef PFS_NET_GRPCWIRE_H
#define PFS_NET_GRPCWIRE_H

#include "net/room.h"
#include "base/buf.h"

#define PFS_GRPC_FRAME_SIZE 5u
#define PFS_GRPC_TEXT_SIZE  512u /* kept of a grpc-message: the server echoes what we sent it */

/* What grpc-status can say. */
enum pfs_grpc_status {
	PFS_GRPC_OK = 0,
	PFS_GRPC_CANCELLED = 1,
	PFS_GRPC_UNKNOWN = 2,
	PFS_GRPC_INVALID_ARGUMENT = 3,
	PFS_GRPC_DEADLINE_EXCEEDED = 4,
	PFS_GRPC_NOT_FOUND = 5,
	PFS_GRPC_ALREADY_EXISTS = 6,
	PFS_GRPC_PERMISSION_DENIED = 7,
	PFS_GRPC_RESOURCE_EXHAUSTED = 8,
	PFS_GRPC_FAILED_PRECONDITION = 9,
	PFS_GRPC_ABORTED = 10,
	PFS_GRPC_OUT_OF_RANGE = 11,
	PFS_GRPC_UNIMPLEMENTED = 12,
	PFS_GRPC_INTERNAL = 13,
	PFS_GRPC_UNAVAILABLE = 14,
	PFS_GRPC_DATA_LOSS = 15,
	PFS_GRPC_UNAUTHENTICATED = 16,
};

/* Append one framed message; PFS_E_LIMIT past PFS_GRPC_MESSAGE_MAX. */
int pfs_grpcwire_add(struct pfs_buf *out, const void *message, size_t len, struct pfs_error *err);

/*
 * The next message in data[0, len): 1 with its place, its frame being the five
 * bytes in front of it; 0 while bytes are missing; PFS_E_LIMIT for a message
 * too long to ever take, PFS_E_CORRUPT for one that is compressed.
 */
int pfs_grpcwire_next(const unsigned char *data, size_t len, size_t *out_from, size_t *out_len,
		      struct pfs_error *err);

/* The number in a grpc-status header; PFS_GRPC_UNKNOWN for what is none. */
int pfs_grpcwire_status(const char *text, size_t len);

/* Undo the percent-encoding of a grpc-message; cut to `size`, always terminated. */
void pfs_grpcwire_text(const char *text, size_t len, char *out, size_t size);

/* Our code for a status: PFS_E_IO means nobody is there to answer. */
int pfs_grpcwire_code(int status);

#endif
