/*
 * Image references: "busybox" is docker.io/library/busybox:latest.
 *
 *	[host[:port]/]repo[:tag][@sha256:...]
 *
 * The first component is a host only with a dot or a colon in it, or when it
 * is "localhost". Pure; threads: any.
 */
#ifndef PFS_RUNTIME_IMAGENAME_H
#define PFS_RUNTIME_IMAGENAME_H

#include "runtime/room.h"
#include "base/error.h"

#define PFS_IMAGENAME_SIZE 512 /* a full name with its terminator */

/* Complete `text`; PFS_E_INVALID for what cannot be a reference. */
int pfs_imagename_complete(const char *text, char out[PFS_IMAGENAME_SIZE], struct pfs_error *err);

#endif
