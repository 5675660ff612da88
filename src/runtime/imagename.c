#include "runtime/imagename.h"

#include <stdio.h>
#include <string.h>

static int refuse(struct pfs_error *err, const char *text, const char *why)
{
	return pfs_fail(err, PFS_E_INVALID, "image name \"%.200s\": %s", text, why);
}

static bool is_host(const char *text, size_t len)
{
	return memchr(text, '.', len) || memchr(text, ':', len) ||
	       (len == 9 && memcmp(text, "localhost", 9) == 0);
}

static int check_host(const char *text, const char *host, size_t len, struct pfs_error *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:[]";

	for (size_t i = 0; i < len; i++)
		if (!memchr(allowed, host[i], sizeof(allowed) - 1))
			return refuse(err, text, "a registry has letters, digits and .-:[] only");
	return 0;
}

/* Lower-case letters, digits and separators; no empty component. */
static int check_repo(const char *text, const char *repo, size_t len, struct pfs_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-/";

	if (len == 0 || repo[0] == '/' || repo[len - 1] == '/')
		return refuse(err, text, "the repository is empty or ends in a slash");
	for (size_t i = 0; i < len; i++) {
		if (!memchr(allowed, repo[i], sizeof(allowed) - 1))
			return refuse(err, text,
				      "a repository has lower-case letters, digits and ._-/ only");
		if (repo[i] == '/' && repo[i - 1] == '/')
			return refuse(err, text, "two slashes");
	}
	return 0;
}

static int check_tag(const char *text, const char *tag, size_t len, struct pfs_error *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	if (len == 0 || len > 128)
		return refuse(err, text, "a tag has 1 to 128 characters");
	for (size_t i = 0; i < len; i++)
		if (!memchr(allowed, tag[i], sizeof(allowed) - 1))
			return refuse(err, text, "a tag has letters, digits and ._- only");
	return 0;
}

int pfs_imagename_complete(const char *text, char out[PFS_IMAGENAME_SIZE], struct pfs_error *err)
{
	const char *slash = strchr(text, '/');
	const char *host = "docker.io";
	const char *repo = text, *prefix = "", *digest, *tag, *end;
	int host_len = 9, rc;

	if (strlen(text) > 400)
		return refuse(err, text, "longer than 400 characters");
	if (slash && is_host(text, (size_t)(slash - text))) {
		host = text;
		host_len = (int)(slash - text);
		repo = slash + 1;
	} else if (!slash) {
		prefix = "library/";
	}
	digest = strchr(repo, '@');
	end = digest ? digest : repo + strlen(repo);
	tag = memchr(repo, ':', (size_t)(end - repo));
	rc = check_host(text, host, (size_t)host_len, err);
	if (rc == 0)
		rc = check_repo(text, repo, (size_t)((tag ? tag : end) - repo), err);
	if (rc == 0 && tag)
		rc = check_tag(text, tag + 1, (size_t)(end - tag - 1), err);
	if (rc < 0)
		return rc;
	if (digest && (strncmp(digest, "@sha256:", 8) != 0 || strlen(digest) != 72 ||
		       strspn(digest + 8, "0123456789abcdef") != 64))
		return refuse(err, text, "what follows @ is not a sha256 digest");
	snprintf(out, PFS_IMAGENAME_SIZE, "%.*s/%s%s%s", host_len, host, prefix, repo,
		 tag || digest ? "" : ":latest");
	return 0;
}
