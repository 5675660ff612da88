/* Entries as the format has them and as the room hands them out. */
#ifndef PFS_TREE_ENTRY_I_H
#define PFS_TREE_ENTRY_I_H

#include "tree/entry.h"
#include "format/treenode.h"

/* `out` borrows what `in` borrows. */
void pfs_entry_from_node(const struct pfs_treenode_entry *in, struct pfs_entry *out);

/*
 * The other way, under the given name; `out` borrows from `in` and the name.
 * PFS_E_INVALID for an entry that contradicts itself.
 */
int pfs_entry_to_node(const struct pfs_entry *in, const char *name, size_t name_len,
		      struct pfs_treenode_entry *out, struct pfs_error *err);

#endif
