/*
 * Repos, branches and commits of one instance: what the rooms above need
 * besides <pfs/repo.h>, <pfs/branch.h>, <pfs/commit.h> and <pfs/event.h>.
 *
 *	repo ── branch ── head ──▶ commit ──▶ root ──▶ tree
 *	           └────── workspace: what changed since
 *
 * Threads: any. Locks: PFS_RANK_HISTORY_COMMIT (one a branch, held while it is
 * committed or discarded), PFS_RANK_HISTORY (the table), then those of the rooms below.
 */
#ifndef PFS_HISTORY_HISTORY_H
#define PFS_HISTORY_HISTORY_H

#include "history/room.h"
#include <pfs/event.h>

/* Not included: who comes through this door need not have the keys of the rooms behind it. */
struct pfs_meta;
struct pfs_root;
struct pfs_store;
struct pfs_txn;
struct pfs_workspace;

/* `store` and `meta` are borrowed and outlive the history; workspaces are kept in <data>/workspaces. */
int pfs_history_open(struct pfs_meta *meta, struct pfs_store *store, const char *data,
		     struct pfs_history **out, struct pfs_error *err);

/* Makes open workspaces durable and closes them. All borrowed ones must have been released. */
void pfs_history_close(struct pfs_history **h);

/* Journal what is older than a few seconds in open workspaces, close long unused ones. */
int pfs_history_tick(struct pfs_history *h, struct pfs_error *err);
/* The same with all of it. */
int pfs_history_flush(struct pfs_history *h, struct pfs_error *err);

/* A step of scrubbing, as pfs_instance_scrub(). */
struct pfs_scrub_options;
struct pfs_scrub_state;
int pfs_history_scrub(struct pfs_history *h, const struct pfs_scrub_options *options,
		      struct pfs_scrub_state *out, struct pfs_error *err);

/* How far it has come; nothing is read. */
int pfs_history_scrubbed(struct pfs_history *h, struct pfs_scrub_state *out,
			 struct pfs_error *err);

/* A step of tidying, as pfs_instance_tidy(); waits while a collection runs. */
struct pfs_tidy_options;
struct pfs_tidy_report;
int pfs_history_tidy(struct pfs_history *h, const struct pfs_tidy_options *options,
		     struct pfs_tidy_report *out, struct pfs_error *err);

/* As pfs_instance_upkeep(). */
struct pfs_upkeep;
int pfs_history_upkeep(struct pfs_history *h, struct pfs_upkeep *out, struct pfs_error *err);

/*
 * The workspace of a branch, opened if it is not open; it stays so until the
 * release. The branch may be renamed meanwhile; when it is deleted the
 * workspace stays readable until it is released, and then goes.
 */
int pfs_history_workspace(struct pfs_history *h, const char *repo, const char *branch,
			  struct pfs_workspace **out, struct pfs_error *err);
void pfs_history_release(struct pfs_history *h,
			 struct pfs_workspace **ws); /* stores NULL; NULL inside is fine */

/* The tree of a commit. */
int pfs_history_commit_root(struct pfs_history *h, const char *repo, const struct pfs_commit_id *id,
			    struct pfs_root *out, struct pfs_error *err);

/*
 * In an open transaction: make repo and branch and let pipeline `owner` alone
 * write them; what is there and already its own is kept. PFS_E_EXISTS when the
 * repo is there and not the owner's.
 */
int pfs_history_add_output(struct pfs_history *h, struct pfs_txn *txn, const char *repo,
			   const char *branch, const char *owner, struct pfs_error *err);

/* In an open transaction: from now on `repo` and its branches are nobody's. */
int pfs_history_drop_owner(struct pfs_history *h, struct pfs_txn *txn, const char *repo,
			   struct pfs_error *err);

/* Borrowed for the life of the history. */
struct pfs_store *pfs_history_store(struct pfs_history *h);
struct pfs_meta *pfs_history_meta(struct pfs_history *h);

#endif
