#include "fuse/ops.h"
#include "fuse/notify.h"

#include "fuse/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>

/*
 * An open file. Where its bytes go is decided when it is opened:
 *
 *	CACHED   page cache, then us
 *	THROUGH  the backing file, without us
 *	DIRECT   us, at once: control files
 *
 * All opens of an inode are CACHED, or all are THROUGH; the first decides.
 *
 * What is passed through cannot share its bytes with another file later. So who
 * has a large committed file open and opens another one only to write, as cp
 * does, may be about to copy it by reference: that one is not passed through.
 * A wrong guess costs a detour of the bytes, nothing else.
 */
enum mode { CACHED = 1, THROUGH, DIRECT };

struct handle {
	struct opened opened; /* first: it is what the mount's list knows */
	enum mode mode;
	struct pfs_file *file; /* owned */
	pid_t source_of;       /* who may copy from it; 0: nobody */
	bool past;             /* who opened it may write past us what the kernel knew before */
};

#define FILE_MAGIC 0x70667366u

static struct handle *handle_of(fuse_req_t req, const struct fuse_file_info *fi)
{
	if (!fi)
		return NULL;
	return (struct handle *)pfs_mount_find_opened(fuse_req_userdata(req), fi->fh, FILE_MAGIC);
}

/* The open file of a request, or the reply that there is none. */
static struct pfs_file *file_of(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct handle *h = handle_of(req, fi);

	pfs_mount_quiet();
	if (!h)
		fuse_reply_err(req, EBADF);
	return h ? h->file : NULL;
}

static void reply_rc(fuse_req_t req, const char *what, int rc, const struct pfs_error *err)
{
	if (rc < 0)
		pfs_mount_fail(req, what, rc, err);
	else
		fuse_reply_err(req, 0);
}

static unsigned open_flags(int flags)
{
	unsigned ours = 0;

	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		ours = PFS_OPEN_READ;
		break;
	case O_WRONLY:
		ours = PFS_OPEN_WRITE;
		break;
	default:
		ours = PFS_OPEN_READ | PFS_OPEN_WRITE;
	}
	/* open(2) leaves O_RDONLY | O_TRUNC undefined; file systems truncate. */
	if (flags & O_TRUNC)
		ours |= PFS_OPEN_TRUNCATE | PFS_OPEN_WRITE;
	if (flags & O_EXCL)
		ours |= PFS_OPEN_EXCLUSIVE;
	return ours;
}

/* ---- where the bytes go ---- */

static bool same_backing(const struct inode_opens *o, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == o->backing_dev && st.st_ino == o->backing_ino;
}

static bool start_through(fuse_req_t req, struct inode_opens *o, int fd)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	o->backing_id = fuse_passthrough_open(req, fd);
	if (o->backing_id <= 0) {
		/* Not permitted, or the data folder's file system cannot: it will not later. */
		o->backing_id = 0;
		m->passthrough = false;
		return false;
	}
	o->backing_dev = st.st_dev;
	o->backing_ino = st.st_ino;
	return true;
}

static _Atomic unsigned *sources_of(struct pfs_mount *m, pid_t pid)
{
	return &m->sources[(unsigned)pid % N_SOURCES];
}

static bool is_only(const struct fuse_file_info *fi, int access)
{
	return (fi->flags & O_ACCMODE) == access;
}

static void note_source(fuse_req_t req, struct handle *h, const struct fuse_file_info *fi)
{
	pid_t pid = fuse_req_ctx(req)->pid;

	if (!is_only(fi, O_RDONLY) || !pfs_file_shareable(h->file))
		return;
	h->source_of = pid;
	atomic_fetch_add(sources_of(fuse_req_userdata(req), pid), 1);
}

static void forget_source(struct pfs_mount *m, struct handle *h)
{
	if (h->source_of)
		atomic_fetch_sub(sources_of(m, h->source_of), 1);
}

static bool may_be_copy(fuse_req_t req, const struct fuse_file_info *fi)
{
	return is_only(fi, O_WRONLY) &&
	       atomic_load(sources_of(fuse_req_userdata(req), fuse_req_ctx(req)->pid)) > 0;
}

