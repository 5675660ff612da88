/*
 * Looking after an instance: what is garbage and how it goes, what deleting
 * something would give back, and what the store does in its spare time.
 *
 * Content is garbage when no commit and no workspace names it: after a repo was
 * deleted, after a commit that failed half way, after a file was looked at by
 * status and then changed. Collecting it never stops a writer or a reader and
 * can be stopped at any point, by a crash too; the next one starts over.
 *
 * Threads: any; one collection at a time, the next one waits.
 */
#ifndef PFS_ADMIN_H
#define PFS_ADMIN_H

#include <pfs/commit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_instance;

struct pfs_gc_options {
	size_t size;             /* sizeof(struct pfs_gc_options) */
	bool dry_run;            /* find out, change nothing */
	bool thorough;           /* rewrite every pack with any garbage, not only where it pays */
	bool (*stop)(void *arg); /* asked now and then, true ends it early; NULL: never */
	void *stop_arg;
};
#define PFS_GC_OPTIONS_INIT                           \
	{                                             \
		.size = sizeof(struct pfs_gc_options) \
	}

/* Bytes are those on disk: header, payload and padding of a record and its line in the footer. */
struct pfs_gc_report {
	uint64_t live_objects, live_bytes;
	uint64_t dead_objects, dead_bytes;     /* named by nothing */
	uint64_t double_objects, double_bytes; /* stored again since; this is the older copy */
	uint64_t packs;                        /* looked at */
	uint64_t packs_removed;                /* dry run: that would be */
	uint64_t copied_bytes;                 /* of live records in those */
	uint64_t freed_bytes;                  /* of dead and double records in those */
	uint64_t left_bytes;    /* of such in packs where rewriting does not pay, or failed */
	uint64_t packs_damaged; /* kept, since a live record in them cannot be read */
	bool stopped;           /* it was told to, before the end */
};

/*
 * Collect garbage. PFS_E_CORRUPT when a tree cannot be read whole: then nobody
 * knows what is garbage and nothing is removed.
 */
PFS_API int pfs_gc_run(struct pfs_history *h, const struct pfs_gc_options *options,
		       struct pfs_gc_report *out, struct pfs_error *err);

/* What only the thing asked about keeps: to the byte, if nothing else changes. */
struct pfs_gc_share {
	uint64_t objects;
	uint64_t store_bytes;     /* that a thorough collection would give back afterwards */
	uint64_t workspace_bytes; /* of files that are not committed, given back at once */
};

/*
 * What deleting a repo (`branch` NULL) or one branch of it would free. Commits
 * stay with their repo, so a branch by itself keeps its workspace and little else.
 */
PFS_API int pfs_gc_would_free(struct pfs_history *h, const char *repo, const char *branch,
			      struct pfs_gc_share *out, struct pfs_error *err);

/* How closely to look. Each level has what is in those before it. */
enum pfs_fsck_level {
	/* The superblock, headers and footers of packs, the database, the record of each commit. */
	PFS_FSCK_QUICK = 1,
	/* That everything that commits and workspaces lead to is there. */
	PFS_FSCK_REACH = 2,
	/* Every byte of every pack. */
	PFS_FSCK_FULL = 3,
};

enum pfs_finding_kind {
	PFS_FINDING_DAMAGE = 1,   /* bytes that are not what was written, with file and place */
	PFS_FINDING_MISSING = 2,  /* something that a commit or workspace needs cannot be read */
	PFS_FINDING_NAMES = 3,    /* names and content contradict each other */
	PFS_FINDING_AFFECTED = 4, /* a path that cannot be read whole because of what is missing */
	PFS_FINDING_MENDED = 5,   /* and now it is right again */
	PFS_FINDING_NOTE = 6,     /* worth knowing, nothing wrong */
};

/* Texts are borrowed for the call. */
struct pfs_finding {
	enum pfs_finding_kind kind;
	const char *text; /* one line for people, without an end of line */

