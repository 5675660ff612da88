/* Open files: reading, writing, and making what was written durable. */
#include "workspace/open_i.h"
#include "base/fault.h"
#include "base/io.h"
#include "tree/content.h"
#include "workspace/file.h"
#include "workspace/save.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- the spool file ------------------------------------------------------ */

/* Use another spool file, of which we are a user already, or none. Returns a descriptor to close. */
static int turn_to(struct pfs_open *o, struct pfs_spooled *s)
{
	struct pfs_spooled *was;

	pfs_lock(&o->lock);
	was = o->spooled;
	o->spooled = s;
	pfs_unlock(&o->lock);
	return was ? pfs_spooled_unuse(o->node, was) : -1;
}

static struct pfs_spooled *hold_current(struct pfs_open *o)
{
	struct pfs_spooled *s;

	pfs_lock(&o->lock);
	s = o->spooled;
	if (s && atomic_load(&s->replaced))
		s = NULL;
	if (s)
		pfs_spooled_ref(s);
	pfs_unlock(&o->lock);
	return s;
}

/* Use what the node has now. */
static int catch_up(struct pfs_open *o, struct pfs_spooled **out, struct pfs_error *err)
{
	struct pfs_node *n = o->node;
	struct pfs_spooled *s = NULL;
	int fd = -1, rc = 0;

	pfs_rwlock_write(&o->ws->lock);
	if (n->file.spooled != o->spooled) {
		if (n->file.spooled)
			rc = pfs_spooled_use(n, &s, err);
		if (rc == 0)
			fd = turn_to(o, s);
	}
	if (rc == 0 && o->spooled)
		*out = pfs_spooled_ref(o->spooled);
	pfs_rwlock_unlock(&o->ws->lock);
	pfs_fd_close(&fd);
	return rc;
}

int pfs_open_hold(struct pfs_open *o, struct pfs_spooled **out, struct pfs_error *err)
{
	bool none;

	*out = hold_current(o);
	if (*out)
		return 0;
	pfs_rwlock_read(&o->ws->lock);
	none = !o->node->file.spooled && !o->spooled;
	pfs_rwlock_unlock(&o->ws->lock);
	return none ? 0 : catch_up(o, out, err);
}

/* The same to write into: made when there is none. */
static int hold_to_write(struct pfs_open *o, struct pfs_spooled **out, struct pfs_error *err)
{
	struct pfs_spooled *s;
	int fd, rc = pfs_open_hold(o, out, err);

	if (rc < 0 || *out)
		return rc;
	rc = pfs_file_use(o->node, UINT64_MAX, &s, err);
	if (rc < 0)
		return rc;
	*out = pfs_spooled_ref(s);
	fd = turn_to(o, s);
	pfs_rwlock_unlock(&o->ws->lock);
	pfs_fd_close(&fd);
	return 0;
}

/* --- opening ------------------------------------------------------------- */

static void count_open(struct pfs_open *o)
{
	struct pfs_node *n = o->node;

	n->file.opens++;
	if (o->write && n->file.writers++ == 0)
		pfs_link_add(&n->ws->written, &n->file.written);
}

static int open_to_change(struct pfs_open *o, bool truncate, struct pfs_error *err)
{
	struct pfs_node *n = o->node;
	int fd = -1, rc = pfs_file_use(n, truncate ? 0 : UINT64_MAX, &o->spooled, err);

	if (rc < 0)
		return rc;
	if (truncate)
		rc = pfs_file_truncate_spooled(n, 0, err);
	if (rc == 0)
		count_open(o);
	else
		fd = turn_to(o, NULL);
	pfs_rwlock_unlock(&n->ws->lock);
	pfs_fd_close(&fd);
	return rc;
}

/* 1 when the file has to be made changeable first. */
static int open_as_it_is(struct pfs_open *o, bool truncate, struct pfs_error *err)
{
	struct pfs_node *n = o->node;
	int rc = 0;

	pfs_rwlock_write(&n->ws->lock);
	if (o->write && (truncate || !pfs_file_is_patchable(n)))
		rc = 1;
	if (rc == 0 && n->file.spooled)
		rc = pfs_spooled_use(n, &o->spooled, err);
	if (rc == 0)
		count_open(o);
	pfs_rwlock_unlock(&n->ws->lock);
	return rc;
}