/* The mode of one more open of `i`, or 0 when the kernel would refuse any. The mount's lock is held. */
static enum mode choose(fuse_req_t req, struct inode *i, int fd)
{
	if (i->volatile_)
		return DIRECT;
	if (i->opens->n_through > 0) {
		/*
		 * The inode is in the kernel's hands. A file that has another
		 * backing by now, since it was committed and then written while
		 * somebody still has the old one open, has to wait for them.
		 */
		return fd < 0 || same_backing(i->opens, fd) ? THROUGH : 0;
	}
	if (i->opens->n_cached == 0 && fd >= 0 && start_through(req, i->opens, fd))
		return THROUGH;
	return CACHED;
}

/* A positive errno when that fails. */
static int enter_mode(fuse_req_t req, struct inode *i, struct handle *h, int fd,
		      struct fuse_file_info *fi)
{
	if (!pfs_inode_open(i))
		return ENOMEM;
	h->mode = choose(req, i, fd);
	if (h->mode == CACHED)
		i->opens->n_cached++;
	else if (h->mode == THROUGH)
		i->opens->n_through++;
	fi->backing_id = h->mode == THROUGH ? i->opens->backing_id : 0;
	pfs_inode_close(i);
	return h->mode ? 0 : EBUSY;
}

static int settle_mode(fuse_req_t req, struct inode *i, struct handle *h, struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	int fd = m->passthrough && !may_be_copy(req, fi) ? pfs_file_local(h->file) : -1;

	int sys;

	pfs_lock(&m->lock);
	sys = enter_mode(req, i, h, fd, fi);
	pfs_unlock(&m->lock);
	if (sys)
		return -sys;
	fi->direct_io = h->mode == DIRECT;
	/* Passing through drops what is cached: the pages are the backing file's from now on. */
	fi->keep_cache = h->mode == CACHED;
	fi->noflush = h->mode != DIRECT;
	fi->fh = pfs_mount_number(&h->opened);
	if (m->passthrough)
		note_source(req, h, fi);
	return 0;
}

/* One open less; the last one takes the backing file back from the kernel. */
static void leave_mode(struct pfs_mount *m, struct inode *i, enum mode mode)
{
	struct inode_opens *o;
	int backing = 0;

	if (mode == DIRECT)
		return;
	pfs_lock(&m->lock);
	o = i->opens;
	if (mode == CACHED) {
		o->n_cached--;
	} else if (--o->n_through == 0) {
		backing = o->backing_id;
		o->backing_id = 0;
	}
	pfs_inode_close(i);
	pfs_unlock(&m->lock);
	if (backing > 0)
		pfs_session_close_backing(m, backing);
}

static int free_handle(struct handle *h, struct pfs_error *err)
{
	int rc = pfs_file_close(&h->file, err);

	free(h);
	return rc;
}

static void close_left(struct opened *o)
{
	free_handle((struct handle *)o, NULL);
}

static int hold(struct opened *o, struct pfs_handover_open *out, struct pfs_error *err)
{
	struct handle *h = (struct handle *)o;
	void *data = NULL;
	int rc = pfs_file_hold(h->file, &data, &out->len, err);

	out->kind = PFS_HANDOVER_FILE;
	out->mode = (uint8_t)h->mode;
	out->flags = pfs_file_flags(h->file);
	out->data = data;
	return rc;
}

/* Takes `file`. */
static struct handle *make_handle(const struct inode *i, struct pfs_file *file)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h) {
		pfs_file_close(&file, NULL);
		return NULL;
	}
	h->file = file;
	h->opened.inode = i->number;
	h->opened.magic = FILE_MAGIC;
	h->opened.close = close_left;
	h->opened.hold = hold;
	return h;
}

/* Takes `file`. */
static struct handle *new_handle(struct pfs_mount *m, struct inode *i, struct pfs_file *file)
{
	struct handle *h = make_handle(i, file);

	if (!h || pfs_mount_add_opened(m, &h->opened))
		return h;
	free_handle(h, NULL);
	return NULL;
}

/* Where the bytes go was agreed with the kernel when it was opened. */
static int retake_mode(struct pfs_mount *m, struct inode *i, struct handle *h,
		       struct pfs_error *err)
{
	/* Also says that it may be written behind our back. */
	int fd = h->mode == THROUGH ? pfs_file_local(h->file) : -1;
	bool ok;

	pfs_lock(&m->lock);
	ok = pfs_inode_open(i);
	if (ok && h->mode == CACHED)
		i->opens->n_cached++;
	else if (ok && h->mode == THROUGH)
		i->opens->n_through++;
	if (ok && fd >= 0 && !same_backing(i->opens, fd))
		pfs_mount_log(m, "inode %u: its bytes are passed through to what they were in",
			      i->number);
	if (ok)
		pfs_inode_close(i);
	pfs_unlock(&m->lock);
	return ok ? 0 : pfs_fail_nomem(err, "an open file");
}

