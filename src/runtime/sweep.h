/*
 * What a crash left behind: containers, snapshots, leases with our label.
 *
 * Threads: any.
 */
#ifndef PFS_RUNTIME_SWEEP_H
#define PFS_RUNTIME_SWEEP_H

#include "runtime/room.h"
#include "runtime/ctrd.h"

/*
 * Remove what carries our owner label and is not alive. `is_alive` is asked
 * for each id; goes on past what cannot be removed and reports the first.
 */
int pfs_sweep(struct pfs_ctrd *c, bool (*is_alive)(void *arg, const char *id), void *arg,
	      struct pfs_error *err);

/* Remove the FIFOs that nobody alive holds. */
int pfs_sweep_pipes(const char *state_dir, bool (*is_alive)(void *arg, const char *id), void *arg,
		    struct pfs_error *err);

#endif
