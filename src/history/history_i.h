/*
 * The inside of history.
 */
#ifndef PFS_HISTORY_HISTORY_I_H
#define PFS_HISTORY_HISTORY_I_H

#include "history/history.h"
#include "history/seat.h"
#include "meta/meta.h"
#include "meta/txn.h"
#include "format/commitrec.h"
#include "store/store.h"
#include "workspace/workspace.h"

struct pfs_gc_report;
struct pfs_repack;

/* What events tell of things that were deleted since the last collection. */
struct pfs_deletions {
	uint64_t seen;   /* events up to here */
	int64_t last_ns; /* the newest one; 0: none */
};

struct pfs_history {
	struct pfs_meta *meta;   /* borrowed */
	struct pfs_store *store; /* borrowed */
	char *workspaces;        /* <data>/workspaces */
	struct pfs_seats seats;
	struct pfs_lock
		gc_lock; /* PFS_RANK_HISTORY_GC; whoever rewrites packs; protects all below */
	struct pfs_repack *repack; /* owned; NULL: not needed yet */
	struct pfs_deletions deletions;
};

/* A branch with the repo it is in. */
struct pfs_place {
	struct pfs_repo_row repo;
	struct pfs_branch_row branch;
};
int pfs_place_find(struct pfs_history *h, const char *repo, const char *branch,
		   struct pfs_place *out, struct pfs_error *err);

/* PFS_E_DENIED unless `as_owner` (NULL: a user) may write the branch. */
int pfs_place_check_owner(const struct pfs_place *at, const char *as_owner, struct pfs_error *err);

/* The tree of a branch's head; of an empty branch its first, empty directory. */
int pfs_place_root(struct pfs_history *h, const struct pfs_branch_row *branch, struct pfs_root *out,
		   struct pfs_error *err);

void pfs_root_from_row(const struct pfs_commit_row *row, struct pfs_root *out);

/* The workspace of a branch, counted: pfs_seats_drop. */
int pfs_place_seat(struct pfs_history *h, const struct pfs_place *at, struct pfs_seat **out,
		   struct pfs_error *err);

/* Who made a commit from what, and with which words: the caller's part of its record. */
struct pfs_sources {
	struct pfs_commitrec_source *list; /* owned; in the record's order */
	size_t n;
};
void pfs_sources_fini(struct pfs_sources *s);

/* Look every source up; PFS_E_NOTFOUND names the one that does not exist. */
int pfs_sources_find(struct pfs_history *h, const struct pfs_provenance *list, size_t n,
		     struct pfs_sources *out, struct pfs_error *err);

/* In a transaction: the rows of a commit's provenance. */
int pfs_sources_add(struct pfs_txn *txn, const struct pfs_commit_row *row,
		    const struct pfs_sources *sources, struct pfs_error *err);

/* What a commit was computed from, as its readers see it; free() it. */
int pfs_provenance_list(struct pfs_history *h, int64_t repo, const struct pfs_commit_id *id,
			struct pfs_provenance **out, size_t *out_n, struct pfs_error *err);

/* The bytes of the record of a commit. `parent` is NULL without one. */
int pfs_record_encode(const char *repo, const struct pfs_commit_row *parent,
		      const struct pfs_sources *sources, const struct pfs_commit_row *row,
		      struct pfs_buf *out, struct pfs_error *err);

/* Store the record of a commit; sets row->digest. `parent` is NULL without one. */
int pfs_record_put(struct pfs_history *h, const char *repo, const struct pfs_commit_row *parent,
		   const struct pfs_sources *sources, struct pfs_commit_row *row,
		   struct pfs_error *err);

/* A fresh random UUID. */
void pfs_uuid_new(unsigned char out[16]);

/* What a revision means in a repo that was found already. */
int pfs_rev_find(struct pfs_history *h, const struct pfs_repo_row *repo, const char *rev,
		 struct pfs_commit_id *out, struct pfs_error *err);

/* Rows as the callers of <pfs/commit.h> see them; takes the row's texts. */
int pfs_commit_from_row(struct pfs_history *h, const char *repo, struct pfs_commit_row *row,
			struct pfs_commit *out, struct pfs_error *err);

/* Whether a workspace differs from the head of its branch; the seat's commit lock is held. */
int pfs_seat_differs(struct pfs_history *h, struct pfs_seat *seat,
		     const struct pfs_branch_row *branch, bool *out, struct pfs_error *err);

/* A collection came to its end; `event` was the newest one when it began. The gc lock is held. */
void pfs_gc_note_end(struct pfs_history *h, uint64_t event, const struct pfs_gc_report *r);

/* In a transaction: a row, and the event that tells of it. */
int pfs_repo_add(struct pfs_txn *txn, const char *name, const char *owner, struct pfs_repo_row *out,
		 struct pfs_error *err);
int pfs_branch_add(struct pfs_txn *txn, const struct pfs_repo_row *repo, const char *name,
		   const char *owner, const struct pfs_commit_id *head, struct pfs_error *err);

#endif
