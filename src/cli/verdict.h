/*
 * What a look for damage comes to: one line, and an exit status in the spirit
 * of fsck(8).
 *
 * Pure. Threads: any.
 */
#ifndef PFS_CLI_VERDICT_H
#define PFS_CLI_VERDICT_H

#include "base/json.h"

enum pfs_verdict {
	PFS_VERDICT_CLEAN = 0,
	PFS_VERDICT_MENDED = 1,  /* there was damage, and nothing that is needed is missing now */
	PFS_VERDICT_DAMAGED = 4, /* there is */
	PFS_VERDICT_UNKNOWN = 8, /* it could not look */
	PFS_VERDICT_STOPPED =
		32, /* it was told to stop before the end, and found nothing until then */
};

/* Of the report at the end of POST /fsck, pfs-http(7). `line` is for people, without an end of line. */
enum pfs_verdict pfs_verdict_of(const json_t *report, bool repair, struct pfs_buf *line,
				struct pfs_error *err);

#endif
