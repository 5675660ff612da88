/*
 * tree: immutable directories and file contents as trees over stored objects.
 *
 * A directory is named by one id, and so is the content of a file; equal
 * content has equal ids whatever its history. Every change makes new nodes
 * along one path and shares the rest. Knows nothing of branches or users.
 * Start reading at entry.h, then tree.h; the format is pfs-tree(5).
 */
#ifndef PFS_MAY_USE_TREE
#error "tree/ is not on this room's line of the floor plan, src/meson.build"
#endif
