/* Any bytes as a set of attributes: no crash, and what is accepted is its own encoding. */
#include "format/xattrs.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 22);
	struct pfs_xattrs set;
	struct pfs_xattr *list;
	size_t off = 0, n = 0;

	if (pfs_xattrs_open(data, len, &set, NULL) < 0)
		return 0;
	list = calloc(set.count, sizeof(*list));
	if (!list)
		abort();
	while (n < set.count && pfs_xattrs_next(&set, &off, &list[n]))
		n++;
	if (n != set.count || off != len || pfs_xattrs_encode(list, n, &b, NULL) < 0 ||
	    b.len != len || memcmp(b.data, data, len) != 0)
		abort();
	free(list);
	return 0;
}
