/*
 * The pipelines and jobs of one instance: <pfs/pipeline.h>, <pfs/job.h>.
 *
 * Everything they know is rows of the metadata, which makes a crash harmless.
 * Only one thing lives in memory: which pipeline's output is in somebody's
 * hands right now, being reset or committed.
 *
 * Threads: any. Lock: PFS_RANK_PIPELINE, never held across a call of another room.
 */
#ifndef PFS_PIPELINE_PIPELINES_H
#define PFS_PIPELINE_PIPELINES_H

#include "pipeline/room.h"
#include "history/history.h"
#include "meta/event.h"
#include "meta/meta.h"
#include "meta/txn.h"
#include <pfs/job.h>
#include <pfs/pipeline.h>

/*
 * `h` is borrowed and outlives the pipelines. Logs of jobs are kept in
 * <log_dir>/<pipeline>/<commit id>.log; those of forgotten pipelines go now.
 */
int pfs_pipelines_open(struct pfs_history *h, const char *log_dir, struct pfs_pipelines **out,
		       struct pfs_error *err);

/* No call may be under way. NULL inside is fine. */
void pfs_pipelines_close(struct pfs_pipelines **p);

#endif
