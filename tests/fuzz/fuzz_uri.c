/*
 * What anybody can send to pfsd before it is known who he is: request targets,
 * ranges, patterns. Paths that are let through do not climb, and do not change
 * when they are looked at again.
 */
#include "daemon/range.h"
#include "daemon/uri.h"
#include "daemon/wildcard.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void try_target(const char *text)
{
	char store[PFS_PATH_SIZE_MAX + 1], again[PFS_PATH_SIZE_MAX + 1];
	const char *captures[PFS_URI_CAPTURES_MAX];
	struct pfs_uri u = { 0 };

	if (pfs_uri_parse(text, &u, NULL) < 0)
		return;
	must(strlen(u.path) <= PFS_PATH_SIZE_MAX && u.n_parameters <= PFS_URI_PARAMETERS_MAX);
	must(pfs_path_normalize(u.path, again, NULL) == 0 && strcmp(again, u.path) == 0);
	for (size_t i = 0; i < u.n_parameters; i++)
		must(pfs_uri_get(&u, u.parameters[i].name) != NULL);
	pfs_uri_match("repo/*/file/**", u.path, store, captures);
	pfs_uri_match("*", u.path, store, captures);
	pfs_uri_fini(&u);
}

static void try_range(const char *text, uint64_t size)
{
	uint64_t off = 0, len = 0;

	if (pfs_range_parse(text, size, &off, &len) == PFS_RANGE_PART)
		must(len > 0 && off < size && len <= size - off);
}

static void try_pattern(const char *text)
{
	const char *name = strchr(text, '/');
	size_t len = name ? (size_t)(name - text) : strlen(text);

	if (pfs_wildcard_check(text, len, NULL) < 0)
		return;
	pfs_wildcard_match(text, len, name ? name + 1 : "abc");
	/* What has no pattern in it fits itself and nothing else. */
	if (!pfs_wildcard_is_pattern(text, len)) {
		char *plain = strndup(text, len);

		must(plain && pfs_wildcard_match(text, len, plain));
		free(plain);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	if (size && text[0] == '/')
		try_target(text);
	else if (strncmp(text, "bytes=", 6) == 0)
		for (uint64_t n = 0; n < 2000; n = 3 * n + 1)
			try_range(text, n);
	else
		try_pattern(text);
	free(text);
	return 0;
}
