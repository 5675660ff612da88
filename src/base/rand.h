/* Chance, from the kernel. */
#ifndef PFS_BASE_RAND_H
#define PFS_BASE_RAND_H

#include "base/error.h"

/* Cryptographic random bytes. */
int pfs_rand_bytes(void *out, size_t len, struct pfs_error *err);

/* For seeds, where a failure of the kernel may fall back to the clock. */
uint64_t pfs_rand_u64(void);

#endif
