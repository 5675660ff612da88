#include "view/view_i.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The facade: what holds for every place is checked here, once. */

static void free_view(struct pfs_view *v)
{
	pfs_datums_free(v);
	pfs_refused_free(v);
	while (v->changes) {
		struct change_item *c = v->changes;

		v->changes = c->next;
		pfs_handle_unref(&c->c.handle);
		free(c);
	}
	pfs_handle_unref(&v->root);
	pfs_linkgroups_free(&v->groups);
	pfs_map_fini(&v->table);
	pthread_cond_destroy(&v->news_cond);
	pfs_lock_fini(&v->news_lock);
	pfs_lock_fini(&v->lock);
	free(v->data_dir);
	free(v);
}

int pfs_view_new(struct pfs_history *h, const char *data_dir, struct pfs_view **out,
		 struct pfs_error *err)
{
	struct pfs_view *v = calloc(1, sizeof(*v));
	int rc = 0;

	if (!v)
		return pfs_fail_nomem(err, "the view");
	v->history = h;
	v->store = pfs_history_store(h);
	v->uid = geteuid();
	v->gid = getegid();
	v->opened_ns = pfs_clock_ns();
	v->changes_tail = &v->changes;
	v->cursor = pfs_event_newest(h);
	pfs_lock_init(&v->lock, PFS_RANK_VIEW);
	pfs_lock_init(&v->news_lock, PFS_RANK_BASE);
	pfs_map_init(&v->table);
	if (pfs_cond_init(&v->news_cond) < 0)
		rc = pfs_fail_nomem(err, "a condition");
	v->data_dir = strdup(data_dir);
	if (rc == 0)
		rc = pfs_linkgroups_new(v->store, &v->groups, err);
	v->root = pfs_handle_new(v, &place_root, NULL, "", 0, NULL, 0, 0, err);
	if (rc == 0 && (!v->data_dir || !v->root))
		rc = pfs_fail_nomem(err, "the view");
	if (rc < 0) {
		free_view(v);
		return rc;
	}
	*out = v;
	return 0;
}

void pfs_view_free(struct pfs_view **vp)
{
	struct pfs_view *v = *vp;

	*vp = NULL;
	if (v)
		free_view(v);
}

struct pfs_handle *pfs_view_root(struct pfs_view *v)
{
	return pfs_handle_ref(v->root);
}

const char *pfs_view_data_dir(struct pfs_view *v)
{
	return v->data_dir;
}

enum pfs_type pfs_view_type(enum pfs_entry_type t)
{
	switch (t) {
	case PFS_ENTRY_DIR:
		return PFS_TYPE_DIR;
	case PFS_ENTRY_SYMLINK:
		return PFS_TYPE_SYMLINK;
	case PFS_ENTRY_FIFO:
		return PFS_TYPE_FIFO;
	case PFS_ENTRY_SOCKET:
		return PFS_TYPE_SOCKET;
	case PFS_ENTRY_CHR:
		return PFS_TYPE_CHR;
	case PFS_ENTRY_BLK:
		return PFS_TYPE_BLK;
	case PFS_ENTRY_FILE:
		break;
	}
	return PFS_TYPE_FILE;
}

void pfs_view_plain_attr(const struct pfs_handle *h, enum pfs_type type, uint16_t mode,
			 int64_t time_ns, struct pfs_attr *out)
{
	*out = (struct pfs_attr){
		.ino = h->ino,
		.type = type,
		.mode = mode,
		.uid = h->view->uid,
		.gid = h->view->gid,
		.nlink = 1,
		.atime_ns = time_ns,
		.mtime_ns = time_ns,
		.ctime_ns = time_ns,
	};
}

int pfs_view_readonly(const struct pfs_handle *h, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_READONLY, "%s cannot be changed; write to a branch",
			h->ops->what);
}

static int refuse(const struct pfs_handle *h, const char *what, struct pfs_error *err)
{
	if (!h->ops->list)
		return pfs_fail(err, PFS_E_NOTDIR, "%s is not a directory", h->ops->what);
	if (!h->ops->writable)
		return pfs_view_readonly(h, err);
	return pfs_fail(err, PFS_E_DENIED, "%s holds no %s: mkdir makes a %s here", h->ops->what,
			what, h->ops == &place_root ? "repo" : "branch");
}

