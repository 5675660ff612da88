/* Any bytes as framed messages and status of a peer. */
#include "net/grpcwire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 26);
	char text[PFS_GRPC_TEXT_SIZE], tiny[2];
	size_t pos = 0, from = 0, len = 0;

	/* What is taken out of it makes the same bytes when it is put in again. */
	while (pfs_grpcwire_next(data + pos, size - pos, &from, &len, NULL) == 1) {
		if (from != PFS_GRPC_FRAME_SIZE || len > size - pos - from ||
		    pfs_grpcwire_add(&b, data + pos + from, len, NULL) < 0)
			abort();
		pos += from + len;
		if (b.len != pos || memcmp(b.data, data, pos) != 0)
			abort();
	}
	pfs_grpcwire_code(pfs_grpcwire_status((const char *)data, size));
	pfs_grpcwire_text((const char *)data, size, text, sizeof(text));
	pfs_grpcwire_text((const char *)data, size, tiny, sizeof(tiny));
	if (strlen(text) >= sizeof(text) || strlen(tiny) >= sizeof(tiny))
		abort();
	return 0;
}
