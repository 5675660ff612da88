/*
 * Rows: what the tables of pfs-metadata(5) hold, as plain structs.
 *
 * A row without a fini function owns nothing; lists of it are one free().
 *
 * Threads: values.
 */
#ifndef PFS_META_ROWS_H
#define PFS_META_ROWS_H

#include "meta/room.h"
#include "base/id.h"
#include "base/limits.h"

#define PFS_ROW_NAME_SIZE   64 /* a repo, branch or pipeline name, terminated */
#define PFS_ROW_FOLDER_SIZE 40 /* a UUID in hexadecimal, terminated */
#define PFS_ROW_RUNNER_SIZE 128
#define PFS_ROW_REASON_SIZE PFS_ERROR_TEXT_SIZE

struct pfs_repo_row {
	int64_t id; /* never used again */
	char name[PFS_ROW_NAME_SIZE];
	char owner[PFS_ROW_NAME_SIZE]; /* pipeline, or "" */
	int64_t created_ns;
};

struct pfs_branch_row {
	int64_t id; /* survives a rename */
	int64_t repo;
	char name[PFS_ROW_NAME_SIZE];
	bool has_head;
	struct pfs_commit_id head;
	char folder[PFS_ROW_FOLDER_SIZE]; /* of its workspace */
	char owner[PFS_ROW_NAME_SIZE];    /* pipeline, or "" */
	int64_t created_ns;
};

struct pfs_commit_row {
	int64_t seq; /* order of all commits; set by pfs_txn_add_commit */
	int64_t repo;
	struct pfs_commit_id id;
	char branch[PFS_ROW_NAME_SIZE];
	uint64_t number; /* 1 for one without a parent, else the parent's plus 1 */
	bool has_parent;
	struct pfs_commit_id parent;
	int origin; /* enum pfs_commit_origin of <pfs/commit.h> */
	int64_t started_ns, finished_ns;
	struct pfs_id root; /* directory; zero: empty */
	uint16_t root_mode; /* attributes of the root directory itself */
	uint32_t root_uid, root_gid;
	int64_t root_mtime_sec;
	uint32_t root_mtime_nsec;
	struct pfs_id digest; /* of the record, pfs-commit(5) */
	uint64_t files, bytes;
	char *message; /* owned; "" when there is none */
	char *error;   /* owned; NULL when all is well */
};
void pfs_commit_row_fini(struct pfs_commit_row *row);
void pfs_commit_rows_free(struct pfs_commit_row **list, size_t n);

/* Of a commit, what it keeps in the store. */
struct pfs_commit_content_row {
	int64_t seq;
	int64_t repo;
	struct pfs_id root;   /* zero: empty */
	struct pfs_id digest; /* of the record */
};

/* One commit that another was computed from. The repo is a name: it may be gone by now. */
struct pfs_provenance_row {
	char repo[PFS_ROW_NAME_SIZE];
	struct pfs_commit_id id;
};

struct pfs_event_row {
	uint64_t number;
	char kind[32];
	char repo[PFS_ROW_NAME_SIZE];   /* or the pipeline */
	char branch[PFS_ROW_NAME_SIZE]; /* "" where it means nothing */
	struct pfs_commit_id commit;    /* or the job; zero where it means nothing */
	int64_t time_ns;
};

struct pfs_pipeline_row {
	char name[PFS_ROW_NAME_SIZE]; /* of the pipeline and of its output repo */
	char repo[PFS_ROW_NAME_SIZE]; /* whose commits start it */
	char branch[PFS_ROW_NAME_SIZE];
	uint32_t version;
	int64_t created_ns, updated_ns;
	char *text; /* owned, terminated: as it was given */
};
void pfs_pipeline_row_fini(struct pfs_pipeline_row *row);
void pfs_pipeline_rows_free(struct pfs_pipeline_row **list, size_t n);

/* A job is unfinished while finished_ns is 0; states mean nothing to this room. */
struct pfs_job_row {
	int64_t number; /* order of creation; set by pfs_txn_add_job */
	char pipeline[PFS_ROW_NAME_SIZE];
	struct pfs_commit_id id;
	uint32_t version; /* of the pipeline */
	int state;        /* enum pfs_job_state of <pfs/job.h> */
	uint32_t attempt;
	char repo[PFS_ROW_NAME_SIZE]; /* the input commit's */
	char branch[PFS_ROW_NAME_SIZE];
	char runner[PFS_ROW_RUNNER_SIZE];
	int64_t lease_until_ns; /* 0: none */
	int64_t created_ns, started_ns, finished_ns;
	char reason[PFS_ROW_REASON_SIZE]; /* longer ones are cut */
};

#endif
