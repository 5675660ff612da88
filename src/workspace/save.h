/*
 * From the overlay to the journal: what changed is handed over in one moment,
 * bytes are made durable, then the rows are, then files nobody names may go.
 *
 *	queued nodes and slots ─▶ writing ─▶ bytes flushed ─▶ journal ─▶ reap
 *	        (lock)           (flush lock)                    │
 *	              a failure leaves everything in `writing` ◀─┘
 */
#ifndef PFS_WORKSPACE_SAVE_H
#define PFS_WORKSPACE_SAVE_H

#include "workspace/workspace_i.h"

/* Journal everything that changed before this call. Without the lock. */
int pfs_workspace_save(struct pfs_workspace *ws, struct pfs_error *err);

/*
 * Before a name is made or moved, or what was committed is changed. That needs no room on
 * a full disk, but the journal needs some to be told of it: PFS_E_NOSPACE while so many
 * wait for that that it could not be told of removals either. Without locks.
 */
int pfs_workspace_admit(struct pfs_workspace *ws, struct pfs_error *err);

/* The same before a set of attributes with `len` more bytes, which the store has to write down. */
int pfs_workspace_admit_set(struct pfs_workspace *ws, size_t len, struct pfs_error *err);

/*
 * Remove up to `max` spool files that nobody needs. Removing is slow, so nobody
 * who waits for a flush or holds a lock does it. Without the lock.
 */
void pfs_workspace_reap(struct pfs_workspace *ws, size_t max);

/*
 * Something was removed: reap a little, and where room is scarce do not keep
 * the bytes of large files until the next flush. Without locks.
 */
void pfs_workspace_ease(struct pfs_workspace *ws);

#endif
