#include "runtime/image.h"
#include "runtime/content.h"
#include "runtime/unpack.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEST_MAX 3 /* indexes in indexes */

/* An image on its way in. */
struct import {
	struct pfs_ctrd *c;
	const char *lease;
	struct pfs_archive *archive;
	struct pfs_descriptor target; /* of its manifest */
	struct pfs_manifest manifest;
	char name[PFS_IMAGENAME_SIZE];
};

/* ---- reading the archive ---- */

static int check_layout(struct import *im, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(4096);
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	struct pfs_archive_place place;
	const char *version;
	int rc;

	rc = pfs_archive_find(im->archive, "oci-layout", &place, err);
	if (rc == PFS_E_NOTFOUND &&
	    pfs_archive_find(im->archive, "manifest.json", &place, NULL) == 0)
		return pfs_fail(
			err, PFS_E_UNSUPPORTED,
			"this is an old docker-save archive: convert it, as with \"skopeo copy "
			"docker-archive:FILE oci-archive:NEW\"");
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, PFS_E_INVALID, "not an OCI archive: it has no oci-layout");
	if (rc == 0)
		rc = pfs_archive_load(im->archive, &place, &text, err);
	if (rc == 0)
		rc = pfs_json_parse(text.data, text.len, &v, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "oci-layout");
	version = pfs_json_str(v, "imageLayoutVersion");
	if (!version || strncmp(version, "1.", 2) != 0)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "OCI layout version %.32s",
				version ? version : "unknown");
	return 0;
}

/* From index.json down to the descriptor of one manifest. */
static int find_target(struct import *im, const char *want, char annotated[PFS_IMAGENAME_SIZE],
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(PFS_HTTP_JSON_MAX);
	struct pfs_archive_place place;
	char inner[PFS_IMAGENAME_SIZE];
	int rc;

	rc = pfs_archive_find(im->archive, "index.json", &place, err);
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, PFS_E_INVALID, "not an OCI archive: it has no index.json");
	if (rc == 0)
		rc = pfs_archive_load(im->archive, &place, &text, err);
	if (rc == 0)
		rc = pfs_index_choose(text.data, text.len, want, &im->target, annotated, err);
	for (int depth = 0; rc == 0 && pfs_descriptor_is_index(&im->target); depth++) {
		if (depth == NEST_MAX)
			return pfs_fail(err, PFS_E_CORRUPT, "indexes in indexes, more than %d deep",
					NEST_MAX);
		pfs_buf_clear(&text);
		rc = pfs_archive_load_blob(im->archive, im->target.digest, im->target.size, &text,
					   err);
		if (rc == 0)
			rc = pfs_index_choose(text.data, text.len, NULL, &im->target, inner, err);
	}
	return rc;
}

/* What the caller says, else what the archive says. */
static int decide_name(struct import *im, const char *wanted, const char *annotated,
		       struct pfs_error *err)
{
	if (wanted)
		return pfs_imagename_complete(wanted, im->name, err);
	if (!annotated[0])
		return pfs_fail(err, PFS_E_INVALID, "the archive does not say its name: give one");
	/* Some tools write only a tag there: "latest" is then taken as a name nobody meant. */
	if (!strchr(annotated, ':') && !strchr(annotated, '/'))
		return pfs_fail(err, PFS_E_INVALID,
				"the archive only says the tag \"%.128s\": give a name", annotated);
	return pfs_imagename_complete(annotated, im->name, err);
}

static int load_manifest(struct import *im, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(PFS_HTTP_JSON_MAX);
	int rc;

	rc = pfs_archive_load_blob(im->archive, im->target.digest, im->target.size, &text, err);
	return rc < 0 ? rc : pfs_manifest_parse(text.data, text.len, &im->manifest, err);
}

static int load_config(struct import *im, struct pfs_imageconfig *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(PFS_HTTP_JSON_MAX);
	const struct pfs_descriptor *d = &im->manifest.config;
	int rc;

	rc = pfs_archive_load_blob(im->archive, d->digest, d->size, &text, err);
	return rc < 0 ? rc : pfs_imageconfig_parse(text.data, text.len, out, err);
}

/* ---- writing to containerd ---- */

