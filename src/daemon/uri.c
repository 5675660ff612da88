#include "daemon/uri.h"
#include "base/id.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

int pfs_uri_decode(const char *text, size_t len, bool plus, char *out, struct pfs_error *err)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (text[i] != '%') {
			out[used++] = plus && text[i] == '+' ? ' ' : text[i];
			continue;
		}
		high = i + 1 < len ? pfs_hex_digit(text[i + 1]) : -1;
		low = i + 2 < len ? pfs_hex_digit(text[i + 2]) : -1;
		if (high < 0 || low < 0)
			return pfs_fail(err, PFS_E_INVALID,
					"\"%.*s\" is not a percent escape: two hexadecimal digits "
					"follow the %%",
					(int)(len - i < 3 ? len - i : 3), text + i);
		if (high == 0 && low == 0)
			return pfs_fail(err, PFS_E_INVALID, "%%00 is not allowed in a name");
		out[used++] = (char)(high * 16 + low);
		i += 2;
	}
	out[used] = 0;
	return 0;
}

static int parse_path(const char *target, size_t len, char **out, struct pfs_error *err)
{
	char *decoded = malloc(len + 1);
	char *path = malloc(PFS_PATH_SIZE_MAX + 1);
	int rc;

	if (!decoded || !path)
		rc = pfs_fail_nomem(err, "a request's path");
	else
		rc = pfs_uri_decode(target, len, false, decoded, err);
	if (rc == 0)
		rc = pfs_path_normalize(decoded, path, err);
	free(decoded);
	if (rc == 0)
		*out = path;
	else
		free(path);
	return rc;
}

/* One "name=value"; both are decoded where they stand, which never makes them longer. */
static int parse_parameter(struct pfs_uri *u, char *text, struct pfs_error *err)
{
	char *value = strchr(text, '=');
	int rc;

	if (u->n_parameters == PFS_URI_PARAMETERS_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "more than %u parameters in the query",
				PFS_URI_PARAMETERS_MAX);
	if (value)
		*value++ = 0;
	else
		value = text + strlen(text);
	rc = pfs_uri_decode(value, strlen(value), true, value, err);
	if (rc == 0)
		rc = pfs_uri_decode(text, strlen(text), true, text, err);
	if (rc < 0)
		return rc;
	u->parameters[u->n_parameters++] = (struct pfs_uri_parameter){ text, value };
	return 0;
}

static int parse_query(struct pfs_uri *u, const char *text, struct pfs_error *err)
{
	char *rest, *piece;

	u->query = strdup(text);
	if (!u->query)
		return pfs_fail_nomem(err, "a request's query");
	rest = u->query;
	while ((piece = strsep(&rest, "&"))) {
		int rc = *piece ? parse_parameter(u, piece, err) : 0;

		if (rc < 0)
			return pfs_wrap(err, rc, "query");
	}
	return 0;
}

int pfs_uri_parse(const char *target, struct pfs_uri *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_uri_fini) struct pfs_uri u = { 0 };
	const char *query = strchr(target, '?');
	size_t len = query ? (size_t)(query - target) : strlen(target);
	int rc;

	if (target[0] != '/')
		return pfs_fail(err, PFS_E_INVALID,
				"request target \"%.100s\" does not begin with a slash", target);
	rc = parse_path(target, len, &u.path, err);
	if (rc == 0 && query)
		rc = parse_query(&u, query + 1, err);
	if (rc < 0)
		return rc;
	*out = u;
	u = (struct pfs_uri){ 0 };
	return 0;
}

void pfs_uri_fini(struct pfs_uri *u)
{
	free(u->path);
	free(u->query);
	*u = (struct pfs_uri){ 0 };
}

const char *pfs_uri_get(const struct pfs_uri *u, const char *name)
{
	for (size_t i = 0; i < u->n_parameters; i++)
		if (strcmp(u->parameters[i].name, name) == 0)
			return u->parameters[i].value;
	return NULL;
}

static bool starts_capture(const char *pattern)
{
	return pattern[0] == '{';
}

/* "{path...}", which takes all that is left. */
static bool takes_rest(const char *pattern, size_t len)
{
	return len > 5 && memcmp(pattern + len - 4, "...}", 4) == 0;
}

bool pfs_uri_match(const char *pattern, const char *path, char store[PFS_PATH_SIZE_MAX + 1],
		   const char *captures[PFS_URI_CAPTURES_MAX])
{
	const char *from[PFS_URI_CAPTURES_MAX];
	size_t len[PFS_URI_CAPTURES_MAX], n = 0;

	while (*pattern == '/') {
		size_t want = strcspn(++pattern, "/");
		size_t have = strcspn(path, "/");

		if (want == 0 && !*path)
			break;
		if (starts_capture(pattern)) {
			if (takes_rest(pattern, want))
				have = strlen(path);
			else if (have == 0)
				return false;
			if (n == PFS_URI_CAPTURES_MAX)
				return false;
			from[n] = path;
			len[n++] = have;
		} else if (want != have || memcmp(pattern, path, want) != 0) {
			return false;
		}
		pattern += want;
		path += have + (path[have] == '/');
	}
	if (*path || *pattern)
		return false;
	for (size_t i = 0; i < n; i++) {
		memcpy(store, from[i], len[i]);
		store[len[i]] = 0;
		captures[i] = store;
		store += len[i] + 1;
	}
	return true;
}
