/*
 * history: repos, branches, commits and where they came from.
 *
 * The one place that ties content (store, tree, workspace) to names (meta), and
 * it does so in one order: content is durable before anything names it. Knows
 * nothing of pipelines but that somebody may own a branch, nor of HTTP or FUSE.
 * Start reading at <pfs/commit.h>, then history.h and commit.c; the record of
 * a commit is pfs-commit(5).
 */
#ifndef PFS_MAY_USE_HISTORY
#error "history/ is not on this room's line of the floor plan, src/meson.build"
#endif
