/* workspace */
#ifndef PFS_MAY_USE_WORKSPACE
#error "workspace/ is not on this room's line of the floor plan, src/meson.build"
#endif
