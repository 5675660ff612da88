/*
 * Digests as images write them: "sha256:" and 64 lower-case digits.
 *
 * Threads: any; a running digest belongs to one thread.
 */
#ifndef PFS_RUNTIME_DIGEST_H
#define PFS_RUNTIME_DIGEST_H

#include "runtime/room.h"
#include "base/error.h"

#define PFS_DIGEST_SIZE 72 /* with its terminator */

struct pfs_digest; /* being computed */

int pfs_digest_new(struct pfs_digest **out, struct pfs_error *err);
void pfs_digest_free(struct pfs_digest **d);
int pfs_digest_add(struct pfs_digest *d, const void *data, size_t len, struct pfs_error *err);
int pfs_digest_finish(struct pfs_digest *d, char out[PFS_DIGEST_SIZE], struct pfs_error *err);

int pfs_digest_of(const void *data, size_t len, char out[PFS_DIGEST_SIZE], struct pfs_error *err);

/* Is this text a digest we know how to check? PFS_E_CORRUPT if not. */
int pfs_digest_check(const char *text, struct pfs_error *err);

#endif
