#include "fuse/ops.h"

#include <errno.h>
#include <stdlib.h>

/* Attributes of names have errnos of their own. */
static void fail(fuse_req_t req, const char *what, int rc, const struct pfs_error *err)
{
	if (rc == PFS_E_NOTFOUND)
		fuse_reply_err(req, ENODATA);
	else if (rc == PFS_E_LIMIT)
		fuse_reply_err(req, ERANGE);
	else
		pfs_mount_fail(req, what, rc, err);
}

static void reply_value(fuse_req_t req, const char *value, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, value, len);
}

/* The most the kernel asks for is XATTR_SIZE_MAX; ours are hashes and numbers. */
#define VALUE_SIZE_MAX 4096

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_error err = { 0 };
	char value[VALUE_SIZE_MAX];
	size_t len;
	int rc;

	if (!i)
		return;
	rc = pfs_view_getxattr(m->view, i->handle, name, value,
			       size < sizeof(value) ? size : sizeof(value), &len, &err);
	if (rc < 0)
		fail(req, "getxattr", rc, &err);
	else
		reply_value(req, value, len, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_error err = { 0 };
	char names[VALUE_SIZE_MAX];
	size_t len;
	int rc;

	if (!i)
		return;
	rc = pfs_view_listxattr(m->view, i->handle, names,
				size < sizeof(names) ? size : sizeof(names), &len, &err);
	if (rc < 0)
		fail(req, "listxattr", rc, &err);
	else
		reply_value(req, names, len, size);
}

/* They are computed. Not ENOSYS: that would also stop reading them, in some kernels. */
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	(void)ino;
	(void)name;
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, EOPNOTSUPP);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	(void)ino;
	(void)name;
	fuse_reply_err(req, EOPNOTSUPP);
}
