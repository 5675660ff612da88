/*
 * Commits: what a branch held at one moment, for ever.
 *
 * A commit's id is a UUID without dashes. An input commit and everything that
 * pipelines compute from it carry the same id in their own repos, so an id and
 * a repo name one commit: "wordcount@<id>" is the result for "books@<id>".
 * The record (pfs-commit(5)) binds root, parent, provenance and a digest over
 * all of that, so history is tamper-evident.
 *
 * Threads: any.
 */
#ifndef PFS_COMMIT_H
#define PFS_COMMIT_H

#include <pfs/branch.h>

#ifdef __cplusplus
extern "C" {
#endif

enum pfs_commit_origin {
	PFS_ORIGIN_USER = 1, /* somebody committed a branch */
	PFS_ORIGIN_AUTO = 2, /* a pipeline's output */
};

/* One commit that another was computed from. */
struct pfs_provenance {
	char repo[PFS_NAME_TEXT_SIZE];
	struct pfs_commit_id id;
};

struct pfs_commit {
	char repo[PFS_NAME_TEXT_SIZE];
	char branch[PFS_NAME_TEXT_SIZE]; /* the branch it was made on */
	struct pfs_commit_id id;
	bool has_parent;
	struct pfs_commit_id parent;
	enum pfs_commit_origin origin;
	int64_t started_ns, finished_ns; /* since 1970 */
	struct pfs_id root;              /* its tree; zero: empty */
	struct pfs_id digest;            /* of the record */
	uint64_t files;                  /* names in the tree, directories included */
	uint64_t size_bytes;
	char *message; /* owned; "" when there is none */
	char *error;   /* owned; NULL when all is well: why this output is not whole */
	struct pfs_provenance *provenance; /* owned */
	size_t n_provenance;
};

PFS_API void pfs_commit_fini(struct pfs_commit *c);
PFS_API void pfs_commits_free(struct pfs_commit **list, size_t n);

struct pfs_commit_options {
	size_t size;                    /* sizeof(struct pfs_commit_options) */
	const char *message;            /* NULL: none */
	const struct pfs_commit_id *id; /* NULL: a fresh one */
	enum pfs_commit_origin origin;  /* 0: USER */
	const struct pfs_provenance *provenance;
	size_t n_provenance;
	const char *error;    /* NULL: none; else the commit is made but is nobody's parent */
	const char *as_owner; /* the pipeline on whose behalf; NULL: a user */
};
#define PFS_COMMIT_OPTIONS_INIT                           \
	{                                                 \
		.size = sizeof(struct pfs_commit_options) \
	}

/*
 * Commit a branch: everything whose write returned before this call is in it.
 * Content is durable before the name is. Also when nothing changed: an empty
 * commit is a commit. PFS_E_NOTFOUND, PFS_E_EXISTS (id), PFS_E_DENIED (a
 * pipeline owns the branch), PFS_E_NOSPACE: nothing happened, nothing is lost.
 */
PFS_API int pfs_commit_branch(struct pfs_history *h, const char *repo, const char *branch,
			      const struct pfs_commit_options *options, struct pfs_commit_id *out,
			      struct pfs_error *err);

/*
 * Throw away what changed on a branch since its head. Whoever has a directory
 * of it open finds that one removed, whoever has a file open writes to one
 * without a name.
 */
PFS_API int pfs_commit_discard(struct pfs_history *h, const char *repo, const char *branch,
			       const char *as_owner, struct pfs_error *err);

/*
 * What a revision means: "master", "<id>", a unique prefix of an id (8 digits
 * or more), each followed by any of "^" "^N" (N-th parent) or ".N" (N-th commit
 * counted from the branch's first). A branch stands for its head;
 * PFS_E_NOTFOUND when it has none.
 */
PFS_API int pfs_rev_resolve(struct pfs_history *h, const char *repo, const char *rev,
			    struct pfs_commit_id *out, struct pfs_error *err);

/* One commit; `out` is filled on success and the caller calls pfs_commit_fini. */
PFS_API int pfs_commit_inspect(struct pfs_history *h, const char *repo, const char *rev,
			       struct pfs_commit *out, struct pfs_error *err);

/*
 * Newest first: all commits of a repo (`rev` NULL), or `rev` and its parents.
 * At most `max` (0: all). *out is owned: pfs_commits_free.
 */
PFS_API int pfs_commit_list(struct pfs_history *h, const char *repo, const char *rev, size_t max,
			    struct pfs_commit **out, size_t *out_n, struct pfs_error *err);

/* The commits of all repos that share one id, oldest first. */
PFS_API int pfs_commit_set(struct pfs_history *h, const struct pfs_commit_id *id,
			   struct pfs_commit **out, size_t *out_n, struct pfs_error *err);

/* One name that differs between two versions. */
struct pfs_change {
	char *path; /* owned */
	char op;    /* '+' added, '-' removed, 'M' changed: bytes, mode, owner or attributes */
	bool is_dir;
	uint64_t size_bytes;
};
PFS_API void pfs_changes_free(struct pfs_change **list, size_t n);

/* What changed on a branch since its head, in path order; at most `max` (0: all). */
PFS_API int pfs_commit_status(struct pfs_history *h, const char *repo, const char *branch,
			      size_t max, struct pfs_change **out, size_t *out_n,
			      struct pfs_error *err);

/* What differs from `from` (NULL: the parent of `to`) to `to`, in path order. */
PFS_API int pfs_commit_diff(struct pfs_history *h, const char *repo, const char *from,
			    const char *to, size_t max, struct pfs_change **out, size_t *out_n,
			    struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