	/* AFFECTED: the path and the commits in which it is so; or none, and the branch on which it is
	 * not committed. */
	const char *repo;
	const char *branch; /* NULL: in commits */
	const char *path;
	struct pfs_commit_id first, last;
	uint64_t commits;
};

struct pfs_fsck_options {
	size_t size;               /* sizeof(struct pfs_fsck_options) */
	enum pfs_fsck_level level; /* 0: REACH */
	bool repair;               /* mend what can be mended, see pfs_fsck_run() */
	bool rebuild_index;        /* make the index of the store anew from its packs first */
	void (*report)(void *arg, const struct pfs_finding *finding); /* NULL: count only */
	void *arg;
	bool (*stop)(void *arg); /* asked now and then, true ends it early; NULL: never */
	void *stop_arg;
};
#define PFS_FSCK_OPTIONS_INIT                           \
	{                                               \
		.size = sizeof(struct pfs_fsck_options) \
	}

struct pfs_fsck_report {
	enum pfs_fsck_level level; /* at which it looked: where damage is known, REACH at least */
	uint64_t packs, objects, commits; /* there are */
	uint64_t damages;                 /* findings of these kinds ... */
	uint64_t missing;                 /* MISSING findings are fewer when there are very many */
	uint64_t names;
	uint64_t affected; /* paths; AFFECTED findings are fewer when there are very many */
	uint64_t mended;
	uint64_t remaining;    /* ... and how many of MISSING and NAMES are left: */
	uint64_t left_objects; /* content of commits and workspaces */
	uint64_t left_records; /* of commits */
	uint64_t left_files;   /* bytes that were not committed, or journals of such */
	uint64_t left_names;
	uint64_t unnamed_records; /* commit records that no name leads to: of deleted repos */
	bool stopped;             /* it was told to, before the end */
};

/*
 * Look for damage, in an instance that is in use. 0 when it could look, whatever
 * it found.
 *
 * To repair: what is damaged and whole in another pack, in a file that is not
 * committed yet, or in the other copy of the superblock, is stored anew; a
 * commit that names lead to and that has lost its row gets it back from its
 * record; all commits get theirs back when the names are lost altogether, but
 * for repos of which the store has not one file. A record that is lost is made
 * anew from its row. What cannot be mended is told and left as it is. Packs in
 * which damage was found, by this look or an earlier one, are rewritten without it (MENDED), or kept (NOTE) when something that is
 * missing may be in them, or for want of room: then the next look tells of the
 * damage again.
 */
PFS_API int pfs_fsck_run(struct pfs_history *h, const struct pfs_fsck_options *options,
			 struct pfs_fsck_report *out, struct pfs_error *err);

/* The same for a data folder that no process has open, also one that pfs_open() refuses. */
PFS_API int pfs_fsck_data(const char *data, const struct pfs_fsck_options *options,
			  struct pfs_fsck_report *out, struct pfs_error *err);

/* What there is, in figures: exact, and nothing is read for it but the folders of workspaces. */
struct pfs_stats {
	uint64_t repos, branches, commits;
	uint64_t
		head_bytes; /* of the files in the newest commits of all branches, as they are read */
	uint64_t workspace_bytes; /* on disk, of what is not committed; with the journals */

	uint64_t objects;
	uint64_t object_bytes; /* before compression */
	uint64_t deltas;       /* objects kept as what they have beyond another one */
	uint64_t bundled;      /* objects kept with others in one record */
	uint64_t packs;
	uint64_t pack_bytes;                   /* on disk, adopted files with them */
	uint64_t adopted_files, adopted_bytes; /* packs that are files as they were */
	uint64_t known_damages;                /* in packs, found by reading, scrub or fsck */
	uint64_t index_bytes, index_memory;    /* on disk, and not */
	uint64_t index_rebuilds;               /* since the instance was opened */
};
PFS_API int pfs_stats_read(struct pfs_history *h, struct pfs_stats *out, struct pfs_error *err);

