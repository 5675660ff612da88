/*
 * Making the bytes of a file changeable.
 *
 * Threads: any, without the workspace lock unless they say other.
 */
#ifndef PFS_WORKSPACE_FILE_H
#define PFS_WORKSPACE_FILE_H

#include "workspace/workspace_i.h"

/*
 * Make a file NEW or PATCHED, keeping its first `keep` bytes, and become a user
 * of its spool file. On success the lock is held for writing.
 */
int pfs_file_use(struct pfs_node *n, uint64_t keep, struct pfs_spooled **out,
		 struct pfs_error *err);

/* Whether its bytes would be patched, so that nothing need be done before they are changed. With the lock held. */
bool pfs_file_is_patchable(const struct pfs_node *n);

/* `s` was written, or what of it counts changed: the journal is to ask. With the lock held for writing. */
void pfs_file_tell_changed(struct pfs_node *n, struct pfs_spooled *s);

/* Truncate a NEW file of which the caller is a user; with the lock held for writing. */
int pfs_file_truncate_spooled(struct pfs_node *n, uint64_t size, struct pfs_error *err);

/* A file that has no spool file is this content from now on; with the lock held for writing. */
void pfs_file_become(struct pfs_node *n, struct pfs_kept *kept);

/*
 * Whoever has the spool file of a clean file open by a descriptor of his own is
 * to see what others write to it, also when we are another process by then: so
 * it counts as new, with the same bytes. With the lock held for writing.
 */
void pfs_file_keep_spooled(struct pfs_node *n);

/* Of any file, to any size. */
int pfs_file_resize(struct pfs_node *n, uint64_t size, struct pfs_error *err);

#endif
