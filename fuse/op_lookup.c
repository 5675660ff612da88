#include "fuse/ops.h"
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/statvfs.h>
#include <time.h>

struct pfs_who pfs_op_who(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct pfs_who){ .uid = ctx->uid, .gid = ctx->gid };
}

struct inode *pfs_op_inode(fuse_req_t req, fuse_ino_t ino)
{
	struct inode *i = pfs_inode_find(pfs_mount_of(req), ino);

	if (i && i->handle)
		return i;
	fuse_reply_err(req, ESTALE);
	return NULL;
}

static void reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
	struct pfs_mount *m = fuse_req_userdata(req);

	if (fuse_reply_entry(req, e) < 0 && e->ino)
		pfs_inode_forget(m, e->ino, 1);
}

void pfs_op_reply_entry(fuse_req_t req, struct pfs_handle *h, const struct pfs_attr *a)
{
	struct pfs_error err = { 0 };
	struct fuse_entry_param e;
	int rc = pfs_inode_enter(fuse_req_userdata(req), h, a, &e, &err);

	if (rc < 0)
		pfs_mount_fail(req, "enter", rc, &err);
	else
		reply_entry(req, &e);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct fuse_entry_param e = { 0 };
	struct pfs_error err = { 0 };
	int rc;

	if (!dir)
		return;
	pfs_op_note_lookup(m, dir);
	rc = pfs_inode_lookup(m, dir, name, &e, &err);
	if (rc == PFS_E_NOTFOUND) {
		e = (struct fuse_entry_param){ .entry_timeout = pfs_inode_miss_timeout(m, dir) };
		/* Number 0: "remember that it is not there". */
		if (e.entry_timeout > 0) {
			reply_entry(req, &e);
			return;
		}
	}
	if (rc < 0)
		pfs_mount_fail(req, "lookup", rc, &err);
	else
		reply_entry(req, &e);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	struct pfs_mount *m = pfs_mount_of(req);

	pfs_inode_forget(m, ino, n);
	atomic_fetch_add(&m->n_forgotten, 1);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	struct pfs_mount *m = pfs_mount_of(req);

	for (size_t i = 0; i < count; i++)
		pfs_inode_forget(m, list[i].ino, list[i].nlookup);
	atomic_fetch_add(&m->n_forgotten, count);
	fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	struct pfs_attr a;
	int rc;

	(void)fi;
	if (!i)
		return;
	rc = pfs_view_getattr(m->view, i->handle, &a, &err);
	if (rc < 0)
		pfs_mount_fail(req, "getattr", rc, &err);
	else
		pfs_inode_reply_attr(req, i, &a);
}

static int64_t to_ns(const struct timespec *ts)
{
	/* What 64 bits of nanoseconds hold ends in 2262: clamp rather than wrap. */
	if (ts->tv_sec > INT64_MAX / 1000000000 - 1)
		return INT64_MAX;
	if (ts->tv_sec < INT64_MIN / 1000000000 + 1)
		return INT64_MIN;
	return ts->tv_sec * 1000000000LL + ts->tv_nsec;
}

/* The kernel's wishes in the view's words. */
static unsigned wishes(const struct stat *attr, int to_set, struct pfs_attr *out)
{
	static const struct {
		int theirs;
		unsigned ours;
	} map[] = {
		{ FUSE_SET_ATTR_MODE, PFS_SET_MODE },
		{ FUSE_SET_ATTR_UID, PFS_SET_UID },
		{ FUSE_SET_ATTR_GID, PFS_SET_GID },
		{ FUSE_SET_ATTR_SIZE, PFS_SET_SIZE },
		{ FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW, PFS_SET_ATIME },
		{ FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW, PFS_SET_MTIME },
	};
	int64_t now = pfs_clock_ns();
	unsigned which = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(*map); i++)
		if (to_set & map[i].theirs)
			which |= map[i].ours;
	*out = (struct pfs_attr){
		.mode = attr->st_mode & 07777,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.size_bytes = (uint64_t)attr->st_size,
		.atime_ns = to_set & FUSE_SET_ATTR_ATIME_NOW ? now : to_ns(&attr->st_atim),
		.mtime_ns = to_set & FUSE_SET_ATTR_MTIME_NOW ? now : to_ns(&attr->st_mtim),
	};
	return which;
}

/* Who may write but not set the bits must not keep them alive by writing. */
static int drop_privileges(struct pfs_mount *m, struct inode *i, struct pfs_attr *set,
			   unsigned *which, struct pfs_error *err)
{
	struct pfs_attr is;
	int rc = 0;

	if (!(*which & PFS_SET_MODE)) {
		rc = pfs_view_getattr(m->view, i->handle, &is, err);
		if (rc < 0 || is.type == PFS_TYPE_DIR)
			return rc;
		set->mode = is.mode;
	}
	if (set->mode & (S_ISUID | S_ISGID)) {
		*which |= PFS_SET_MODE;
		set->mode &= (uint16_t) ~(S_ISUID | (set->mode & S_IXGRP ? S_ISGID : 0));
	}
	return rc;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	struct pfs_attr set, is;
	unsigned which;
	int rc = 0;

	(void)fi;
	if (!i)
		return;
	which = wishes(attr, to_set, &set);
	if (to_set & FUSE_SET_ATTR_KILL_SUID)
		rc = drop_privileges(m, i, &set, &which, &err);
	if (rc == 0)
		rc = pfs_view_setattr(m->view, i->handle, which, &set, &is, &err);
	if (rc < 0)
		pfs_mount_fail(req, "setattr", rc, &err);
	else
		pfs_inode_reply_attr(req, i, &is);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct pfs_mount *m = pfs_mount_of(req);
	struct statvfs st;

	(void)ino;
	if (statvfs(pfs_view_data_dir(m->view), &st) < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	st.f_namemax = 255;
	fuse_reply_statfs(req, &st);
}
