/*
 * What changed, for one reader who caches: a bounded ring.
 *
 * Threads: any. Never with the workspace lock held.
 */
#ifndef PFS_WORKSPACE_FEED_H
#define PFS_WORKSPACE_FEED_H

#include "workspace/room.h"
#include "base/lock.h"
#include "workspace/workspace.h"

#define PFS_FEED_MAX 4096u /* beyond it asking for everything anew is cheaper */

struct pfs_feed_item {
	struct pfs_node *node; /* one reference */
	char *name;            /* owned; NULL: the node itself */
};

struct pfs_feed {
	struct pfs_lock lock;       /* PFS_RANK_WORKSPACE_CHANGES */
	struct pfs_feed_item *ring; /* PFS_FEED_MAX of them, made at the first change */
	size_t first, n;
	bool watched; /* somebody reads; until then nothing is noted, and no node is kept for it */
	bool lost;    /* to be told before anything else; nothing is kept until then */
	void (*wake)(void *arg);
	void *arg;
};

void pfs_feed_init(struct pfs_feed *c);
void pfs_feed_fini(struct pfs_feed *c); /* gives the references back */

/* Note a change unless this thread is quiet. `name` NULL: the node itself. */
void pfs_feed_note(struct pfs_feed *c, struct pfs_node *n, const char *name, size_t name_len);

/* Everything may have changed; told whoever did it. */
void pfs_feed_note_all(struct pfs_feed *c);

#endif
