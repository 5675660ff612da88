/*
 * The output of a pipeline: the workspace of a branch that it alone may write.
 *
 * Threads: any; the caller is inside the pipeline (pfs_pipelines_enter).
 */
#ifndef PFS_PIPELINE_OUTPUT_H
#define PFS_PIPELINE_OUTPUT_H

#include "pipeline/pipelines.h"

/*
 * Make the workspace what the head of the branch is. Costs nothing when it is
 * that already, unless a runner was `lost`: its containers may still run, and
 * are to have nothing in their hands that leads there.
 */
int pfs_output_reset(struct pfs_pipelines *p, const char *pipeline, const char *branch, bool lost,
		     struct pfs_error *err);

#endif
