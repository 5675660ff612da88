/* format */
#ifndef PFS_MAY_USE_FORMAT
#error "format/ is not on this room's line of the floor plan, src/meson.build"
#endif
