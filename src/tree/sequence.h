/*
 * Build a sequence tree while its leaf entries come in: each level keeps only
 * the items of the node it is at, so memory does not grow with the file.
 * Private to the room.
 *
 * Threads: one at a time per sequence.
 */
#ifndef PFS_TREE_SEQUENCE_H
#define PFS_TREE_SEQUENCE_H

#include "tree/room.h"
#include "format/seqnode.h"
#include "store/store.h"
#include "tree/refill.h"
#include "tree/split.h"

struct pfs_sequence_level {
	struct pfs_split split;
	struct pfs_seqnode_entry *entries; /* not yet in a node */
	size_t n, cap;
	uint64_t items, nodes; /* so far */
	struct pfs_id last;    /* the node put last */
};

struct pfs_sequence {
	struct pfs_store *st;
	struct pfs_refill *refill; /* borrowed; NULL: nodes are stored, else only those it wants */
	struct pfs_sequence_level levels[PFS_TREE_LEVEL_MAX + 1];
};

void pfs_sequence_init(struct pfs_sequence *s, struct pfs_store *st);
void pfs_sequence_fini(struct pfs_sequence *s); /* safe on zeroes and twice */

/* What decides about boundaries behind an item whose last leaf entry has this seed. */
uint64_t pfs_sequence_priority(const struct pfs_store *st, unsigned level, uint64_t seed);

/* The next chunk or hole of the file. */
int pfs_sequence_add(struct pfs_sequence *s, enum pfs_seqnode_kind kind, uint64_t bytes,
		     const struct pfs_id *id, struct pfs_error *err);

/* The entry of a chunk or a hole in a leaf; `id` is not looked at for a hole. */
struct pfs_seqnode_entry pfs_sequence_leaf(enum pfs_seqnode_kind kind, uint64_t bytes,
					   const struct pfs_id *id);

/*
 * Store one node; *out is the entry that stands for it on the level above.
 * `near`: an old node that it resembles, or NULL.
 */
int pfs_sequence_put_node(struct pfs_store *st, const struct pfs_seqnode_entry *entries, size_t n,
			  unsigned level, unsigned flags, const struct pfs_id *near,
			  struct pfs_seqnode_entry *out, struct pfs_error *err);

/* The next item of a level that begins above 0; nothing may be added below it. */
int pfs_sequence_add_item(struct pfs_sequence *s, unsigned level, const struct pfs_seqnode_entry *e,
			  struct pfs_error *err);

/* The one chunk that is all there is, or NULL. Ask before finish. */
const struct pfs_seqnode_entry *pfs_sequence_only(const struct pfs_sequence *s);

/* The root of all that was added, which must not be nothing. */
int pfs_sequence_finish(struct pfs_sequence *s, struct pfs_id *out, struct pfs_error *err);

#endif
