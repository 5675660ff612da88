/*
 * format: bytes <-> structs. Pure: no files, no allocation it does not hand out.
 *
 * Every decoder trusts nothing: what it accepts, its encoder writes back byte
 * for byte; what it refuses is PFS_E_CORRUPT with a sentence. These functions
 * repeat the tables of the section-5 pages, and page and code agree exactly.
 * Start reading at packhdr.h and pfs-pack(5).
 */
#ifndef PFS_MAY_USE_FORMAT
#error "format/ is not on this room's line of the floor plan, src/meson.build"
#endif
