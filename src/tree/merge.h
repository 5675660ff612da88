/*
 * Three directories become one: what both sides changed since their base.
 *
 *	base ──┬──▶ ours ───┐
 *	       └──▶ theirs ─┴──▶ merged, and the conflicts on the way
 *
 * Name by name, recursively, and only where ours and theirs differ: subtrees
 * that are equal, or that one side left alone, are taken whole and not read.
 *
 *	changed on one side                  that side's
 *	changed on both to the same          that
 *	directories on both                  each name in them, likewise
 *	content changed on one side only,    content of that side, attributes of the
 *	  attributes on the other            other
 *	same attribute changed on both       that of the side with the newer mtime
 *	gone here, changed there;            a conflict: the policy decides, and it is
 *	  two types; two contents            noted
 *
 * Mode, owner, mtime, extended attributes and hard-link group are one
 * attribute each. Equal times: the side whose mode, owner, attributes, group
 * are the larger ones, in this order. A directory that is gone on one side
 * and changed inside on the other is one conflict, at the directory.
 *
 * Where a name with a hard-link group differs, the groups of the whole result are
 * settled in the end (links.h): that reads every directory. A name that one side
 * added to a file that the other side changed becomes a name of the changed file.
 *
 * Which side is called ours matters to the policy and to the labels, to nothing
 * else. Cost follows what ours and theirs changed, never the size of the
 * directories; memory is bounded, PFS_MERGE_PENDING_MAX.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_MERGE_H
#define PFS_TREE_MERGE_H

#include "tree/tree.h"

enum pfs_merge_policy {
	PFS_MERGE_REFUSE, /* conflicts are noted and there is no result: PFS_E_CONFLICT */
	PFS_MERGE_OURS,
	PFS_MERGE_THEIRS,
	/*
	 * Keep both, "x" becomes "x.ours" and "x.theirs", with ".2", ".3" ... behind
	 * where that name is taken on either side. A name that gets too long is cut,
	 * and a hash of the whole stands for the rest. What is gone on one side
	 * stays under its name as the other has it.
	 */
	PFS_MERGE_BOTH,
};

enum pfs_conflict_kind {
	PFS_CONFLICT_GONE = 1, /* gone on one side, changed on the other */
	PFS_CONFLICT_TYPE = 2, /* changed on both, to different types */
	PFS_CONFLICT_CONTENT = 3,
};

/* Entries whose type is 0 are not there. */
struct pfs_conflict {
	enum pfs_conflict_kind kind;
	char *path; /* "a/b/c" */
	struct pfs_entry base, ours, theirs;
};

/* The first `max` of them, in path order, and how many there were. */
struct pfs_conflicts {
	size_t max;
	struct pfs_conflict *list; /* owned */
	size_t n, cap;
	uint64_t total;
};
void pfs_conflicts_fini(struct pfs_conflicts *c); /* safe on zeroes and twice */

struct pfs_merge_how {
	enum pfs_merge_policy policy;
	const char *ours, *theirs; /* labels for PFS_MERGE_BOTH; NULL: "ours", "theirs" */
};

/*
 * The merged directory; ids may be zero, the empty directory. `conflicts` may
 * be NULL and is filled on PFS_E_CONFLICT too; give it `max` and zeroes.
 * Nodes are put, not synced.
 */
int pfs_merge_trees(struct pfs_store *st, const struct pfs_id *base, const struct pfs_id *ours,
		    const struct pfs_id *theirs, const struct pfs_merge_how *how,
		    struct pfs_conflicts *conflicts, struct pfs_id *out, struct pfs_error *err);

#endif
