#include "tree/cutter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_STRIDE (PFS_HOLE_SIZE_MIN / 16) /* a hole is longer, so it holds a probe */

void pfs_cutter_init(struct pfs_cutter *c, struct pfs_store *st, const struct pfs_cutter_ops *ops,
		     void *arg)
{
	memset(c, 0, offsetof(struct pfs_cutter, items));
	c->st = st;
	c->ops = ops;
	c->arg = arg;
	c->pieces = c->halves[0];
	c->sent = c->halves[1];
}

void pfs_cutter_fini(struct pfs_cutter *c)
{
	pfs_batch_abort(&c->batch);
	pfs_chunker_fini(&c->chunker);
	free(c->buf);
	free(c->sent_buf);
	c->buf = c->sent_buf = NULL;
	c->cap = c->sent_cap = 0;
}

/* --- pieces ------------------------------------------------------------- */

/* Wait for what was sent and hand it out. */
static int take_sent(struct pfs_cutter *c, struct pfs_error *err)
{
	const struct pfs_store_item *item = c->items;
	int rc = c->batch ? pfs_batch_end(&c->batch, err) : 0;

	for (size_t i = 0; rc == 0 && i < c->n_sent; i++) {
		struct pfs_piece *p = &c->sent[i];

		if (p->kind != PFS_SEQNODE_HOLE) {
			p->id = item->id;
			if (c->refill)
				rc = pfs_refill_put(c->refill, c->st, PFS_KIND_CHUNK, item, err);
			item++;
		}
		if (rc == 0)
			rc = c->ops->take(c->arg, p, err);
	}
	c->n_sent = 0;
	return rc;
}

/* Let all pieces be named; their bytes stay where they are until take_sent(). */
static int send(struct pfs_cutter *c, struct pfs_error *err)
{
	struct pfs_piece *pieces = c->pieces;
	const unsigned char *data = c->buf + c->head;
	size_t n = 0;
	int rc = take_sent(c, err);

	if (rc == 0 && c->ops->near && c->n_pieces > 0)
		rc = c->ops->near(c->arg, pieces, c->n_pieces, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < c->n_pieces; i++) {
		if (pieces[i].kind == PFS_SEQNODE_HOLE)
			continue;
		c->items[n++] = (struct pfs_store_item){
			.data = data,
			.len = (size_t)pieces[i].bytes,
			.near = pfs_id_is_zero(&pieces[i].near) ? NULL : &pieces[i].near,
		};
		data += pieces[i].bytes;
	}
	if (n > 0 && c->names_only)
		rc = pfs_batch_begin_names(c->st, PFS_KIND_CHUNK, c->items, n, &c->batch, err);
	else if (n > 0)
		rc = pfs_batch_begin(c->st, PFS_KIND_CHUNK, c->items, n, &c->batch, err);
	c->pieces = c->sent;
	c->sent = pieces;
	c->n_sent = c->n_pieces;
	c->n_pieces = 0;
	return rc;
}

int pfs_cutter_flush(struct pfs_cutter *c, struct pfs_error *err)
{
	int rc = send(c, err);

	if (rc == 0)
		rc = take_sent(c, err);
	c->head = c->cut;
	return rc;
}

static int add_piece(struct pfs_cutter *c, enum pfs_seqnode_kind kind, uint64_t bytes,
		     struct pfs_error *err)
{
	struct pfs_piece *p = &c->pieces[c->n_pieces];
	int rc;

	if (c->stopped)
		return 0;
	*p = (struct pfs_piece){ .kind = kind, .off = c->off, .bytes = bytes };
	c->n_pieces++;
	c->off += bytes;
	if (kind != PFS_SEQNODE_HOLE)
		c->cut += (size_t)bytes;
	rc = c->ops->cut ? c->ops->cut(c->arg, p, err) : 0;
	if (rc < 0)
		return rc;
	c->stopped = rc > 0;
	return c->n_pieces == PFS_CUTTER_PIECES_MAX ? pfs_cutter_flush(c, err) : 0;
}

static int take_cuts(struct pfs_cutter *c, struct pfs_error *err)
{
	struct pfs_cut cut;
	int rc = 0;

	while (rc == 0 && pfs_chunker_next(&c->chunker, &cut))
		rc = add_piece(c, cut.forced ? PFS_SEQNODE_DATA_FORCED : PFS_SEQNODE_DATA, cut.len,
			       err);
	return rc;
}

static int start_chunking(struct pfs_cutter *c, struct pfs_error *err)
{
	int rc;

	c->chunking = true;
	if (c->chunker.gear)
		return 0;
	rc = pfs_gear_init(&c->gear, pfs_store_keys(c->st)->gear_key, err);
	return rc < 0 ? rc : pfs_chunker_init(&c->chunker, &c->gear, err);
}

int pfs_cutter_resume(struct pfs_cutter *c, uint64_t off, const void *before, size_t len,
		      struct pfs_error *err)
{
	int rc;

	c->size = c->off = off;
	c->zeros = 0;
	c->head = c->cut = c->len = c->segment = c->n_pieces = 0;
	c->stopped = c->chunking = false;
	rc = start_chunking(c, err);
	c->chunking = len > 0;
	return rc < 0 ? rc : pfs_chunker_resume(&c->chunker, before, len, err);
}

