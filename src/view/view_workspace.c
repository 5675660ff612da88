#include "view/view_i.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Nodes of a workspace: a branch and everything in it, writable. */

/* ---- handles ---- */

/* The handle a node has, else `fresh` becomes it. Takes `node`; view->lock is held. */
static struct pfs_handle *tag_node(struct pfs_view *v, struct pfs_node *node,
				   struct pfs_handle *fresh)
{
	struct pfs_handle *h = pfs_node_tag(node);

	assert(pfs_held(&v->lock));
	if (h)
		return pfs_handle_ref_locked(h);
	fresh->u.node.node = node;
	pfs_node_set_tag(node, fresh);
	return fresh;
}

static void node_fini(struct pfs_handle *h)
{
	pfs_node_unref(&h->u.node.node);
	pfs_tenant_put(h->view, h->u.node.tenant);
}

/* A handle that lost against another, or was never used; its tenant is put. */
static void drop_fresh(struct pfs_handle *fresh)
{
	struct tenant *t = fresh->u.node.tenant;
	struct pfs_view *v = fresh->view;

	pfs_handle_free_unused(fresh);
	pfs_tenant_put(v, t);
}

int pfs_node_handle(struct pfs_view *v, struct tenant *t, struct pfs_node *node,
		    struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_handle *fresh = pfs_handle_new(v, &place_node, NULL, "", 0, NULL, 0, 0, err);
	struct pfs_handle *h;

	if (!fresh) {
		pfs_node_unref(&node);
		return PFS_E_NOMEM;
	}
	fresh->u.node.tenant = pfs_tenant_ref(v, t);
	fresh->ino = pfs_handle_mix(t->salt, pfs_node_ino(node));
	pfs_lock(&v->lock);
	h = tag_node(v, node, fresh);
	pfs_unlock(&v->lock);
	if (h != fresh) {
		drop_fresh(fresh);
		pfs_node_unref(&node);
	}
	*out = h;
	return 0;
}

static void set_name(struct pfs_handle *h, const char *name)
{
	assert(h->key_len <= sizeof(h->parent) + PFS_NAME_TEXT_SIZE);
	memcpy(h->key + sizeof(h->parent), name, strlen(name) + 1);
}

/* A handle for the root of a workspace; takes the tenant. `repo` NULL: not as a branch. */
static int top_handle(struct pfs_view *v, struct tenant *t, struct pfs_handle *repo,
		      const struct pfs_branch *b, struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_node *node = pfs_workspace_root(t->ws);
	struct pfs_handle *fresh, *h;

	fresh = pfs_handle_new(v, &place_node, repo, "", 0, NULL, 0, PFS_NAME_TEXT_SIZE, err);
	if (!fresh) {
		pfs_node_unref(&node);
		pfs_tenant_put(v, t);
		return PFS_E_NOMEM;
	}
	fresh->u.node.tenant = t;
	fresh->u.node.top = true;
	if (repo) {
		fresh->u.node.branch = true;
		fresh->u.node.created_ns = b->created_ns;
		fresh->ino = pfs_handle_child_ino(repo, b->name, strlen(b->name));
		set_name(fresh, b->name);
	} else {
		fresh->ino = pfs_handle_mix(t->salt, pfs_node_ino(node));
	}
	pfs_lock(&v->lock);
	h = tag_node(v, node, fresh);
	if (repo && h->parent == repo) {
		set_name(h, b->name);
		pfs_handle_link(h);
	}
	pfs_unlock(&v->lock);
	if (h != fresh) {
		drop_fresh(fresh);
		pfs_node_unref(&node);
	}
	*out = h;
	return 0;
}

int pfs_branch_handle(struct pfs_handle *repo, const struct pfs_branch *b, struct pfs_handle **out,
		      struct pfs_error *err)
{
	struct tenant *t;
	int rc = pfs_tenant_get(repo->view, b->repo, b->name, &t, err);

	return rc < 0 ? rc : top_handle(repo->view, t, repo, b, out, err);
}

