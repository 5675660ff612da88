/*
 * Files: the bytes of a node, and who has them open.
 *
 *	state   kept      spooled          reads come from
 *	CLEAN   content   NULL             the store
 *	CLEAN   content   for its users    the spool file: the same bytes
 *	NEW     NULL      the bytes        the spool file
 *
 *	           open for writing, size change
 *	  CLEAN ────────────────────────────────────▶ NEW
 *	        ◀────────────────────────────────────
 *	           settle (nobody writes, unchanged since the seal), reset
 *
 * A spool file stays as long as somebody has it open, and whoever opens the
 * node meanwhile gets the same one: so all descriptors that were lent out show
 * the same bytes, whatever states the node goes through.
 */
#include "workspace/workspace_i.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "tree/content.h"
#include "workspace/file.h"
#include "workspace/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct pfs_open {
	struct pfs_workspace *ws;
	struct pfs_node *node; /* one reference */
	bool write;
	_Atomic bool attached;             /* counted as a user of the spool file */
	_Atomic bool wrote;                /* or may have */
	struct pfs_lock lock;              /* PFS_RANK_WORKSPACE_OPEN */
	struct pfs_content_reader *reader; /* protected by lock */
	uint64_t reader_version;           /* of the content it reads; protected by lock */
};

/* A spool file that is not a node's yet. */
struct draft {
	struct pfs_spool_name name;
	int fd; /* negative: none */
};

static void draft_fini(struct pfs_workspace *ws, struct draft *d)
{
	if (d->fd < 0)
		return;
	pfs_spool_unlink(&ws->spool, &d->name);
	pfs_fd_close(&d->fd);
}

/* The first `keep` bytes of a content, in a file of their own. */
static int draft_fill(struct pfs_workspace *ws, uint64_t ino, const struct pfs_kept *kept,
		      const struct pfs_attrs *attrs, uint64_t keep, struct draft *d,
		      struct pfs_error *err)
{
	struct pfs_content content;
	int rc = 0;

	d->fd = pfs_spool_create(&ws->spool, ino, &d->name, err);
	if (d->fd < 0)
		return d->fd;
	if (keep > kept->size)
		keep = kept->size;
	if (keep) {
		pfs_kept_content(kept, &content);
		rc = pfs_content_to_fd(ws->store, &content, keep, d->fd, err);
	}
	if (rc == 0)
		rc = pfs_spool_set_mtime(&ws->spool, &d->name, d->fd, attrs, err);
	if (rc < 0)
		draft_fini(ws, d);
	return rc;
}

static void become_new(struct pfs_node *n)
{
	n->file.state = PFS_FILE_NEW;
	pfs_kept_unref(&n->file.kept);
	n->file.version++;
	pfs_node_touch(n);
}

static int install(struct pfs_node *n, struct draft *d, uint64_t size, struct pfs_error *err)
{
	struct pfs_spooled *s = calloc(1, sizeof(*s));

	if (!s)
		return pfs_fail_nomem(err, "a spool file");
	*s = (struct pfs_spooled){ .name = d->name, .fd = d->fd, .users = 1, .unsynced = true };
	d->fd = -1;
	n->file.spooled = s;
	n->file.size = size;
	n->file.blocks = (size + 511) / 512;
	become_new(n);
	return 0;
}

int pfs_file_use_new(struct pfs_node *n, uint64_t keep, struct pfs_error *err)
{
	struct pfs_workspace *ws = n->ws;
	struct draft d = { .fd = -1 };
	int rc = 0;

	for (;;) {
		struct pfs_attrs attrs;
		struct pfs_kept *kept;
		uint64_t version, size;

		pfs_rwlock_write(&ws->lock);
		if (n->file.spooled) {
			rc = pfs_spooled_use(n, err);
			if (rc == 0 && n->file.state == PFS_FILE_CLEAN)
				become_new(n);
			break;
		}
		version = n->file.version;
		kept = pfs_kept_ref(n->file.kept);
		attrs = n->attrs;
		pfs_rwlock_unlock(&ws->lock);

		/* The copy may take long; whoever was quicker meanwhile wins. */
		rc = draft_fill(ws, n->ino, kept, &attrs, keep, &d, err);
		size = keep < kept->size ? keep : kept->size;
		pfs_kept_unref(&kept);
		if (rc < 0)
			return rc;
		pfs_rwlock_write(&ws->lock);
		if (!n->file.spooled && n->file.version == version) {
			rc = install(n, &d, size, err);
			break;
		}
		pfs_rwlock_unlock(&ws->lock);
		draft_fini(ws, &d);
	}
	if (rc < 0)
		pfs_rwlock_unlock(&ws->lock);
	draft_fini(ws, &d);
	return rc;
}