int pfs_open_take(struct pfs_mount *m, struct inode *i, const struct pfs_handover_open *in,
		  struct pfs_error *err)
{
	struct pfs_file *file;
	struct handle *h;
	int rc;

	if (in->mode < CACHED || in->mode > DIRECT)
		return pfs_fail(err, PFS_E_CORRUPT, "open file %u has mode %u", in->number,
				in->mode);
	rc = pfs_file_take(m->view, i->handle, in->flags, in->data, in->len, &file, err);
	if (rc < 0)
		return rc;
	h = make_handle(i, file);
	if (!h)
		return pfs_fail_nomem(err, "an open file");
	h->mode = in->mode;
	h->past = h->mode == THROUGH && (in->flags & PFS_OPEN_WRITE);
	rc = retake_mode(m, i, h, err);
	if (rc == 0 && !pfs_mount_restore_opened(m, &h->opened, in->number))
		rc = pfs_fail(err, PFS_E_CORRUPT, "open file %u is handed over twice", in->number);
	if (rc < 0)
		free_handle(h, NULL);
	return rc;
}

static int close_handle(struct pfs_mount *m, struct handle *h, struct pfs_error *err)
{
	pfs_mount_remove_opened(m, &h->opened);
	forget_source(m, h);
	return free_handle(h, err);
}

static bool is_synchronous(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY && (fi->flags & O_DSYNC);
}

/*
 * What is written through with O_SYNC or O_DSYNC is on the disk without our
 * hearing of it: then so must be the way that leads to it. Writes that do not
 * pass through are followed by an fsync from the kernel.
 */
static int sync_name(struct pfs_mount *m, struct handle *h)
{
	struct pfs_error err = { 0 };
	int rc = pfs_file_sync(h->file, &err);

	if (rc < 0)
		pfs_mount_log(m, "fuse.open code=%s error=\"%s\"", pfs_code_name(rc), err.text);
	return rc < 0 ? -pfs_code_errno(rc) : 0;
}

/* Make the handle of a file just opened; takes `file`. A positive errno when it cannot be. */
static int adopt(fuse_req_t req, struct inode *i, struct pfs_file *file, struct fuse_file_info *fi,
		 struct handle **out)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct handle *h = new_handle(m, i, file);
	int rc;

	if (!h)
		return ENOMEM;
	rc = settle_mode(req, i, h, fi);
	if (rc == 0 && h->mode == THROUGH && is_synchronous(fi)) {
		rc = sync_name(m, h);
		if (rc < 0)
			leave_mode(m, i, h->mode);
	}
	if (rc < 0) {
		close_handle(m, h, NULL);
		return -rc;
	}
	*out = h;
	return 0;
}

/* ---- requests ---- */

/* It was given up since the mount changes hands: unanswered, it comes to the next process. */
static bool is_left(const struct pfs_mount *m, int rc)
{
	return rc == PFS_E_CANCELLED && m->holding;
}

/*
 * Set-id bits go when somebody who may not set them changes the bytes. The kernel,
 * which asked for it, does not take it that they did when the write was direct.
 */
static int drop_set_id(struct pfs_mount *m, struct inode *i, struct pfs_error *err)
{
	struct pfs_attr a;
	int rc = pfs_view_getattr(m->view, i->handle, &a, err);

	if (rc < 0 || !(a.mode & (S_ISUID | S_ISGID)))
		return rc;
	a.mode &= (uint16_t) ~(S_ISUID | (a.mode & S_IXGRP ? S_ISGID : 0));
	rc = pfs_view_setattr(m->view, i->handle, PFS_SET_MODE, &a, NULL, err);
	if (rc == 0)
		pfs_notify_attributes(m, pfs_inode_number_of(i));
	return rc;
}

