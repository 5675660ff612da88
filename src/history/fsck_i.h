/*
 * The inside of fsck: one look at an instance, and what it gathers.
 *
 *	fsck.c          the order of things; packs, database, what is reached
 *	fsck_names.c    rows and records: do they say the same, which rows are lost
 *	fsck_remains.c  of repos that only records tell of: is there anything to read
 *	fsck_spaces.c   what is not committed, and by path what of it is missing
 *	fsck_trace.c    what is missing from commits, by path
 *	fsck_mend.c     from where it comes back
 *	fsck_records.c  records of commits, from their rows
 *
 * Threads: one at a time per look.
 */
#ifndef PFS_HISTORY_FSCK_I_H
#define PFS_HISTORY_FSCK_I_H

#include "history/history_i.h"
#include "base/idset.h"
#include "base/map.h"
#include <pfs/admin.h>

#define PFS_FSCK_ALIKE_MAX 20u /* findings of one sort that are told; the others are counted */

struct pfs_fsck {
	struct pfs_history *h;
	const struct pfs_fsck_options *how;
	struct pfs_fsck_report *out;
	bool silent; /* count, and tell nobody: the look after mending ... */
	bool anew;   /* ... but what is missing, when there were no names to look for it before */

	uint64_t bad_pages;       /* of the database, or rows that do not fit */
	bool index_wrong;         /* it does not agree with a pack */
	bool complete;            /* all that anybody needs was found whole, after mending */
	bool names_lost;          /* nothing was ever written to the metadata */
	struct pfs_idset lost;    /* objects that are needed, or were, and cannot be read */
	struct pfs_idset told;    /* of these, what was told as missing */
	struct pfs_idset seen;    /* nodes that were looked below */
	struct pfs_idset records; /* digests that rows name */
	uint64_t missed[PFS_KIND_XATTRS + 1]; /* of MISSING, by kind of object ... */
	uint64_t missed_files;                /* ... and what of workspaces is no object */
	uint64_t copied;                      /* objects of which another copy was found */
	uint64_t gone_for_good; /* what was not committed, is lost, and will not be told of again */

	/* Commits that names lead to and that have no row. */
	struct pfs_lost_row {
		int64_t repo;
		struct pfs_commit_id id;
	} * rows; /* owned */
	size_t n_rows, cap_rows;

	int64_t *lacking; /* owned; repos of which something is missing, with `anew` */
	size_t n_lacking;

	/* What is being looked at, for messages. */
	const struct pfs_commit_row *row;
	const char *who; /* "repo@commit", "workspace ..." */
};

/* Tell a finding, a line of text. */
void pfs_fsck_tell(struct pfs_fsck *f, enum pfs_finding_kind kind, const char *fmt, ...)
	PFS_PRINTF(3, 4);

/* The same for one of very many that are alike: the first ones are told, all are counted. */
void pfs_fsck_tell_some(struct pfs_fsck *f, uint64_t *so_far, enum pfs_finding_kind kind,
			const char *fmt, ...) PFS_PRINTF(4, 5);

/* How many of those were not told. */
void pfs_fsck_tell_rest(struct pfs_fsck *f, uint64_t so_far, enum pfs_finding_kind kind,
			const char *one, const char *many);

bool pfs_fsck_stopped(struct pfs_fsck *f);

/*
 * An object cannot be read: remember it and tell of it once. Not when the commit
 * that needs it was deleted while we looked.
 */
int pfs_fsck_miss(struct pfs_fsck *f, enum pfs_kind kind, const struct pfs_id *id, const char *why,
		  struct pfs_error *err);

/* The record of f->row: there, and saying what the row says. */
int pfs_fsck_check_record(struct pfs_fsck *f, struct pfs_error *err);

/* Branches, and records that no row names. */
int pfs_fsck_check_names(struct pfs_fsck *f, struct pfs_error *err);

/*
 * Give rows back to commits that have lost them. Where all names are lost,
 * also repos and branches, and to branches their workspaces; those that fit to
 * no branch are moved to <data>/lost, where nothing removes them.
 */
int pfs_fsck_mend_names(struct pfs_fsck *f, struct pfs_error *err);

/* Of repos that only records tell of, what the store has. */
struct pfs_remains {
	struct pfs_map repos; /* by name; owns what it leads to */
};
void pfs_remains_fini(struct pfs_remains *r); /* of one with an initialised map */
int pfs_remains_look(struct pfs_fsck *f, struct pfs_remains *r, const struct pfs_commitrec *rec,
		     struct pfs_error *err);

/* Whether it has commits with files, and no byte of these is there. */
bool pfs_remains_nothing(const struct pfs_remains *r, const char *repo);

/* Name those. */
void pfs_remains_tell(struct pfs_fsck *f, const struct pfs_remains *r);

/* Repos that came back and are not whole: noted by the look after mending. */
int pfs_fsck_note_lacking(struct pfs_fsck *f, int64_t repo, struct pfs_error *err);
void pfs_fsck_tell_lacking(struct pfs_fsck *f, const struct pfs_fsck *again);

/* One object and what is below it, all of which f->who needs. */
int pfs_fsck_look_below(struct pfs_fsck *f, enum pfs_kind kind, const struct pfs_id *id,
			struct pfs_error *err);

/*
 * What is not committed: what workspaces need of the store, their files, their
 * journals. With f->how->repair a workspace of which bytes or the journal are
 * lost can be opened again.
 */
int pfs_fsck_check_spaces(struct pfs_fsck *f, struct pfs_error *err);

/* Paths that need what is lost: in commits, in workspaces. */
int pfs_fsck_trace(struct pfs_fsck *f, struct pfs_error *err);
int pfs_fsck_trace_spaces(struct pfs_fsck *f, struct pfs_error *err);

/* Move a workspace that is not open to <data>/lost; *out_to is where it is, the caller's. */
int pfs_fsck_put_aside(struct pfs_fsck *f, const char *folder, char **out_to,
		       struct pfs_error *err);

/* Adopted files that lost their table get another one. */
int pfs_fsck_mend_tables(struct pfs_fsck *f, struct pfs_error *err);

/* Store anew what is lost and still somewhere. */
int pfs_fsck_mend_content(struct pfs_fsck *f, struct pfs_error *err);

/* Make lost records of commits anew from their rows. */
int pfs_fsck_mend_records(struct pfs_fsck *f, struct pfs_error *err);

/* Rewrite the packs in which damage was found, as far as nothing is lost by it. */
int pfs_fsck_renew(struct pfs_fsck *f, struct pfs_error *err);

/* Call `each` for all rows of commits, oldest first, f->row and f->who set. */
int pfs_fsck_each_commit(struct pfs_fsck *f,
			 int (*each)(struct pfs_fsck *f, void *arg, struct pfs_error *err),
			 void *arg, struct pfs_error *err);

#endif