/*
 * Scrubbing: every byte of the store, a piece at a time, for ever. Reads about
 * `budget_bytes`, a pack at least, and goes on where the last step ended, also
 * after a restart.
 */
struct pfs_scrub_options {
	size_t size;           /* sizeof(struct pfs_scrub_options) */
	uint64_t budget_bytes; /* 0: one pack */
	void (*report)(void *arg,
		       const char *damage); /* file, place and what is wrong; NULL: count */
	bool (*stop)(void *arg);            /* asked often, true ends it early; NULL: never */
	void *arg;
};
#define PFS_SCRUB_OPTIONS_INIT                           \
	{                                                \
		.size = sizeof(struct pfs_scrub_options) \
	}

struct pfs_scrub_state {
	uint64_t rounds; /* times all packs were read */
	uint32_t pack;   /* the number of the pack read last in this round; 0: it just began */
	int64_t round_began_ns; /* 0: never */
	int64_t round_ended_ns; /* of the last whole round; 0: never */
	uint64_t damages;       /* found in this round so far */
	uint64_t last_damages;  /* found in the last whole round */
	uint64_t read_bytes;    /* by this step */
};
PFS_API int pfs_instance_scrub(struct pfs_instance *pfs, const struct pfs_scrub_options *options,
			       struct pfs_scrub_state *out, struct pfs_error *err);

/*
 * Tidying: one bounded step of what makes the store smaller and faster and
 * waits for nobody. Index runs are merged; adopted files whose bytes compress
 * are compressed; small chunks are bundled. Reads about `budget_bytes`.
 */
struct pfs_tidy_options {
	size_t size;             /* sizeof(struct pfs_tidy_options) */
	uint64_t budget_bytes;   /* 0: 16 MiB */
	int64_t rest_ns;         /* packs younger than this stay as they are for now */
	bool (*stop)(void *arg); /* asked often, true ends it early; NULL: never */
	void *stop_arg;
};
#define PFS_TIDY_OPTIONS_INIT                           \
	{                                               \
		.size = sizeof(struct pfs_tidy_options) \
	}

struct pfs_tidy_report {
	uint64_t packs_seen;      /* looked at, whether they are worth rewriting */
	uint64_t packs_rewritten; /* and gone */
	uint64_t packs_damaged;   /* they stay, since something in them cannot be read */
	uint64_t packs_postponed; /* the disk has no room for the old and the new one */
	uint64_t read_bytes, written_bytes;
	uint64_t
		freed_bytes; /* the size of what is gone; without written_bytes that is what is saved */
	bool more;           /* there is more to do at once */
};
PFS_API int pfs_instance_tidy(struct pfs_instance *pfs, const struct pfs_tidy_options *options,
			      struct pfs_tidy_report *out, struct pfs_error *err);

/* What was done to an instance last, and how far it has come; from memory and a few rows. */
struct pfs_upkeep {
	struct pfs_scrub_state scrub;
	int64_t gc_ended_ns;     /* the last collection that came to its end; 0: there was none */
	uint64_t gc_freed_bytes; /* by it */
	uint64_t gc_left_bytes;  /* garbage that it left, since rewriting did not pay */
};
PFS_API int pfs_instance_upkeep(struct pfs_instance *pfs, struct pfs_upkeep *out,
				struct pfs_error *err);

/*
 * Whether a collection is called for: some time ago something was deleted, or
 * the last one was long ago and something has changed since. 1 and the reason,
 * else 0. An instance that never had a collection counts from now.
 */
struct pfs_gc_policy {
	size_t size;      /* sizeof(struct pfs_gc_policy) */
	int64_t every_ns; /* so long after the last one; 0: never */
	int64_t rest_ns;  /* so long after the last deletion; more may follow; negative: never */
};
PFS_API int pfs_gc_is_due(struct pfs_history *h, const struct pfs_gc_policy *policy,
			  const char **out_why, struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
