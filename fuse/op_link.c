#include "fuse/ops.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	char target[PATH_MAX];
	int rc;

	if (!i)
		return;
	rc = pfs_view_readlink(m->view, i->handle, target, sizeof(target), &err);
	if (rc < 0)
		pfs_mount_fail(req, "readlink", rc, &err);
	else
		fuse_reply_readlink(req, target);
}

/*
 * A symlink in a repo's directory makes a branch, which is a directory, and
 * the kernel takes nothing but a symlink for an answer. It gets one that is
 * never remembered: whoever looks finds the branch.
 */
static void reply_passing(fuse_req_t req, const struct pfs_attr *a)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct fuse_entry_param e;
	struct pfs_error err = { 0 };
	int rc = pfs_inode_enter_passing(m, a, &e, &err);

	if (rc < 0)
		pfs_mount_fail_limit(req, "symlink", rc, &err, EMLINK);
	else if (fuse_reply_entry(req, &e) < 0)
		pfs_inode_forget(m, e.ino, 1);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_who who = pfs_op_who(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct pfs_error err = { 0 };
	struct pfs_handle *h;
	struct pfs_attr a;
	int rc;

	if (!dir)
		return;
	rc = pfs_view_symlink(m->view, dir->handle, name, target, &who, &h, &a, &err);
	if (rc < 0) {
		pfs_mount_fail_limit(req, "symlink", rc, &err, EMLINK);
	} else if (a.type == PFS_TYPE_SYMLINK) {
		pfs_op_reply_entry(req, h, &a);
	} else {
		pfs_handle_unref(&h);
		reply_passing(req, &a);
	}
}

/* Also how a file made without a name gets its first one. */
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct inode *dir = i ? pfs_op_inode(req, new_parent) : NULL;
	struct pfs_error err = { 0 };
	struct pfs_attr a;
	int rc;

	if (!dir)
		return;
	rc = pfs_view_link(m->view, i->handle, dir->handle, new_name, &err);
	if (rc == 0)
		rc = pfs_view_getattr(m->view, i->handle, &a, &err);
	if (rc == PFS_E_UNSUPPORTED)
		fuse_reply_err(req, EXDEV);
	else if (rc == PFS_E_LIMIT)
		fuse_reply_err(req, EMLINK);
	else if (rc < 0)
		pfs_mount_fail(req, "link", rc, &err);
	else
		pfs_op_reply_entry(req, pfs_handle_ref(i->handle), &a);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct pfs_error err = { 0 };
	int rc;

	if (!dir)
		return;
	rc = pfs_view_unlink(m->view, dir->handle, name, &err);
	if (rc < 0)
		pfs_mount_fail(req, "unlink", rc, &err);
	else
		fuse_reply_err(req, 0);
}

static int type_of(mode_t mode, enum pfs_type *out)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		*out = PFS_TYPE_FILE;
		return 0;
	case S_IFIFO:
		*out = PFS_TYPE_FIFO;
		return 0;
	case S_IFSOCK:
		*out = PFS_TYPE_SOCKET;
		return 0;
	case S_IFCHR:
		*out = PFS_TYPE_CHR;
		return 0;
	case S_IFBLK:
		*out = PFS_TYPE_BLK;
		return 0;
	}
	return -1;
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_who who = pfs_op_who(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct pfs_error err = { 0 };
	struct pfs_handle *h;
	enum pfs_type type;
	struct pfs_attr a;
	int rc;

	if (!dir)
		return;
	if (type_of(mode, &type) < 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	rc = pfs_view_mknod(m->view, dir->handle, name, type, mode & 07777, rdev, &who, &h, &a,
			    &err);
	if (rc < 0)
		pfs_mount_fail(req, "mknod", rc, &err);
	else
		pfs_op_reply_entry(req, h, &a);
}
