#include "net/grpcwire.h"
#include "base/id.h"
#include "base/limits.h"

#include <string.h>

static uint32_t get_be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int pfs_grpcwire_add(struct pfs_buf *out, const void *message, size_t len, struct pfs_error *err)
{
	unsigned char head[PFS_GRPC_FRAME_SIZE];
	int rc;

	if (len > PFS_GRPC_MESSAGE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a message of %zu bytes, at most %u are sent",
				len, PFS_GRPC_MESSAGE_MAX);
	head[0] = 0;
	head[1] = (unsigned char)(len >> 24);
	head[2] = (unsigned char)(len >> 16);
	head[3] = (unsigned char)(len >> 8);
	head[4] = (unsigned char)len;
	rc = pfs_buf_reserve(out, sizeof(head) + len, err);
	if (rc == 0)
		rc = pfs_buf_add(out, head, sizeof(head), err);
	if (rc == 0)
		rc = pfs_buf_add(out, message, len, err);
	return rc;
}

int pfs_grpcwire_next(const unsigned char *data, size_t len, size_t *out_from, size_t *out_len,
		      struct pfs_error *err)
{
	uint32_t want;

	if (len < PFS_GRPC_FRAME_SIZE)
		return 0;
	if (data[0] != 0)
		return pfs_fail(err, PFS_E_CORRUPT,
				"a message with flag %u, we asked for no compression", data[0]);
	want = get_be32(data + 1);
	if (want > PFS_GRPC_MESSAGE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a message of %u bytes, at most %u are taken",
				want, PFS_GRPC_MESSAGE_MAX);
	if (len - PFS_GRPC_FRAME_SIZE < want)
		return 0;
	*out_from = PFS_GRPC_FRAME_SIZE;
	*out_len = want;
	return 1;
}

int pfs_grpcwire_status(const char *text, size_t len)
{
	int v = 0;

	if (len == 0 || len > 3)
		return PFS_GRPC_UNKNOWN;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return PFS_GRPC_UNKNOWN;
		v = v * 10 + (text[i] - '0');
	}
	return v;
}

void pfs_grpcwire_text(const char *text, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < size; i++) {
		bool coded = text[i] == '%' && len - i > 2 && pfs_hex_digit(text[i + 1]) >= 0 &&
			     pfs_hex_digit(text[i + 2]) >= 0;
		char c = text[i];

		if (coded) {
			c = (char)(pfs_hex_digit(text[i + 1]) << 4 | pfs_hex_digit(text[i + 2]));
			i += 2;
		}
		out[n++] = c ? c : ' '; /* an encoded NUL must not hide what follows */
	}
	out[n] = 0;
}

int pfs_grpcwire_code(int status)
{
	switch (status) {
	case PFS_GRPC_OK:
		return 0;
	case PFS_GRPC_INVALID_ARGUMENT:
	case PFS_GRPC_OUT_OF_RANGE:
		return PFS_E_INVALID;
	case PFS_GRPC_DEADLINE_EXCEEDED:
		return PFS_E_TIMEOUT;
	case PFS_GRPC_NOT_FOUND:
		return PFS_E_NOTFOUND;
	case PFS_GRPC_ALREADY_EXISTS:
		return PFS_E_EXISTS;
	case PFS_GRPC_PERMISSION_DENIED:
	case PFS_GRPC_UNAUTHENTICATED:
		return PFS_E_DENIED;
	case PFS_GRPC_RESOURCE_EXHAUSTED:
		return PFS_E_LIMIT;
	case PFS_GRPC_FAILED_PRECONDITION:
	case PFS_GRPC_ABORTED:
		return PFS_E_CONFLICT;
	case PFS_GRPC_UNIMPLEMENTED:
		return PFS_E_UNSUPPORTED;
	case PFS_GRPC_UNAVAILABLE:
		return PFS_E_IO;
	default:
		return PFS_E_FAILED;
	}
}
