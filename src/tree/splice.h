/*
 * Change a stored content here and there: what was not near a change is
 * neither read nor cut nor stored again.
 *
 *	base  ──────┤old├────────────┤├──────────────
 *	            ╱     ╲            ╱╲
 *	new   ─────┤  new  ├──────────┤new├────────────
 *
 * The result is equal, bit for bit, to what pfs_content_write() makes of the
 * new bytes: an edit moves cuts only near it (pfs-tree(5), CHUNKS). A change of
 * one byte costs a scan of some 300 KB and three nodes, whatever the size.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_SPLICE_H
#define PFS_TREE_SPLICE_H

#include "tree/content.h"

/*
 * `old_len` bytes of the base at `off` give way to `new_len` others. Equal
 * lengths overwrite; old_len 0 inserts; new_len 0 takes out. The end of the
 * file is a place like any other: cut off what lies behind, or add to it.
 */
struct pfs_splice {
	uint64_t off, old_len, new_len;
	bool zeros; /* all new bytes are zeros: they are not asked for, however many */
};

/*
 * Exactly `len` bytes of the new file at `off` of it. Asked for near the
 * splices only, from front to back but for short steps back between them. What
 * it returns below zero ends the splice.
 */
typedef int (*pfs_splice_read)(void *arg, uint64_t off, void *data, size_t len,
			       struct pfs_error *err);

/*
 * `list` is sorted by off, disjoint and within the base; else PFS_E_INVALID.
 * New chunks are kept as deltas against what lay there before when that pays.
 * Objects are put, not synced.
 */
int pfs_content_splice(struct pfs_store *st, const struct pfs_content *base,
		       const struct pfs_splice *list, size_t n, pfs_splice_read read, void *arg,
		       struct pfs_content *out, struct pfs_error *err);

#endif
