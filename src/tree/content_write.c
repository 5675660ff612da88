/*
 * Bytes into chunks and chunks into a sequence.
 *
 *	write ──▶ cutter ──▶ store
 *	             └──▶ sequence
 */
#include "tree/content.h"
#include "tree/cutter.h"
#include "tree/hints.h"
#include "tree/sequence.h"
#include "store/adoption.h"
#include "base/io.h"
#include "base/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WRITE_EARLY (16u << 20) /* bytes a disk is told of together */

struct pfs_content_writer {
	struct pfs_store *st;
	struct pfs_adoption *adoption; /* borrowed; NULL: chunks are stored */
	uint64_t early;                /* the disk was told of what lies before it */
	struct pfs_hints hints;
	struct pfs_cutter cutter;
	struct pfs_sequence seq;
};

static int tell_near(void *arg, struct pfs_piece *pieces, size_t n, struct pfs_error *err)
{
	struct pfs_content_writer *w = arg;

	(void)err;
	pfs_hints_tell(&w->hints, pieces, n);
	return 0;
}

static int take_piece(void *arg, const struct pfs_piece *p, struct pfs_error *err)
{
	struct pfs_content_writer *w = arg;
	struct pfs_store_item item = { .len = (size_t)p->bytes, .id = p->id };
	int rc = 0;

	if (!pfs_id_is_zero(&p->near))
		item.near = &p->near;
	if (w->adoption && p->kind != PFS_SEQNODE_HOLE)
		rc = pfs_adoption_note(w->adoption, p->off, &item, 1, err);
	return rc < 0 ? rc : pfs_sequence_add(&w->seq, p->kind, p->bytes, &p->id, err);
}

static const struct pfs_cutter_ops writer_ops = { .near = tell_near, .take = take_piece };

int pfs_content_writer_open(struct pfs_store *st, struct pfs_content_writer **out,
			    struct pfs_error *err)
{
	struct pfs_content_writer *w = malloc(sizeof(*w));

	if (!w)
		return pfs_fail_nomem(err, "a file's content");
	w->st = st;
	w->adoption = NULL;
	w->early = 0;
	pfs_hints_init(&w->hints, st, NULL);
	pfs_cutter_init(&w->cutter, st, &writer_ops, w);
	pfs_sequence_init(&w->seq, st);
	*out = w;
	return 0;
}

void pfs_content_writer_near(struct pfs_content_writer *w, const struct pfs_content *old)
{
	pfs_hints_init(&w->hints, w->st, old);
}

void pfs_content_writer_close(struct pfs_content_writer **w)
{
	if (!*w)
		return;
	pfs_hints_fini(&(*w)->hints);
	pfs_cutter_fini(&(*w)->cutter);
	pfs_sequence_fini(&(*w)->seq);
	free(*w);
	*w = NULL;
}

int pfs_content_write(struct pfs_content_writer *w, const void *data, size_t len,
		      struct pfs_error *err)
{
	const unsigned char *p = data;
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t n = len < PFS_CUTTER_STEP ? len : PFS_CUTTER_STEP;
		unsigned char *room;

		rc = pfs_cutter_room(&w->cutter, n, &room, err);
		if (rc < 0)
			return rc;
		memcpy(room, p, n);
		rc = pfs_cutter_filled(&w->cutter, n, err);
		p += n;
		len -= n;
	}
	return rc;
}

int pfs_content_write_hole(struct pfs_content_writer *w, uint64_t len, struct pfs_error *err)
{
	return pfs_cutter_hole(&w->cutter, len, err);
}

int pfs_content_finish(struct pfs_content_writer *w, struct pfs_content *out, struct pfs_error *err)
{
	struct pfs_content c = { .size = w->cutter.size };
	const struct pfs_seqnode_entry *only;
	int rc = pfs_cutter_end(&w->cutter, err);

	if (rc < 0)
		return rc;
	if (c.size <= PFS_INLINE_SIZE_MAX) {
		if (c.size)
			memcpy(c.bytes, w->cutter.buf + w->cutter.head, c.size);
		*out = c;
		return 0;
	}
	rc = pfs_cutter_flush(&w->cutter, err);
	if (rc < 0)
		return rc;
	only = pfs_sequence_only(&w->seq);
	c.form = only ? PFS_CONTENT_CHUNK : PFS_CONTENT_SEQ;
	if (only)
		c.id = only->id;
	else
		rc = pfs_sequence_finish(&w->seq, &c.id, err);
	if (rc == 0)
		*out = c;
	return rc;
}

