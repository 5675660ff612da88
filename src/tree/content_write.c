/*
 * Bytes into chunks and chunks into a sequence.
 *
 *	write ──▶ zeros held back ──▶ buffer ──▶ chunker ──▶ pieces ──▶ store
 *	                                                        └──▶ sequence
 *
 *	buffer   | pieces, cut but not put | not yet cut | free ... |
 *	         head                      cut           len        cap
 *
 * Zeros wait as a number until it is known whether they are a hole. A segment
 * is what lies between holes.
 */
#include "tree/chunker.h"
#include "tree/content.h"
#include "tree/sequence.h"
#include "base/io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_SIZE    (1u << 20) /* taken in at once */
#define PIECES_MAX   64u        /* put together: enough for a hasher of many lanes */
#define PIECES_BYTES (2u << 20)
#define PROBE_STRIDE 4096u /* a hole is longer, so it holds a probe */

struct piece {
	enum pfs_seqnode_kind kind;
	uint64_t len;
};

struct pfs_content_writer {
	struct pfs_store *st;
	const struct pfs_content *old; /* borrowed; what the file held before, or NULL */
	uint64_t size;                 /* taken in, zeros and holes too */
	uint64_t zeros;                /* held back */
	unsigned char *buf;
	size_t head, cut, len, cap;
	size_t segment; /* bytes of this segment in the buffer, while the chunker saw none */
	bool chunking;  /* the chunker has this segment */
	struct pfs_gear gear;
	struct pfs_chunker chunker;
	struct piece pieces[PIECES_MAX];
	size_t n_pieces;
	struct pfs_sequence seq;
};

int pfs_content_writer_open(struct pfs_store *st, struct pfs_content_writer **out,
			    struct pfs_error *err)
{
	struct pfs_content_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return pfs_fail_nomem(err, "a file's content");
	w->st = st;
	pfs_sequence_init(&w->seq, st);
	*out = w;
	return 0;
}

void pfs_content_writer_near(struct pfs_content_writer *w, const struct pfs_content *old)
{
	w->old = old;
}

void pfs_content_writer_close(struct pfs_content_writer **w)
{
	if (!*w)
		return;
	pfs_chunker_fini(&(*w)->chunker);
	pfs_sequence_fini(&(*w)->seq);
	free((*w)->buf);
	free(*w);
	*w = NULL;
}

/* --- pieces ------------------------------------------------------------- */

static int put_pieces(struct pfs_content_writer *w, struct pfs_error *err)
{
	struct pfs_store_item items[PIECES_MAX];
	size_t n = 0, at = w->head;
	int rc;

	for (size_t i = 0; i < w->n_pieces; i++) {
		if (w->pieces[i].kind == PFS_SEQNODE_HOLE)
			continue;
		items[n].data = w->buf + at;
		items[n++].len = (size_t)w->pieces[i].len;
		at += (size_t)w->pieces[i].len;
	}
	rc = n ? pfs_store_put_batch(w->st, PFS_KIND_CHUNK, items, n, err) : 0;
	n = 0;
	for (size_t i = 0; rc == 0 && i < w->n_pieces; i++) {
		const struct piece *p = &w->pieces[i];
		const struct pfs_id *id = p->kind == PFS_SEQNODE_HOLE ? NULL : &items[n++].id;

		rc = pfs_sequence_add(&w->seq, p->kind, p->len, id, err);
	}
	if (rc < 0)
		return rc;
	w->head = at;
	w->n_pieces = 0;
	return 0;
}

static int add_piece(struct pfs_content_writer *w, enum pfs_seqnode_kind kind, uint64_t len,
		     struct pfs_error *err)
{
	w->pieces[w->n_pieces++] = (struct piece){ kind, len };
	if (kind != PFS_SEQNODE_HOLE)
		w->cut += (size_t)len;
	if (w->n_pieces == PIECES_MAX || w->cut - w->head >= PIECES_BYTES)
		return put_pieces(w, err);
	return 0;
}

static int take_cuts(struct pfs_content_writer *w, struct pfs_error *err)
{
	struct pfs_cut cut;
	int rc = 0;

	while (rc == 0 && pfs_chunker_next(&w->chunker, &cut))
		rc = add_piece(w, cut.forced ? PFS_SEQNODE_DATA_FORCED : PFS_SEQNODE_DATA, cut.len,
			       err);
	return rc;
}

static int start_chunking(struct pfs_content_writer *w, struct pfs_error *err)
{
	int rc = 0;

	w->chunking = true;
	if (w->chunker.gear)
		return 0;
	rc = pfs_gear_init(&w->gear, pfs_store_keys(w->st)->gear_key, err);
	return rc < 0 ? rc : pfs_chunker_init(&w->chunker, &w->gear, err);
}

