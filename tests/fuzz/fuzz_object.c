/* Any text as what the command line names: repo@rev:path. */
#include "cli/object.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), again[PFS_PATH_SIZE_MAX + 1];
	struct pfs_object o;
	struct pfs_error err;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = 0;
	if (pfs_object_parse(text, &o, &err) == 0) {
		if (pfs_path_check_repo(o.repo, NULL) < 0)
			abort();
		if (o.has_path &&
		    (pfs_path_normalize(o.path, again, NULL) < 0 || strcmp(again, o.path) != 0))
			abort();
	} else if (!err.text[0]) {
		abort();
	}
	pfs_object_parse_rev(text, &o, &err);
	pfs_object_parse_branch(text, &o, &err);
	pfs_object_is_id(text);
	free(text);
	return 0;
}
