/*
 * What a job printed: one bounded file each, <log_dir>/<pipeline>/<id>.log.
 *
 * Not history: losing the last lines in a power cut is fine, so nothing is
 * synced. Reading and appending are pfs_job_log_read and pfs_job_log_append.
 *
 * Threads: any.
 */
#ifndef PFS_PIPELINE_JOBLOG_H
#define PFS_PIPELINE_JOBLOG_H

#include "pipeline/pipelines.h"

/* Remove the logs of a pipeline. */
int pfs_joblog_remove(struct pfs_pipelines *p, const char *pipeline, struct pfs_error *err);

/* Remove the logs of pipelines that are gone: a crash came between the two. */
int pfs_joblog_sweep(struct pfs_pipelines *p, struct pfs_error *err);

#endif
