/* meta */
#ifndef PFS_MAY_USE_META
#error "meta/ is not on this room's line of the floor plan, src/meson.build"
#endif