int pfs_output_handle(struct pfs_view *v, const char *repo, const char *branch,
		      struct pfs_handle **out, struct pfs_error *err)
{
	struct tenant *t;
	int rc = pfs_tenant_get(v, repo, branch, &t, err);

	return rc < 0 ? rc : top_handle(v, t, NULL, NULL, out, err);
}

void pfs_branch_handle_rename(struct pfs_handle *repo, const char *from, const char *to)
{
	struct pfs_view *v = repo->view;

	pfs_lock(&v->lock);
	for (struct pfs_handle *c = repo->child; c; c = c->next)
		if (c->ops == &place_node && strcmp(pfs_handle_name(c), from) == 0) {
			set_name(c, to);
			snprintf(c->u.node.tenant->branch, sizeof(c->u.node.tenant->branch), "%s",
				 to);
			break;
		}
	pfs_unlock(&v->lock);
}

/* ---- attributes ---- */

static int node_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	struct pfs_node_attr a;
	int rc = pfs_workspace_getattr(h->u.node.tenant->ws, h->u.node.node, &a, err);

	if (rc < 0)
		return rc;
	*out = (struct pfs_attr){
		.ino = h->ino,
		.type = pfs_view_type(a.type),
		.mode = a.attrs.mode,
		.uid = a.attrs.uid,
		.gid = a.attrs.gid,
		.nlink = a.nlink,
		.size_bytes = a.size_bytes,
		.blocks = a.blocks,
		.rdev = a.rdev,
		.atime_ns = a.atime_ns,
		.mtime_ns = pfs_attrs_mtime_ns(&a.attrs),
		.ctime_ns = a.ctime_ns,
		.watched = a.type == PFS_ENTRY_DIR,
	};
	return 0;
}

static int node_setattr(struct pfs_handle *h, unsigned which, const struct pfs_attr *set,
			struct pfs_error *err)
{
	struct pfs_node_attr a = { .atime_ns = set->atime_ns, .size_bytes = set->size_bytes };
	unsigned take = which & (PFS_NODE_MODE | PFS_NODE_UID | PFS_NODE_GID | PFS_NODE_SIZE |
				 PFS_NODE_MTIME | PFS_NODE_ATIME);

	static_assert((int)PFS_SET_MODE == (int)PFS_NODE_MODE &&
			      (int)PFS_SET_MTIME == (int)PFS_NODE_MTIME &&
			      (int)PFS_SET_ATIME == (int)PFS_NODE_ATIME &&
			      (int)PFS_SET_SIZE == (int)PFS_NODE_SIZE,
		      "both rooms number attributes alike");
	if (!take)
		return 0;
	if ((take & PFS_NODE_SIZE) && set->size_bytes > PFS_FILE_SIZE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a size of %llu, at most %llu",
				(unsigned long long)set->size_bytes, PFS_FILE_SIZE_MAX);
	a.attrs.mode = set->mode & 07777;
	a.attrs.uid = set->uid;
	a.attrs.gid = set->gid;
	a.attrs.mtime_sec = set->mtime_ns / 1000000000LL;
	a.attrs.mtime_nsec = (uint32_t)(set->mtime_ns % 1000000000LL);
	if (set->mtime_ns % 1000000000LL < 0) {
		a.attrs.mtime_sec--;
		a.attrs.mtime_nsec = (uint32_t)(set->mtime_ns % 1000000000LL + 1000000000LL);
	}
	return pfs_workspace_setattr(h->u.node.tenant->ws, h->u.node.node, take, &a, err);
}

static int node_getxattr(struct pfs_handle *h, const char *name, struct pfs_buf *out,
			 struct pfs_error *err)
{
	return pfs_workspace_get_xattr(h->u.node.tenant->ws, h->u.node.node, name, out, err);
}

static int node_listxattr(struct pfs_handle *h, struct pfs_buf *out, struct pfs_error *err)
{
	return pfs_workspace_list_xattrs(h->u.node.tenant->ws, h->u.node.node, out, err);
}