int pfs_content_from_bytes(struct pfs_store *st, const void *data, size_t len,
			   struct pfs_content *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	struct pfs_content c = { .size = len };
	int rc;

	if (len <= PFS_INLINE_SIZE_MAX) {
		if (len)
			memcpy(c.bytes, data, len);
		*out = c;
		return 0;
	}
	if (len < PFS_CHUNK_SINGLE) { /* too short for a cut or a hole */
		c.form = PFS_CONTENT_CHUNK;
		rc = pfs_store_put(st, PFS_KIND_CHUNK, data, len, &c.id, err);
		if (rc == 0)
			*out = c;
		return rc;
	}
	rc = pfs_content_writer_open(st, &w, err);
	if (rc == 0)
		rc = pfs_content_write(w, data, len, err);
	return rc < 0 ? rc : pfs_content_finish(w, out, err);
}

/* --- local files -------------------------------------------------------- */

/* Where data begins at or after `off`, and where it ends. */
static int next_data(int fd, uint64_t off, uint64_t size, uint64_t *start, uint64_t *end,
		     struct pfs_error *err)
{
	struct stat sb;

	pfs_io_next_data(fd, off, size, start, end);
	if (*start < size)
		return 0;
	/* Nothing but a hole up to the end, wherever that is. */
	if (fstat(fd, &sb) < 0)
		return pfs_fail_errno(err, errno, "size of a file");
	if ((uint64_t)sb.st_size < size)
		*start = *end = (uint64_t)sb.st_size < off ? off : (uint64_t)sb.st_size;
	return 0;
}

/*
 * Have the kernel begin to write out what is about to be read: whoever syncs
 * the file when it was read does not wait for all of it. Not for more at once,
 * for this waits where a disk is behind.
 */
static void write_early(struct pfs_content_writer *w, int fd, uint64_t off)
{
	if (!w->adoption || off < w->early)
		return;
	sync_file_range(fd, (off_t)off, WRITE_EARLY, SYNC_FILE_RANGE_WRITE);
	w->early = off + WRITE_EARLY;
}

/* Returns 1 when the file ended early. */
static int read_data(struct pfs_content_writer *w, int fd, uint64_t off, uint64_t end,
		     struct pfs_error *err)
{
	while (off < end) {
		size_t want = end - off < PFS_CUTTER_STEP ? (size_t)(end - off) : PFS_CUTTER_STEP;
		unsigned char *room;
		size_t got;
		int rc = pfs_cutter_room(&w->cutter, want, &room, err);

		write_early(w, fd, off);
		if (rc == 0)
			rc = pfs_stop_check(err);
		if (rc == 0)
			rc = pfs_io_pread(fd, room, want, off, &got, err);
		if (rc == 0)
			rc = pfs_cutter_filled(&w->cutter, got, err);
		if (rc < 0 || got < want)
			return rc < 0 ? rc : 1;
		off += got;
	}
	return 0;
}

static int write_fd(struct pfs_content_writer *w, int fd, uint64_t size, struct pfs_content *out,
		    struct pfs_error *err)
{
	uint64_t off = 0;
	int rc = 0;

	while (rc == 0 && off < size) {
		uint64_t start = off, end = off;

		rc = next_data(fd, off, size, &start, &end, err);
		if (rc == 0)
			rc = pfs_content_write_hole(w, start - off, err);
		if (rc < 0 || start == end)
			break;
		rc = read_data(w, fd, start, end, err);
		off = end;
	}
	return rc < 0 ? rc : pfs_content_finish(w, out, err);
}

int pfs_content_from_fd(struct pfs_store *st, int fd, uint64_t size, const struct pfs_content *old,
			struct pfs_content *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	int rc = pfs_content_writer_open(st, &w, err);

	if (rc < 0)
		return rc;
	pfs_content_writer_near(w, old);
	return write_fd(w, fd, size, out, err);
}

int pfs_content_survey_fd(struct pfs_store *st, int fd, uint64_t size,
			  const struct pfs_content *old, struct pfs_adoption *a,
			  struct pfs_content *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	int rc = pfs_content_writer_open(st, &w, err);

	if (rc < 0)
		return rc;
	pfs_content_writer_near(w, old);
	w->adoption = a;
	w->cutter.names_only = true;
	return write_fd(w, fd, size, out, err);
}

int pfs_content_refill_fd(struct pfs_store *st, int fd, uint64_t size,
			  const struct pfs_idset *wanted, uint64_t *out_put, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	struct pfs_refill refill = { .wanted = wanted };
	struct pfs_content content;
	int rc = pfs_content_writer_open(st, &w, err);

	if (rc < 0)
		return rc;
	w->cutter.names_only = true;
	w->cutter.refill = w->seq.refill = &refill;
	rc = write_fd(w, fd, size, &content, err);
	if (rc == 0)
		*out_put = refill.put;
	return rc;
}
