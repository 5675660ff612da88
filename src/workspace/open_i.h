/*
 * The inside of an open file, for open.c and borrow.c.
 *
 * Threads: any; locks as in workspace.h.
 */
#ifndef PFS_WORKSPACE_OPEN_I_H
#define PFS_WORKSPACE_OPEN_I_H

#include "workspace/workspace_i.h"

#include <stdatomic.h>

struct pfs_open {
	struct pfs_workspace *ws;
	struct pfs_node *node; /* one reference */
	bool write;
	_Atomic bool wrote;                /* or may have */
	bool past;                         /* may write past us; counted in the node */
	_Atomic unsigned changes;          /* calls that change the bytes now */
	struct pfs_lock lock;              /* PFS_RANK_WORKSPACE_OPEN */
	struct pfs_spooled *spooled;       /* of which it is a user; changed with both locks held */
	struct pfs_lock reader_lock;       /* PFS_RANK_WORKSPACE_READER */
	struct pfs_content_reader *reader; /* protected by reader_lock */
	uint64_t reader_version;           /* of the content it reads; protected by reader_lock */
};

/* The spool file that bytes are in, held for a call; NULL when the node has none. */
int pfs_open_hold(struct pfs_open *o, struct pfs_spooled **out, struct pfs_error *err);

/* What a clean file holds, one reference; NULL: a writer came, it has a spool file now. */
struct pfs_kept *pfs_open_kept(struct pfs_open *o, uint64_t *out_version);

#endif
