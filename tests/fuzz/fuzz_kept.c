/* Any bytes as a content in a journal: refused, or encoded again to the same bytes. */
#include "workspace/kept.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_kept *k = NULL, *again;
	struct pfs_content content;
	struct pfs_error err;

	if (pfs_kept_decode(data, size, &k, &err) < 0) {
		if (k || err.code != PFS_E_CORRUPT)
			abort();
		return 0;
	}
	if (pfs_kept_encode(k, &b, NULL) < 0 || b.len != size || memcmp(b.data, data, size) != 0)
		abort();
	pfs_kept_content(k, &content);
	again = pfs_kept_new(&content);
	pfs_buf_clear(&b);
	if (!again || pfs_kept_encode(again, &b, NULL) < 0 || b.len != size ||
	    memcmp(b.data, data, size) != 0)
		abort();
	pfs_kept_unref(&again);
	pfs_kept_unref(&k);
	return 0;
}
