#include "view/view_i.h"
#include "store/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Open files: the facade over what a place opens. */

int pfs_view_open(struct pfs_view *v, struct pfs_handle *h, unsigned flags, struct pfs_file **out,
		  struct pfs_error *err)
{
	(void)v;
	if (h->ops->list && !h->ops->open)
		return pfs_fail(err, PFS_E_ISDIR, "%s is a directory", h->ops->what);
	if (!h->ops->open)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "%s cannot be opened", h->ops->what);
	if ((flags & PFS_OPEN_TRUNCATE) && !(flags & PFS_OPEN_WRITE))
		return pfs_fail(err, PFS_E_INVALID, "truncating needs a file open for writing");
	return h->ops->open(h, flags, out, err);
}

unsigned pfs_file_flags(const struct pfs_file *f)
{
	return f->flags;
}

int pfs_file_hold(struct pfs_file *f, void **out, size_t *out_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(SIZE_MAX / 2);
	int rc = f->ops->hold ? f->ops->hold(f, &b, err) : 0;

	if (rc < 0)
		return rc;
	*out_len = b.len;
	*out = pfs_buf_take(&b);
	return *out ? 0 : pfs_fail_nomem(err, "what is handed over");
}

int pfs_file_take(struct pfs_view *v, struct pfs_handle *h, unsigned flags, const void *data,
		  size_t len, struct pfs_file **out, struct pfs_error *err)
{
	struct pfs_file *f;
	unsigned how = flags & ~(unsigned)(PFS_OPEN_TRUNCATE | PFS_OPEN_EXCLUSIVE);
	int rc = pfs_view_open(v, h, how, &f, err);

	if (rc < 0)
		return rc;
	if (!f->ops->take && len)
		rc = pfs_fail(err, PFS_E_CORRUPT, "%s has nothing that could be handed over",
			      h->ops->what);
	else if (len)
		rc = f->ops->take(f, data, len, err);
	if (rc < 0)
		pfs_file_close(&f, NULL);
	else
		*out = f;
	return rc;
}

int pfs_file_flush(struct pfs_file *f, struct pfs_error *err)
{
	return f->ops->flush ? f->ops->flush(f, err) : 0;
}

int pfs_file_close(struct pfs_file **fp, struct pfs_error *err)
{
	struct pfs_file *f = *fp;
	struct pfs_handle *h;
	int rc;

	*fp = NULL;
	if (!f)
		return 0;
	rc = pfs_file_flush(f, err);
	h = f->handle;
	f->ops->close(f);
	pfs_handle_unref(&h);
	return rc;
}

static int check_range(uint64_t off, uint64_t len, struct pfs_error *err)
{
	if (off > PFS_FILE_SIZE_MAX || len > PFS_FILE_SIZE_MAX - off)
		return pfs_fail(err, PFS_E_LIMIT, "%llu bytes at %llu pass the limit of %llu",
				(unsigned long long)len, (unsigned long long)off,
				PFS_FILE_SIZE_MAX);
	return 0;
}

static int check_writable(const struct pfs_file *f, bool can, struct pfs_error *err)
{
	if (!can)
		return pfs_view_readonly(f->handle, err);
	if (!(f->flags & PFS_OPEN_WRITE))
		return pfs_fail(err, PFS_E_INVALID, "the file is open for reading only");
	return 0;
}

/* "/repo/rev/a/b", or the end of it that fits. */
static const char *path_of(struct pfs_handle *h, char *buf, size_t size)
{
	char *at = buf + size - 1;

	*at = 0;
	/* Under the lock, since things may be renamed. */
	pfs_lock(&h->view->lock);
	for (; h->parent; h = h->parent) {
		size_t len = strlen(pfs_handle_name(h));

		if (len + 1 > (size_t)(at - buf))
			break;
		at -= len + 1;
		*at = '/';
		memcpy(at + 1, pfs_handle_name(h), len);
	}
	pfs_unlock(&h->view->lock);
	return at;
}

