/*
 * Mutexes and read-write locks that know their floor.
 *
 * Every lock has a rank; a thread takes ranks only in falling order, which
 * makes a deadlock between rooms impossible. Builds with assertions check it
 * at every call.
 */
#ifndef PFS_BASE_LOCK_H
#define PFS_BASE_LOCK_H

#include "base/room.h"
#include <pthread.h>

/* High ranks are taken first. The hundreds are the floors of the house. */
enum pfs_rank {
	PFS_RANK_DRIVER = 900, /* fuse/: inode table */
	PFS_RANK_DAEMON = 890, /* pfsd's own tables */
	PFS_RANK_PIPELINE = 650,
	PFS_RANK_VIEW = 620,
	PFS_RANK_HISTORY_GC = 560,      /* one collection at a time */
	PFS_RANK_HISTORY_COMMIT = 540,  /* one commit of a branch at a time */
	PFS_RANK_HISTORY = 520,         /* table of open workspaces */
	PFS_RANK_WORKSPACE_FLUSH = 430, /* one flush of a workspace at a time */
	PFS_RANK_WORKSPACE = 420,       /* names and attributes of one workspace */
	PFS_RANK_WORKSPACE_CHANGES = 410,
	PFS_RANK_WORKSPACE_OPEN = 408,   /* which spool file one open file uses */
	PFS_RANK_WORKSPACE_PATCH = 406,  /* which bytes of a patched file are where */
	PFS_RANK_WORKSPACE_READER = 404, /* where one open file is reading */
	PFS_RANK_WORKSPACE_SPOOL = 402,  /* which names of spool files are not flushed yet */
	PFS_RANK_LINKGROUPS = 350,       /* which names are one file, of one workspace or view */
	PFS_RANK_META = 250,           /* the one writer */
	PFS_RANK_META_READ = 245,
	PFS_RANK_SESSION = 235, /* who may still name what he found in the store */
	PFS_RANK_BATCH = 233,   /* objects on their way into the store */
	PFS_RANK_STORE = 230,   /* packs being written */
	PFS_RANK_INDEX = 225,   /* who makes runs */
	PFS_RANK_PACKSET = 220,
	PFS_RANK_PACKSET_FILES = 215, /* descriptors of sealed packs */
	PFS_RANK_DOUBTS_FILE = 213,   /* who writes down which objects are damaged */
	PFS_RANK_DOUBTS = 212,
	PFS_RANK_CACHE = 210,
	PFS_RANK_RUNTIME = 205, /* which containers are ours */
	PFS_RANK_NET = 150,
	PFS_RANK_POOL = 60, /* jobs for helpers */
	PFS_RANK_BASE = 50,
};

struct pfs_lock {
	pthread_mutex_t mutex;
	int rank;
	pthread_t owner; /* valid while held */
	int held;
};

void pfs_lock_init(struct pfs_lock *l, enum pfs_rank rank);
void pfs_lock_fini(struct pfs_lock *l);
void pfs_lock(struct pfs_lock *l);
void pfs_unlock(struct pfs_lock *l);
/* False when somebody else holds it for longer than that. */
bool pfs_lock_for(struct pfs_lock *l, int64_t timeout_ms);
/* The same without waiting. */
bool pfs_try_lock(struct pfs_lock *l);

/* For assertions: does the calling thread hold it? */
bool pfs_held(const struct pfs_lock *l);

/* Wait on a condition with the lock held; false when `timeout_ms` (negative: none) passed first.
 * The condition must come from pfs_cond_init: its clock is monotonic. */
int pfs_cond_init(pthread_cond_t *c);
bool pfs_cond_wait(pthread_cond_t *c, struct pfs_lock *l, int64_t timeout_ms);

struct pfs_rwlock {
	pthread_rwlock_t rwlock;
	int rank;
};

void pfs_rwlock_init(struct pfs_rwlock *l, enum pfs_rank rank);
void pfs_rwlock_fini(struct pfs_rwlock *l);
void pfs_rwlock_read(struct pfs_rwlock *l);
void pfs_rwlock_write(struct pfs_rwlock *l);
void pfs_rwlock_unlock(struct pfs_rwlock *l);

#endif