/* The kernel takes capabilities away before every other change of the bytes. */
static int drop_capability(struct pfs_mount *m, struct pfs_handle *h, struct pfs_error *err)
{
	int rc = pfs_view_removexattr(m->view, h, "security.capability", err);

	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

/*
 * What is stored through a mapping changes size and times without the kernel's
 * noticing: what it was told while nobody could is not to be believed any more,
 * nor is it at the end. A file just made it was not told of for longer than a second.
 */
static void expect_past(struct pfs_mount *m, fuse_ino_t ino, struct handle *h,
			const struct fuse_file_info *fi)
{
	h->past = h->mode == THROUGH && !is_only(fi, O_RDONLY);
	if (h->past)
		pfs_notify_attributes(m, ino);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	struct pfs_file *file = NULL;
	struct handle *h;
	int rc, sys;

	if (!i)
		return;
	rc = pfs_view_open(m->view, i->handle, open_flags(fi->flags & ~O_EXCL), &file, &err);
	if (is_left(m, rc)) {
		fuse_reply_none(req);
		return;
	}
	if (rc == 0 && fi->kill_suidgid && (fi->flags & O_TRUNC))
		rc = drop_set_id(m, i, &err);
	if (rc == 0 && (fi->flags & O_TRUNC) && !i->volatile_)
		rc = drop_capability(m, i->handle, &err);
	if (rc < 0) {
		if (file)
			pfs_file_close(&file, NULL);
		/* Of a control file it is no limit of open files: the last commit failed by it. */
		pfs_mount_fail_limit(req, "open", rc, &err,
				     i->volatile_ ? pfs_code_errno(rc) : ENFILE);
		return;
	}
	sys = adopt(req, i, file, fi, &h);
	if (sys) {
		fuse_reply_err(req, sys);
		return;
	}
	expect_past(m, ino, h, fi);
	/* Interrupted: no release will come. The request is gone as well. */
	if (fuse_reply_open(req, fi) == -ENOENT) {
		leave_mode(m, i, h->mode);
		close_handle(m, h, NULL);
	}
}

/* Answer an entry and an open file at once; takes both. */
static void reply_create(fuse_req_t req, struct pfs_handle *handle, const struct pfs_attr *a,
			 struct pfs_file *file, struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_error err = { 0 };
	struct fuse_entry_param e;
	struct handle *h;
	struct inode *i;
	int rc, sys;

	rc = pfs_inode_enter(m, handle, a, &e, &err);
	if (rc < 0) {
		pfs_file_close(&file, NULL);
		pfs_mount_fail_limit(req, "create", rc, &err, ENFILE);
		return;
	}
	i = pfs_inode_find(m, e.ino);
	sys = adopt(req, i, file, fi, &h);
	if (sys) {
		pfs_inode_forget(m, e.ino, 1);
		fuse_reply_err(req, sys);
		return;
	}
	if (h->mode == THROUGH)
		e.attr_timeout = TIMEOUT_THROUGH_S;
	if (fuse_reply_create(req, &e, fi) == -ENOENT) {
		leave_mode(m, i, h->mode);
		close_handle(m, h, NULL);
		pfs_inode_forget(m, e.ino, 1);
	}
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_who who = pfs_op_who(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct pfs_error err = { 0 };
	struct pfs_handle *handle;
	struct pfs_file *file;
	struct pfs_attr a;
	int rc;

	if (!dir)
		return;
	rc = pfs_view_create(m->view, dir->handle, name, open_flags(fi->flags), mode & 07777, &who,
			     &handle, &a, &file, &err);
	if (rc < 0)
		pfs_mount_fail_limit(req, "create", rc, &err, ENFILE);
	else
		reply_create(req, handle, &a, file, fi);
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_who who = pfs_op_who(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct pfs_error err = { 0 };
	struct pfs_handle *handle;
	struct pfs_file *file;
	struct pfs_attr a;
	int rc;

	if (!dir)
		return;
	rc = pfs_view_create_unnamed(m->view, dir->handle, mode & 07777, &who, &handle, &file,
				     &err);
	if (rc == 0) {
		rc = pfs_view_getattr(m->view, handle, &a, &err);
		if (rc < 0) {
			pfs_file_close(&file, NULL);
			pfs_handle_unref(&handle);
		}
	}
	if (rc < 0)
		pfs_mount_fail_limit(req, "tmpfile", rc, &err, ENFILE);
	else
		reply_create(req, handle, &a, file, fi);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct pfs_file *f = file_of(req, fi);
	struct pfs_error err = { 0 };
	size_t payload_size, len;
	char *data = NULL;
	char *own = NULL;
	int rc;

	(void)ino;
	if (!f)
		return;
	/* With io_uring the reply has its place already. */
	if (!fuse_req_is_uring(req) || fuse_req_get_payload(req, &data, &payload_size, NULL) < 0 ||
	    payload_size < size)
		data = own = malloc(size ? size : 1);
	if (!data) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	rc = pfs_file_read(f, (uint64_t)off, data, size, &len, &err);
	if (rc < 0)
		pfs_mount_fail(req, "read", rc, &err);
	else
		fuse_reply_buf(req, data, len);
	free(own);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_file *f = i ? file_of(req, fi) : NULL;
	struct pfs_error err = { 0 };
	int rc;

	if (!f)
		return;
	/* Pages written back through an O_APPEND file know where they belong. */
	if ((fi->flags & O_APPEND) && !fi->writepage)
		rc = pfs_file_append(f, data, size, &err);
	else
		rc = pfs_file_write(f, (uint64_t)off, data, size, &err);
	if (rc == 0 && fi->kill_suidgid)
		rc = drop_set_id(fuse_req_userdata(req), i, &err);
	if (rc < 0)
		pfs_mount_fail(req, "write", rc, &err);
	else
		fuse_reply_write(req, size);
}

/* Asked for control files only: their close(2) tells whether the commit succeeded. */
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_file *f = file_of(req, fi);
	struct pfs_error err = { 0 };
	int rc;

	(void)ino;
	if (!f)
		return;
	rc = pfs_file_flush(f, &err);
	if (is_left(fuse_req_userdata(req), rc)) {
		fuse_reply_none(req);
		return;
	}
	/* Shells do not look at what close(2) says: whoever wonders finds it in the log. */
	if (rc < 0)
		pfs_mount_log(fuse_req_userdata(req), "fuse.flush code=%s error=\"%s\"",
			      pfs_code_name(rc), err.text);
	fuse_reply_err(req, rc < 0 ? pfs_code_errno(rc) : 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_mount *m = pfs_mount_of(req);
	struct inode *i = pfs_inode_find(m, ino);
	struct handle *h = handle_of(req, fi);
	bool past = h && h->past;
	struct pfs_error err = { 0 };

	if (h && i)
		leave_mode(m, i, h->mode);
	if (h && close_handle(m, h, &err) < 0)
		pfs_mount_log(m, "fuse.release error=\"%s\"", err.text);
	if (past)
		pfs_notify_attributes(m, ino);
	fuse_reply_err(req, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct pfs_file *f = file_of(req, fi);
	struct pfs_error err = { 0 };

	(void)ino;
	(void)datasync;
	if (f)
		reply_rc(req, "fsync", pfs_file_sync(f, &err), &err);
}

/*
 * Of a change that is no write the kernel does not tell whether set-id bits are
 * to go: all but the superuser have to let them.
 */
static int changed(fuse_req_t req, struct inode *i, struct pfs_error *err)
{
	return fuse_req_ctx(req)->uid == 0 ? 0 : drop_set_id(fuse_req_userdata(req), i, err);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_file *f = i ? file_of(req, fi) : NULL;
	struct pfs_error err = { 0 };
	int rc;

	if (!f)
		return;
	if (off < 0 || len <= 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	rc = pfs_file_allocate(f, mode, (uint64_t)off, (uint64_t)len, &err);
	if (rc == 0)
		rc = changed(req, i, &err);
	reply_rc(req, "fallocate", rc, &err);
}

/* By reference or not at all: for the rest the kernel has its own way, through backing files where it can. */
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct pfs_file *from = file_of(req, fi_in), *to = from ? file_of(req, fi_out) : NULL;
	struct inode *i = to ? pfs_op_inode(req, ino_out) : NULL;
	struct pfs_error err = { 0 };
	uint64_t size = 0;
	int rc = PFS_E_UNSUPPORTED;

	(void)ino_in;
	(void)flags;
	if (!i)
		return;
	if (off_in == 0 && off_out == 0)
		rc = pfs_file_share(from, to, len, &size, &err);
	if (rc == 0)
		rc = changed(req, i, &err);
	if (rc < 0)
		pfs_mount_fail(req, "copy_file_range", rc, &err);
	else
		fuse_reply_write(req, size);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct pfs_file *f = file_of(req, fi);
	struct pfs_error err = { 0 };
	uint64_t out;
	int rc;

	(void)ino;
	if (!f)
		return;
	rc = off < 0 ? PFS_E_INVALID : pfs_file_seek(f, (uint64_t)off, whence, &out, &err);
	if (rc == PFS_E_NOTFOUND || rc == PFS_E_INVALID)
		fuse_reply_err(req, ENXIO); /* nothing of that kind from there on */
	else if (rc < 0)
		pfs_mount_fail(req, "lseek", rc, &err);
	else
		fuse_reply_lseek(req, (off_t)out);
}
