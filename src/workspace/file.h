/*
 * What other files of the room need of open files: making bytes changeable.
 *
 * Threads: any, without the workspace lock.
 */
#ifndef PFS_WORKSPACE_FILE_H
#define PFS_WORKSPACE_FILE_H

#include "workspace/workspace_i.h"

/*
 * Make a file NEW, keeping its first `keep` bytes when it was not, and become a
 * user of its spool file. On success the lock is held for writing.
 */
int pfs_file_use_new(struct pfs_node *n, uint64_t keep, struct pfs_error *err);

int pfs_file_resize(struct pfs_node *n, uint64_t size, struct pfs_error *err);

#endif
