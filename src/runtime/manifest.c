#include "runtime/manifest.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#elif defined(__riscv)
#define ARCHITECTURE "riscv64"
#elif defined(__s390x__)
#define ARCHITECTURE "s390x"
#elif defined(__powerpc64__)
#define ARCHITECTURE "ppc64le"
#else
#error "what do image indexes call this architecture?"
#endif

static int parse_descriptor(const json_t *v, struct pfs_descriptor *out, struct pfs_error *err)
{
	const char *type = pfs_json_str(v, "mediaType");
	const char *digest = pfs_json_str(v, "digest");
	int64_t size = pfs_json_int(v, "size", -1);
	int rc;

	rc = pfs_digest_check(digest, err);
	if (rc < 0)
		return rc;
	if (!type || strlen(type) >= PFS_MEDIA_TYPE_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "%s has no usable media type", digest);
	if (size < 0)
		return pfs_fail(err, PFS_E_CORRUPT, "%s has no size", digest);
	snprintf(out->media_type, sizeof(out->media_type), "%s", type);
	snprintf(out->digest, sizeof(out->digest), "%s", digest);
	out->size = size;
	return 0;
}

bool pfs_descriptor_is_index(const struct pfs_descriptor *d)
{
	return strcmp(d->media_type, "application/vnd.oci.image.index.v1+json") == 0 ||
	       strcmp(d->media_type, "application/vnd.docker.distribution.manifest.list.v2+json") ==
		       0;
}

static bool is_ours(const json_t *entry)
{
	const json_t *platform = json_object_get(entry, "platform");
	const char *os = pfs_json_str(platform, "os");
	const char *arch = pfs_json_str(platform, "architecture");

	if (!platform)
		return true; /* its config will tell */
	return os && arch && strcmp(os, "linux") == 0 && strcmp(arch, ARCHITECTURE) == 0;
}

static const char *annotated_name(const json_t *entry)
{
	const json_t *notes = json_object_get(entry, "annotations");
	const char *name = pfs_json_str(notes, "io.containerd.image.name");

	return name ? name : pfs_json_str(notes, "org.opencontainers.image.ref.name");
}

static bool has_name(const json_t *entry, const char *full)
{
	const char *name = annotated_name(entry);
	char completed[PFS_IMAGENAME_SIZE];

	return name && pfs_imagename_complete(name, completed, NULL) == 0 &&
	       strcmp(completed, full) == 0;
}

static int choose_entry(const json_t *entries, const char *name, const json_t **out,
			struct pfs_error *err)
{
	const json_t *ours = NULL, *named = NULL, *entry;
	size_t n_ours = 0, n_named = 0, i;

	json_array_foreach((json_t *)(uintptr_t)entries, i, entry)
	{
		if (!is_ours(entry))
			continue;
		n_ours++;
		ours = entry;
		if (name && has_name(entry, name)) {
			n_named++;
			named = entry;
		}
	}
	if (n_ours == 0)
		return pfs_fail(err, PFS_E_NOTFOUND,
				"no image for linux/" ARCHITECTURE " in the index");
	if (n_ours > 1 && n_named != 1)
		return pfs_fail(err, PFS_E_INVALID,
				"%zu images in the index: say which by its name", n_ours);
	*out = n_ours == 1 ? ours : named;
	return 0;
}

int pfs_index_choose(const void *data, size_t len, const char *name, struct pfs_descriptor *out,
		     char out_name[PFS_IMAGENAME_SIZE], struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *index = NULL;
	const json_t *entry = NULL;
	struct pfs_descriptor d;
	const char *full;
	int rc;

	rc = pfs_json_parse(data, len, &index, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "image index");
	if (!json_is_array(json_object_get(index, "manifests")))
		return pfs_fail(err, PFS_E_CORRUPT, "an image index without manifests");
	rc = choose_entry(json_object_get(index, "manifests"), name, &entry, err);
	if (rc == 0)
		rc = parse_descriptor(entry, &d, err);
	if (rc < 0)
		return rc;
	full = annotated_name(entry);
	*out = d;
	snprintf(out_name, PFS_IMAGENAME_SIZE, "%s", full ? full : "");
	return 0;
}

