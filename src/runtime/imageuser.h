/*
 * Who a container runs as: the image's "user[:group]" looked up in the files
 * of the image, never in ours.
 *
 * Threads: any.
 */
#ifndef PFS_RUNTIME_IMAGEUSER_H
#define PFS_RUNTIME_IMAGEUSER_H

#include "runtime/room.h"
#include "runtime/ocispec.h"

/*
 * `layers` are the folders of the image's layers, the topmost first and ':'
 * between them, as overlayfs writes lowerdir. Symlinks in them do not lead out.
 */
int pfs_imageuser_find(const char *text, const char *layers, struct pfs_ocispec_user *out,
		       struct pfs_error *err);

#endif