static void free_open(struct pfs_open *o)
{
	pfs_content_reader_close(&o->reader);
	pfs_lock_fini(&o->lock);
	pfs_lock_fini(&o->reader_lock);
	free(o);
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
	pfs_lock_init(&o->reader_lock, PFS_RANK_WORKSPACE_READER);
	rc = open_as_it_is(o, truncate, err);
	if (rc == 1)
		rc = open_to_change(o, truncate, err);
	if (rc < 0) {
		free_open(o);
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
	if (n->file.state == PFS_FILE_CLEAN)
		return; /* committed since, and nothing was written after that */
	n->file.spooled->unsynced = true;
	pfs_spooled_look(n, NULL);
	if (pfs_attrs_mtime_ns(&n->attrs) > n->ctime_ns)
		n->ctime_ns = pfs_attrs_mtime_ns(&n->attrs);
	if (n->file.state == PFS_FILE_NEW)
		pfs_node_touch(n);
	else
		pfs_node_queue(n);
}

void pfs_workspace_close_file(struct pfs_open **open)
{
	struct pfs_open *o = *open;
	struct pfs_node *n;
	bool wrote;
	int fd;

	*open = NULL;
	if (!o)
		return;
	n = o->node;
	wrote = o->wrote;
	pfs_rwlock_write(&o->ws->lock);
	if (wrote)
		finish_writing(n);
	if (o->past)
		atomic_fetch_sub(&n->file.past, 1);
	if (o->write && --n->file.writers == 0)
		pfs_link_remove(&n->file.written);
	n->file.opens--;
	fd = turn_to(o, NULL);
	pfs_rwlock_unlock(&o->ws->lock);
	pfs_fd_close(&fd);
	if (wrote)
		pfs_feed_note(&o->ws->feed, n, NULL, 0);
	pfs_node_unref(&n);
	free_open(o);
}

/* --- reading ------------------------------------------------------------- */

/* The reader is one of this content, which is this version. */
static int turn_reader(struct pfs_open *o, const struct pfs_kept *kept, uint64_t version,
		       struct pfs_error *err)
{
	struct pfs_content content;

	assert(pfs_held(&o->reader_lock));
	if (o->reader && o->reader_version == version)
		return 0;
	pfs_content_reader_close(&o->reader);
	pfs_kept_content(kept, &content);
	o->reader_version = version;
	return pfs_content_reader_open(o->ws->store, &content, &o->reader, err);
}

static int read_kept(struct pfs_open *o, const struct pfs_kept *kept, uint64_t version,
		     uint64_t off, void *data, size_t len, size_t *out_len, struct pfs_error *err)
{
	int rc;

	pfs_lock(&o->reader_lock);
	rc = turn_reader(o, kept, version, err);
	if (rc == 0)
		rc = pfs_content_read(o->reader, off, data, len, out_len, err);
	pfs_unlock(&o->reader_lock);
	return rc;
}

struct pfs_kept *pfs_open_kept(struct pfs_open *o, uint64_t *out_version)
{
	struct pfs_kept *kept;

	pfs_rwlock_read(&o->ws->lock);
	*out_version = o->node->file.version;
	kept = pfs_kept_ref(o->node->file.kept);
	pfs_rwlock_unlock(&o->ws->lock);
	return kept;
}

static int read_content(struct pfs_open *o, uint64_t off, void *data, size_t len, size_t *out_len,
			struct pfs_error *err)
{
	uint64_t version;
	struct pfs_kept *kept = pfs_open_kept(o, &version);
	int rc;

	if (!kept)
		return PFS_E_CONFLICT;
	rc = read_kept(o, kept, version, off, data, len, out_len, err);
	pfs_kept_unref(&kept);
	return rc;
}

/* `len` bytes of one piece, which has them. */
static int read_piece(struct pfs_open *o, struct pfs_spooled *s, struct pfs_patched_piece *piece,
		      uint64_t off, unsigned char *data, size_t len, struct pfs_error *err)
{
	size_t got = len;
	int rc = 0;

	if (piece->from == PFS_PATCHED_ZEROS)
		memset(data, 0, len);
	else if (piece->from == PFS_PATCHED_SPOOL)
		rc = pfs_io_pread(s->fd, data, len, off, &got, err);
	else
		rc = read_kept(o, piece->base, piece->version, off, data, len, &got, err);
	if (rc == 0 && got != len)
		rc = pfs_fail(err, PFS_E_CORRUPT, "bytes of a patched file at %llu are missing",
			      (unsigned long long)(off + got));
	return rc;
}

static int read_patched(struct pfs_open *o, struct pfs_spooled *s, uint64_t off, void *data,
			size_t len, size_t *out_len, struct pfs_error *err)
{
	struct pfs_patched_piece piece;
	size_t done = 0;

	while (done < len && pfs_patched_look(s->patch, off + done, &piece)) {
		uint64_t left = piece.end - (off + done);
		size_t n = left < len - done ? (size_t)left : len - done;
		int rc = read_piece(o, s, &piece, off + done, (unsigned char *)data + done, n, err);

		pfs_kept_unref(&piece.base);
		if (rc < 0)
			return rc;
		done += n;
	}
	*out_len = done;
	return 0;
}

int pfs_workspace_read(struct pfs_open *o, uint64_t off, void *data, size_t len, size_t *out_len,
		       struct pfs_error *err)
{
	struct pfs_spooled *s;
	int rc;

	if (off > PFS_FILE_SIZE_MAX) {
		*out_len = 0;
		return 0;
	}
	do {
		rc = pfs_open_hold(o, &s, err);
		if (rc < 0)
			return rc;
		if (!s)
			rc = read_content(o, off, data, len, out_len, err);
		else if (s->patch)
			rc = read_patched(o, s, off, data, len, out_len, err);
		else
			rc = pfs_io_pread(s->fd, data, len, off, out_len, err);
		pfs_spooled_unref(&s);
	} while (rc == PFS_E_CONFLICT);
	return rc;
}

/* --- writing ------------------------------------------------------------- */

/* One change of a file's bytes: what to do to a whole spool file, and what to a patched one. */
struct change {
	int (*whole)(const struct change *c, int fd, struct pfs_error *err);
	int (*patched)(const struct change *c, struct pfs_spooled *s, bool *out_news,
		       struct pfs_error *err);
	const void *data;
	uint64_t off, len;
	int mode;
	bool repeatable; /* may be done again after a part of it was */
};

/* The journal hears of it, and a map that has grown too large is made smaller. */
static void follow_up(struct pfs_open *o, struct pfs_spooled *s, bool news)
{
	if (news) {
		pfs_rwlock_write(&o->ws->lock);
		pfs_file_tell_changed(o->node, s);
		pfs_rwlock_unlock(&o->ws->lock);
	}
	/* When that fails, as it may on a full disk, the next one tries again. */
	if (pfs_patched_is_crowded(s->patch))
		pfs_patched_thin(s->patch, o->ws->store, s->fd, NULL);
}

static int change_held(struct pfs_open *o, const struct change *c, struct pfs_error *err)
{
	struct pfs_spooled *s;
	bool news = false;
	int rc = hold_to_write(o, &s, err);

	if (rc < 0)
		return rc;
	if (!s->patch)
		rc = c->whole(c, s->fd, err);
	else
		rc = c->patched(c, s, &news, err);
	if (rc == 0 && s->patch)
		follow_up(o, s, news);
	pfs_spooled_unref(&s);
	return rc;
}

static int change_once(struct pfs_open *o, const struct change *c, struct pfs_error *err)
{
	int rc;

	atomic_fetch_add(&o->changes, 1);
	rc = change_held(o, c, err);
	atomic_fetch_sub(&o->changes, 1);
	return rc;
}

static int change_file(struct pfs_open *o, const struct change *c, struct pfs_error *err)
{
	bool made_room = false;
	int rc;

	if (!o->write)
		return pfs_fail(err, PFS_E_DENIED, "the file is open for reading only");
	if (c->off > PFS_FILE_SIZE_MAX || c->len > PFS_FILE_SIZE_MAX - c->off)
		return pfs_fail(err, PFS_E_LIMIT, "%llu bytes at %llu: a file has at most %llu",
				(unsigned long long)c->len, (unsigned long long)c->off,
				(unsigned long long)PFS_FILE_SIZE_MAX);
	o->wrote = true;
	do {
		rc = change_once(o, c, err);
		if (rc == PFS_E_NOSPACE && c->repeatable && !made_room &&
		    pfs_workspace_make_room(o->ws)) {
			made_room = true;
			rc = PFS_E_CONFLICT;
		}
	} while (rc == PFS_E_CONFLICT);
	if (rc == 0)
		pfs_feed_note(&o->ws->feed, o->node, NULL, 0);
	return rc;
}

static int write_whole(const struct change *c, int fd, struct pfs_error *err)
{
	return pfs_io_pwrite(fd, c->data, (size_t)c->len, c->off, err);
}

static int write_patched(const struct change *c, struct pfs_spooled *s, bool *out_news,
			 struct pfs_error *err)
{
	return pfs_patched_write(s->patch, s->fd, c->off, c->data, (size_t)c->len, out_news, err);
}

int pfs_workspace_write(struct pfs_open *o, uint64_t off, const void *data, size_t len,
			struct pfs_error *err)
{
	const struct change c = { write_whole, write_patched, data, off, len, 0, true };

	return change_file(o, &c, err);
}

static int append_whole(const struct change *c, int fd, struct pfs_error *err)
{
	struct iovec piece = { (void *)(uintptr_t)c->data, (size_t)c->len };
	int rc = pfs_fault("spool.append", err);

	while (rc == 0 && piece.iov_len) {
		ssize_t n = pwritev2(fd, &piece, 1, 0, RWF_APPEND);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "append %zu bytes", (size_t)c->len);
		piece.iov_base = (char *)piece.iov_base + n;
		piece.iov_len -= (size_t)n;
	}
	return rc;
}

