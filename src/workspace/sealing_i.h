/*
 * One seal, as seal.c makes it and settle.c uses it.
 *
 * Items are in breadth-first order: what is in a directory is one range, sorted
 * by name, and comes after the directory. Backwards, children come first; so
 * neither building nor settling recurses, however deep a user nests.
 *
 *	0 root ─▶ 1 a, 2 b ─▶ 3 a/x, 4 a/y ─▶ 5 b/z
 */
#ifndef PFS_WORKSPACE_SEALING_I_H
#define PFS_WORKSPACE_SEALING_I_H

#include "base/vec.h"
#include "workspace/workspace_i.h"

struct pfs_sealed_item {
	struct pfs_node *node; /* one reference; NULL: the name is gone */
	uint64_t stamp;        /* of the node when it was sealed */
	size_t name_at;        /* in names */
	uint8_t name_len;
	bool open;       /* somebody was writing: it stays dirty */
	bool several;    /* the node had other names */
	bool again;      /* another name of the node has an item that comes later */
	size_t above;    /* item of the directory it is in */
	uint64_t link;   /* number of the name in its group; 0: the node has no other */
	size_t first, n; /* DIR: range of what differs in it */
	struct pfs_attrs attrs;
	struct pfs_id xattrs;
	struct pfs_kept *kept; /* FILE: the bytes; one reference */
	struct pfs_id dir;     /* DIR: base, and in the end the result */
};

struct pfs_sealed_items PFS_VEC(struct pfs_sealed_item);

struct pfs_sealing {
	struct pfs_store *store; /* takes what is made; of a preview one aside */
	uint64_t generation;
	uint64_t flushes; /* of the workspace at the snapshot */
	uint64_t moves;   /* likewise */
	bool links;       /* some item has a number */
	bool done;
	struct pfs_sealed_items all;
	struct pfs_buf names;
	struct pfs_root root; /* the result */
};

#endif
