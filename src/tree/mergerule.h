/*
 * One name on three sides: what it shall be. The rule of merge.h, without a
 * store. Private to the room.
 *
 * Threads: values.
 */
#ifndef PFS_TREE_MERGERULE_H
#define PFS_TREE_MERGERULE_H

#include "tree/merge.h"

enum pfs_merge_verdict {
	PFS_VERDICT_OURS,
	PFS_VERDICT_THEIRS,
	PFS_VERDICT_MIXED,   /* a new entry */
	PFS_VERDICT_DESCEND, /* a new entry, but for the directory in it: merge the three */
	PFS_VERDICT_CONFLICT,
};

/* NULL: not there. *out is set for MIXED and DESCEND and borrows, *kind for CONFLICT. */
enum pfs_merge_verdict pfs_mergerule_decide(const struct pfs_entry *base,
					    const struct pfs_entry *ours,
					    const struct pfs_entry *theirs, struct pfs_entry *out,
					    enum pfs_conflict_kind *kind);

#endif