static int append_patched(const struct change *c, struct pfs_spooled *s, bool *out_news,
			  struct pfs_error *err)
{
	return pfs_patched_append(s->patch, s->fd, c->data, (size_t)c->len, out_news, err);
}

int pfs_workspace_append(struct pfs_open *o, const void *data, size_t len, struct pfs_error *err)
{
	const struct change c = { append_whole, append_patched, data, 0, len, 0, false };

	return change_file(o, &c, err);
}

static int allocate_whole(const struct change *c, int fd, struct pfs_error *err)
{
	int rc = pfs_fault("spool.allocate", err);

	if (rc < 0)
		return rc;
	do
		rc = fallocate(fd, c->mode, (off_t)c->off, (off_t)c->len);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return pfs_fail_errno(err, errno, "allocate %llu bytes at %llu",
				      (unsigned long long)c->len, (unsigned long long)c->off);
	return 0;
}

/* Room is not set aside: it would have to be for what is committed too. */
static int allocate_patched(const struct change *c, struct pfs_spooled *s, bool *out_news,
			    struct pfs_error *err)
{
	bool keep_size = c->mode & FALLOC_FL_KEEP_SIZE;

	switch (c->mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		return keep_size ? 0 : pfs_patched_grow(s->patch, c->off + c->len, out_news, err);
	case FALLOC_FL_PUNCH_HOLE:
	case FALLOC_FL_ZERO_RANGE:
		return pfs_patched_zero(s->patch, s->fd, c->off, c->len, !keep_size, out_news, err);
	default:
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"a committed file cannot be allocated in mode %x",
				(unsigned)c->mode);
	}
}

