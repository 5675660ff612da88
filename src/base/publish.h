/*
 * A small file that is there whole or not at all, also after a power cut:
 * temporary file, fsync, rename, fsync of the folder.
 */
#ifndef PFS_BASE_PUBLISH_H
#define PFS_BASE_PUBLISH_H

#include "base/error.h"
#include <sys/types.h>

/* Put `data` at `name` below `dir`, replacing what was there. */
int pfs_publish(int dir, const char *name, const void *data, size_t len, mode_t mode,
		struct pfs_error *err);

#endif
