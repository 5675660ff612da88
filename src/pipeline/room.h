/* pipeline */
#ifndef PFS_MAY_USE_PIPELINE
#error "pipeline/ is not on this room's line of the floor plan, src/meson.build"
#endif
