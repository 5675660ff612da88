/*
 * A task: a job spelled out for a runner. Made of the pipeline's text in the
 * version that the job was created with, so a later version changes nothing
 * about work that was already called for.
 *
 * Threads: any.
 */
#ifndef PFS_PIPELINE_TASK_H
#define PFS_PIPELINE_TASK_H

#include "pipeline/pachfile.h"
#include "pipeline/pipelines.h"

/* The text of the job's pipeline in the job's version. */
int pfs_task_load(struct pfs_pipelines *p, const struct pfs_job_row *row, struct pfs_pachfile *out,
		  struct pfs_error *err);

/* Takes steps and paths out of `pf`, also when it fails. */
int pfs_task_make(const struct pfs_job_row *row, struct pfs_pachfile *pf, struct pfs_task *out,
		  struct pfs_error *err);

#endif
