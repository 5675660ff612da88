#include "base/path.h"
#include "base/id.h"
#include "base/limits.h"

#include <ctype.h>
#include <string.h>

int pfs_path_check_name(const char *name, size_t len, struct pfs_error *err)
{
	if (len == 0)
		return pfs_fail(err, PFS_E_INVALID, "an empty name");
	if (len > PFS_NAME_SIZE_MAX)
		return pfs_fail(err, PFS_E_NAMETOOLONG,
				"name \"%.40s...\" has %zu bytes, at most %u fit", name, len,
				PFS_NAME_SIZE_MAX);
	if (memchr(name, '/', len) || memchr(name, 0, len))
		return pfs_fail(err, PFS_E_INVALID, "name \"%.*s\" has a slash or a NUL in it",
				(int)len, name);
	if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
		return pfs_fail(err, PFS_E_INVALID, "\"%.*s\" is not allowed in a path", (int)len,
				name);
	return 0;
}

int pfs_path_next(const char **rest, const char **out_name, size_t *out_len, struct pfs_error *err)
{
	const char *p = *rest;
	size_t len;
	int rc;

	while (*p == '/')
		p++;
	if (!*p) {
		*rest = p;
		return 0;
	}
	len = strcspn(p, "/");
	rc = pfs_path_check_name(p, len, err);
	if (rc < 0)
		return rc;
	*out_name = p;
	*out_len = len;
	*rest = p + len;
	return 1;
}

int pfs_path_normalize(const char *path, char *out, struct pfs_error *err)
{
	const char *rest = path, *name;
	size_t len, used = 0;
	int rc;

	while ((rc = pfs_path_next(&rest, &name, &len, err)) > 0) {
		if (used + len + 1 > PFS_PATH_SIZE_MAX)
			return pfs_fail(err, PFS_E_NAMETOOLONG, "path of %zu bytes, at most %u fit",
					strlen(path), PFS_PATH_SIZE_MAX);
		if (used)
			out[used++] = '/';
		memcpy(out + used, name, len);
		used += len;
	}
	if (rc < 0)
		return pfs_wrap(err, rc, "path \"%.200s\"", path);
	out[used] = 0;
	return 0;
}

void pfs_path_split(const char *path, size_t *out_parent_len, const char **out_name)
{
	const char *slash = strrchr(path, '/');

	*out_parent_len = slash ? (size_t)(slash - path) : 0;
	*out_name = slash ? slash + 1 : path;
}

static int check_label(const char *what, const char *name, size_t max, struct pfs_error *err)
{
	size_t len = strlen(name);

	if (len == 0)
		return pfs_fail(err, PFS_E_INVALID, "an empty %s name", what);
	if (len > max)
		return pfs_fail(err, PFS_E_NAMETOOLONG,
				"%s name \"%.40s...\" has %zu bytes, at most %zu fit", what, name,
				len, max);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && (i == 0 || !strchr("_-", name[i])))
			return pfs_fail(err, PFS_E_INVALID,
					"%s name \"%s\": letters, digits, '_' and '-' are allowed, "
					"a letter or digit first",
					what, name);
	return 0;
}

int pfs_path_check_repo(const char *name, struct pfs_error *err)
{
	return check_label("repo", name, PFS_REPO_NAME_MAX, err);
}

int pfs_path_check_branch(const char *name, struct pfs_error *err)
{
	struct pfs_commit_id id;
	int rc = check_label("branch", name, PFS_BRANCH_NAME_MAX, err);

	if (rc < 0)
		return rc;
	if (pfs_commit_id_parse(name, &id, NULL) == 0)
		return pfs_fail(err, PFS_E_INVALID, "branch name \"%s\" looks like a commit id",
				name);
	return 0;
}