/* Size and times from the file itself; with the lock held for writing. */
static int look_at_spooled(struct pfs_node *n, struct pfs_error *err)
{
	struct pfs_spool_stat st;
	int rc = pfs_spool_stat(&n->ws->spool, &n->file.spooled->name, n->file.spooled->fd, &st,
				err);

	if (rc < 0)
		return rc;
	n->file.size = st.size;
	n->file.blocks = st.blocks;
	n->attrs.mtime_sec = st.mtime_sec;
	n->attrs.mtime_nsec = st.mtime_nsec;
	return 0;
}

static void set_mtime(struct pfs_node *n, int64_t ns)
{
	pfs_attrs_set_mtime(&n->attrs, ns);
	n->ctime_ns = pfs_clock_ns();
	if (n->file.spooled)
		pfs_spool_set_mtime(&n->ws->spool, &n->file.spooled->name, n->file.spooled->fd,
				    &n->attrs, NULL);
}

/* With the lock held and the spool file in use. */
static int resize_spooled(struct pfs_node *n, uint64_t size, struct pfs_error *err)
{
	struct pfs_spooled *s = n->file.spooled;
	int rc = pfs_fault("spool.truncate", err);

	if (rc < 0)
		return rc;
	if (ftruncate(s->fd, (off_t)size) < 0)
		return pfs_fail_errno(err, errno, "change a file's size to %llu",
				      (unsigned long long)size);
	s->unsynced = true;
	set_mtime(n, pfs_clock_ns());
	pfs_node_touch(n);
	return look_at_spooled(n, err);
}

/* Empty and clean: nothing to keep in a file. 1 when that was it. */
static int resize_to_nothing(struct pfs_node *n, struct pfs_error *err)
{
	static const struct pfs_content nothing;
	struct pfs_kept *kept;

	if (n->file.spooled)
		return 0;
	kept = pfs_kept_new(&nothing);
	if (!kept)
		return pfs_fail_nomem(err, "a content");
	pfs_kept_unref(&n->file.kept);
	n->file.kept = kept;
	n->file.version++;
	set_mtime(n, pfs_clock_ns());
	pfs_node_touch(n);
	return 1;
}

int pfs_file_resize(struct pfs_node *n, uint64_t size, struct pfs_error *err)
{
	struct pfs_workspace *ws = n->ws;
	int fd, rc = 0;

	if (n->type != PFS_ENTRY_FILE)
		return pfs_fail(err, n->type == PFS_ENTRY_DIR ? PFS_E_ISDIR : PFS_E_INVALID,
				"only files have a size to change");
	if (size > PFS_FILE_SIZE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a file of %llu bytes, at most %llu fit",
				(unsigned long long)size, (unsigned long long)PFS_FILE_SIZE_MAX);
	if (size == 0) {
		pfs_rwlock_write(&ws->lock);
		rc = resize_to_nothing(n, err);
		pfs_rwlock_unlock(&ws->lock);
	}
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = pfs_file_use_new(n, size, err);
	if (rc < 0)
		return rc;
	rc = resize_spooled(n, size, err);
	fd = pfs_spooled_unuse(n);
	pfs_rwlock_unlock(&ws->lock);
	pfs_fd_close(&fd);
	return rc;
}