int pfs_workspace_allocate(struct pfs_open *o, int mode, uint64_t off, uint64_t len,
			   struct pfs_error *err)
{
	const struct change c = { allocate_whole, allocate_patched, NULL, off, len, mode, false };

	return change_file(o, &c, err);
}

/* --- holes --------------------------------------------------------------- */

static int fail_past_end(uint64_t off, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "nothing to seek to at %llu or behind",
			(unsigned long long)off);
}

/* The same within a content; its size when there is none. */
static int seek_kept(struct pfs_open *o, const struct pfs_kept *kept, uint64_t version,
		     uint64_t off, int whence, uint64_t *out, struct pfs_error *err)
{
	int rc;

	pfs_lock(&o->reader_lock);
	rc = turn_reader(o, kept, version, err);
	if (rc == 0)
		rc = pfs_content_map(o->reader, off, whence == SEEK_HOLE, out, err);
	pfs_unlock(&o->reader_lock);
	return rc;
}

/* The end of a file is a hole. */
static int seek_content(struct pfs_open *o, uint64_t off, int whence, uint64_t *out,
			struct pfs_error *err)
{
	uint64_t version, found = 0;
	struct pfs_kept *kept = pfs_open_kept(o, &version);
	uint64_t size = kept ? kept->size : 0;
	int rc;