static int node_setxattr(struct pfs_handle *h, const char *name, const void *value, size_t len,
			 unsigned flags, struct pfs_error *err)
{
	struct pfs_workspace *ws = h->u.node.tenant->ws;
	enum pfs_xattr_how how = PFS_XATTR_ANY;

	if (!value)
		return pfs_workspace_remove_xattr(ws, h->u.node.node, name, err);
	if (flags & PFS_SETXATTR_CREATE)
		how = PFS_XATTR_CREATE;
	else if (flags & PFS_SETXATTR_REPLACE)
		how = PFS_XATTR_REPLACE;
	return pfs_workspace_set_xattr(ws, h->u.node.node, name, value, len, how, err);
}

/* ---- names ---- */

static int node_lookup(struct pfs_handle *dir, const char *name, size_t len,
		       struct pfs_handle **out, struct pfs_error *err)
{
	struct tenant *t = dir->u.node.tenant;
	struct pfs_node *node;
	int rc;

	if (dir->u.node.branch && pfs_control_is(name, len))
		return pfs_control_dir(dir, out, err);
	rc = pfs_workspace_lookup(t->ws, dir->u.node.node, name, len, &node, err);
	return rc < 0 ? rc : pfs_node_handle(dir->view, t, node, out, err);
}

/* Our own name at the top belongs to the control files. */
static int check_mine(const struct pfs_handle *dir, const char *name, struct pfs_error *err)
{
	if (dir->u.node.top && pfs_control_is(name, strlen(name)))
		return pfs_control_refuse(name, err);
	return 0;
}

struct listing_arg {
	struct pfs_listing *l;
	struct pfs_handle *dir;
	struct pfs_error *err;
};

static int add_name(void *arg, const struct pfs_node_name *item)
{
	struct listing_arg *a = arg;

	if (a->dir->u.node.top && pfs_control_is(item->name, item->name_len))
		return 0;
	return pfs_listing_add(a->l, item->name, item->name_len, pfs_view_type(item->type),
			       pfs_handle_mix(a->dir->u.node.tenant->salt, item->ino), a->err);
}

static int node_list(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err)
{
	struct listing_arg arg = { l, dir, err };

	return pfs_workspace_list(dir->u.node.tenant->ws, dir->u.node.node, add_name, &arg, err);
}

/* As local file systems do: below a setgid directory the group, and for directories the bit, go on. */
static int inherit(struct pfs_handle *dir, struct pfs_node_make *make, struct pfs_error *err)
{
	struct pfs_node_attr a;
	int rc = pfs_workspace_getattr(dir->u.node.tenant->ws, dir->u.node.node, &a, err);

	if (rc < 0)
		return rc;
	if (a.attrs.mode & S_ISGID) {
		make->gid = a.attrs.gid;
		if (make->type == PFS_ENTRY_DIR)
			make->mode |= S_ISGID;
	}
	return 0;
}

static int make_node(struct pfs_handle *dir, const char *name, struct pfs_node_make *make,
		     struct pfs_handle **out, struct pfs_error *err)
{
	struct tenant *t = dir->u.node.tenant;
	struct pfs_node *node;
	int rc = check_mine(dir, name, err);

	if (rc == 0)
		rc = inherit(dir, make, err);
	if (rc == 0)
		rc = pfs_workspace_make(t->ws, dir->u.node.node, name, strlen(name), make, &node,
					err);
	return rc < 0 ? rc : pfs_node_handle(dir->view, t, node, out, err);
}

static int node_mkdir(struct pfs_handle *dir, const char *name, uint16_t mode,
		      const struct pfs_who *who, struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_node_make make = {
		.type = PFS_ENTRY_DIR, .mode = mode, .uid = who->uid, .gid = who->gid
	};

	return make_node(dir, name, &make, out, err);
}

static int node_symlink(struct pfs_handle *dir, const char *name, const char *target,
			const struct pfs_who *who, struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_SYMLINK,
				      .mode = 0777,
				      .uid = who->uid,
				      .gid = who->gid,
				      .target = target,
				      .target_len = strlen(target) };

	return make_node(dir, name, &make, out, err);
}

