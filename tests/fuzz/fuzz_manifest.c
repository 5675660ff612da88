/* What a registry or an archive may hand us as an image: index, manifest, configuration, name. */
#include "runtime/imagename.h"
#include "runtime/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_config(const uint8_t *data, size_t size)
{
	struct pfs_imageconfig c = { 0 };
	struct pfs_error err;

	if (pfs_imageconfig_parse(data, size, &c, &err) < 0)
		return;
	for (size_t i = 0; i < c.n_layers; i++)
		if (!pfs_imageconfig_diff_id(&c, i))
			abort();
	pfs_imageconfig_fini(&c);
}

static void try_name(const uint8_t *data, size_t size)
{
	char full[PFS_IMAGENAME_SIZE], again[PFS_IMAGENAME_SIZE];
	char *text = malloc(size + 1);
	struct pfs_error err;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = 0;
	/* A full name is full already; one of 400 bytes became too long. */
	if (pfs_imagename_complete(text, full, &err) == 0 && strlen(full) <= 400 &&
	    (pfs_imagename_complete(full, again, &err) < 0 || strcmp(full, again) != 0))
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pfs_manifest m;
	char name[PFS_IMAGENAME_SIZE];
	struct pfs_descriptor d;
	struct pfs_error err;

	if (pfs_manifest_parse(data, size, &m, &err) == 0 && m.n_layers > PFS_MANIFEST_LAYERS_MAX)
		abort();
	pfs_index_choose(data, size, NULL, &d, name, &err);
	pfs_index_choose(data, size, "busybox", &d, name, &err);
	try_config(data, size);
	try_name(data, size);
	return 0;
}