	if (!kept)
		return PFS_E_CONFLICT;
	rc = off < size ? seek_kept(o, kept, version, off, whence, &found, err) : 0;
	pfs_kept_unref(&kept);
	if (rc < 0)
		return rc;
	if (off >= size || (whence == SEEK_DATA && found == size))
		return fail_past_end(off, err);
	*out = found;
	return 0;
}

static int seek_whole(int fd, uint64_t off, int whence, uint64_t *out, struct pfs_error *err)
{
	off_t at = lseek(fd, (off_t)off, whence);

	if (at < 0 && errno == ENXIO)
		return fail_past_end(off, err);
	if (at < 0)
		return pfs_fail_errno(err, errno, "seek");
	*out = (uint64_t)at;
	return 0;
}

/* The first in one piece: 1, or 0 when it has none. */
static int seek_piece(struct pfs_open *o, struct pfs_spooled *s, struct pfs_patched_piece *piece,
		      uint64_t off, int whence, uint64_t *out, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	uint64_t found = off;
	int rc = 0;

	if (piece->from == PFS_PATCHED_ZEROS)
		found = whence == SEEK_HOLE ? off : piece->end;
	else if (piece->from == PFS_PATCHED_CONTENT)
		rc = seek_kept(o, piece->base, piece->version, off, whence, &found, &why);
	else
		rc = seek_whole(s->fd, off, whence, &found, &why);
	/* No data up to the end of the spool file: none in this piece. */
	if (rc == PFS_E_NOTFOUND && piece->from == PFS_PATCHED_SPOOL)
		return 0;
	if (rc < 0) {
		if (err)
			*err = why;
		return rc;
	}
	*out = found;
	return found < piece->end;
}

static int seek_patched(struct pfs_open *o, struct pfs_spooled *s, uint64_t off, int whence,
			uint64_t *out, struct pfs_error *err)
{
	struct pfs_patched_piece piece;
	uint64_t at = off, found;
	int rc = 0;

	while (rc == 0 && pfs_patched_look(s->patch, at, &piece)) {
		rc = seek_piece(o, s, &piece, at, whence, &found, err);
		pfs_kept_unref(&piece.base);
		at = piece.end;
	}
	if (rc < 0)
		return rc;
	if (rc == 0 && (whence == SEEK_DATA || at == off))
		return fail_past_end(off, err);
	*out = rc == 1 ? found : at;
	return 0;
}

int pfs_workspace_seek(struct pfs_open *o, uint64_t off, int whence, uint64_t *out,
		       struct pfs_error *err)
{
	struct pfs_spooled *s;
	int rc;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return pfs_fail(err, PFS_E_INVALID, "only data and holes can be looked for");
	if (off > PFS_FILE_SIZE_MAX)
		return fail_past_end(off, err);
	do {
		rc = pfs_open_hold(o, &s, err);
		if (rc < 0)
			return rc;
		if (!s)
			rc = seek_content(o, off, whence, out, err);
		else if (s->patch)
			rc = seek_patched(o, s, off, whence, out, err);
		else
			rc = seek_whole(s->fd, off, whence, out, err);
		pfs_spooled_unref(&s);
	} while (rc == PFS_E_CONFLICT);
	return rc;
}

/* --- making it durable --------------------------------------------------- */

/* What was written to a file that is still open belongs to the next flush too. */
static void join_flush(struct pfs_node *n)
{
	if (!n->file.writers || !n->place || n->file.state == PFS_FILE_CLEAN)
		return;
	pfs_spooled_look(n, NULL);
	n->file.spooled->unsynced = true;
	if (n->file.state == PFS_FILE_NEW)
		pfs_node_touch(n);
	else
		pfs_node_queue(n);
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
	struct pfs_node *n = o->node;
	struct pfs_spooled *s;
	bool bytes_only;
	int rc = pfs_open_hold(o, &s, err);

	if (rc < 0)
		return rc;
	pfs_rwlock_write(&o->ws->lock);
	bytes_only = s && s == n->file.spooled && needs_bytes_only(n);
	if (!bytes_only)
		join_flush(n);
	pfs_rwlock_unlock(&o->ws->lock);
	if (bytes_only)
		rc = pfs_io_fsync(s->fd, "a spool file", err);
	pfs_spooled_unref(&s);
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
