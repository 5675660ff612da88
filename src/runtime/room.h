/*
 * runtime: run one container with these mounts and tell how it ended.
 *
 * The only room that speaks to containerd, and only pfs-runner has its key: a
 * container problem never reaches the file system. Knows nothing of commits,
 * jobs or datums. Start reading at runtime.h.
 */
#ifndef PFS_MAY_USE_RUNTIME
#error "runtime/ is not on this room's line of the floor plan, src/meson.build"
#endif
