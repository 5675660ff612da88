/*
 * The spool file of a node: whose it is, who uses its descriptor, when it goes.
 *
 * It stays the node's while somebody has it open, and whoever opens the node
 * meanwhile gets the same one: so all descriptors that were lent out show the
 * same bytes, whatever states the node goes through. Three kinds can be replaced
 * under their users: a patched file's and one that the store has too, which are
 * never lent out, and one that was not lent out yet, when a content takes the
 * place of all of its bytes (pfs_workspace_become). Users then look at the node
 * again.
 *
 *	 refs: the node ─┐
 *	   each user ────┤     the last one closes it
 *	   each call ────┘
 *
 * Threads: any; functions need the workspace lock for writing, unless they say other.
 */
#ifndef PFS_WORKSPACE_SPOOLED_H
#define PFS_WORKSPACE_SPOOLED_H

#include "workspace/room.h"
#include "workspace/patched.h"
#include "workspace/spool.h"

struct pfs_node;

struct pfs_spooled {
	struct pfs_spool_name name;
	_Atomic unsigned refs;
	_Atomic bool replaced; /* not the node's any more */
	_Atomic bool borrowed; /* its descriptor was given away */
	/*
	 * Given away for writing, and who closed it may have it mapped still; or from
	 * before a crash, and whoever had it open then has it still. True until a look
	 * at the file finds no writer.
	 */
	_Atomic bool strange;
	int fd;                /* -1 while there are no users */
	unsigned users;
	bool journaled;            /* the journal names it, or is about to */
	bool unsynced;             /* bytes were, or may have been, written since it was flushed */
	_Atomic bool lent;         /* the store has it too: nobody changes it */
	struct pfs_patched *patch; /* what of it counts; NULL: all */
};

/* Of a file just made, or not opened yet (-1): one reference. Takes `fd` and `patch` when it succeeds. */
int pfs_spooled_new(const struct pfs_spool_name *name, int fd, struct pfs_patched *patch,
		    struct pfs_spooled **out, struct pfs_error *err);
/* For the length of a call, by a user. Without the lock. */
struct pfs_spooled *pfs_spooled_ref(struct pfs_spooled *s);
void pfs_spooled_unref(struct pfs_spooled **s);

/* Another user of the spool file of a node; opens it when it is the first. */
int pfs_spooled_use(struct pfs_node *n, struct pfs_spooled **out, struct pfs_error *err);
/* One less; the last of a clean node removes the file. Returns a descriptor to close, or -1. */
int pfs_spooled_unuse(struct pfs_node *n, struct pfs_spooled *s);

/* The node does not need its spool file any more; it goes when the journal does not name it. */
void pfs_spooled_drop(struct pfs_node *n);

/*
 * Size, blocks and time of the bytes of a node that has one. With the lock held in any way.
 * Whoever has the descriptor may have written; that takes set-id bits away, see *out_mode
 * (NULL: not asked for).
 */
int pfs_spooled_stat(struct pfs_node *n, struct pfs_spool_stat *out, uint16_t *out_mode,
		     struct pfs_error *err);
/* The same, remembered in the node. */
int pfs_spooled_look(struct pfs_node *n, struct pfs_error *err);
/* Not while the file has set-id bits: who writes may have to clear them, and past us that is noticed
 * late. Takes the lock. */
bool pfs_spooled_may_be_borrowed(struct pfs_node *n);
/* Nothing happens to a lent one: the time is the node's alone. */
int pfs_spooled_set_mtime(struct pfs_node *n, const struct pfs_attrs *attrs, struct pfs_error *err);

#endif
