/*
 * Any bytes as what a pfsd hands over: no crash, and what is accepted is its own
 * encoding. Then the same bytes under a right header, since no change gets past
 * its checksum.
 */
#include "base/crc32c.h"
#include "base/endian.h"
#include "fuse/handover.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void look(const uint8_t *data, size_t len)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 26);
	struct pfs_handover h = { .generation = 77 };

	if (pfs_handover_decode(data, len, &h, NULL) < 0) {
		if (h.generation != 77)
			abort();
		return;
	}
	if (pfs_handover_encode(&h, &b, NULL) < 0 || b.len != len || memcmp(b.data, data, len) != 0)
		abort();
	pfs_handover_fini(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *whole;

	look(data, len);
	if (len < HEADER_SIZE)
		return 0;
	whole = malloc(len);
	if (!whole)
		abort();
	memcpy(whole, data, len);
	memcpy(whole, "pfs-hold", 8);
	pfs_put_le32(whole + 8, PFS_HANDOVER_VERSION);
	pfs_put_le64(whole + 16, len);
	pfs_put_le32(whole + 12, pfs_crc32c(0, whole + 16, len - 16));
	look(whole, len);
	free(whole);
	return 0;
}
