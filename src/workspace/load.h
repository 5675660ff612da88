/* From the journal to the overlay, at open. Threads: the one that opens. */
#ifndef PFS_WORKSPACE_LOAD_H
#define PFS_WORKSPACE_LOAD_H

#include "workspace/workspace_i.h"

/* Fill a fresh workspace with what its journal knows, and remove spool files it does not name. */
int pfs_workspace_load(struct pfs_workspace *ws, struct pfs_error *err);

#endif
