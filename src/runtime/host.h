/*
 * What this machine allows a container: memory, files, which cgroups it has.
 *
 * Threads: any.
 */
#ifndef PFS_RUNTIME_HOST_H
#define PFS_RUNTIME_HOST_H

#include "runtime/room.h"
#include "base/error.h"

/* `wanted`, or seven eighths of the machine's memory when that is less. */
int64_t pfs_host_memory_limit(int64_t wanted);

/*
 * `wanted`, or the hard limit of the daemon that listens on `socket` when that
 * is less: a runtime without CAP_SYS_RESOURCE cannot go past its own.
 */
uint64_t pfs_host_nofile_limit(const char *socket, uint64_t wanted);

bool pfs_host_has_cgroup_v2(void);

/* Did the kernel kill something of container `id` for want of memory? Asked while its cgroup exists. */
bool pfs_host_oom_killed(const char *id);

#endif
