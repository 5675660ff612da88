/* What one process holds and the next one goes on with: nodes without names. */
#ifndef PFS_WORKSPACE_HOLD_H
#define PFS_WORKSPACE_HOLD_H

#include "workspace/workspace_i.h"

/* Whoever goes on with what the last process held has it by now. */
void pfs_workspace_end_hold(struct pfs_workspace *ws);

#endif
