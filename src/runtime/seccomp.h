/*
 * The system calls a container may make, as the runtime spec's JSON.
 *
 * An allow-list: what libseccomp knows, less what reaches past the container.
 * So a system call newer than the library stays denied. Threads: any.
 */
#ifndef PFS_RUNTIME_SECCOMP_H
#define PFS_RUNTIME_SECCOMP_H

#include "runtime/room.h"
#include "base/json.h"

/* The object for linux.seccomp, owned by the caller; NULL without memory. */
json_t *pfs_seccomp_json(void);

#endif
