#include "view/view_i.h"

#include <stdio.h>
#include <string.h>

/* Extended attributes: what is computed is answered here, what is kept the place knows. */

#define COMPUTED "user.pfs."

static bool is_computed(const char *name)
{
	return strncmp(name, COMPUTED, strlen(COMPUTED)) == 0;
}

static int fail_missing(const char *name, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "no attribute \"%.256s\"", name);
}

/* Appended to `out`, as text. */
static int compute(struct pfs_handle *h, const char *name, struct pfs_buf *out,
		   struct pfs_error *err)
{
	const char *fact = name + strlen(COMPUTED);
	uint64_t bytes, files;
	struct pfs_id hash;
	char text[PFS_ID_HEX_SIZE];
	int rc;

	if (!h->ops->facts)
		return fail_missing(name, err);
	rc = h->ops->facts(h, &hash, &bytes, &files, err);
	if (rc < 0)
		return rc;
	if (strcmp(fact, "hash") == 0)
		pfs_id_format(&hash, text);
	else if (strcmp(fact, "size") == 0)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	else if (strcmp(fact, "files") == 0)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)files);
	else
		return fail_missing(name, err);
	return pfs_buf_add(out, text, strlen(text), err);
}

/* As getxattr(2): all of it, or only how long it is. */
static int hand_out(const struct pfs_buf *b, const char *what, void *data, size_t size,
		    size_t *out_len, struct pfs_error *err)
{
	if (size && b->len > size)
		return pfs_fail(err, PFS_E_LIMIT, "%.256s: %zu bytes, there is room for %zu", what,
				b->len, size);
	if (size && b->len)
		memcpy(data, b->data, b->len);
	*out_len = b->len;
	return 0;
}

int pfs_view_getxattr(struct pfs_view *v, struct pfs_handle *h, const char *name, void *value,
		      size_t size, size_t *out_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_XATTR_VALUE_MAX);
	int rc;

	(void)v;
	if (is_computed(name))
		rc = compute(h, name, &b, err);
	else if (h->ops->getxattr)
		rc = h->ops->getxattr(h, name, &b, err);
	else
		rc = fail_missing(name, err);
	return rc < 0 ? rc : hand_out(&b, name, value, size, out_len, err);
}

int pfs_view_listxattr(struct pfs_view *v, struct pfs_handle *h, char *names, size_t size,
		       size_t *out_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_XATTR_NAMES_MAX);
	int rc = 0;

	(void)v;
	if (h->ops->listxattr)
		rc = h->ops->listxattr(h, &b, err);
	return rc < 0 ? rc : hand_out(&b, "names of attributes", names, size, out_len, err);
}

static int check_change(const struct pfs_handle *h, const char *name, struct pfs_error *err)
{
	if (!h->ops->setxattr)
		return h->ops->writable ? pfs_fail(err, PFS_E_UNSUPPORTED, "%s keeps no attributes",
						   h->ops->what)
					: pfs_view_readonly(h, err);
	if (is_computed(name))
		return pfs_fail(err, PFS_E_DENIED, "attribute \"%.256s\" is computed", name);
	return 0;
}

int pfs_view_setxattr(struct pfs_view *v, struct pfs_handle *h, const char *name, const void *value,
		      size_t len, unsigned flags, struct pfs_error *err)
{
	int rc = check_change(h, name, err);

	(void)v;
	if (rc < 0)
		return rc;
	if (flags & ~(unsigned)(PFS_SETXATTR_CREATE | PFS_SETXATTR_REPLACE) ||
	    (flags & PFS_SETXATTR_CREATE && flags & PFS_SETXATTR_REPLACE))
		return pfs_fail(err, PFS_E_INVALID, "flags %#x for an attribute", flags);
	return h->ops->setxattr(h, name, value ? value : "", len, flags, err);
}

int pfs_view_removexattr(struct pfs_view *v, struct pfs_handle *h, const char *name,
			 struct pfs_error *err)
{
	int rc = check_change(h, name, err);

	(void)v;
	return rc < 0 ? rc : h->ops->setxattr(h, name, NULL, 0, 0, err);
}
