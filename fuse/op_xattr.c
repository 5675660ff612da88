#include "fuse/ops.h"

#include <errno.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>

/*
 * What may be done with which namespace the kernel decides: user attributes on
 * files and directories only, trusted ones by the administrator. It takes
 * security.capability away itself when bytes or the owner change, but for what
 * an open truncates: op_file.c.
 */

/*
 * A positive errno for a name that is none of ours. Access control lists would
 * have to be obeyed, inherited and changed by chmod: we say that we do not. And
 * the kernel asks nobody for a permission to set what is in no namespace that
 * it knows, or in that of the system.
 */
static int refused(const char *name)
{
	static const char *const kept[] = { XATTR_USER_PREFIX, XATTR_TRUSTED_PREFIX,
					    XATTR_SECURITY_PREFIX };

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		size_t len = strlen(kept[i]);

		if (strncmp(name, kept[i], len) == 0)
			return name[len] ? 0 : EINVAL;
	}
	return EOPNOTSUPP;
}

/* Attributes of names have errnos of their own; `full` is the one for what does not fit. */
static void fail(fuse_req_t req, const char *what, int rc, const struct pfs_error *err, int full)
{
	if (rc == PFS_E_NOTFOUND)
		fuse_reply_err(req, ENODATA);
	else
		pfs_mount_fail_limit(req, what, rc, err, full);
}

/* With size 0 only the length is asked for. */
static void reply_value(fuse_req_t req, const char *value, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, value, len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	char *value;
	size_t len;
	int rc;

	if (!i)
		return;
	if (refused(name)) {
		fuse_reply_err(req, refused(name));
		return;
	}
	value = malloc(size + 1);
	if (!value) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	rc = pfs_view_getxattr(m->view, i->handle, name, value, size, &len, &err);
	if (rc < 0)
		fail(req, "getxattr", rc, &err, ERANGE);
	else
		reply_value(req, value, len, size);
	free(value);
}

/* Trusted attributes are not shown to who could not read them; the new length. */
static size_t hide_trusted(char *names, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strnlen(names + at, len - at - 1) + 1;
		if (strncmp(names + at, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN) == 0)
			continue;
		memmove(names + kept, names + at, n);
		kept += n;
	}
	return kept;
}

static void reply_names(fuse_req_t req, char *names, size_t len, size_t size)
{
	if (fuse_req_ctx(req)->uid != 0)
		len = hide_trusted(names, len);
	if (size && len > size)
		fuse_reply_err(req, ERANGE);
	else
		reply_value(req, names, len, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	char *names;
	size_t len;
	int rc;

	if (!i)
		return;
	names = malloc(XATTR_LIST_MAX);
	if (!names) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	rc = pfs_view_listxattr(m->view, i->handle, names, XATTR_LIST_MAX, &len, &err);
	if (rc < 0)
		fail(req, "listxattr", rc, &err, ERANGE);
	else
		reply_names(req, names, len, size);
	free(names);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	unsigned ours = 0;
	int rc;

	if (!i)
		return;
	if (refused(name)) {
		fuse_reply_err(req, refused(name));
		return;
	}
	if (flags & XATTR_CREATE)
		ours |= PFS_SETXATTR_CREATE;
	if (flags & XATTR_REPLACE)
		ours |= PFS_SETXATTR_REPLACE;
	rc = pfs_view_setxattr(m->view, i->handle, name, value, size, ours, &err);
	if (rc < 0)
		fail(req, "setxattr", rc, &err, ENOSPC);
	else
		fuse_reply_err(req, 0);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	int rc;

	if (!i)
		return;
	if (refused(name)) {
		fuse_reply_err(req, refused(name));
		return;
	}
	rc = pfs_view_removexattr(m->view, i->handle, name, &err);
	if (rc < 0)
		fail(req, "removexattr", rc, &err, ENOSPC);
	else
		fuse_reply_err(req, 0);
}
