/*
 * workspace: the one mutable thing: a base tree plus what has changed since.
 *
 * Knows nothing of branches, commits or metadata: it is given a base root and
 * can be sealed into a new root. Start reading at workspace.h, then node.h
 * (the overlay), journal.h (what survives a crash), spool.h (dirty bytes) and
 * seal.h.
 */
#ifndef PFS_MAY_USE_WORKSPACE
#error "workspace/ is not on this room's line of the floor plan, src/meson.build"
#endif
