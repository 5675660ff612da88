/*
 * view: the whole instance as one tree of handles.
 *
 * Every door guest looks through the same window: root, repos, branches,
 * commits, control files, and what one running job sees. Knows nothing of HTTP
 * or FUSE. Start reading at <pfs/view.h>, then view_i.h: a place is a table of
 * operations, one file each (view_root.c, view_commit.c, view_workspace.c,
 * control.c, datumview.c); change.c tells what changed behind a cache's back.
 */
#ifndef PFS_MAY_USE_VIEW
#error "view/ is not on this room's line of the floor plan, src/meson.build"
#endif