static int check_name(const char *name, struct pfs_error *err)
{
	return pfs_path_check_name(name, strlen(name), err);
}

int pfs_view_getattr(struct pfs_view *v, struct pfs_handle *h, struct pfs_attr *out,
		     struct pfs_error *err)
{
	struct pfs_attr a = { 0 };
	int rc = h->ops->getattr(h, &a, err);

	(void)v;
	if (rc == 0)
		*out = a;
	return rc;
}

/* Attributes of what was just found or made; the reference goes when they cannot be had. */
static int with_attr(struct pfs_view *v, struct pfs_handle *h, struct pfs_handle **out,
		     struct pfs_attr *out_attr, struct pfs_error *err)
{
	int rc = out_attr ? pfs_view_getattr(v, h, out_attr, err) : 0;

	if (rc < 0)
		pfs_handle_unref(&h);
	else
		*out = h;
	return rc;
}

int pfs_view_lookup(struct pfs_view *v, struct pfs_handle *dir, const char *name,
		    struct pfs_handle **out, struct pfs_attr *out_attr, struct pfs_error *err)
{
	struct pfs_handle *h = NULL;
	int rc = check_name(name, err);

	if (rc == 0 && !dir->ops->lookup)
		rc = pfs_fail(err, PFS_E_NOTDIR, "%s is not a directory", dir->ops->what);
	if (rc == 0)
		rc = dir->ops->lookup(dir, name, strlen(name), &h, err);
	if (rc < 0)
		return rc;
	return with_attr(v, h, out, out_attr, err);
}

int pfs_view_walk(struct pfs_view *v, const char *path, struct pfs_handle **out,
		  struct pfs_attr *out_attr, struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *at = pfs_view_root(v);
	char text[PFS_NAME_SIZE_MAX + 1];
	const char *rest = path;
	const char *name;
	size_t len;
	int rc;

	while ((rc = pfs_path_next(&rest, &name, &len, err)) > 0) {
		struct pfs_handle *next;

		memcpy(text, name, len);
		text[len] = '\0';
		rc = pfs_view_lookup(v, at, text, &next, NULL, err);
		if (rc < 0)
			return rc;
		pfs_handle_unref(&at);
		at = next;
	}
	if (rc == 0 && out_attr)
		rc = pfs_view_getattr(v, at, out_attr, err);
	if (rc == 0) {
		*out = at;
		at = NULL;
	}
	return rc;
}

int pfs_view_setattr(struct pfs_view *v, struct pfs_handle *h, unsigned which,
		     const struct pfs_attr *set, struct pfs_attr *out, struct pfs_error *err)
{
	int rc;

	if (!h->ops->setattr)
		return h->ops->writable ? pfs_fail(err, PFS_E_DENIED, "attributes of %s are fixed",
						   h->ops->what)
					: pfs_view_readonly(h, err);
	rc = h->ops->setattr(h, which, set, err);
	if (rc == 0 && out)
		rc = pfs_view_getattr(v, h, out, err);
	return rc;
}

int pfs_view_readlink(struct pfs_view *v, struct pfs_handle *h, char *buf, size_t size,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf target = PFS_BUF_INIT(PFS_SYMLINK_SIZE_MAX + 1);
	int rc;

	(void)v;
	if (!h->ops->readlink)
		return pfs_fail(err, PFS_E_INVALID, "%s is not a symlink", h->ops->what);
	rc = h->ops->readlink(h, &target, err);
	if (rc < 0)
		return rc;
	if (target.len >= size)
		return pfs_fail(err, PFS_E_NAMETOOLONG, "a target of %zu bytes", target.len);
	memcpy(buf, pfs_buf_str(&target), target.len);
	buf[target.len] = '\0';
	return 0;
}

