/*
 * The end of a job: its output becomes a commit, or goes. The door is
 * pfs_job_finish().
 *
 * Threads: any.
 */
#ifndef PFS_PIPELINE_FINISH_H
#define PFS_PIPELINE_FINISH_H

#include "pipeline/pipelines.h"

/* A crash came between the commit of an output and the row that says so: say so now, for all jobs. */
int pfs_finish_recover(struct pfs_pipelines *p, struct pfs_error *err);

#endif
