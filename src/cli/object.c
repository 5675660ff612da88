#include "cli/object.h"
#include "base/path.h"

#include <ctype.h>
#include <string.h>

static int parse_rev(const char *text, size_t len, char out[PFS_OBJECT_REV_SIZE],
		     struct pfs_error *err)
{
	bool caret = false, tilde = false;

	if (len == 0)
		return pfs_fail(err, PFS_E_INVALID, "a branch or commit is missing behind the @");
	if (len >= PFS_OBJECT_REV_SIZE)
		return pfs_fail(err, PFS_E_NAMETOOLONG, "a revision of %zu bytes, at most %d fit",
				len, PFS_OBJECT_REV_SIZE - 1);
	for (size_t i = 0; i < len; i++) {
		caret = caret || text[i] == '^';
		tilde = tilde || text[i] == '~';
		if (!isalnum((unsigned char)text[i]) && !strchr("_-^~.", text[i]))
			return pfs_fail(err, PFS_E_INVALID,
					"'%c' in \"%.*s\" belongs to no branch or commit", text[i],
					(int)len, text);
		out[i] = text[i];
		if (text[i] == '~')
			out[i] = '^';
	}
	out[len] = 0;
	if (caret && tilde)
		return pfs_fail(err, PFS_E_INVALID,
				"\"%.*s\" has both ^ and ~: one of them is enough", (int)len, text);
	return 0;
}

static int parse_repo(const char *text, size_t len, char out[PFS_REPO_NAME_MAX + 1],
		      struct pfs_error *err)
{
	if (len > PFS_REPO_NAME_MAX)
		return pfs_fail(err, PFS_E_NAMETOOLONG,
				"repo name \"%.40s...\" has %zu bytes, at most %u fit", text, len,
				PFS_REPO_NAME_MAX);
	memcpy(out, text, len);
	out[len] = 0;
	return pfs_path_check_repo(out, err);
}

int pfs_object_parse(const char *text, struct pfs_object *out, struct pfs_error *err)
{
	struct pfs_object o = { 0 };
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	const char *at = memchr(text, '@', len);
	int rc;

	rc = parse_repo(text, at ? (size_t)(at - text) : len, o.repo, err);
	if (rc == 0 && at)
		rc = parse_rev(at + 1, len - (size_t)(at + 1 - text), o.rev, err);
	if (rc == 0 && colon) {
		o.has_path = true;
		o.path_is_dir = !colon[1] || colon[strlen(colon) - 1] == '/';
		rc = pfs_path_normalize(colon + 1, o.path, err);
	}
	if (rc < 0)
		return pfs_wrap(err, rc, "\"%.200s\"", text);
	*out = o;
	return 0;
}

int pfs_object_parse_rev(const char *text, struct pfs_object *out, struct pfs_error *err)
{
	struct pfs_object o;
	int rc = pfs_object_parse(text, &o, err);

	if (rc < 0)
		return rc;
	if (!o.rev[0])
		return pfs_fail(err, PFS_E_INVALID,
				"\"%.200s\": which branch or commit? write %s@master", text,
				o.repo);
	*out = o;
	return 0;
}

int pfs_object_parse_branch(const char *text, struct pfs_object *out, struct pfs_error *err)
{
	struct pfs_object o;
	int rc = pfs_object_parse_rev(text, &o, err);

	if (rc < 0)
		return rc;
	if (o.has_path)
		return pfs_fail(err, PFS_E_INVALID, "\"%.200s\": a path makes no sense here", text);
	*out = o;
	return 0;
}

bool pfs_object_is_id(const char *text)
{
	size_t digits = 0;

	for (; *text; text++) {
		if (isxdigit((unsigned char)*text))
			digits++;
		else if (*text != '-')
			return false;
	}
	return digits == 2 * PFS_COMMIT_ID_SIZE;
}
