/*
 * Any bytes as a sequence node: no crash, and what is accepted is its own
 * encoding. Searching may not go further wrong than walking.
 */
#include "format/seqnode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_round_trip(const struct pfs_seqnode *node, const uint8_t *data, size_t len)
{
	struct pfs_seqnode_entry *e = calloc(node->count, sizeof(*e));
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 24);
	struct pfs_seqnode_iter it;
	size_t n = 0;

	if (!e)
		abort();
	pfs_seqnode_iter_init(&it, node);
	while (pfs_seqnode_iter_next(&it, NULL) > 0)
		e[n++] = it.e;
	if (n != node->count || pfs_seqnode_encode(e, n, node->level, node->flags, &b, NULL) < 0 ||
	    b.len != len || memcmp(b.data, data, len) != 0)
		abort();
	free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pfs_seqnode_iter it;
	struct pfs_seqnode node;

	if (pfs_seqnode_open(data, len, &node, NULL) < 0)
		return 0;
	pfs_seqnode_iter_init(&it, &node);
	pfs_seqnode_iter_seek(&it, node.bytes / 2, NULL);
	pfs_seqnode_iter_seek(&it, node.bytes - 1, NULL);
	if (pfs_seqnode_check(data, len, NULL) == 0)
		check_round_trip(&node, data, len);
	return 0;
}