int pfs_view_mkdir(struct pfs_view *v, struct pfs_handle *dir, const char *name, uint16_t mode,
		   const struct pfs_who *who, struct pfs_handle **out, struct pfs_attr *out_attr,
		   struct pfs_error *err)
{
	struct pfs_handle *h = NULL;
	int rc = check_name(name, err);

	if (rc < 0)
		return rc;
	if (!dir->ops->mkdir)
		return refuse(dir, "directories", err);
	rc = dir->ops->mkdir(dir, name, mode & 07777, who, &h, err);
	if (rc < 0)
		return rc;
	return with_attr(v, h, out, out_attr, err);
}

int pfs_view_rmdir(struct pfs_view *v, struct pfs_handle *dir, const char *name,
		   struct pfs_error *err)
{
	int rc = check_name(name, err);

	(void)v;
	if (rc < 0)
		return rc;
	if (!dir->ops->rmdir)
		return refuse(dir, "directories", err);
	return dir->ops->rmdir(dir, name, err);
}

int pfs_view_symlink(struct pfs_view *v, struct pfs_handle *dir, const char *name,
		     const char *target, const struct pfs_who *who, struct pfs_handle **out,
		     struct pfs_attr *out_attr, struct pfs_error *err)
{
	struct pfs_handle *h = NULL;
	int rc = check_name(name, err);

	if (rc < 0)
		return rc;
	if (strlen(target) > PFS_SYMLINK_SIZE_MAX)
		return pfs_fail(err, PFS_E_NAMETOOLONG, "a symlink target of %zu bytes, at most %u",
				strlen(target), PFS_SYMLINK_SIZE_MAX);
	if (!dir->ops->symlink)
		return refuse(dir, "symlinks", err);
	rc = dir->ops->symlink(dir, name, target, who, &h, err);
	if (rc < 0)
		return rc;
	return with_attr(v, h, out, out_attr, err);
}

int pfs_view_unlink(struct pfs_view *v, struct pfs_handle *dir, const char *name,
		    struct pfs_error *err)
{
	int rc = check_name(name, err);

	(void)v;
	if (rc < 0)
		return rc;
	if (!dir->ops->unlink)
		return refuse(dir, "files", err);
	return dir->ops->unlink(dir, name, err);
}

int pfs_view_rename(struct pfs_view *v, struct pfs_handle *from, const char *name,
		    struct pfs_handle *to, const char *new_name, unsigned flags,
		    struct pfs_error *err)
{
	int rc = check_name(name, err);

	(void)v;
	if (rc == 0)
		rc = check_name(new_name, err);
	if (rc < 0)
		return rc;
	if (flags & ~(unsigned)(PFS_RENAME_NOREPLACE | PFS_RENAME_EXCHANGE | PFS_RENAME_WHITEOUT) ||
	    ((flags & PFS_RENAME_EXCHANGE) && (flags & PFS_RENAME_WHITEOUT)))
		return pfs_fail(err, PFS_E_INVALID, "rename flags %#x", flags);
	if (!from->ops->writable)
		return pfs_view_readonly(from, err);
	if (!to->ops->writable)
		return pfs_view_readonly(to, err);
	if (from->ops != to->ops)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "%s cannot move into %s; copy it",
				from->ops->what, to->ops->what);
	if (!from->ops->rename)
		return refuse(from, "names that move", err);
	return from->ops->rename(from, name, to, new_name, flags, err);
}

int pfs_view_create(struct pfs_view *v, struct pfs_handle *dir, const char *name, unsigned flags,
		    uint16_t mode, const struct pfs_who *who, struct pfs_handle **out,
		    struct pfs_attr *out_attr, struct pfs_file **out_file, struct pfs_error *err)
{
	struct pfs_handle *h = NULL;
	struct pfs_file *f = NULL;
	int rc = check_name(name, err);

	if (rc < 0)
		return rc;
	if (!dir->ops->create)
		return refuse(dir, "files", err);
	rc = dir->ops->create(dir, name, flags, mode & 07777, who, &h, &f, err);
	if (rc < 0)
		return rc;
	rc = with_attr(v, h, out, out_attr, err);
	if (rc < 0)
		pfs_file_close(&f, NULL);
	else
		*out_file = f;
	return rc;
}
