/*
 * The nouns of <pfs/admin.h> as lines of JSON, as facts.h.
 *
 * pfs has a copy of it: looking at a data folder without pfsd it says the same.
 *
 * Threads: any.
 */
#ifndef PFS_DAEMON_FACTS_ADMIN_H
#define PFS_DAEMON_FACTS_ADMIN_H

#include "base/json.h"
#include <pfs/admin.h>

/* Each appends one line. */
int pfs_facts_gc(const struct pfs_gc_report *r, bool dry_run, struct pfs_buf *out,
		 struct pfs_error *err);
int pfs_facts_share(const struct pfs_gc_share *s, struct pfs_buf *out, struct pfs_error *err);

int pfs_facts_tidy(const struct pfs_tidy_report *r, bool stopped, struct pfs_buf *out,
		   struct pfs_error *err);

/* Objects "names", "store", "index", "garbage" and "scrub", set in `v`. */
int pfs_facts_stats(const struct pfs_stats *s, const struct pfs_upkeep *u, json_t *v,
		    struct pfs_error *err);

/* Findings, and behind them the report or why there is none. */
int pfs_facts_finding(const struct pfs_finding *f, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_fsck(const struct pfs_fsck_report *r, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_failure(int rc, const struct pfs_error *why, struct pfs_buf *out,
		      struct pfs_error *err);

/* "quick", "reach", "full". PFS_E_INVALID names them. */
int pfs_fsck_level_parse(const char *text, enum pfs_fsck_level *out, struct pfs_error *err);

#endif