int pfs_view_mknod(struct pfs_view *v, struct pfs_handle *dir, const char *name, enum pfs_type type,
		   uint16_t mode, uint64_t rdev, const struct pfs_who *who, struct pfs_handle **out,
		   struct pfs_attr *out_attr, struct pfs_error *err)
{
	static const enum pfs_entry_type types[] = { [PFS_TYPE_FILE] = PFS_ENTRY_FILE,
						     [PFS_TYPE_FIFO] = PFS_ENTRY_FIFO,
						     [PFS_TYPE_SOCKET] = PFS_ENTRY_SOCKET,
						     [PFS_TYPE_CHR] = PFS_ENTRY_CHR,
						     [PFS_TYPE_BLK] = PFS_ENTRY_BLK };
	struct pfs_node_make make = {
		.mode = mode & 07777, .uid = who->uid, .gid = who->gid, .rdev = rdev
	};
	struct pfs_handle *h;
	int rc = pfs_path_check_name(name, strlen(name), err);

	if (rc < 0)
		return rc;
	if ((size_t)type >= sizeof(types) / sizeof(*types) || !types[type])
		return pfs_fail(err, PFS_E_INVALID, "mknod makes no node of type %d", type);
	if (dir->ops != &place_node)
		return dir->ops->writable ? pfs_fail(err, PFS_E_DENIED, "%s holds directories only",
						     dir->ops->what)
					  : pfs_view_readonly(dir, err);
	make.type = types[type];
	rc = make_node(dir, name, &make, &h, err);
	if (rc == 0 && out_attr)
		rc = pfs_view_getattr(v, h, out_attr, err);
	if (rc == 0)
		*out = h;
	return rc;
}

static int remove_name(struct pfs_handle *dir, const char *name, bool directory,
		       struct pfs_error *err)
{
	int rc = check_mine(dir, name, err);

	if (rc < 0)
		return rc;
	return pfs_workspace_remove_name(dir->u.node.tenant->ws, dir->u.node.node, name,
					 strlen(name), directory, err);
}

static int node_rmdir(struct pfs_handle *dir, const char *name, struct pfs_error *err)
{
	return remove_name(dir, name, true, err);
}

static int node_unlink(struct pfs_handle *dir, const char *name, struct pfs_error *err)
{
	return remove_name(dir, name, false, err);
}

static int node_rename(struct pfs_handle *from, const char *name, struct pfs_handle *to,
		       const char *new_name, unsigned flags, struct pfs_error *err)
{
	int rc = check_mine(from, name, err);

	if (rc == 0)
		rc = check_mine(to, new_name, err);
	if (rc < 0)
		return rc;
	if (from->u.node.tenant != to->u.node.tenant)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"a file cannot move to another branch; copy it");
	if (flags & PFS_RENAME_WHITEOUT)
		return pfs_workspace_rename_away(from->u.node.tenant->ws, from->u.node.node, name,
						 strlen(name), to->u.node.node, new_name,
						 strlen(new_name), flags & PFS_RENAME_NOREPLACE,
						 err);
	return pfs_workspace_rename(from->u.node.tenant->ws, from->u.node.node, name, strlen(name),
				    to->u.node.node, new_name, strlen(new_name),
				    flags & PFS_RENAME_NOREPLACE, flags & PFS_RENAME_EXCHANGE, err);
}

static int node_readlink(struct pfs_handle *h, struct pfs_buf *out, struct pfs_error *err)
{
	return pfs_workspace_readlink(h->u.node.tenant->ws, h->u.node.node, out, err);
}

/* ---- files ---- */

struct node_file {
	struct pfs_file file;
	struct pfs_open *open;
};

static struct pfs_open *opened(struct pfs_file *f)
{
	return ((struct node_file *)f)->open;
}

static int file_read(struct pfs_file *f, uint64_t off, void *data, size_t len, size_t *out_len,
		     struct pfs_error *err)
{
	return pfs_workspace_read(opened(f), off, data, len, out_len, err);
}

