/*
 * The path of nodes from a directory's root down to one place: what cursor,
 * edit and compare stand on. Private to the room.
 *
 *	frame(root.level)  [ . . x . ]      x: the item the frame stands at
 *	                         |
 *	frame(level)       [ . . . x ]      a child of the item above
 *
 * A child is loaded only where a walk descends, and has to be what its parent
 * says it is: level, sums and last name; and names grow from node to node.
 *
 * A walk that failed has no place to go on from: every step fails as that one
 * did, until a seek finds another place.
 *
 * Threads: one at a time per walk.
 */
#ifndef PFS_TREE_WALK_H
#define PFS_TREE_WALK_H

#include "tree/entry_i.h"
#include "store/store.h"

struct pfs_walk_frame {
	const struct pfs_object *hold; /* NULL: nothing is loaded */
	struct pfs_id id;
	struct pfs_treenode node;
	struct pfs_treenode_iter it;
};

struct pfs_walk {
	struct pfs_store *st;
	bool empty;
	unsigned root_level;
	unsigned level; /* of the node whose item is the current one */
	bool stands;    /* there is a current one */
	int failed;     /* what the last step came to when it failed, and why */
	struct pfs_error why;
	size_t last_len; /* the name passed last, which the next one has to be behind; 0: none */
	char last[PFS_NAME_SIZE_MAX];
	struct pfs_walk_frame frames[PFS_TREE_LEVEL_MAX + 1]; /* by level */
};

/* Load one node and check its header; *hold is the caller's. */
int pfs_walk_load(struct pfs_store *st, const struct pfs_id *id, const struct pfs_object **hold,
		  struct pfs_treenode *out, struct pfs_error *err);

/* Before the first item of the root. A zero root is an empty walk. Fini on failure too. */
int pfs_walk_init(struct pfs_walk *w, struct pfs_store *st, const struct pfs_id *root,
		  struct pfs_error *err);
void pfs_walk_fini(struct pfs_walk *w); /* safe on zeroes and twice */

/*
 * Pass the current item, with all below it: the next one of this node or, at its
 * end, of the ones above. 1 and an item, 0 at the end.
 */
int pfs_walk_next(struct pfs_walk *w, struct pfs_error *err);

/* From an item above level 0 to the first item of the node it names. */
int pfs_walk_descend(struct pfs_walk *w, struct pfs_error *err);

/*
 * To the first entry of level 0 whose name is >= (with `after`: >) the given one: 1, or 0.
 * A fresh start, whatever failed before.
 */
int pfs_walk_seek(struct pfs_walk *w, const char *name, size_t name_len, bool after,
		  struct pfs_error *err);

/* The current item, borrowed until the walk moves. */
static inline const struct pfs_treenode_entry *pfs_walk_item(const struct pfs_walk *w)
{
	return &w->frames[w->level].it.e;
}

/*
 * The nodes of one level, one after the other, each known by its item above
 * (the root has none). Seek goes to the node whose names the given one belongs
 * among, the last one for a name past all. Next and prev: 1, or 0 and unmoved.
 * Whoever fails here is done with the walk.
 */
int pfs_walk_node_first(struct pfs_walk *w, unsigned level, struct pfs_error *err);
int pfs_walk_node_seek(struct pfs_walk *w, unsigned level, const char *name, size_t name_len,
		       struct pfs_error *err);
int pfs_walk_node_next(struct pfs_walk *w, unsigned level, struct pfs_error *err);
int pfs_walk_node_prev(struct pfs_walk *w, unsigned level, struct pfs_error *err);
bool pfs_walk_node_is_last(const struct pfs_walk *w, unsigned level);

/* The item that names the node stood at; only below the root's level. */
static inline const struct pfs_treenode_entry *pfs_walk_node_item(const struct pfs_walk *w,
								  unsigned level)
{
	return &w->frames[level + 1].it.e;
}

/* Read the node stood at, its iterator before the first entry. */
int pfs_walk_node_open(struct pfs_walk *w, unsigned level, struct pfs_walk_frame **out,
		       struct pfs_error *err);

#endif
