/*
 * What a new chunk resembles, when a file is written that held something
 * before: the old chunk between the same neighbours. Private to the room.
 *
 *	old   | A | B | C | D | E |         B' is told B, F is told D
 *	new   | A |  B'  | C | F | E |
 *
 * Ids are not known yet when this is asked, but the lengths of chunks are: two
 * that stand side by side in both files tell a place as well as ids do. Between
 * such places chunks are paired in their order; where nothing fits for long,
 * nothing is told. It is a hint: what cannot be read tells nothing.
 *
 * Old leaves are read once each, while they are near what is written.
 *
 * Threads: one at a time.
 */
#ifndef PFS_TREE_HINTS_H
#define PFS_TREE_HINTS_H

#include "tree/cutter.h"
#include "tree/entry.h"
#include "tree/seqwalk.h"

#define PFS_HINTS_WINDOW 512u /* old chunks and holes that are looked at together */

struct pfs_hints {
	struct pfs_store *st;
	const struct pfs_content *old; /* borrowed; NULL: there are no hints any more */
	bool begun;
	struct pfs_seqwalk walk; /* of a sequence */
	uint64_t pos;            /* of the old file, behind the window */
	struct pfs_piece window[PFS_HINTS_WINDOW];
	size_t n;
	unsigned lost; /* pieces since one had its place */
};

/* `old` may be NULL. */
void pfs_hints_init(struct pfs_hints *h, struct pfs_store *st, const struct pfs_content *old);
void pfs_hints_fini(struct pfs_hints *h); /* safe on zeroes and twice */

/* Fill in `near` of pieces, which follow those of the last call. */
void pfs_hints_tell(struct pfs_hints *h, struct pfs_piece *pieces, size_t n);

#endif
