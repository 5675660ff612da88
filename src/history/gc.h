/*
 * What history adds to <pfs/admin.h> for the rooms above: maintenance that
 * knows when a collection is due.
 *
 * Threads: any. Lock: PFS_RANK_HISTORY_GC, held while one runs.
 */
#ifndef PFS_HISTORY_GC_H
#define PFS_HISTORY_GC_H

#include "history/history.h"
#include <pfs/admin.h>

#endif
