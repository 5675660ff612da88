/*
 * The path of nodes from a sequence's root down to one byte of the file: what
 * readers, splices and level updates stand on. Private to the room.
 *
 *	frame(root_level)  [ . . x . ]      x: the item that holds the byte
 *	                         |
 *	frame(low)         [ . . . x ]      below `low` nothing is loaded
 *
 * A node is loaded only where a walk goes, and has to be what its parent says
 * it is. Going on in a row costs no search.
 *
 * Threads: one at a time per walk.
 */
#ifndef PFS_TREE_SEQWALK_H
#define PFS_TREE_SEQWALK_H

#include "tree/room.h"
#include "format/seqnode.h"
#include "store/store.h"

struct pfs_seqwalk_frame {
	const struct pfs_object *hold;
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it; /* at the item stood at */
	struct pfs_id id;
	uint64_t start; /* of the node, in the file */
};

struct pfs_seqwalk {
	struct pfs_store *st;
	unsigned root_level;
	unsigned low; /* frames from here up to root_level are loaded */
	struct pfs_seqwalk_frame frames[PFS_TREE_LEVEL_MAX + 1]; /* by level */
};

/* `w` is zeroes; `size` is that of the file. Fini on failure too. */
int pfs_seqwalk_init(struct pfs_seqwalk *w, struct pfs_store *st, const struct pfs_id *root,
		     uint64_t size, struct pfs_error *err);
void pfs_seqwalk_fini(struct pfs_seqwalk *w); /* safe on zeroes and twice */

/* Stand at the item of `level` that holds byte `off`, which has to be below the size. */
int pfs_seqwalk_seek(struct pfs_seqwalk *w, unsigned level, uint64_t off, struct pfs_error *err);

/* The item stood at and its place in the file; borrowed until the walk moves. */
static inline const struct pfs_seqnode_entry *pfs_seqwalk_item(const struct pfs_seqwalk *w,
							       unsigned level)
{
	return &w->frames[level].it.e;
}

static inline uint64_t pfs_seqwalk_start(const struct pfs_seqwalk *w, unsigned level)
{
	return w->frames[level].start + w->frames[level].it.start;
}

static inline uint64_t pfs_seqwalk_end(const struct pfs_seqwalk *w, unsigned level)
{
	return w->frames[level].start + w->frames[level].it.next;
}

#endif
