/*
 * Whether anybody still wants what this thread is doing.
 *
 * Who gives a thread long work says how to ask; who does such work asks at each
 * step of some milliseconds, and gives up with PFS_E_CANCELLED as it would for
 * any other failure. Threads that nobody said anything to always go on.
 *
 * Threads: any, each for itself.
 */
#ifndef PFS_BASE_STOP_H
#define PFS_BASE_STOP_H

#include "base/error.h"
#include "base/lock.h"

/* From now on this thread's work is unwanted when `unwanted` says so; NULL: it never is. */
void pfs_stop_set(bool (*unwanted)(void *arg), void *arg);

/* Zero, or PFS_E_CANCELLED. */
int pfs_stop_check(struct pfs_error *err);

/* Take a lock that others may hold for long; PFS_E_CANCELLED without it. */
int pfs_stop_lock(struct pfs_lock *l, struct pfs_error *err);

#endif
