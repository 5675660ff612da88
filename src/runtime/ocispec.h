/*
 * The container we ask for, as the OCI runtime spec's JSON.
 *
 * Pure: what the machine allows is told by the caller. Threads: any.
 */
#ifndef PFS_RUNTIME_OCISPEC_H
#define PFS_RUNTIME_OCISPEC_H

#include "runtime/room.h"
#include "base/buf.h"
#include "runtime/manifest.h"
#include "runtime/runtime.h"

#define PFS_GROUPS_MAX 64u

/* Who the process is. */
struct pfs_ocispec_user {
	uint32_t uid;
	uint32_t gid;
	size_t n_groups;
	uint32_t groups[PFS_GROUPS_MAX];
	char home[256]; /* "" unknown */
};

struct pfs_ocispec {
	const struct pfs_run *run;
	const struct pfs_imageconfig *image;
	const struct pfs_ocispec_user *user;
	const char *cgroup;   /* path below the cgroup root */
	int64_t memory_limit; /* bytes; 0: none */
	int64_t pids_limit;
	uint64_t nofile; /* at most what the daemon itself may have */
	bool cgroup_v2;
};

/* Append the JSON; PFS_E_INVALID for a mount or command that makes no sense. */
int pfs_ocispec_format(const struct pfs_ocispec *spec, struct pfs_buf *out, struct pfs_error *err);

#endif
