/*
 * Names that change: open, and read rows.
 *
 *	pfs_meta_* read        pfs_txn_* write (txn.h)
 *	      │                      │
 *	reader connections     the one writer, PFS_RANK_META
 *	      └───────── SQLite, WAL ────────┘
 *
 * A read outside a transaction sees what was last committed; a read by the
 * thread that has a transaction open sees what that transaction has done.
 * PFS_E_NOTFOUND of a `find` names what is missing. Lists are owned by the
 * caller: free() them, or the rows' own free function; an empty one is NULL.
 *
 * Threads: any.
 */
#ifndef PFS_META_META_H
#define PFS_META_META_H

#include "meta/room.h"
#include "meta/rows.h"

struct pfs_meta;

/*
 * Open the metadata in file `path`, made when it is not there; ":memory:" for
 * tests. PFS_E_UNSUPPORTED when a newer program wrote it.
 */
int pfs_meta_open(const char *path, struct pfs_meta **out, struct pfs_error *err);
void pfs_meta_close(struct pfs_meta **m);

/* Read every page of the file and say what is not as it was written; the number of complaints.
 * Writers wait. */
int64_t pfs_meta_check(struct pfs_meta *m, void (*damage)(void *arg, const char *text), void *arg);

/*
 * Make the database `to`, which is not there, of what can be read of the damaged
 * one `from`, which nobody has open. `lost` hears what could not be read whole and
 * is not in it: when that is repos, branches and commits, nothing is.
 */
int pfs_meta_rescue(const char *from, const char *to, void (*lost)(void *arg, const char *what),
		    void *arg, struct pfs_error *err);

/*
 * Read every row and hold rows and indexes against each other; each thing that
 * does not fit is told to `damage`. 1 when there was any, 0 when all fits.
 */
int pfs_meta_check_rows(struct pfs_meta *m, void (*damage)(void *arg, const char *text), void *arg,
			struct pfs_error *err);

/* Whether nothing was ever written here: no repo, and no event of one that went. */
int pfs_meta_is_new(struct pfs_meta *m, bool *out, struct pfs_error *err);

/* Repos. */
int pfs_meta_find_repo(struct pfs_meta *m, const char *name, struct pfs_repo_row *out,
		       struct pfs_error *err);
int pfs_meta_list_repos(struct pfs_meta *m, struct pfs_repo_row **out, size_t *out_n,
			struct pfs_error *err); /* by name */

struct pfs_repo_counts {
	uint64_t branches;
	uint64_t commits;
};
int pfs_meta_count_repo(struct pfs_meta *m, int64_t repo, struct pfs_repo_counts *out,
			struct pfs_error *err);

/* How many there are, without looking at commits: for limits. */
int pfs_meta_count_repos(struct pfs_meta *m, uint64_t *out, struct pfs_error *err);
int pfs_meta_count_branches(struct pfs_meta *m, int64_t repo, uint64_t *out, struct pfs_error *err);

/* The name of a pipeline that owns or reads repo `name`: 1 and the name, or 0. */
int pfs_meta_find_repo_user(struct pfs_meta *m, const char *name, char out[PFS_ROW_NAME_SIZE],
			    struct pfs_error *err);

/* Branches. */
int pfs_meta_find_branch(struct pfs_meta *m, int64_t repo, const char *name,
			 struct pfs_branch_row *out, struct pfs_error *err);
int pfs_meta_list_branches(struct pfs_meta *m, int64_t repo, struct pfs_branch_row **out,
			   size_t *out_n,
			   struct pfs_error *err); /* by name; repo 0: of all repos */

/* Whether a branch keeps its workspace in this folder. */
int pfs_meta_has_folder(struct pfs_meta *m, const char *folder, bool *out, struct pfs_error *err);

/* Commits; `out` rows need pfs_commit_row_fini. */
int pfs_meta_find_commit(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			 struct pfs_commit_row *out, struct pfs_error *err);
bool pfs_meta_has_commit(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id);

/* The one commit whose id starts with these hexadecimal digits; PFS_E_NOTFOUND, PFS_E_CONFLICT
 * when there are several. */
int pfs_meta_find_commit_prefix(struct pfs_meta *m, int64_t repo, const char *prefix,
				struct pfs_commit_id *out, struct pfs_error *err);

/* Of `id` and its line of parents, the one with this number. */
int pfs_meta_find_ancestor(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			   uint64_t number, struct pfs_commit_id *out, struct pfs_error *err);

