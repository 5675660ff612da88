/*
 * Events: read what happened since a number, and wait for more.
 *
 * Written by pfs_txn_add_event; whoever waits is woken when the transaction
 * has been committed, never before it is durable.
 *
 * Threads: any.
 */
#ifndef PFS_META_EVENT_H
#define PFS_META_EVENT_H

#include "meta/meta.h"

/* Up to `max` events after number `after`, in order. */
int pfs_meta_read_events(struct pfs_meta *m, uint64_t after, struct pfs_event_row *out, size_t max,
			 size_t *out_n, struct pfs_error *err);

/* The number of the newest event, 0 when there was none. From memory. */
uint64_t pfs_meta_newest_event(struct pfs_meta *m);

/* 1 when an event after `after` exists, 0 when `timeout_ms` (negative: none) passed first or after a wake. */
int pfs_meta_wait_event(struct pfs_meta *m, uint64_t after, int64_t timeout_ms);

/* From now on no wait blocks: for shutting down. */
void pfs_meta_wake(struct pfs_meta *m);
void pfs_meta_resume(struct pfs_meta *m); /* again they do */

#endif
