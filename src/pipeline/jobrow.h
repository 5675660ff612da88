/*
 * A job as a row: the states it goes through. The table is in <pfs/job.h>;
 * every arrow of it is one function here or in claim.c and finish.c, and each
 * is one transaction with its event.
 *
 * Threads: any.
 */
#ifndef PFS_PIPELINE_JOBROW_H
#define PFS_PIPELINE_JOBROW_H

#include "pipeline/pipelines.h"

/* In memory: final, now, without a lease. `reason` may be NULL. */
void pfs_jobrow_end(struct pfs_job_row *row, enum pfs_job_state state, const char *reason);

/*
 * Write `row` over what was read as `was`, with event `kind`. PFS_E_CONFLICT
 * when the job has moved on since.
 */
int pfs_jobrow_move(struct pfs_pipelines *p, const struct pfs_job_row *was,
		    const struct pfs_job_row *row, const char *kind, struct pfs_error *err);

/* As users see it. */
void pfs_jobrow_show(const struct pfs_job_row *row, struct pfs_job *out);

/*
 * Whether the job's output is committed already. Then it has succeeded, also if
 * a crash kept the row from saying so.
 */
int pfs_jobrow_committed(struct pfs_pipelines *p, const struct pfs_job_row *row, bool *out,
			 struct pfs_error *err);

#endif
