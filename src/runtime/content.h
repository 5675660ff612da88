/*
 * containerd's content store: blobs by digest.
 *
 * Threads: any.
 */
#ifndef PFS_RUNTIME_CONTENT_H
#define PFS_RUNTIME_CONTENT_H

#include "runtime/room.h"
#include "runtime/archive.h"
#include "runtime/ctrd.h"

/* Append a whole blob, whose bytes must have that digest; bounded by the buffer's limit. */
int pfs_content_load(struct pfs_ctrd *c, const char *digest, struct pfs_buf *out,
		     struct pfs_error *err);

/*
 * Bring a blob of an archive in, under a lease. One that is there already is
 * only added to the lease.
 */
int pfs_content_write(struct pfs_ctrd *c, const char *lease, const struct pfs_archive *a,
		      const struct pfs_descriptor *d, struct pfs_error *err);

/* Set labels of a blob, leaving its others alone. */
int pfs_content_label(struct pfs_ctrd *c, const char *lease, const char *digest,
		      const struct pfs_ctrd_labels *labels, struct pfs_error *err);

#endif
