/*
 * The inside of meta: connections and who may use them when.
 */
#ifndef PFS_META_META_I_H
#define PFS_META_META_I_H

#include "meta/db.h"
#include "meta/event.h"
#include "meta/meta.h"
#include "meta/txn.h"
#include "base/lock.h"
#include "page/pageroom.h"

#define PFS_META_READERS 4

struct pfs_meta {
	char *path;
	bool in_memory; /* then there is only the writer's connection */

	struct pfs_lock write_lock; /* PFS_RANK_META */
	struct pfs_db writer;       /* protected by write_lock */
	struct pfs_pageroom room;   /* protected by write_lock */
	int fd;                     /* of the database, for its ground; -1: none */

	struct pfs_lock read_lock; /* PFS_RANK_META_READ */
	pthread_cond_t reader_free;
	struct pfs_db readers[PFS_META_READERS]; /* each belongs to who took it */
	bool taken[PFS_META_READERS];            /* protected by read_lock */

	struct pfs_lock event_lock; /* PFS_RANK_META_READ */
	pthread_cond_t event_came;
	uint64_t newest_event; /* protected by event_lock */
	bool woken;            /* protected by event_lock */
};

struct pfs_txn {
	struct pfs_meta *meta;
	uint64_t last_event; /* number of the newest event added; 0: none */
};

/* A connection to read with, and giving it back. */
struct pfs_reader {
	struct pfs_meta *meta;
	struct pfs_db *db;
	int slot;    /* of the pool; -1: the writer's connection */
	bool locked; /* the writer's lock was taken for it */
};
void pfs_reader_take(struct pfs_meta *m, struct pfs_reader *out);
void pfs_reader_drop(struct pfs_reader *r); /* safe on zeroes and twice */

/*
 * A query on a connection that is taken for it. Fields end in reverse order:
 *
 *	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
 *	rc = pfs_read_begin(&r, m, SQL, err);
 */
struct pfs_read {
	struct pfs_reader reader;
	struct pfs_query q;
};
int pfs_read_begin(struct pfs_read *r, struct pfs_meta *m, const char *sql, struct pfs_error *err);
void pfs_read_end(struct pfs_read *r);

/* Whether the calling thread has a transaction of `m` open. */
bool pfs_txn_is_mine(const struct pfs_meta *m);

/* A statement of an open transaction. */
int pfs_txn_query(struct pfs_query *q, struct pfs_txn *txn, const char *sql, struct pfs_error *err);

/* Bring the tables to this program's version; refuse newer ones. */
int pfs_migrate(struct pfs_db *db, const char *path, struct pfs_error *err);

/* Tell waiters that the event is there. */
void pfs_event_announce(struct pfs_meta *m, uint64_t number);

#endif