/* `n` bytes at buf + len belong to the segment. A short segment is one chunk and needs no chunker. */
static int add_data(struct pfs_content_writer *w, size_t n, struct pfs_error *err)
{
	int rc = 0;

	w->len += n;
	w->segment += n;
	if (!w->chunking && w->segment < PFS_CHUNK_SINGLE)
		return 0;
	if (!w->chunking)
		rc = start_chunking(w, err);
	if (rc == 0)
		rc = pfs_chunker_feed(&w->chunker, w->buf + w->len - w->segment, w->segment, err);
	w->segment = 0;
	return rc < 0 ? rc : take_cuts(w, err);
}

static int end_segment(struct pfs_content_writer *w, struct pfs_error *err)
{
	size_t rest = w->segment;

	w->segment = 0;
	if (!w->chunking)
		return rest ? add_piece(w, PFS_SEQNODE_DATA, rest, err) : 0;
	w->chunking = false;
	pfs_chunker_end(&w->chunker);
	return take_cuts(w, err);
}

/* --- zeros -------------------------------------------------------------- */

static size_t zeros_ahead(const unsigned char *p, size_t n)
{
	size_t i = 0;
	uint64_t word;

	for (; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		if (word)
			break;
	}
	while (i < n && p[i] == 0)
		i++;
	return i;
}

static size_t zeros_behind(const unsigned char *p, size_t n)
{
	size_t i = n;
	uint64_t word;

	for (; i >= sizeof(word); i -= sizeof(word)) {
		memcpy(&word, p + i - sizeof(word), sizeof(word));
		if (word)
			break;
	}
	while (i > 0 && p[i - 1] == 0)
		i--;
	return n - i;
}

/*
 * The first run of zeros that may be a hole: long enough, or up to the end.
 * *out_start is n when there is none.
 */
static void find_zeros(const unsigned char *p, size_t n, size_t *out_start, size_t *out_len)
{
	size_t tail = zeros_behind(p, n), end = n - tail;

	for (size_t i = 0; i + sizeof(uint64_t) <= end;) {
		size_t before, after;
		uint64_t word;

		memcpy(&word, p + i, sizeof(word));
		if (word) {
			i += PROBE_STRIDE;
			continue;
		}
		before = zeros_behind(p, i);
		after = zeros_ahead(p + i, end - i);
		if (before + after >= PFS_HOLE_SIZE_MIN) {
			*out_start = i - before;
			*out_len = before + after;
			return;
		}
		i += after + PROBE_STRIDE - (i + after) % PROBE_STRIDE;
	}
	*out_start = end;
	*out_len = tail;
}

/* Make sure of `want` free bytes behind buf + len. */
static int make_room(struct pfs_content_writer *w, size_t want, struct pfs_error *err)
{
	unsigned char *p;
	size_t cap;

	if (w->cap - w->len >= want)
		return 0;
	if (w->head > 0) {
		memmove(w->buf, w->buf + w->head, w->len - w->head);
		w->len -= w->head;
		w->cut -= w->head;
		w->head = 0;
	}
	if (w->cap - w->len >= want)
		return 0;
	cap = w->len + want + (w->cap ? STEP_SIZE : 0);
	p = realloc(w->buf, cap);
	if (!p)
		return pfs_fail_nomem(err, "a file's content");
	w->buf = p;
	w->cap = cap;
	return 0;
}

/* The zeros held back are over: a hole, or data after all. Room for less than a hole is there. */
static int settle_zeros(struct pfs_content_writer *w, struct pfs_error *err)
{
	uint64_t zeros = w->zeros;
	int rc;

	w->zeros = 0;
	if (zeros >= PFS_HOLE_SIZE_MIN) {
		rc = end_segment(w, err);
		return rc < 0 ? rc : add_piece(w, PFS_SEQNODE_HOLE, zeros, err);
	}
	memset(w->buf + w->len, 0, (size_t)zeros);
	return add_data(w, (size_t)zeros, err);
}

/*
 * `n` bytes came in at buf + len, followed by free room for zeros that are
 * less than a hole.
 */
