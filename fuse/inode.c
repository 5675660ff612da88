#include "fuse/inode.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(struct inode) <= 40, "there may be a million of them");

struct inode *pfs_inode_find(struct pfs_mount *m, fuse_ino_t ino)
{
	struct inode *i = ino ? pfs_slots_find(&m->inodes, ino - FUSE_ROOT_ID) : NULL;

	return i && i->generation ? i : NULL;
}

/* The root has the first slot. */
fuse_ino_t pfs_inode_number_of(const struct inode *i)
{
	return i->number + FUSE_ROOT_ID;
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
	through = i->opens && i->opens->n_through > 0;
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

/* Takes `h` when it succeeds. */
static struct inode *new_inode(struct pfs_mount *m, struct pfs_handle *h)
{
	uint32_t number;
	struct inode *i;

	assert(pfs_held(&m->lock));
	i = pfs_slots_take(&m->inodes, &number);
	if (!i)
		return NULL;
	if (++m->generation == 0)
		m->generation = 1;
	i->number = number;
	i->generation = m->generation;
	i->handle = h;
	if (h)
		pfs_handle_set_tag(h, i);
	return i;
}

/* Returns its handle, to be given back without the lock. */
static struct pfs_handle *free_inode(struct pfs_mount *m, struct inode *i)
{
	struct pfs_handle *h = i->handle;

	assert(pfs_held(&m->lock));
	if (h)
		pfs_handle_set_tag(h, NULL);
	free(i->opens);
	pfs_slots_give(&m->inodes, i->number);
	return h;
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
		i = fresh = new_inode(m, h);
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
		.ino = pfs_inode_number_of(i),
		.generation = i->generation,
		.attr_timeout = fresh ? timeout_of(m, a) : pfs_inode_attr_timeout(m, i, a),
		.entry_timeout = timeout_of(m, a),
	};
	pfs_inode_stat(a, &out->attr);
	return 0;
}

int pfs_inode_enter_passing(struct pfs_mount *m, const struct pfs_attr *a,
			    struct fuse_entry_param *out, struct pfs_error *err)
{
	struct pfs_attr link = *a;
	struct inode *i;

	link.type = PFS_TYPE_SYMLINK;
	link.mode = 0777;
	pfs_lock(&m->lock);
	i = new_inode(m, NULL);
	if (i) {
		i->volatile_ = true;
		i->n_lookups = 1;
		*out = (struct fuse_entry_param){ .ino = pfs_inode_number_of(i),
						  .generation = i->generation };
	}
	pfs_unlock(&m->lock);
	if (!i)
		return pfs_fail_nomem(err, "an inode");
	pfs_inode_stat(&link, &out->attr);
	return 0;
}

bool pfs_inode_open(struct inode *i)
{
	if (!i->opens)
		i->opens = calloc(1, sizeof(*i->opens));
	return i->opens;
}

void pfs_inode_close(struct inode *i)
{
	if (i->opens->n_cached || i->opens->n_through)
		return;
	free(i->opens);
	i->opens = NULL;
}

void pfs_inode_forget(struct pfs_mount *m, fuse_ino_t ino, uint64_t n)
{
	struct inode *i = pfs_inode_find(m, ino);
	struct pfs_handle *h = NULL;

	if (!i || i == m->root)
		return;
	pfs_lock(&m->lock);
	assert(i->n_lookups >= n);
	i->n_lookups -= n;
	if (i->n_lookups == 0)
		h = free_inode(m, i);
	pfs_unlock(&m->lock);
	pfs_handle_unref(&h);
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
		ino = pfs_inode_number_of(i);
	pfs_unlock(&m->lock);
	return ino;
}

int pfs_inodes_init(struct pfs_mount *m, struct pfs_error *err)
{
	struct pfs_handle *h = pfs_view_root(m->view);
	struct inode *root = NULL;
	int rc = pfs_slots_init(&m->inodes, sizeof(struct inode), err);

	if (rc == 0) {
		pfs_lock(&m->lock);
		root = new_inode(m, h);
		if (root)
			root->n_lookups = 1;
		pfs_unlock(&m->lock);
		if (!root)
			rc = pfs_fail_nomem(err, "the root inode");
	}
	if (rc < 0)
		pfs_handle_unref(&h);
	m->root = root;
	return rc;
}

void pfs_inodes_fini(struct pfs_mount *m)
{
	struct inode *i;
	uint32_t number = 0;

	m->root = NULL;
	for (;; number++) {
		struct pfs_handle *h = NULL;

		pfs_lock(&m->lock);
		i = m->inodes.pages ? pfs_slots_next(&m->inodes, &number) : NULL;
		if (i)
			h = free_inode(m, i);
		pfs_unlock(&m->lock);
		if (!i)
			break;
		pfs_handle_unref(&h);
	}
	pfs_slots_fini(&m->inodes);
}
