#include "fuse/inode.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(fuse_ino_t) >= sizeof(void *), "an inode's number is its address");

struct inode *pfs_inode_find(struct pfs_mount *m, fuse_ino_t ino)
{
	struct inode *i = ino == FUSE_ROOT_ID ? m->root : (struct inode *)(uintptr_t)ino;

	return i && i->magic == INODE_MAGIC ? i : NULL;
}

static fuse_ino_t number_of(const struct pfs_mount *m, const struct inode *i)
{
	return i == m->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)i;
}

static mode_t type_bits(enum pfs_type t)
{
	switch (t) {
	case PFS_TYPE_DIR:
		return S_IFDIR;
	case PFS_TYPE_SYMLINK:
		return S_IFLNK;
	case PFS_TYPE_FIFO:
		return S_IFIFO;
	case PFS_TYPE_SOCKET:
		return S_IFSOCK;
	case PFS_TYPE_CHR:
		return S_IFCHR;
	case PFS_TYPE_BLK:
		return S_IFBLK;
	case PFS_TYPE_FILE:
		break;
	}
	return S_IFREG;
}

static struct timespec to_timespec(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	return ts;
}

void pfs_inode_stat(const struct pfs_attr *a, struct stat *out)
{
	*out = (struct stat){
		.st_ino = a->ino,
		.st_mode = type_bits(a->type) | a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (off_t)a->size_bytes,
		.st_blksize = 131072,
		.st_blocks = (blkcnt_t)a->blocks,
		.st_atim = to_timespec(a->atime_ns),
		.st_mtim = to_timespec(a->mtime_ns),
		.st_ctim = to_timespec(a->ctime_ns),
	};
}

static double timeout_of(const struct pfs_mount *m, const struct pfs_attr *a)
{
	if (a->volatile_)
		return 0;
	return a->immutable ? TIMEOUT_FOREVER_S : m->branch_timeout_s;
}

double pfs_inode_attr_timeout(struct pfs_mount *m, struct inode *i, const struct pfs_attr *a)
{
	bool through;

	pfs_lock(&m->lock);
	through = i->n_through > 0;
	pfs_unlock(&m->lock);
	if (!through || a->volatile_)
		return timeout_of(m, a);
	return m->branch_timeout_s < TIMEOUT_THROUGH_S ? m->branch_timeout_s : TIMEOUT_THROUGH_S;
}

double pfs_inode_miss_timeout(struct pfs_mount *m, const struct inode *dir)
{
	if (dir->volatile_)
		return 0;
	if (dir->immutable)
		return TIMEOUT_FOREVER_S;
	return dir->watched ? m->branch_timeout_s : 0;
}

static void link_inode(struct pfs_mount *m, struct inode *i)
{
	assert(pfs_held(&m->lock));
	i->prev = NULL;
	i->next = m->inodes;
	if (i->next)
		i->next->prev = i;
	m->inodes = i;
	m->n_inodes++;
	if (i->handle)
		pfs_handle_set_tag(i->handle, i);
}

static void unlink_inode(struct pfs_mount *m, struct inode *i)
{
	assert(pfs_held(&m->lock));
	if (i->prev)
		i->prev->next = i->next;
	else
		m->inodes = i->next;
	if (i->next)
		i->next->prev = i->prev;
	m->n_inodes--;
	if (i->handle)
		pfs_handle_set_tag(i->handle, NULL);
}

static void free_inode(struct inode *i)
{
	i->magic = 0;
	pfs_handle_unref(&i->handle);
	free(i);
}

static struct inode *new_inode(struct pfs_handle *h)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (i) {
		i->magic = INODE_MAGIC;
		i->handle = h;
	}
	return i;
}

static void note_attr(struct inode *i, const struct pfs_attr *a)
{
	i->immutable = a->immutable;
	i->volatile_ = a->volatile_;
	i->watched = a->watched;
}

int pfs_inode_enter(struct pfs_mount *m, struct pfs_handle *h, const struct pfs_attr *a,
		    struct fuse_entry_param *out, struct pfs_error *err)
{
	struct inode *fresh = NULL;
	struct inode *i;

