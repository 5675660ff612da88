/*
 * What a runtime backend fills in. The façade checks arguments, keeps the set
 * of what is alive and says which backend failed; a backend is asked from any
 * thread.
 */
#ifndef PFS_RUNTIME_RUNTIME_I_H
#define PFS_RUNTIME_RUNTIME_I_H

#include "runtime/runtime.h"
#include "base/lock.h"
#include "base/map.h"

struct pfs_runtime_ops {
	const char *name;
	void (*close)(struct pfs_runtime *rt);
	/* `task` is an id for what an import makes on its way. */
	int (*import)(struct pfs_runtime *rt, const char *task, const char *archive,
		      const char *name, char *out_name, size_t size, struct pfs_error *err);
	int (*resolve)(struct pfs_runtime *rt, const char *image,
		       char out_digest[PFS_IMAGE_DIGEST_SIZE], struct pfs_error *err);
	int (*images)(struct pfs_runtime *rt,
		      void (*each)(void *arg, const char *name, const char *digest), void *arg,
		      struct pfs_error *err);
	int (*run)(struct pfs_runtime *rt, const struct pfs_run *run, struct pfs_run_result *out,
		   struct pfs_error *err);
	int (*sweep)(struct pfs_runtime *rt, bool (*is_alive)(void *arg, const char *id), void *arg,
		     struct pfs_error *err);
};

struct pfs_runtime {
	const struct pfs_runtime_ops *ops;
	const char *version;  /* owned by the backend */
	struct pfs_lock lock; /* PFS_RANK_RUNTIME */
	struct pfs_map alive; /* ids of runs and imports of this process; protected by lock */
};

/* The backend over containerd; on success its `rt` is embedded in what it allocated. */
int pfs_runtime_open_containerd(const char *address, const char *owner, const char *state_dir,
				struct pfs_runtime **out, struct pfs_error *err);

#endif
