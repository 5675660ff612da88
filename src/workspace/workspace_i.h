/*
 * The inside of a workspace: what its files share.
 *
 *	flush lock ▸ workspace lock ▸ open file lock, changes lock
 *
 * The workspace lock guards every node and slot. Nothing is read from the store
 * and no bytes of files move while it is held, but for short leftovers in seal.
 */
#ifndef PFS_WORKSPACE_WORKSPACE_I_H
#define PFS_WORKSPACE_WORKSPACE_I_H

#include "workspace/room.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/vec.h"
#include "workspace/feed.h"
#include "workspace/journal.h"
#include "workspace/node.h"
#include "workspace/spool.h"
#include "workspace/workspace.h"

struct pfs_spool_names PFS_VEC(struct pfs_spool_name);
struct pfs_nodes PFS_VEC(struct pfs_node *);

struct pfs_linkgroups;
struct pfs_sealing; /* seal.c: what settle needs to know of the last seal */

struct pfs_workspace {
	struct pfs_store *store;
	struct pfs_linkgroups *groups; /* of directories of bases */
	char *folder;
	struct pfs_spool spool;
	uint64_t lent_size_min; /* PFS_LENT_SIZE_MIN; tests make it less */

	struct pfs_rwlock lock; /* PFS_RANK_WORKSPACE */
	struct pfs_root base;   /* protected by lock, as all below */
	struct pfs_node *root;
	struct pfs_map inos;                        /* every live node */
	uint64_t seed;                              /* of the maps of names */
	uint64_t stamp;                             /* of the newest change */
	struct pfs_link queued_nodes, queued_slots; /* changed since they were last handed over */
	struct pfs_link written;                    /* files that are open for writing */
	struct pfs_journal_batch pending;           /* rows of what is gone, in order */
	bool rewrite;      /* `pending` is not whole: the next flush writes everything */
	int64_t oldest_ms; /* of what is not journaled; 0: everything is */
	struct pfs_spool_names doomed; /* nobody needs them, but the journal may name them */
	struct pfs_spool_names loose;  /* it never did, or does not any more */
	_Atomic size_t n_loose;
	_Atomic uint64_t doomed_bytes; /* of `doomed` */
	_Atomic uint64_t ease_bytes;   /* so many of them are worth a flush; 0: the least */
	_Atomic unsigned names_queued, names_handed; /* that changed: queued, and in `writing` */
	_Atomic unsigned names_looked; /* so many of them there were when the disk was looked at */
	_Atomic bool full; /* the disk, or a quota: when names waited, or at the last flush */
	_Atomic int64_t retry_ms; /* who makes a name on a full disk tries a flush then */
	_Atomic unsigned reapers; /* threads that remove files now */
	struct pfs_sealing *sealing;
	uint64_t seals;
	struct pfs_commit_id sealed; /* mark of a seal that the journal has, or is about to have */
	bool sealed_unsaved;         /* the next flush says so */
	uint64_t flushes;            /* rows were handed over so many times */
	bool sets_unsynced; /* nodes name sets of attributes put since the store was flushed */
	uint64_t bases;     /* it got another base so many times */
	uint64_t moves;     /* directories were renamed so many times */
	bool base_links;    /* the base has names of files with several, or may */
	struct pfs_nodes nameless; /* of the last process, for this one; owned references */
	bool holding;              /* the next flush writes down what has no name */

	struct pfs_lock flush_lock;  /* PFS_RANK_WORKSPACE_FLUSH */
	struct pfs_journal *journal; /* protected by flush_lock */
	struct pfs_journal_batch
		writing;   /* handed over and not yet durable; protected by flush_lock */
	bool writing_sets; /* rows in `writing` may name such sets; protected by flush_lock */
	struct pfs_spool_names
		condemned; /* loose when `writing` is durable; protected by flush_lock */

	struct pfs_feed feed;
};

/* Remember that the journal must hear of this; the queue of nodes does it too. */
void pfs_workspace_note_pending(struct pfs_workspace *ws);

/* The name `name` in `dir`, found without and then used with the lock held. */
struct pfs_probe {
	struct pfs_node *dir; /* borrowed */
	const char *name;     /* borrowed */
	size_t name_len;
	struct pfs_node *held; /* what was found: keeps its slot alive; owned */
	bool absent;           /* not in the directory whose base is `base` */
	struct pfs_id base;
	struct pfs_slot *slot; /* set by pfs_probe_check: NULL when there is no slot */
};
/* Checks the name; reads the base where the overlay does not know. Without the lock. */
int pfs_probe(struct pfs_workspace *ws, struct pfs_probe *p, struct pfs_error *err);
/* With the lock held: 1 and `slot` set, 0 when the directory moved on: probe again. */
int pfs_probe_check(struct pfs_probe *p, struct pfs_error *err);
void pfs_probe_fini(struct pfs_probe *p);
/* Probe one or two names (`b` may be NULL) and return 0 with the lock held for writing. */
int pfs_probe_lock(struct pfs_workspace *ws, struct pfs_probe *a, struct pfs_probe *b,
		   struct pfs_error *err);

void pfs_attrs_set_mtime(struct pfs_attrs *a, int64_t ns);

#endif
