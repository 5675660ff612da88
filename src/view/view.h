/* Making and freeing the view of an instance; all else is in <pfs/view.h>. */
#ifndef PFS_VIEW_VIEW_H
#define PFS_VIEW_VIEW_H

#include "view/room.h"
#include <pfs/view.h>

/* `h` is borrowed and outlives the view; `data_dir` is what pfs_view_data_dir() tells. */
int pfs_view_new(struct pfs_history *h, const char *data_dir, struct pfs_view **out,
		 struct pfs_error *err);

/* All handles, files and listings must have been given back. */
void pfs_view_free(struct pfs_view **v);

#endif
