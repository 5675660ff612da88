/*
 * One event, one line, the noun first:
 *
 *	commit.finished repo=images branch=main files=12 bytes=8388608 ms=41
 *
 * For programs. libpfs returns errors and does not log, but for a background
 * thread that has no caller.
 */
#ifndef PFS_BASE_LOG_H
#define PFS_BASE_LOG_H

#include "base/error.h"

enum pfs_log_level { PFS_LOG_ERROR, PFS_LOG_WARN, PFS_LOG_INFO, PFS_LOG_DEBUG };

/* What is louder than `level` is dropped; the default is PFS_LOG_INFO. */
void pfs_log_set_level(enum pfs_log_level level);

void pfs_log(enum pfs_log_level level, const char *fmt, ...) PFS_PRINTF(2, 3);

#endif
