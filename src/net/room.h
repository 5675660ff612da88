/*
 * net: one request to somebody else: HTTP by libcurl, gRPC by libnghttp2.
 *
 * Knows nothing of containerd, registries, S3 or pfsd: paths, headers and bytes
 * only. Start reading at http.h and grpc.h.
 */
#ifndef PFS_MAY_USE_NET
#error "net/ is not on this room's line of the floor plan, src/meson.build"
#endif
