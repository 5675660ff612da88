/*
 * The Range header: which bytes of a file are wanted. One range is served;
 * several, or what is not understood, mean the whole file, as RFC 9110 allows.
 *
 * Pure. Threads: any.
 */
#ifndef PFS_DAEMON_RANGE_H
#define PFS_DAEMON_RANGE_H

#include "base/error.h"

enum pfs_range_kind {
	PFS_RANGE_WHOLE,        /* answer 200 and everything */
	PFS_RANGE_PART,         /* answer 206 */
	PFS_RANGE_UNSATISFIABLE /* answer 416 */
};

/* `text` may be NULL. Outputs are written for PFS_RANGE_PART only; *out_len is never 0 then. */
enum pfs_range_kind pfs_range_parse(const char *text, uint64_t size, uint64_t *out_off,
				    uint64_t *out_len);

#endif
