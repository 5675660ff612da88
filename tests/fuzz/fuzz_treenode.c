/*
 * Any bytes as a directory node: no crash, and what is accepted is its own
 * encoding. Searching may not go further wrong than walking.
 */
#include "format/treenode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_round_trip(const struct pfs_treenode *node, const uint8_t *data, size_t len)
{
	struct pfs_treenode_entry *e = calloc(node->count, sizeof(*e));
	char *names = calloc(node->count, PFS_NAME_SIZE_MAX), *name = names;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 24);
	struct pfs_treenode_iter it;
	size_t n = 0;

	if (!e || !names)
		abort();
	pfs_treenode_iter_init(&it, node);
	while (pfs_treenode_iter_next(&it, NULL) > 0) {
		e[n] = it.e;
		e[n++].name = memcpy(name, it.e.name, it.e.name_len);
		name += it.e.name_len;
	}
	if (n != node->count || pfs_treenode_encode(e, n, node->level, node->flags, &b, NULL) < 0 ||
	    b.len != len || memcmp(b.data, data, len) != 0)
		abort();
	free(e);
	free(names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t name_len = len < 20 ? len : 20;
	struct pfs_treenode_iter it;
	struct pfs_treenode node;

	if (pfs_treenode_open(data, len, &node, NULL) < 0)
		return 0;
	pfs_treenode_iter_init(&it, &node);
	pfs_treenode_iter_seek(&it, (const char *)data + len - name_len, name_len, len & 1, NULL);
	pfs_treenode_iter_at(&it, node.count - 1, NULL);
	if (pfs_treenode_check(data, len, NULL) == 0)
		check_round_trip(&node, data, len);
	return 0;
}
