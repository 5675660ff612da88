/*
 * seal: overlay and spool into chunks, nodes, a root. settle: what was sealed
 * is not different any more. The contract is in workspace.h.
 */
#ifndef PFS_WORKSPACE_SEAL_H
#define PFS_WORKSPACE_SEAL_H

#include "workspace/workspace_i.h"

/* Forget the last seal. Without the lock, or when nobody else is left. */
void pfs_sealing_free(struct pfs_workspace *ws);

#endif
