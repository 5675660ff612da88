/*
 * Bytes of changed files into contents, for a seal: without the workspace
 * lock, in rounds, since files change meanwhile.
 *
 * What was found is kept in the nodes (file.chunked) with what tells whether it
 * still holds: the seal, the stamp of the node; of a patched file its image.
 */
#ifndef PFS_WORKSPACE_CHUNK_H
#define PFS_WORKSPACE_CHUNK_H

#include "workspace/workspace_i.h"

enum pfs_chunk_how {
	PFS_CHUNK_COPY,
	PFS_CHUNK_ADOPT, /* huge files that nobody has open may become part of the store as they are */
	PFS_CHUNK_GLANCE, /* new files that differ from what is at their path are not read */
};

/* One round: 1 when there was something to do. Without the lock. For a glance `against` is a directory. */
int pfs_chunk_round(struct pfs_workspace *ws, enum pfs_chunk_how how, const struct pfs_id *against,
		    struct pfs_error *err);

/*
 * The content of a file for this seal, a new reference: known, or, if it is a
 * NEW one that changed since the last round, read now. With the lock held.
 */
int pfs_chunk_take(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_kept **out,
		   struct pfs_error *err);

#endif