static int file_write(struct pfs_file *f, uint64_t off, const void *data, size_t len,
		      struct pfs_error *err)
{
	return pfs_workspace_write(opened(f), off, data, len, err);
}

static int file_append(struct pfs_file *f, const void *data, size_t len, struct pfs_error *err)
{
	return pfs_workspace_append(opened(f), data, len, err);
}

static int file_allocate(struct pfs_file *f, int mode, uint64_t off, uint64_t len,
			 struct pfs_error *err)
{
	return pfs_workspace_allocate(opened(f), mode, off, len, err);
}

static int file_seek(struct pfs_file *f, uint64_t off, int whence, uint64_t *out,
		     struct pfs_error *err)
{
	return pfs_workspace_seek(opened(f), off, whence, out, err);
}

static int file_sync(struct pfs_file *f, struct pfs_error *err)
{
	return pfs_workspace_sync_file(opened(f), err);
}

static bool file_content(struct pfs_file *f, uint64_t least, struct pfs_content *out)
{
	return pfs_workspace_content(opened(f), out) && out->size >= least;
}

static int file_become(struct pfs_file *f, const struct pfs_content *content, struct pfs_error *err)
{
	return pfs_workspace_become(opened(f), content, err);
}

static int file_local(struct pfs_file *f)
{
	return pfs_workspace_local_fd(opened(f));
}

static void file_close(struct pfs_file *f)
{
	struct node_file *nf = (struct node_file *)f;

	pfs_workspace_close_file(&nf->open);
	free(nf);
}

static const struct file_ops node_file_ops = {
	.read = file_read,
	.write = file_write,
	.append = file_append,
	.allocate = file_allocate,
	.seek = file_seek,
	.sync = file_sync,
	.content = file_content,
	.become = file_become,
	.local = file_local,
	.close = file_close,
};

static int node_open(struct pfs_handle *h, unsigned flags, struct pfs_file **out,
		     struct pfs_error *err)
{
	struct node_file *f;
	int rc;

	if (pfs_node_type(h->u.node.node) == PFS_ENTRY_DIR)
		return pfs_fail(err, PFS_E_ISDIR, "it is a directory");
	if (pfs_node_type(h->u.node.node) != PFS_ENTRY_FILE)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "it is not a file");
	f = calloc(1, sizeof(*f));
	if (!f)
		return pfs_fail_nomem(err, "an open file");
	rc = pfs_workspace_open_file(h->u.node.tenant->ws, h->u.node.node, flags & PFS_OPEN_WRITE,
				     flags & PFS_OPEN_TRUNCATE, &f->open, err);
	if (rc < 0) {
		free(f);
		return rc;
	}
	f->file = (struct pfs_file){ .ops = &node_file_ops, .flags = flags };
	f->file.handle = pfs_handle_ref(h);
	*out = &f->file;
	return 0;
}

/* Open what was there or just made; made and not openable, it goes again. */
static int open_made(struct pfs_handle *dir, const char *name, struct pfs_handle *h, bool made,
		     unsigned flags, struct pfs_file **out_file, struct pfs_error *err)
{
	int rc;

	/* Truncating an empty file makes ext4 write all of it out when it is closed. */
	if (made)
		flags &= ~(unsigned)PFS_OPEN_TRUNCATE;
	rc = node_open(h, flags, out_file, err);

	if (rc < 0 && made)
		remove_name(dir, name, false, NULL);
	return rc;
}

static int node_create(struct pfs_handle *dir, const char *name, unsigned flags, uint16_t mode,
		       const struct pfs_who *who, struct pfs_handle **out,
		       struct pfs_file **out_file, struct pfs_error *err)
{
	struct pfs_node_make make = {
		.type = PFS_ENTRY_FILE, .mode = mode, .uid = who->uid, .gid = who->gid
	};
	struct pfs_handle *h = NULL;
	bool made = true;
	int rc = make_node(dir, name, &make, &h, err);

