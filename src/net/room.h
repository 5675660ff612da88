/* net */
#ifndef PFS_MAY_USE_NET
#error "net/ is not on this room's line of the floor plan, src/meson.build"
#endif