static int open_to_write(struct pfs_open *o, bool truncate, struct pfs_error *err)
{
	struct pfs_node *n = o->node;
	int rc = pfs_file_use_new(n, truncate ? 0 : UINT64_MAX, err);

	if (rc < 0)
		return rc;
	if (truncate)
		rc = resize_spooled(n, 0, err);
	if (rc < 0) {
		int fd = pfs_spooled_unuse(n);

		pfs_rwlock_unlock(&n->ws->lock);
		pfs_fd_close(&fd);
		return rc;
	}
	o->attached = true;
	if (n->file.writers++ == 0)
		pfs_link_add(&n->ws->written, &n->file.written);
	n->file.opens++;
	pfs_rwlock_unlock(&n->ws->lock);
	return 0;
}

static int open_to_read(struct pfs_open *o, struct pfs_error *err)
{
	struct pfs_node *n = o->node;
	int rc = 0;

	pfs_rwlock_write(&n->ws->lock);
	if (n->file.spooled)
		rc = pfs_spooled_use(n, err);
	if (rc == 0) {
		o->attached = n->file.spooled != NULL;
		n->file.opens++;
	}
	pfs_rwlock_unlock(&n->ws->lock);
	return rc;
}

int pfs_workspace_open_file(struct pfs_workspace *ws, struct pfs_node *n, bool write, bool truncate,
			    struct pfs_open **out, struct pfs_error *err)
{
	struct pfs_open *o;
	int rc;

	if (n->type != PFS_ENTRY_FILE)
		return pfs_fail(err, n->type == PFS_ENTRY_DIR ? PFS_E_ISDIR : PFS_E_INVALID,
				"only files can be opened");
	o = calloc(1, sizeof(*o));
	if (!o)
		return pfs_fail_nomem(err, "an open file");
	o->ws = ws;
	o->node = n;
	o->write = write;
	pfs_lock_init(&o->lock, PFS_RANK_WORKSPACE_OPEN);
	rc = write ? open_to_write(o, truncate, err) : open_to_read(o, err);
	if (rc < 0) {
		pfs_lock_fini(&o->lock);
		free(o);
		return rc;
	}
	pfs_node_ref(n);
	if (write && truncate)
		pfs_feed_note(&ws->feed, n, NULL, 0);
	*out = o;
	return 0;
}

/* The bytes may be others than when it was opened: seal and settle must not think they know them. */
static void finish_writing(struct pfs_node *n)
{
	n->file.spooled->unsynced = true;
	look_at_spooled(n, NULL);
	if (pfs_attrs_mtime_ns(&n->attrs) > n->ctime_ns)
		n->ctime_ns = pfs_attrs_mtime_ns(&n->attrs);
	pfs_node_touch(n);
}

void pfs_workspace_close_file(struct pfs_open **open)
{
	struct pfs_open *o = *open;
	struct pfs_node *n;
	bool wrote;
	int fd = -1;

	*open = NULL;
	if (!o)
		return;
	n = o->node;
	wrote = o->wrote;
	pfs_rwlock_write(&o->ws->lock);
	if (wrote)
		finish_writing(n);
	if (o->write && --n->file.writers == 0)
		pfs_link_remove(&n->file.written);
	n->file.opens--;
	if (o->attached)
		fd = pfs_spooled_unuse(n);
	pfs_rwlock_unlock(&o->ws->lock);
	pfs_fd_close(&fd);
	if (wrote)
		pfs_feed_note(&o->ws->feed, n, NULL, 0);
	pfs_content_reader_close(&o->reader);
	pfs_lock_fini(&o->lock);
	pfs_node_unref(&n);
	free(o);
}

/* Become a user of a spool file that came after the open. 1 when there is one. */
static int attach(struct pfs_open *o, struct pfs_error *err)
{
	struct pfs_node *n = o->node;
	int rc = 1;

	if (o->attached)
		return 1;
	pfs_rwlock_read(&o->ws->lock);
	rc = n->file.spooled != NULL;
	pfs_rwlock_unlock(&o->ws->lock);
	if (rc == 0)
		return 0;
	pfs_rwlock_write(&o->ws->lock);
	if (!o->attached && n->file.spooled) {
		rc = pfs_spooled_use(n, err);
		if (rc == 0)
			o->attached = true;
	}
	if (rc >= 0)
		rc = o->attached;
	pfs_rwlock_unlock(&o->ws->lock);
	return rc;
}

