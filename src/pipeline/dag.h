/*
 * Who feeds whom: pipelines and the pipelines whose output they read.
 *
 * Rows only ever hold a graph without cycles, because every change asks here
 * first, in the transaction that makes it.
 *
 * Threads: any.
 */
#ifndef PFS_PIPELINE_DAG_H
#define PFS_PIPELINE_DAG_H

#include "pipeline/pachfile.h"
#include "pipeline/pipelines.h"

/*
 * Whether `row` may read what `pf` names: every pipeline exists, starts from
 * the same commits as `row`, and does not itself depend on `row`.
 * PFS_E_NOTFOUND, PFS_E_INVALID, PFS_E_CONFLICT (naming the cycle).
 */
int pfs_dag_check_inputs(struct pfs_meta *m, const struct pfs_pipeline_row *row,
			 const struct pfs_pachfile *pf, struct pfs_error *err);

/* Whether those that read `row`'s output still start from the same commits. PFS_E_BUSY names one that would not. */
int pfs_dag_check_readers(struct pfs_meta *m, const struct pfs_pipeline_row *row,
			  struct pfs_error *err);

#endif