/* `n` bytes at buf + len belong to the segment. A short segment is one chunk and needs no chunker. */
static int add_data(struct pfs_cutter *c, size_t n, struct pfs_error *err)
{
	int rc = 0;

	c->len += n;
	c->segment += n;
	if (!c->chunking && c->segment < PFS_CHUNK_SINGLE)
		return 0;
	if (!c->chunking)
		rc = start_chunking(c, err);
	if (rc == 0)
		rc = pfs_chunker_feed(&c->chunker, c->buf + c->len - c->segment, c->segment, err);
	c->segment = 0;
	return rc < 0 ? rc : take_cuts(c, err);
}

static int end_segment(struct pfs_cutter *c, struct pfs_error *err)
{
	size_t rest = c->segment;

	c->segment = 0;
	if (!c->chunking)
		return rest ? add_piece(c, PFS_SEQNODE_DATA, rest, err) : 0;
	c->chunking = false;
	pfs_chunker_end(&c->chunker);
	return take_cuts(c, err);
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

static int widen(unsigned char **buf, size_t *cap, size_t want, struct pfs_error *err)
{
	unsigned char *p;

	if (*cap >= want)
		return 0;
	want += *cap / 2;
	p = realloc(*buf, want);
	if (!p)
		return pfs_fail_nomem(err, "a file's content");
	*buf = p;
	*cap = want;
	return 0;
}

/* Make sure of `want` free bytes behind buf + len. */
static int make_room(struct pfs_cutter *c, size_t want, struct pfs_error *err)
{
	if (c->cap - c->len >= want)
		return 0;
	if (c->head > 0) {
		memmove(c->buf, c->buf + c->head, c->len - c->head);
		c->len -= c->head;
		c->cut -= c->head;
		c->head = 0;
	}
	return widen(&c->buf, &c->cap, c->len + want, err);
}

/* Send what was cut and go on in the other buffer, with the bytes that are not cut yet. */
static int send_and_swap(struct pfs_cutter *c, size_t want, struct pfs_error *err)
{
	unsigned char *buf = c->buf;
	size_t cap = c->cap, rest;
	int rc = send(c, err);

	rest = c->len - c->cut;
	if (rc == 0)
		rc = widen(&c->sent_buf, &c->sent_cap, rest + want, err);
	if (rc < 0)
		return rc;
	memcpy(c->sent_buf, buf + c->cut, rest);
	c->buf = c->sent_buf;
	c->cap = c->sent_cap;
	c->sent_buf = buf;
	c->sent_cap = cap;
	c->head = c->cut = 0;
	c->len = rest;
	return 0;
}

/* The zeros held back are over: a hole, or data after all. Room for less than a hole is there. */
static int settle_zeros(struct pfs_cutter *c, struct pfs_error *err)
{
	uint64_t zeros = c->zeros;
	int rc;

	c->zeros = 0;
	if (zeros >= PFS_HOLE_SIZE_MIN) {
		rc = end_segment(c, err);
		return rc < 0 ? rc : add_piece(c, PFS_SEQNODE_HOLE, zeros, err);
	}
	memset(c->buf + c->len, 0, (size_t)zeros);
	return add_data(c, (size_t)zeros, err);
}

/* --- the door ----------------------------------------------------------- */

int pfs_cutter_room(struct pfs_cutter *c, size_t want, unsigned char **out, struct pfs_error *err)
{
	int rc = 0;

	want += PFS_HOLE_SIZE_MIN; /* zeros held back may come to lie before what is filled in */
	if (c->cut - c->head >= PFS_CUTTER_BYTES || c->n_pieces >= PFS_CUTTER_PIECES)
		rc = send_and_swap(c, want, err);
	if (rc == 0)
		rc = make_room(c, want, err);
	if (rc == 0)
		*out = c->buf + c->len;
	return rc;
}

/* No bytes past the largest file. */
static int check_size(const struct pfs_cutter *c, uint64_t more, struct pfs_error *err)
{
	if (more <= PFS_FILE_SIZE_MAX - c->size)
		return 0;
	return pfs_fail(err, PFS_E_LIMIT,
			"file of %" PRIu64 " and %" PRIu64 " more bytes, limit %llu", c->size, more,
			PFS_FILE_SIZE_MAX);
}

int pfs_cutter_filled(struct pfs_cutter *c, size_t n, struct pfs_error *err)
{
	unsigned char *p = c->buf + c->len;
	int rc = check_size(c, n, err);

	if (rc == 0)
		c->size += n;
	while (rc == 0 && n > 0) {
		size_t start, len;

		if (c->zeros > 0) {
			size_t more = zeros_ahead(p, n), held;

			c->zeros += more;
			n -= more;
			if (n == 0)
				return 0;
			held = c->zeros < PFS_HOLE_SIZE_MIN ? (size_t)c->zeros : 0;
			memmove(c->buf + c->len + held, p + more, n);
			rc = settle_zeros(c, err);
			p = c->buf + c->len;
			if (rc < 0)
				return rc;
		}
		find_zeros(p, n, &start, &len);
		rc = start ? add_data(c, start, err) : 0;
		c->zeros = len;
		p += start + len;
		n -= start + len;
	}
	return rc;
}

int pfs_cutter_hole(struct pfs_cutter *c, uint64_t len, struct pfs_error *err)
{
	int rc = check_size(c, len, err);

	if (rc < 0)
		return rc;
	c->size += len;
	c->zeros += len;
	return 0;
}

int pfs_cutter_end(struct pfs_cutter *c, struct pfs_error *err)
{
	int rc = make_room(c, PFS_HOLE_SIZE_MIN, err);

	if (rc == 0 && c->zeros)
		rc = settle_zeros(c, err);
	return rc < 0 ? rc : end_segment(c, err);
}