/* While somebody is attached neither the file nor its descriptor changes: no lock is needed. */
static int attached_fd(const struct pfs_open *o)
{
	return o->node->file.spooled->fd;
}

static int read_content(struct pfs_open *o, uint64_t off, void *data, size_t len, size_t *out_len,
			struct pfs_error *err)
{
	struct pfs_content content;
	struct pfs_kept *kept;
	uint64_t version;
	int rc = 0;

	pfs_rwlock_read(&o->ws->lock);
	version = o->node->file.version;
	kept = pfs_kept_ref(o->node->file.kept);
	pfs_rwlock_unlock(&o->ws->lock);
	if (!kept)
		return PFS_E_CONFLICT; /* a writer came: it has a spool file now */
	pfs_lock(&o->lock);
	if (!o->reader || o->reader_version != version) {
		pfs_content_reader_close(&o->reader);
		pfs_kept_content(kept, &content);
		rc = pfs_content_reader_open(o->ws->store, &content, &o->reader, err);
		o->reader_version = version;
	}
	if (rc == 0)
		rc = pfs_content_read(o->reader, off, data, len, out_len, err);
	pfs_unlock(&o->lock);
	pfs_kept_unref(&kept);
	return rc;
}

int pfs_workspace_read(struct pfs_open *o, uint64_t off, void *data, size_t len, size_t *out_len,
		       struct pfs_error *err)
{
	int rc;

	if (off > PFS_FILE_SIZE_MAX) {
		*out_len = 0;
		return 0;
	}
	do {
		rc = attach(o, err);
		if (rc > 0)
			return pfs_io_pread(attached_fd(o), data, len, off, out_len, err);
		if (rc == 0)
			rc = read_content(o, off, data, len, out_len, err);
	} while (rc == PFS_E_CONFLICT);
	return rc;
}

static int check_write(struct pfs_open *o, uint64_t off, uint64_t len, struct pfs_error *err)
{
	if (!o->write)
		return pfs_fail(err, PFS_E_DENIED, "the file is open for reading only");
	if (off > PFS_FILE_SIZE_MAX || len > PFS_FILE_SIZE_MAX - off)
		return pfs_fail(err, PFS_E_LIMIT, "%llu bytes at %llu: a file has at most %llu",
				(unsigned long long)len, (unsigned long long)off,
				(unsigned long long)PFS_FILE_SIZE_MAX);
	o->wrote = true;
	return 0;
}

int pfs_workspace_write(struct pfs_open *o, uint64_t off, const void *data, size_t len,
			struct pfs_error *err)
{
	int rc = check_write(o, off, len, err);

	if (rc == 0)
		rc = pfs_io_pwrite(attached_fd(o), data, len, off, err);
	if (rc == PFS_E_NOSPACE && pfs_workspace_make_room(o->ws))
		rc = pfs_io_pwrite(attached_fd(o), data, len, off, err);
	if (rc == 0)
		pfs_feed_note(&o->ws->feed, o->node, NULL, 0);
	return rc;
}

int pfs_workspace_append(struct pfs_open *o, const void *data, size_t len, struct pfs_error *err)
{
	struct iovec piece = { (void *)(uintptr_t)data, len };
	int rc = check_write(o, 0, len, err);

	if (rc == 0)
		rc = pfs_fault("spool.append", err);
	while (rc == 0 && piece.iov_len) {
		ssize_t n = pwritev2(attached_fd(o), &piece, 1, 0, RWF_APPEND);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "append %zu bytes", len);
		piece.iov_base = (char *)piece.iov_base + n;
		piece.iov_len -= (size_t)n;
	}
	if (rc == 0)
		pfs_feed_note(&o->ws->feed, o->node, NULL, 0);
	return rc;
}

int pfs_workspace_allocate(struct pfs_open *o, int mode, uint64_t off, uint64_t len,
			   struct pfs_error *err)
{
	int rc = check_write(o, off, len, err);