/* Newest first, at most `max` (0: all). */
int pfs_meta_list_commits(struct pfs_meta *m, int64_t repo, size_t max, struct pfs_commit_row **out,
			  size_t *out_n, struct pfs_error *err);
/* `id` and its line of parents. */
int pfs_meta_list_ancestors(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			    size_t max, struct pfs_commit_row **out, size_t *out_n,
			    struct pfs_error *err);
/* Of all repos, those with this id, oldest first. */
int pfs_meta_list_commit_set(struct pfs_meta *m, const struct pfs_commit_id *id,
			     struct pfs_commit_row **out, size_t *out_n, struct pfs_error *err);
/*
 * What commits of all repos keep, in the order in which they came: at most `max`
 * of those after number `after`. Rows come in that order too, so who goes on
 * from the last one until there are no more has every commit that was there
 * then, but for those that went with their repo.
 */
int pfs_meta_list_contents(struct pfs_meta *m, int64_t after, size_t max,
			   struct pfs_commit_content_row **out, size_t *out_n,
			   struct pfs_error *err);
/* Of all repos, at most `max` of those behind number `after`, in the order in which they came. */
int pfs_meta_list_commits_after(struct pfs_meta *m, int64_t after, size_t max,
				struct pfs_commit_row **out, size_t *out_n, struct pfs_error *err);
/* The name of a repo that a row refers to. */
int pfs_meta_read_repo_name(struct pfs_meta *m, int64_t repo, char out[PFS_ROW_NAME_SIZE],
			    struct pfs_error *err);

/* What a commit was computed from, by repo name and id; and what was computed from it. */
int pfs_meta_list_provenance(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			     struct pfs_provenance_row **out, size_t *out_n, struct pfs_error *err);
int pfs_meta_list_derived(struct pfs_meta *m, const char *repo, const struct pfs_commit_id *id,
			  struct pfs_provenance_row **out, size_t *out_n, struct pfs_error *err);

/* Whether a commit can be reached from the head of a branch other than `but_branch` (0: any). */
int pfs_meta_reachable(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
		       int64_t but_branch, bool *out, struct pfs_error *err);

/* The number under which a reader of events remembers how far it came; 0 when it never did. */
int pfs_meta_read_cursor(struct pfs_meta *m, const char *name, uint64_t *out,
			 struct pfs_error *err);

/* Pipelines; `out` rows need pfs_pipeline_row_fini. */
int pfs_meta_find_pipeline(struct pfs_meta *m, const char *name, struct pfs_pipeline_row *out,
			   struct pfs_error *err);
int pfs_meta_list_pipelines(struct pfs_meta *m, struct pfs_pipeline_row **out, size_t *out_n,
			    struct pfs_error *err); /* by name */
/* The text of a pipeline in one of its versions; *out is owned. */
int pfs_meta_find_pipeline_text(struct pfs_meta *m, const char *name, uint32_t version, char **out,
				struct pfs_error *err);
/* Pipelines that a commit on repo@branch starts, by name. */
int pfs_meta_list_pipelines_on(struct pfs_meta *m, const char *repo, const char *branch,
			       struct pfs_pipeline_row **out, size_t *out_n, struct pfs_error *err);

struct pfs_row_name {
	char name[PFS_ROW_NAME_SIZE];
};
/* Whose output a pipeline reads, and which pipelines read its output; by name. */
int pfs_meta_list_upstream(struct pfs_meta *m, const char *pipeline, struct pfs_row_name **out,
			   size_t *out_n, struct pfs_error *err);
int pfs_meta_list_downstream(struct pfs_meta *m, const char *pipeline, struct pfs_row_name **out,
			     size_t *out_n, struct pfs_error *err);

/* Jobs. */
int pfs_meta_find_job(struct pfs_meta *m, const char *pipeline, const struct pfs_commit_id *id,
		      struct pfs_job_row *out, struct pfs_error *err);

struct pfs_job_query {
	const char *pipeline;           /* NULL: of all */
	const struct pfs_commit_id *id; /* NULL: any */
	int state;                      /* 0: any */
	bool unfinished;                /* only those */
	bool oldest_first;              /* else newest first */
	size_t max;                     /* 0: all */
};
int pfs_meta_list_jobs(struct pfs_meta *m, const struct pfs_job_query *query,
		       struct pfs_job_row **out, size_t *out_n, struct pfs_error *err);

/* Of each pipeline its oldest unfinished job, oldest first: what may be claimed next. */
int pfs_meta_list_next_jobs(struct pfs_meta *m, struct pfs_job_row **out, size_t *out_n,
			    struct pfs_error *err);

#endif