/* Children before the manifest, the manifest before its labels: the lease holds what nothing refers to yet. */
static int write_blobs(struct import *im, struct pfs_error *err)
{
	struct pfs_ctrd_labels refs = { 0 };
	char key[64];
	int rc;

	rc = pfs_content_write(im->c, im->lease, im->archive, &im->manifest.config, err);
	pfs_ctrd_label(&refs, "containerd.io/gc.ref.content.config", im->manifest.config.digest);
	for (size_t i = 0; i < im->manifest.n_layers && rc == 0; i++) {
		rc = pfs_content_write(im->c, im->lease, im->archive, &im->manifest.layers[i], err);
		snprintf(key, sizeof(key), "containerd.io/gc.ref.content.l.%zu", i);
		pfs_ctrd_label(&refs, key, im->manifest.layers[i].digest);
	}
	if (rc == 0)
		rc = pfs_content_write(im->c, im->lease, im->archive, &im->target, err);
	if (rc == 0)
		rc = pfs_content_label(im->c, im->lease, im->target.digest, &refs, err);
	return rc;
}

static int name_image(struct import *im, struct pfs_error *err)
{
	const struct pfs_ctrd_method create = { "images.v1.Images/Create", PFS_CTRD_REPEAT,
						PFS_CTRD_QUICK_MS, im->lease };
	const struct pfs_ctrd_method update = { "images.v1.Images/Update", PFS_CTRD_REPEAT,
						PFS_CTRD_QUICK_MS, im->lease };
	Ctrd__ImageCreate request = CTRD__IMAGE_CREATE__INIT;
	Ctrd__ImageUpdate again = CTRD__IMAGE_UPDATE__INIT;
	Ctrd__Image image = CTRD__IMAGE__INIT;
	Ctrd__Descriptor target = CTRD__DESCRIPTOR__INIT;
	int rc;

	target.media_type = im->target.media_type;
	target.digest = im->target.digest;
	target.size = im->target.size;
	image.name = im->name;
	image.target = &target;
	request.image = &image;
	rc = pfs_ctrd_call(im->c, &create, &request.base, NULL, NULL, err);
	if (rc != PFS_E_EXISTS)
		return rc;
	again.image = &image;
	return pfs_ctrd_call(im->c, &update, &again.base, NULL, NULL, err);
}

static int import_leased(struct import *im, const struct pfs_imageconfig *config,
			 struct pfs_error *err)
{
	int rc;

	rc = write_blobs(im, err);
	if (rc == 0)
		rc = pfs_unpack(im->c, im->lease, &im->manifest, config, err);
	if (rc == 0)
		rc = name_image(im, err);
	return rc;
}

/* All that can be refused without containerd is refused before it hears of it. */
static int read_archive(struct import *im, const char *name, struct pfs_imageconfig *config,
			struct pfs_error *err)
{
	char annotated[PFS_IMAGENAME_SIZE], full[PFS_IMAGENAME_SIZE];
	int rc = 0;

	if (name)
		rc = pfs_imagename_complete(name, full, err);
	if (rc == 0)
		rc = check_layout(im, err);
	if (rc == 0)
		rc = find_target(im, name ? full : NULL, annotated, err);
	if (rc == 0)
		rc = decide_name(im, name, annotated, err);
	if (rc == 0)
		rc = load_manifest(im, err);
	if (rc == 0)
		rc = load_config(im, config, err);
	return rc;
}

int pfs_image_import(struct pfs_ctrd *c, const char *lease, const char *archive, const char *name,
		     char out_name[PFS_IMAGENAME_SIZE], struct pfs_error *err)
{
	PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;
	PFS_AUTO(pfs_imageconfig_fini) struct pfs_imageconfig config = { 0 };
	struct import im = { .c = c, .lease = lease };
	int rc;

	rc = pfs_archive_open(archive, &a, err);
	if (rc < 0)
		return rc;
	im.archive = a;
	rc = read_archive(&im, name, &config, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "%s", archive);
	rc = pfs_ctrd_lease(c, lease, err);
	if (rc == 0) {
		rc = import_leased(&im, &config, err);
		pfs_ctrd_unlease(c, lease, NULL); /* it ends by itself, should this fail */
	}
	if (rc < 0)
		return pfs_wrap(err, rc, "import %s", archive);
	memcpy(out_name, im.name, PFS_IMAGENAME_SIZE);
	return 0;
}

/* ---- looking up ---- */