int pfs_file_read(struct pfs_file *f, uint64_t off, void *data, size_t len, size_t *out_len,
		  struct pfs_error *err)
{
	char path[PFS_ERROR_TEXT_SIZE / 2];
	int rc = f->ops->read(f, off, data, len, out_len, err);

	/* What is damaged below has no name there: people have to be told which file it is. */
	if (rc == PFS_E_CORRUPT || rc == PFS_E_IO)
		pfs_wrap(err, rc, "%s", path_of(f->handle, path, sizeof(path)));
	return rc;
}

int pfs_file_write(struct pfs_file *f, uint64_t off, const void *data, size_t len,
		   struct pfs_error *err)
{
	int rc = check_writable(f, f->ops->write, err);

	if (rc == 0)
		rc = check_range(off, len, err);
	return rc < 0 ? rc : f->ops->write(f, off, data, len, err);
}

int pfs_file_append(struct pfs_file *f, const void *data, size_t len, struct pfs_error *err)
{
	int rc = check_writable(f, f->ops->append, err);

	return rc < 0 ? rc : f->ops->append(f, data, len, err);
}

int pfs_file_allocate(struct pfs_file *f, int mode, uint64_t off, uint64_t len,
		      struct pfs_error *err)
{
	int rc = check_writable(f, f->ops->allocate, err);

	if (rc == 0)
		rc = check_range(off, len, err);
	return rc < 0 ? rc : f->ops->allocate(f, mode, off, len, err);
}

int pfs_file_seek(struct pfs_file *f, uint64_t off, int whence, uint64_t *out,
		  struct pfs_error *err)
{
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return pfs_fail(err, PFS_E_INVALID, "whence %d", whence);
	if (!f->ops->seek)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "%s has no holes to look for",
				f->handle->ops->what);
	return f->ops->seek(f, off, whence, out, err);
}

int pfs_file_seek_plain(uint64_t size, uint64_t off, int whence, uint64_t *out,
			struct pfs_error *err)
{
	if (off >= size)
		return pfs_fail(err, PFS_E_NOTFOUND, "nothing at %llu of a file of %llu bytes",
				(unsigned long long)off, (unsigned long long)size);
	*out = whence == SEEK_DATA ? off : size;
	return 0;
}

static int share(struct pfs_file *from, struct pfs_file *to, uint64_t max, uint64_t *out_size,
		 struct pfs_error *err)
{
	struct pfs_content content;
	int rc = 0;

	if (pfs_session_may_link(from->handle->view->store) &&
	    from->ops->content(from, 0, &content) && content.size <= max)
		rc = to->ops->become(to, &content, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "not just now: copy the bytes");
	if (rc < 0)
		return rc;
	*out_size = content.size;
	return 0;
}

int pfs_file_share(struct pfs_file *from, struct pfs_file *to, uint64_t max, uint64_t *out_size,
		   struct pfs_error *err)
{
	struct pfs_store *st = from->handle->view->store;
	struct pfs_session session;
	int rc = check_writable(to, to->ops->write, err);

	if (rc < 0)
		return rc;
	if (!from->ops->content || !to->ops->become)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "%s and %s share nothing",
				from->handle->ops->what, to->handle->ops->what);
	pfs_session_begin(st, &session);
	rc = share(from, to, max, out_size, err);
	pfs_session_end(st, &session);
	return rc;
}

bool pfs_file_shareable(struct pfs_file *f)
{
	struct pfs_content content;

	return f->ops->content && f->ops->content(f, PFS_SHARED_SIZE_MIN, &content);
}

int pfs_file_sync(struct pfs_file *f, struct pfs_error *err)
{
	return f->ops->sync ? f->ops->sync(f, err) : 0;
}

int pfs_file_local(struct pfs_file *f)
{
	return f->ops->local ? f->ops->local(f) : -1;
}

bool pfs_file_immutable(const struct pfs_file *f)
{
	return f->handle->ops == &place_entry;
}