	if (rc == PFS_E_EXISTS && !(flags & PFS_OPEN_EXCLUSIVE)) {
		made = false;
		rc = node_lookup(dir, name, strlen(name), &h, err);
	}
	if (rc == 0)
		rc = open_made(dir, name, h, made, flags, out_file, err);
	if (rc < 0)
		pfs_handle_unref(&h);
	else
		*out = h;
	return rc;
}

int pfs_view_create_unnamed(struct pfs_view *v, struct pfs_handle *dir, uint16_t mode,
			    const struct pfs_who *who, struct pfs_handle **out,
			    struct pfs_file **out_file, struct pfs_error *err)
{
	struct pfs_node_make make = {
		.type = PFS_ENTRY_FILE, .mode = mode & 07777, .uid = who->uid, .gid = who->gid
	};
	struct pfs_handle *h = NULL;
	struct pfs_node *node;
	int rc;

	if (dir->ops != &place_node)
		return dir->ops->writable ? pfs_fail(err, PFS_E_DENIED, "%s holds directories only",
						     dir->ops->what)
					  : pfs_view_readonly(dir, err);
	rc = inherit(dir, &make, err);
	if (rc == 0)
		rc = pfs_workspace_make_unnamed(dir->u.node.tenant->ws, &make, &node, err);
	if (rc == 0)
		rc = pfs_node_handle(v, dir->u.node.tenant, node, &h, err);
	if (rc == 0)
		rc = node_open(h, PFS_OPEN_READ | PFS_OPEN_WRITE, out_file, err);
	if (rc < 0)
		pfs_handle_unref(&h);
	else
		*out = h;
	return rc;
}

/* Whether a node may get a name in this directory. */
static int check_place(struct pfs_handle *h, struct pfs_handle *dir, const char *name,
		       struct pfs_error *err)
{
	int rc = pfs_path_check_name(name, strlen(name), err);

	if (rc < 0)
		return rc;
	if (dir->ops != &place_node)
		return dir->ops->writable ? pfs_fail(err, PFS_E_DENIED, "%s holds directories only",
						     dir->ops->what)
					  : pfs_view_readonly(dir, err);
	if (h->ops != &place_node || h->u.node.tenant != dir->u.node.tenant)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"a file cannot have a name in another branch; copy it");
	return check_mine(dir, name, err);
}

int pfs_view_link(struct pfs_view *v, struct pfs_handle *h, struct pfs_handle *dir,
		  const char *name, struct pfs_error *err)
{
	int rc = check_place(h, dir, name, err);

	(void)v;
	return rc < 0 ? rc
		      : pfs_workspace_link(dir->u.node.tenant->ws, h->u.node.node, dir->u.node.node,
					   name, strlen(name), err);
}

int pfs_view_place(struct pfs_view *v, struct pfs_handle *unnamed, struct pfs_handle *dir,
		   const char *name, struct pfs_error *err)
{
	int rc = check_place(unnamed, dir, name, err);

	(void)v;
	return rc < 0 ? rc
		      : pfs_workspace_place(dir->u.node.tenant->ws, unnamed->u.node.node,
					    dir->u.node.node, name, strlen(name), err);
}

int pfs_view_sync(struct pfs_view *v, struct pfs_handle *dir, struct pfs_error *err)
{
	(void)v;
	/* What is committed is durable, and so is every name of a repo or branch. */
	if (dir->ops != &place_node)
		return 0;
	return pfs_workspace_sync(dir->u.node.tenant->ws, err);
}

const struct place_ops place_node = {
	.what = "a branch",
	.writable = true,
	.lookup = node_lookup,
	.getattr = node_getattr,
	.setattr = node_setattr,
	.readlink = node_readlink,
	.list = node_list,
	.mkdir = node_mkdir,
	.rmdir = node_rmdir,
	.symlink = node_symlink,
	.unlink = node_unlink,
	.rename = node_rename,
	.create = node_create,
	.open = node_open,
	.getxattr = node_getxattr,
	.listxattr = node_listxattr,
	.setxattr = node_setxattr,
	.fini = node_fini,
};
