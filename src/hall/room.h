/* hall */
#ifndef PFS_MAY_USE_HALL
#error "hall/ is not on this room's line of the floor plan, src/meson.build"
#endif
