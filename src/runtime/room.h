/* runtime */
#ifndef PFS_MAY_USE_RUNTIME
#error "runtime/ is not on this room's line of the floor plan, src/meson.build"
#endif
