/*
 * Images in containerd: import from an archive, look up by name, load what a
 * container needs to know.
 *
 * Threads: any.
 */
#ifndef PFS_RUNTIME_IMAGE_H
#define PFS_RUNTIME_IMAGE_H

#include "runtime/room.h"
#include "runtime/ctrd.h"

/* See pfs_runtime_import(). */
int pfs_image_import(struct pfs_ctrd *c, const char *lease, const char *archive, const char *name,
		     char out_name[PFS_IMAGENAME_SIZE], struct pfs_error *err);

/* The digest behind a name, short or full. PFS_E_NOTFOUND says how to bring it in. */
int pfs_image_resolve(struct pfs_ctrd *c, const char *name, char out_digest[PFS_DIGEST_SIZE],
		      struct pfs_error *err);

/*
 * The config of an image, whose layers are unpacked when this returns;
 * `lease` is the id of a lease to make should that be needed.
 */
int pfs_image_load(struct pfs_ctrd *c, const char *lease, const char *name,
		   struct pfs_imageconfig *out, struct pfs_error *err);

/* Call `each` for every image. */
int pfs_image_list(struct pfs_ctrd *c,
		   void (*each)(void *arg, const char *name, const char *digest), void *arg,
		   struct pfs_error *err);

#endif
