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
	uint64_t left_bytes;                   /* of such in packs where rewriting does not pay */
	uint64_t packs_damaged; /* kept, since a live record in them cannot be read */
	bool stopped;           /* it was told to, before the end */
};

/*
 * Collect garbage. PFS_E_CORRUPT or PFS_E_NOTFOUND when a tree cannot be read
 * whole: then nobody knows what is garbage and nothing is removed.
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

/*
 * One bounded step of maintenance: index merges, adopted files compressed,
 * small objects bundled, garbage collected when the store has grown by much.
 * Reads and writes about `budget_bytes`. *out_more: there is more to do now.
 * Call it when nobody else needs the disk; `stop` as above, it may be NULL.
 */
PFS_API int pfs_instance_tidy(struct pfs_instance *pfs, uint64_t budget_bytes,
			      bool (*stop)(void *arg), void *stop_arg, bool *out_more,
			      struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