	pfs_lock(&m->lock);
	i = pfs_handle_tag(h);
	if (!i) {
		/* A handle nobody tagged yet: ours to keep. */
		i = fresh = new_inode(h);
		if (fresh)
			link_inode(m, fresh);
	}
	if (i)
		i->n_lookups++;
	pfs_unlock(&m->lock);
	if (!fresh)
		pfs_handle_unref(&h);
	if (!i)
		return pfs_fail_nomem(err, "an inode");
	note_attr(i, a);
	*out = (struct fuse_entry_param){
		.ino = number_of(m, i),
		.generation = 1,
		.attr_timeout = pfs_inode_attr_timeout(m, i, a),
		.entry_timeout = timeout_of(m, a),
	};
	pfs_inode_stat(a, &out->attr);
	return 0;
}

int pfs_inode_enter_passing(struct pfs_mount *m, const struct pfs_attr *a,
			    struct fuse_entry_param *out, struct pfs_error *err)
{
	struct pfs_attr link = *a;
	struct inode *i = new_inode(NULL);

	if (!i)
		return pfs_fail_nomem(err, "an inode");
	link.type = PFS_TYPE_SYMLINK;
	link.mode = 0777;
	i->volatile_ = true;
	i->n_lookups = 1;
	pfs_lock(&m->lock);
	link_inode(m, i);
	pfs_unlock(&m->lock);
	*out = (struct fuse_entry_param){ .ino = number_of(m, i), .generation = 1 };
	pfs_inode_stat(&link, &out->attr);
	return 0;
}

void pfs_inode_forget(struct pfs_mount *m, fuse_ino_t ino, uint64_t n)
{
	struct inode *i = pfs_inode_find(m, ino);
	bool last;

	if (!i || i == m->root)
		return;
	pfs_lock(&m->lock);
	assert(i->n_lookups >= n);
	i->n_lookups -= n;
	last = i->n_lookups == 0;
	if (last)
		unlink_inode(m, i);
	pfs_unlock(&m->lock);
	if (last)
		free_inode(i);
}

int pfs_inode_lookup(struct pfs_mount *m, struct inode *dir, const char *name,
		     struct fuse_entry_param *out, struct pfs_error *err)
{
	struct pfs_handle *h;
	struct pfs_attr a;
	int rc = pfs_view_lookup(m->view, dir->handle, name, &h, &a, err);

	return rc < 0 ? rc : pfs_inode_enter(m, h, &a, out, err);
}

void pfs_inode_reply_attr(fuse_req_t req, struct inode *i, const struct pfs_attr *a)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct stat st;

	note_attr(i, a);
	pfs_inode_stat(a, &st);
	fuse_reply_attr(req, &st, pfs_inode_attr_timeout(m, i, a));
}

fuse_ino_t pfs_inode_number(struct pfs_mount *m, struct pfs_handle *h)
{
	struct inode *i;
	fuse_ino_t ino = 0;

	pfs_lock(&m->lock);
	i = pfs_handle_tag(h);
	if (i)
		ino = number_of(m, i);
	pfs_unlock(&m->lock);
	return ino;
}

int pfs_inodes_init(struct pfs_mount *m, struct pfs_error *err)
{
	struct pfs_handle *h = pfs_view_root(m->view);
	struct inode *root = new_inode(h);

	if (!root) {
		pfs_handle_unref(&h);
		return pfs_fail_nomem(err, "the root inode");
	}
	root->n_lookups = 1;
	pfs_lock(&m->lock);
	m->root = root;
	link_inode(m, root);
	pfs_unlock(&m->lock);
	return 0;
}

void pfs_inodes_fini(struct pfs_mount *m)
{
	struct inode *i;

	for (;;) {
		pfs_lock(&m->lock);
		i = m->inodes;
		if (i)
			unlink_inode(m, i);
		pfs_unlock(&m->lock);
		if (!i)
			break;
		free_inode(i);
	}
	m->root = NULL;
}