static int take_in(struct pfs_content_writer *w, size_t n, struct pfs_error *err)
{
	unsigned char *p = w->buf + w->len;
	int rc = 0;

	w->size += n;
	while (rc == 0 && n > 0) {
		size_t start, len;

		if (w->zeros > 0) {
			size_t more = zeros_ahead(p, n), held;

			w->zeros += more;
			n -= more;
			if (n == 0)
				return 0;
			held = w->zeros < PFS_HOLE_SIZE_MIN ? (size_t)w->zeros : 0;
			memmove(w->buf + w->len + held, p + more, n);
			rc = settle_zeros(w, err);
			p = w->buf + w->len;
			if (rc < 0)
				return rc;
		}
		find_zeros(p, n, &start, &len);
		rc = start ? add_data(w, start, err) : 0;
		w->zeros = len;
		p += start + len;
		n -= start + len;
	}
	return rc;
}

static int check_size(const struct pfs_content_writer *w, uint64_t more, struct pfs_error *err)
{
	if (more <= PFS_FILE_SIZE_MAX - w->size)
		return 0;
	return pfs_fail(err, PFS_E_LIMIT,
			"file of %" PRIu64 " and %" PRIu64 " more bytes, limit %llu", w->size, more,
			PFS_FILE_SIZE_MAX);
}

/* --- the door ----------------------------------------------------------- */

int pfs_content_write(struct pfs_content_writer *w, const void *data, size_t len,
		      struct pfs_error *err)
{
	const unsigned char *p = data;
	int rc = check_size(w, len, err);

	while (rc == 0 && len > 0) {
		size_t n = len < STEP_SIZE ? len : STEP_SIZE;

		rc = make_room(w, n + PFS_HOLE_SIZE_MIN, err);
		if (rc < 0)
			return rc;
		memcpy(w->buf + w->len, p, n);
		rc = take_in(w, n, err);
		p += n;
		len -= n;
	}
	return rc;
}

int pfs_content_write_hole(struct pfs_content_writer *w, uint64_t len, struct pfs_error *err)
{
	int rc = check_size(w, len, err);

	if (rc < 0)
		return rc;
	w->size += len;
	w->zeros += len;
	return 0;
}

int pfs_content_finish(struct pfs_content_writer *w, struct pfs_content *out, struct pfs_error *err)
{
	struct pfs_content c = { .size = w->size };
	const struct pfs_seqnode_entry *only;
	int rc;

	rc = make_room(w, PFS_HOLE_SIZE_MIN, err);
	if (rc == 0 && w->zeros)
		rc = settle_zeros(w, err);
	if (rc < 0)
		return rc;
	if (w->size <= PFS_INLINE_SIZE_MAX) {
		memcpy(c.bytes, w->buf + w->head, w->size);
		*out = c;
		return 0;
	}
	rc = end_segment(w, err);
	if (rc == 0)
		rc = put_pieces(w, err);
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

/* Where data begins at or after `off`, and where it ends. All of the file when the kernel cannot tell. */
static int next_data(int fd, uint64_t off, uint64_t size, uint64_t *start, uint64_t *end,
		     struct pfs_error *err)
{
	off_t data = lseek(fd, (off_t)off, SEEK_DATA), hole;
	struct stat sb;

	if (data < 0 && errno == ENXIO) { /* nothing but a hole up to the end, wherever that is */
		if (fstat(fd, &sb) < 0)
			return pfs_fail_errno(err, errno, "size of a file");
		*start = *end = (uint64_t)sb.st_size < size ? (uint64_t)sb.st_size : size;
		if (*end < off)
			*start = *end = off;
		return 0;
	}
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	*start = data < 0 ? off : (uint64_t)data;
	*end = hole <= data ? size : (uint64_t)hole;
	if (*start > size)
		*start = size;
	if (*end > size)
		*end = size;
	return 0;
}

/* Returns 1 when the file ended early. */
static int read_data(struct pfs_content_writer *w, int fd, uint64_t off, uint64_t end,
		     struct pfs_error *err)
{
	while (off < end) {
		size_t want = end - off < STEP_SIZE ? (size_t)(end - off) : STEP_SIZE, got;
		int rc = make_room(w, want + PFS_HOLE_SIZE_MIN, err);

		if (rc == 0)
			rc = pfs_io_pread(fd, w->buf + w->len, want, off, &got, err);
		if (rc == 0)
			rc = check_size(w, got, err);
		if (rc == 0)
			rc = take_in(w, got, err);
		if (rc < 0 || got < want)
			return rc < 0 ? rc : 1;
		off += got;
	}
	return 0;
}

int pfs_content_from_fd(struct pfs_store *st, int fd, uint64_t size, const struct pfs_content *old,
			struct pfs_content *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	uint64_t off = 0;
	int rc;

	rc = pfs_content_writer_open(st, &w, err);
	if (rc == 0)
		pfs_content_writer_near(w, old);
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
