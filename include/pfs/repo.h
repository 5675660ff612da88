/*
 * Repos: the top names of an instance.
 *
 * Threads: any.
 */
#ifndef PFS_REPO_H
#define PFS_REPO_H

#include <pfs/id.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_history; /* repos, branches and commits of one instance; pfs_instance_history() */

#define PFS_NAME_TEXT_SIZE 64 /* a repo, branch or pipeline name, terminated */

struct pfs_repo {
	char name[PFS_NAME_TEXT_SIZE];
	char owner[PFS_NAME_TEXT_SIZE]; /* the pipeline whose output it is, or "" */
	int64_t created_ns;             /* since 1970 */
	uint64_t branches;
	uint64_t commits;
	uint64_t size_bytes; /* files of the head of master, 0 without one */
};

/* Make an empty repo. PFS_E_EXISTS, PFS_E_INVALID (name), PFS_E_LIMIT. */
PFS_API int pfs_repo_create(struct pfs_history *h, const char *name, struct pfs_error *err);

/*
 * Forget a repo. Without `force` only one that has no commits and whose
 * workspaces are empty: PFS_E_NOTEMPTY otherwise. PFS_E_DENIED when a pipeline
 * owns it or reads it. Content goes with the next gc.
 */
PFS_API int pfs_repo_delete(struct pfs_history *h, const char *name, bool force,
			    struct pfs_error *err);

PFS_API int pfs_repo_inspect(struct pfs_history *h, const char *name, struct pfs_repo *out,
			     struct pfs_error *err);

/* All repos by name; *out is owned by the caller, free() it. */
PFS_API int pfs_repo_list(struct pfs_history *h, struct pfs_repo **out, size_t *out_n,
			  struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
