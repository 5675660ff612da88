/*
 * hall: where the rooms are introduced to each other.
 *
 * pfs_open() makes store, metadata, history, view and pipelines of one data
 * folder and hands them on; the only file that knows every room is open.c.
 */
#ifndef PFS_MAY_USE_HALL
#error "hall/ is not on this room's line of the floor plan, src/meson.build"
#endif