	if (rc == 0)
		rc = pfs_fault("spool.allocate", err);
	if (rc < 0)
		return rc;
	do
		rc = fallocate(attached_fd(o), mode, (off_t)off, (off_t)len);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return pfs_fail_errno(err, errno, "allocate %llu bytes at %llu",
				      (unsigned long long)len, (unsigned long long)off);
	pfs_feed_note(&o->ws->feed, o->node, NULL, 0);
	return 0;
}

static int fail_past_end(uint64_t off, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "nothing to seek to at %llu or behind",
			(unsigned long long)off);
}

/* A committed file counts as data throughout; its end is a hole. */
static int seek_content(struct pfs_open *o, uint64_t off, int whence, uint64_t *out,
			struct pfs_error *err)
{
	uint64_t size = 0;
	bool clean;

	pfs_rwlock_read(&o->ws->lock);
	clean = o->node->file.kept != NULL;
	if (clean)
		size = o->node->file.kept->size;
	pfs_rwlock_unlock(&o->ws->lock);
	if (!clean)
		return PFS_E_CONFLICT;
	if (off >= size)
		return fail_past_end(off, err);
	*out = whence == SEEK_DATA ? off : size;
	return 0;
}

static int seek_spooled(struct pfs_open *o, uint64_t off, int whence, uint64_t *out,
			struct pfs_error *err)
{
	off_t at = lseek(attached_fd(o), (off_t)off, whence);

	if (at < 0 && errno == ENXIO)
		return fail_past_end(off, err);
	if (at < 0)
		return pfs_fail_errno(err, errno, "seek");
	*out = (uint64_t)at;
	return 0;
}

int pfs_workspace_seek(struct pfs_open *o, uint64_t off, int whence, uint64_t *out,
		       struct pfs_error *err)
{
	int rc;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return pfs_fail(err, PFS_E_INVALID, "only data and holes can be looked for");
	if (off > PFS_FILE_SIZE_MAX)
		return fail_past_end(off, err);
	do {
		rc = attach(o, err);
		if (rc > 0)
			return seek_spooled(o, off, whence, out, err);
		if (rc == 0)
			rc = seek_content(o, off, whence, out, err);
	} while (rc == PFS_E_CONFLICT);
	return rc;
}

int pfs_workspace_local_fd(struct pfs_open *o)
{
	if (attach(o, NULL) <= 0)
		return -1;
	if (o->write)
		o->wrote = true;
	return attached_fd(o);
}

/* What was written to a file that is still open belongs to the next flush too. */
static void join_flush(struct pfs_node *n)
{
	if (!n->file.writers || !n->place)
		return;
	look_at_spooled(n, NULL);
	n->file.spooled->unsynced = true;
	pfs_node_touch(n);
}

/* The journal has all it needs to find the bytes again: size and times are those of the spool file. */
static bool needs_bytes_only(const struct pfs_node *n)
{
	return n->file.writers && n->file.spooled->journaled && pfs_link_alone(&n->queued);
}

/*
 * Who writes and flushes over and over pays one flush each time, of the bytes;
 * the journal is written only when a name or an attribute is new.
 */
int pfs_workspace_sync_file(struct pfs_open *o, struct pfs_error *err)
{
	bool bytes_only;
	int rc = 0;

	pfs_rwlock_write(&o->ws->lock);
	bytes_only = o->attached && needs_bytes_only(o->node);
	if (!bytes_only)
		join_flush(o->node);
	pfs_rwlock_unlock(&o->ws->lock);
	if (bytes_only)
		rc = pfs_io_fsync(attached_fd(o), "a spool file", err);
	return rc < 0 ? rc : pfs_workspace_save(o->ws, err);
}

int pfs_workspace_sync(struct pfs_workspace *ws, struct pfs_error *err)
{
	pfs_rwlock_write(&ws->lock);
	for (struct pfs_link *l = ws->written.next; l != &ws->written; l = l->next)
		join_flush(PFS_OF_LINK(l, struct pfs_node, file.written));
	pfs_rwlock_unlock(&ws->lock);
	return pfs_workspace_save(ws, err);
}
