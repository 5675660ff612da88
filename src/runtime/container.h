/*
 * One container from birth to removal.
 *
 *	snapshot -> record -> task (created) -> Wait asked -> Start
 *	-> exit -> Tasks.Delete -> Containers.Delete -> Snapshots.Remove
 *
 * containerd does not protect anybody from another order: it deletes the
 * record of a running task, which then cannot be reached.
 *
 * Threads: any; one container belongs to one thread.
 */
#ifndef PFS_RUNTIME_CONTAINER_H
#define PFS_RUNTIME_CONTAINER_H

#include "runtime/room.h"
#include "runtime/ctrd.h"
#include "runtime/runtime.h"

/* See pfs_runtime_run(). FIFOs are made in `state_dir`. */
int pfs_container_run(struct pfs_ctrd *c, const char *state_dir, const struct pfs_run *run,
		      struct pfs_run_result *out, struct pfs_error *err);

/* Kill and remove whatever there is of a container; nothing there is fine. */
int pfs_container_destroy(struct pfs_ctrd *c, const char *id, struct pfs_error *err);

#endif
