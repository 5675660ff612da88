/* view */
#ifndef PFS_MAY_USE_VIEW
#error "view/ is not on this room's line of the floor plan, src/meson.build"
#endif
