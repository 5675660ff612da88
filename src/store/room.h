/*
 * store: chunks. Bytes in, id out; id in, the same bytes out.
 *
 * Knows nothing of paths, trees or branches, nor why a chunk is wanted.
 * Ids are computed here and checked on every read. Safe from any thread.
 * Start reading at store.h, then pack.h; the format is pfs-pack(5).
 */
#ifndef PFS_MAY_USE_STORE
#error "store/ is not on this room's line of the floor plan, src/meson.build"
#endif
