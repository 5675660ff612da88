/*
 * Pipelines: programs in containers that run when what they read is committed.
 *
 * Written as a Pachfile (pfs-pipeline(5)). A pipeline reads one branch of one
 * repo, and outputs of other pipelines; it writes the branch of the same name
 * of a repo that bears the pipeline's name.
 *
 * Threads: any.
 */
#ifndef PFS_PIPELINE_H
#define PFS_PIPELINE_H

#include <pfs/commit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_pipelines; /* pipelines and jobs of one instance; pfs_instance_pipelines() */

struct pfs_pipeline {
	char name[PFS_NAME_TEXT_SIZE];
	char repo[PFS_NAME_TEXT_SIZE]; /* whose commits start it */
	char branch[PFS_NAME_TEXT_SIZE];
	uint32_t version; /* from 1; each update adds one */
	int64_t created_ns, updated_ns;
	char *text; /* owned: the Pachfile as it was given */
};
PFS_API void pfs_pipeline_fini(struct pfs_pipeline *p);
PFS_API void pfs_pipelines_free(struct pfs_pipeline **list, size_t n);

/*
 * Record a pipeline, or replace it; does not run it. The text is checked whole:
 * PFS_E_INVALID names the line and what is wrong with it, and nothing changes.
 * PFS_E_NOTFOUND: no such repo, or an input pipeline that does not exist;
 * PFS_E_CONFLICT: it would feed itself; PFS_E_EXISTS: a repo of that name
 * exists that is no pipeline's.
 */
PFS_API int pfs_pipeline_put(struct pfs_pipelines *p, const char *name, const char *repo,
			     const char *branch, const char *text, size_t len,
			     struct pfs_error *err);

/*
 * Whether put would record it once the repo it reads is there: fails as put would,
 * and changes nothing.
 */
PFS_API int pfs_pipeline_check(struct pfs_pipelines *p, const char *name, const char *repo,
			       const char *branch, const char *text, size_t len,
			       struct pfs_error *err);

PFS_API int pfs_pipeline_inspect(struct pfs_pipelines *p, const char *name,
				 struct pfs_pipeline *out, struct pfs_error *err);
PFS_API int pfs_pipeline_list(struct pfs_pipelines *p, struct pfs_pipeline **out, size_t *out_n,
			      struct pfs_error *err);

/* Stop its jobs and forget it. Its output repo stays, and is an ordinary repo from then on.
 * PFS_E_BUSY when another pipeline reads it. */
PFS_API int pfs_pipeline_delete(struct pfs_pipelines *p, const char *name, struct pfs_error *err);

/* Look at new events and make the jobs they call for; returns the number of events seen.
 * Safe to repeat and to interrupt: the cursor moves in the transaction that makes the jobs. */
PFS_API int pfs_planner_turn(struct pfs_pipelines *p, struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