int pfs_manifest_parse(const void *data, size_t len, struct pfs_manifest *out,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	struct pfs_manifest m = { 0 };
	const json_t *layers, *layer;
	size_t i;
	int rc;

	rc = pfs_json_parse(data, len, &v, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "image manifest");
	layers = json_object_get(v, "layers");
	if (!json_is_array(layers) || json_array_size(layers) > PFS_MANIFEST_LAYERS_MAX)
		return pfs_fail(err, PFS_E_CORRUPT,
				"an image manifest without layers, or with more than %u",
				PFS_MANIFEST_LAYERS_MAX);
	rc = parse_descriptor(json_object_get(v, "config"), &m.config, err);
	json_array_foreach((json_t *)(uintptr_t)layers, i, layer) if (rc == 0) rc =
		parse_descriptor(layer, &m.layers[m.n_layers++], err);
	if (rc < 0)
		return pfs_wrap(err, rc, "image manifest");
	*out = m;
	return 0;
}

int pfs_chain_id(const char *parent, const char *diff_id, char out[PFS_DIGEST_SIZE],
		 struct pfs_error *err)
{
	char both[2 * PFS_DIGEST_SIZE];

	if (!parent[0]) {
		snprintf(out, PFS_DIGEST_SIZE, "%s", diff_id);
		return 0;
	}
	snprintf(both, sizeof(both), "%s %s", parent, diff_id);
	return pfs_digest_of(both, strlen(both), out, err);
}

const char *pfs_imageconfig_diff_id(const struct pfs_imageconfig *c, size_t i)
{
	const json_t *rootfs = json_object_get(c->json, "rootfs");

	return json_string_value(json_array_get(json_object_get(rootfs, "diff_ids"), i));
}

void pfs_imageconfig_fini(struct pfs_imageconfig *c)
{
	pfs_json_free(&c->json);
}

/* An array of strings, or nothing. */
static int check_strings(const json_t *config, const char *key, const json_t **out,
			 struct pfs_error *err)
{
	const json_t *list = json_object_get(config, key), *v;
	size_t i;

	*out = NULL;
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return pfs_fail(err, PFS_E_CORRUPT, "image config: %s is no list", key);
	json_array_foreach((json_t *)(uintptr_t)list, i, v) if (!json_is_string(v)) return pfs_fail(
		err, PFS_E_CORRUPT, "image config: %s has something else than text", key);
	*out = list;
	return 0;
}

static int compute_chain(struct pfs_imageconfig *c, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < c->n_layers && rc == 0; i++) {
		rc = pfs_digest_check(pfs_imageconfig_diff_id(c, i), err);
		if (rc == 0)
			rc = pfs_chain_id(c->top_chain, pfs_imageconfig_diff_id(c, i), c->top_chain,
					  err);
	}
	return rc;
}

static int check_platform(const json_t *v, struct pfs_error *err)
{
	const char *os = pfs_json_str(v, "os"), *arch = pfs_json_str(v, "architecture");

	if (os && arch && (strcmp(os, "linux") != 0 || strcmp(arch, ARCHITECTURE) != 0))
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"the image is for %.32s/%.32s, this machine is linux/" ARCHITECTURE,
				os, arch);
	return 0;
}

int pfs_imageconfig_parse(const void *data, size_t len, struct pfs_imageconfig *out,
			  struct pfs_error *err)
{
	PFS_AUTO(pfs_imageconfig_fini) struct pfs_imageconfig c = { 0 };
	const json_t *config;
	int rc;

	rc = pfs_json_parse(data, len, &c.json, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "image config");
	rc = check_platform(c.json, err);
	config = json_object_get(c.json, "config");
	c.n_layers =
		json_array_size(json_object_get(json_object_get(c.json, "rootfs"), "diff_ids"));
	if (rc == 0)
		rc = check_strings(config, "Env", &c.env, err);
	if (rc == 0)
		rc = check_strings(config, "Entrypoint", &c.entrypoint, err);
	if (rc == 0)
		rc = check_strings(config, "Cmd", &c.cmd, err);
	if (rc == 0)
		rc = compute_chain(&c, err);
	if (rc < 0)
		return rc;
	c.cwd = pfs_json_str(config, "WorkingDir");
	if (!c.cwd || !c.cwd[0])
		c.cwd = "/";
	c.user = pfs_json_str(config, "User");
	if (!c.user)
		c.user = "";
	*out = c;
	c.json = NULL;
	return 0;
}
