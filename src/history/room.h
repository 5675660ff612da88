/* history */
#ifndef PFS_MAY_USE_HISTORY
#error "history/ is not on this room's line of the floor plan, src/meson.build"
#endif
