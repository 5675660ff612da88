/* The inside of the room: what its files share. */
#ifndef PFS_PIPELINE_PIPELINES_I_H
#define PFS_PIPELINE_PIPELINES_I_H

#include "pipeline/pipelines.h"
#include "base/lock.h"
#include "base/map.h"

struct pfs_pipelines {
	struct pfs_history *history; /* borrowed; never changes, like meta and the log folder */
	struct pfs_meta *meta;
	char *log_dir;            /* owned */
	struct pfs_lock lock;     /* PFS_RANK_PIPELINE */
	pthread_cond_t left;      /* somebody left a pipeline; with lock */
	struct pfs_map inside;    /* name -> its copy, owned; protected by lock */
	uint64_t idle_until;      /* events up to here make no job; protected by lock */
	struct pfs_lock log_lock; /* one append at a time */
};

/*
 * Be the only one who resets, commits, stops or replaces what pipeline `name`
 * is doing. A row alone cannot say so: a commit takes as long as its content,
 * and meanwhile a lease may run out. PFS_E_BUSY when somebody else is still
 * inside after `timeout_ms`.
 */
int pfs_pipelines_enter(struct pfs_pipelines *p, const char *name, int64_t timeout_ms,
			struct pfs_error *err);
void pfs_pipelines_leave(struct pfs_pipelines *p, const char *name);

/* How long a caller who changes something waits for a commit under way before it is told to come again. */
#define PFS_PIPELINES_WAIT_MS 30000

#endif
