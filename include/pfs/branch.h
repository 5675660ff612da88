/*
 * Branches: a name for a head commit, and a workspace with what changed since.
 *
 * Threads: any.
 */
#ifndef PFS_BRANCH_H
#define PFS_BRANCH_H

#include <pfs/repo.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_branch {
	char name[PFS_NAME_TEXT_SIZE];
	char repo[PFS_NAME_TEXT_SIZE];
	char owner[PFS_NAME_TEXT_SIZE]; /* the pipeline that alone may write it, or "" */
	bool has_head;
	struct pfs_commit_id head;
	int64_t created_ns;
};

/*
 * Make a branch. `rev` is what it starts from (pfs_rev_resolve's words), NULL
 * or "" for an empty branch. Costs the same whatever the size of the commit.
 * PFS_E_EXISTS, PFS_E_NOTFOUND (repo, rev), PFS_E_INVALID.
 */
PFS_API int pfs_branch_create(struct pfs_history *h, const char *repo, const char *name,
			      const char *rev, struct pfs_error *err);

/*
 * Drop the name and what was not committed; its commits stay. Without `force`
 * only when the workspace has no uncommitted change and no commit would lose
 * its only name: PFS_E_NOTEMPTY otherwise.
 */
PFS_API int pfs_branch_delete(struct pfs_history *h, const char *repo, const char *name, bool force,
			      struct pfs_error *err);

PFS_API int pfs_branch_rename(struct pfs_history *h, const char *repo, const char *from,
			      const char *to, struct pfs_error *err);

PFS_API int pfs_branch_inspect(struct pfs_history *h, const char *repo, const char *name,
			       struct pfs_branch *out, struct pfs_error *err);

/* All branches of a repo by name; *out is owned by the caller, free() it. */
PFS_API int pfs_branch_list(struct pfs_history *h, const char *repo, struct pfs_branch **out,
			    size_t *out_n, struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
