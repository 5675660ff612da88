/*
 * What an image is made of: index, manifest and config as structs.
 *
 * Pure: bytes in, structs out, everything in them checked for form. Both the
 * OCI media types and Docker's are taken. Threads: any.
 */
#ifndef PFS_RUNTIME_MANIFEST_H
#define PFS_RUNTIME_MANIFEST_H

#include "runtime/room.h"
#include "base/json.h"
#include "runtime/digest.h"
#include "runtime/imagename.h"

#define PFS_MANIFEST_LAYERS_MAX 127u /* what overlayfs images elsewhere are held to */
#define PFS_MEDIA_TYPE_SIZE     128u

struct pfs_descriptor {
	char media_type[PFS_MEDIA_TYPE_SIZE];
	char digest[PFS_DIGEST_SIZE];
	int64_t size;
};

/*
 * The entry of an index for this machine: linux and our architecture. Of
 * several, the one whose annotated name is `name` (may be NULL); PFS_E_INVALID
 * when that leaves more than one, PFS_E_NOTFOUND when none. `out_name` gets
 * the annotated name, or "".
 */
int pfs_index_choose(const void *data, size_t len, const char *name, struct pfs_descriptor *out,
		     char out_name[PFS_IMAGENAME_SIZE], struct pfs_error *err);

bool pfs_descriptor_is_index(const struct pfs_descriptor *d);

struct pfs_manifest {
	struct pfs_descriptor config;
	size_t n_layers;
	struct pfs_descriptor layers[PFS_MANIFEST_LAYERS_MAX];
};

int pfs_manifest_parse(const void *data, size_t len, struct pfs_manifest *out,
		       struct pfs_error *err);

/* The part of a config we use. Strings are borrowed from `json`. */
struct pfs_imageconfig {
	json_t *json;
	const json_t *env; /* array of strings, or NULL; so are the next two */
	const json_t *entrypoint;
	const json_t *cmd;
	const char *cwd;  /* "/" when the image has none */
	const char *user; /* "" for root */
	size_t n_layers;
	char top_chain
		[PFS_DIGEST_SIZE]; /* name of the snapshot with all layers; "" without layers */
};

int pfs_imageconfig_parse(const void *data, size_t len, struct pfs_imageconfig *out,
			  struct pfs_error *err);
void pfs_imageconfig_fini(struct pfs_imageconfig *c);

/* Digest of layer `i`, uncompressed; borrowed. */
const char *pfs_imageconfig_diff_id(const struct pfs_imageconfig *c, size_t i);

/* The name of the snapshot with one more layer on `parent` (its chain id, "" for none). */
int pfs_chain_id(const char *parent, const char *diff_id, char out[PFS_DIGEST_SIZE],
		 struct pfs_error *err);

#endif
