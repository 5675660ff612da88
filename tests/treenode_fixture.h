/* Nodes of directories made by hand, also such as no directory of ours has. */
#ifndef PFS_TESTS_TREENODE_FIXTURE_H
#define PFS_TESTS_TREENODE_FIXTURE_H

#include "format/treenode.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <string.h>

/* What an inner node says of the one below whose last name is `name`. */
static inline struct pfs_treenode_entry child(const char *name, struct pfs_id id, uint64_t direct)
{
	return (struct pfs_treenode_entry){ .name = name,
					    .name_len = strlen(name),
					    .id = id,
					    .direct = direct,
					    .entries = direct };
}

static inline void encode(const struct pfs_treenode_entry *e, size_t n, unsigned level,
			  struct pfs_buf *b)
{
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_treenode_encode(e, n, level, 0, b, &err), 0, "%s", err.text);
}

/* What is in `b`, node or not, as an object of that kind. */
static inline struct pfs_id put(struct pfs_store *st, const struct pfs_buf *b)
{
	struct pfs_id id = { 0 };

	cr_assert_eq(pfs_store_put(st, PFS_KIND_DIRNODE, b->data, b->len, &id, NULL), 0);
	return id;
}

static inline struct pfs_id put_node(struct pfs_store *st, const struct pfs_treenode_entry *e,
				     size_t n, unsigned level)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);

	encode(e, n, level, &b);
	return put(st, &b);
}

#endif