static int find_image(struct pfs_ctrd *c, const char *name, struct pfs_descriptor *out,
		      struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "images.v1.Images/Get", PFS_CTRD_REPEAT,
						       PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	Ctrd__ImageGet request = CTRD__IMAGE_GET__INIT;
	char full[PFS_IMAGENAME_SIZE];
	const Ctrd__Descriptor *target;
	int rc;

	rc = pfs_imagename_complete(name, full, err);
	if (rc < 0)
		return rc;
	request.name = full;
	rc = pfs_ctrd_call(c, &method, &request.base, &ctrd__image_reply__descriptor, &m, err);
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, rc,
				"image \"%s\" (%s) is not in containerd: import it with "
				"\"pfs-runner --containerd %s import FILE\"",
				name, full, c->address);
	if (rc < 0)
		return rc;
	target = ((Ctrd__ImageReply *)(void *)m)->image
			 ? ((Ctrd__ImageReply *)(void *)m)->image->target
			 : NULL;
	rc = pfs_digest_check(target ? target->digest : NULL, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "image %s", full);
	snprintf(out->media_type, sizeof(out->media_type), "%s", target->media_type);
	snprintf(out->digest, sizeof(out->digest), "%s", target->digest);
	out->size = target->size;
	return 0;
}

int pfs_image_resolve(struct pfs_ctrd *c, const char *name, char out_digest[PFS_DIGEST_SIZE],
		      struct pfs_error *err)
{
	struct pfs_descriptor d;
	int rc = find_image(c, name, &d, err);

	if (rc == 0)
		memcpy(out_digest, d.digest, PFS_DIGEST_SIZE);
	return rc;
}

/* Images that other tools put here may be indexes. */
static int load_target(struct pfs_ctrd *c, struct pfs_descriptor *d, struct pfs_buf *text,
		       struct pfs_error *err)
{
	char inner[PFS_IMAGENAME_SIZE];
	int rc;

	rc = pfs_content_load(c, d->digest, text, err);
	for (int depth = 0; rc == 0 && pfs_descriptor_is_index(d); depth++) {
		if (depth == NEST_MAX)
			return pfs_fail(err, PFS_E_CORRUPT, "indexes in indexes, more than %d deep",
					NEST_MAX);
		rc = pfs_index_choose(text->data, text->len, NULL, d, inner, err);
		pfs_buf_clear(text);
		if (rc == 0)
			rc = pfs_content_load(c, d->digest, text, err);
	}
	return rc;
}

static int load_parts(struct pfs_ctrd *c, const char *name, struct pfs_manifest *manifest,
		      struct pfs_imageconfig *config, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(PFS_HTTP_JSON_MAX);
	struct pfs_descriptor d;
	int rc;

	rc = find_image(c, name, &d, err);
	if (rc == 0)
		rc = load_target(c, &d, &text, err);
	if (rc == 0)
		rc = pfs_manifest_parse(text.data, text.len, manifest, err);
	pfs_buf_clear(&text);
	if (rc == 0)
		rc = pfs_content_load(c, manifest->config.digest, &text, err);
	if (rc == 0)
		rc = pfs_imageconfig_parse(text.data, text.len, config, err);
	return rc;
}

int pfs_image_load(struct pfs_ctrd *c, const char *lease, const char *name,
		   struct pfs_imageconfig *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_imageconfig_fini) struct pfs_imageconfig config = { 0 };
	struct pfs_manifest manifest;
	int rc;

	rc = load_parts(c, name, &manifest, &config, err);
	if (rc < 0)
		return rc;
	if (config.n_layers == 0)
		return pfs_fail(err, PFS_E_INVALID, "image %s has no layers", name);
	rc = pfs_snapshot_check(c, NULL, config.top_chain, err);
	if (rc == PFS_E_NOTFOUND) {
		rc = pfs_ctrd_lease(c, lease, err);
		if (rc == 0)
			rc = pfs_unpack(c, lease, &manifest, &config, err);
		pfs_ctrd_unlease(c, lease, NULL);
	}
	if (rc < 0)
		return pfs_wrap(err, rc, "image %s", name);
	*out = config;
	config.json = NULL;
	return 0;
}

int pfs_image_list(struct pfs_ctrd *c,
		   void (*each)(void *arg, const char *name, const char *digest), void *arg,
		   struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "images.v1.Images/List", PFS_CTRD_REPEAT,
						       PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	Ctrd__ImageList request = CTRD__IMAGE_LIST__INIT;
	const Ctrd__ImageListReply *reply;
	int rc;

	rc = pfs_ctrd_call(c, &method, &request.base, &ctrd__image_list_reply__descriptor, &m, err);
	if (rc < 0)
		return rc;
	reply = (const Ctrd__ImageListReply *)(void *)m;
	for (size_t i = 0; i < reply->n_images; i++)
		each(arg, reply->images[i]->name,
		     reply->images[i]->target ? reply->images[i]->target->digest : "");
	return 0;
}
