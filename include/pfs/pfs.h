/*
 * pfs: a file system that remembers. One instance is one data folder.
 *
 *	struct pfs_instance *pfs;
 *	if (pfs_open("/var/lib/pfs", &pfs, &err) < 0)
 *		...
 *	pfs_repo_create(pfs_instance_history(pfs), "books", &err);
 *	pfs_close(&pfs);
 */
#ifndef PFS_H
#define PFS_H

#include <pfs/admin.h>
#include <pfs/branch.h>
#include <pfs/commit.h>
#include <pfs/error.h>
#include <pfs/event.h>
#include <pfs/id.h>
#include <pfs/job.h>
#include <pfs/pipeline.h>
#include <pfs/repo.h>
#include <pfs/view.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_instance;

/*
 * Open the instance in folder `data`, made when it is not there. PFS_E_BUSY
 * when another process has it.
 */
PFS_API int pfs_open(const char *data, struct pfs_instance **out, struct pfs_error *err);

/* Make what is in workspaces durable, let go. Commits nothing. */
PFS_API void pfs_close(struct pfs_instance **pfs);

/* The parts; borrowed until pfs_close. */
PFS_API struct pfs_history *pfs_instance_history(struct pfs_instance *pfs);
PFS_API struct pfs_view *pfs_instance_view(struct pfs_instance *pfs);
PFS_API struct pfs_pipelines *pfs_instance_pipelines(struct pfs_instance *pfs);

/* Whether there was none in its folder when it was opened. */
PFS_API bool pfs_instance_is_new(const struct pfs_instance *pfs);

/* What was found wrong when it was opened, does not keep it from working, and should be mended; NULL:
 * nothing. */
PFS_API const char *pfs_instance_warning(struct pfs_instance *pfs);

/* Persist what is older than a few seconds in workspaces; call it every second or so. */
PFS_API int pfs_instance_tick(struct pfs_instance *pfs, struct pfs_error *err);

/* The same now, with all that there is: what fails here a close would lose. */
PFS_API int pfs_instance_flush(struct pfs_instance *pfs, struct pfs_error *err);

/* "0.1.0" */
PFS_API const char *pfs_version(void);

#ifdef __cplusplus
}
#endif
#endif
