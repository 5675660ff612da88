/*
 * Re-cutting near the splices. A zone is what is cut again around one splice,
 * or several that are close:
 *
 *	base  ── x ──── x ───── x ─[a b]── x ─── x ─────── x ──      x: a cut
 *	                s ─────────── zone ───────────── t
 *
 * It begins at a cut s so far before a that the cuts up to s are the same
 * whatever happens at a (MARGIN), and ends at the first new cut that is an old
 * one too, with bytes before it that nothing changed, as far back as anything
 * behind it depends on them. All else of the base is neither read nor written.
 *
 * Why MARGIN is more than a reach: a segment may end where it did not, or go on
 * where it ended, up to a hole's length before a, when zeros there become part
 * of a hole or are not enough for one any more. No cut looks further ahead than
 * a reach.
 *
 * A forced cut q behind a chunk that begins at x depends on whether there is an
 * end of its stretch in (x, x + MAX]: it may begin a zone when that is decided.
 */
#include "tree/splice.h"
#include "tree/cutter.h"
#include "tree/seqlevel.h"
#include "tree/sequence.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN      (PFS_HOLE_SIZE_MIN + PFS_CHUNK_REACH)
#define MARGIN_MAX  (MARGIN + PFS_CHUNK_SIZE_MAX) /* any cut may begin a zone */
#define STEP        PFS_CHUNK_REACH               /* asked for at once where nothing changed */
#define SCRATCH_MAX PFS_CHUNK_SIZE_MAX            /* not longer: cut as a whole */

/* From places of the new file to those of the base, in order. */
struct mapping {
	size_t next;    /* first splice whose new bytes end behind the place */
	uint64_t delta; /* new less old before it */
};

struct splicer {
	struct pfs_store *st;
	const struct pfs_content *base;
	const struct pfs_splice *list;
	size_t n;
	pfs_splice_read read;
	void *arg;

	struct pfs_seqwalk fed;  /* where old bytes go in */
	struct pfs_seqwalk cuts; /* where old cuts are asked for */
	struct pfs_seqwalk tree; /* the old nodes for `level` */
	struct pfs_seqlevel level;
	struct pfs_cutter cutter;
	struct mapping map;

	size_t next;                 /* the next splice to go in */
	uint64_t pos, new_pos;       /* the next byte to go in: in the base, in the new file */
	uint64_t behind, new_behind; /* the end of the splice that went in last */
	uint64_t new_segment;        /* begin of the segment that is cut, as far as it matters */
	uint64_t end;                /* of the zone, in the base */
	unsigned char history[PFS_CHUNK_HISTORY];
};

/* --- what is asked for --------------------------------------------------- */

static int check_list(const struct pfs_content *base, const struct pfs_splice *list, size_t n,
		      uint64_t *out_size, struct pfs_error *err)
{
	uint64_t size = base->size, end = 0;

	for (size_t i = 0; i < n; i++) {
		const struct pfs_splice *x = &list[i];

		if (x->off < end || x->off > base->size || x->old_len > base->size - x->off)
			return pfs_fail(err, PFS_E_INVALID,
					"splice %zu, %" PRIu64 " bytes at %" PRIu64
					", is out of order or past the %" PRIu64 " bytes there are",
					i, x->old_len, x->off, base->size);
		end = x->off + x->old_len;
		size -= x->old_len;
	}
	for (size_t i = 0; i < n; i++) {
		if (list[i].new_len > PFS_FILE_SIZE_MAX - size)
			return pfs_fail(err, PFS_E_LIMIT,
					"file of %" PRIu64 " and %" PRIu64
					" more bytes, limit %llu",
					size, list[i].new_len, PFS_FILE_SIZE_MAX);
		size += list[i].new_len;
	}
	*out_size = size;
	return 0;
}

/* The place in the base that `off` of the new file is, or stands for; false: there is none. */
static bool old_place(struct splicer *s, uint64_t off, uint64_t *out)
{
	const struct pfs_splice *x = s->list + s->map.next;
	const struct pfs_splice *end = s->list + s->n;

	for (; x < end && off >= x->off + s->map.delta + x->new_len; x++)
		s->map.delta += x->new_len - x->old_len;
	s->map.next = (size_t)(x - s->list);
	*out = off - s->map.delta;
	return x == end || *out < x->off + x->old_len;
}

/* --- old cuts ------------------------------------------------------------ */

/* The old chunk or hole that ends at `cut`, which is a cut and not 0. */
static int entry_before(struct splicer *s, uint64_t cut, const struct pfs_seqnode_entry **out,
			uint64_t *out_start, struct pfs_error *err)
{
	int rc = pfs_seqwalk_seek(&s->cuts, 0, cut - 1, err);

	*out = pfs_seqwalk_item(&s->cuts, 0);
	*out_start = pfs_seqwalk_start(&s->cuts, 0);
	return rc;
}

/* Where the zone of a change at `a` begins. `least` may always be it. */
static int find_start(struct splicer *s, uint64_t a, uint64_t least, uint64_t *out,
		      struct pfs_error *err)
{
	const struct pfs_seqnode_entry *e;
	uint64_t cut, start;
	int rc;

	*out = least;
	if (a < MARGIN || a - MARGIN <= least)
		return 0;
	rc = pfs_seqwalk_seek(&s->cuts, 0, a - MARGIN, err);
	cut = pfs_seqwalk_start(&s->cuts, 0);
	for (; rc == 0 && cut > least; cut = start) {
		rc = entry_before(s, cut, &e, &start, err);
		if (rc == 0 && (e->kind != PFS_SEQNODE_DATA_FORCED || start + MARGIN_MAX <= a)) {
			*out = cut;
			break;
		}
	}
	return rc;
}

/*
 * How many bytes of its segment lie before the old cut, PFS_CHUNK_HISTORY when
 * there are more.
 */
static int history_of(struct splicer *s, uint64_t cut, size_t *out, struct pfs_error *err)
{
	uint64_t start = cut;

	while (start > 0 && cut - start < PFS_CHUNK_HISTORY) {
		const struct pfs_seqnode_entry *e;
		uint64_t before;
		int rc = entry_before(s, start, &e, &before, err);

		if (rc < 0)
			return rc;
		if (e->kind == PFS_SEQNODE_HOLE)
			break;
		start = before;
	}
	*out = cut - start < PFS_CHUNK_HISTORY ? (size_t)(cut - start) : PFS_CHUNK_HISTORY;
	return 0;
}

/* --- new pieces ---------------------------------------------------------- */

/*
 * 1 when all cuts behind this piece's end are those of the base: it is an old
 * cut as well, and behind it nothing depends on what lies before `behind`.
 */
static int ends_zone(void *arg, const struct pfs_piece *p, struct pfs_error *err)
{
	struct splicer *s = arg;
	bool hole = p->kind == PFS_SEQNODE_HOLE;
	uint64_t end = p->off + p->bytes, cut, start;
	const struct pfs_seqnode_entry *e;
	size_t history;
	int rc;

	if (hole)
		s->new_segment = end;
	if (end < s->new_behind)
		return 0;
	cut = s->behind + (end - s->new_behind);
	if (cut == 0 || cut == s->base->size ||
	    (s->next < s->n && cut + MARGIN_MAX > s->list[s->next].off) ||
	    (!hole &&
	     (cut < s->behind + PFS_CHUNK_HISTORY || end < s->new_segment + PFS_CHUNK_HISTORY)))
		return 0;
	rc = entry_before(s, cut, &e, &start, err);
	if (rc < 0 || pfs_seqwalk_end(&s->cuts, 0) != cut || (e->kind == PFS_SEQNODE_HOLE) != hole)
		return rc;
	s->end = cut;
	if (hole)
		return 1;
	rc = history_of(s, cut, &history, err);
	return rc < 0 ? rc : history == PFS_CHUNK_HISTORY;
}

/* A new chunk resembles the old one that lay in its middle, or else at one of its ends. */
static int name_old_chunks(void *arg, struct pfs_piece *pieces, size_t n, struct pfs_error *err)
{
	struct splicer *s = arg;

	for (size_t i = 0; i < n; i++) {
		struct pfs_piece *p = &pieces[i];
		uint64_t first, middle, last;
		bool at_first = old_place(s, p->off, &first);
		bool at_middle = old_place(s, p->off + p->bytes / 2, &middle);
		bool at_last = old_place(s, p->off + p->bytes - 1, &last);
		int rc;

		if (p->kind == PFS_SEQNODE_HOLE || (!at_first && !at_middle && !at_last))
			continue;
		rc = pfs_seqwalk_seek(&s->cuts, 0,
				      at_middle  ? middle
				      : at_first ? first
						 : last,
				      err);
		if (rc < 0)
			return rc;
		p->near = pfs_seqwalk_item(&s->cuts, 0)->id; /* zero for a hole */
	}
	return 0;
}

static int take_piece(void *arg, const struct pfs_piece *p, struct pfs_error *err)
{
	struct splicer *s = arg;
	struct pfs_seqnode_entry e = pfs_sequence_leaf(p->kind, p->bytes, &p->id);

	return pfs_seqlevel_add(&s->level, &e, err);
}

static const struct pfs_cutter_ops splice_ops = {
	.cut = ends_zone,
	.near = name_old_chunks,
	.take = take_piece,
};

/* --- zones --------------------------------------------------------------- */

/* The next `len` bytes of the new file. */
static int feed(struct splicer *s, uint64_t len, bool zeros, struct pfs_error *err)
{
	uint64_t end = s->new_pos + len;
	int rc = 0;

	if (zeros)
		rc = pfs_cutter_hole(&s->cutter, len, err);
	while (rc == 0 && !zeros && s->new_pos < end && !s->cutter.stopped) {
		uint64_t left = end - s->new_pos;
		size_t n = left < PFS_CUTTER_STEP ? (size_t)left : PFS_CUTTER_STEP;
		unsigned char *room;

		rc = pfs_cutter_room(&s->cutter, n, &room, err);
		if (rc == 0)
			rc = s->read(s->arg, s->new_pos, room, n, err);
		if (rc == 0)
			rc = pfs_cutter_filled(&s->cutter, n, err);
		s->new_pos += n;
	}
	s->new_pos = end;
	return rc;
}

static int feed_splice(struct splicer *s, struct pfs_error *err)
{
	const struct pfs_splice *x = &s->list[s->next++];

	s->behind = s->pos = x->off + x->old_len;
	s->new_behind = s->new_pos + x->new_len;
	return feed(s, x->new_len, x->zeros, err);
}

/* Some of what did not change, not past the next splice. */
static int feed_base(struct splicer *s, struct pfs_error *err)
{
	uint64_t end = s->next < s->n ? s->list[s->next].off : s->base->size;
	bool hole;
	int rc = pfs_seqwalk_seek(&s->fed, 0, s->pos, err);

	if (rc < 0)
		return rc;
	hole = pfs_seqwalk_item(&s->fed, 0)->kind == PFS_SEQNODE_HOLE;
	if (end > pfs_seqwalk_end(&s->fed, 0))
		end = pfs_seqwalk_end(&s->fed, 0);
	if (!hole && end - s->pos > STEP)
		end = s->pos + STEP;
	rc = feed(s, end - s->pos, hole, err);
	s->pos = end;
	return rc;
}

/* Stand at the old cut `start`, which is one of the new file too. */
static int begin_zone(struct splicer *s, uint64_t start, struct pfs_error *err)
{
	uint64_t new_start = start + (s->new_behind - s->behind);
	size_t history = 0;
	int rc = history_of(s, start, &history, err);

	if (rc == 0 && history)
		rc = s->read(s->arg, new_start - history, s->history, history, err);
	if (rc == 0)
		rc = pfs_cutter_resume(&s->cutter, new_start, s->history, history, err);
	if (rc == 0)
		rc = pfs_seqlevel_open(&s->level, start, err);
	s->pos = start;
	s->new_pos = new_start;
	s->new_segment = new_start - history;
	s->new_behind = UINT64_MAX; /* no end before the first splice is in */
	return rc;
}

/* The zone of the next splice and of those near it. */
static int run_zone(struct splicer *s, struct pfs_error *err)
{
	uint64_t start;
	int rc = find_start(s, s->list[s->next].off, s->end, &start, err);

	if (rc == 0)
		rc = begin_zone(s, start, err);
	while (rc == 0 && !s->cutter.stopped && (s->pos < s->base->size || s->next < s->n)) {
		if (s->next < s->n && s->pos == s->list[s->next].off)
			rc = feed_splice(s, err);
		else
			rc = feed_base(s, err);
	}
	if (rc == 0 && !s->cutter.stopped)
		rc = pfs_cutter_end(&s->cutter, err);
	if (rc == 0)
		rc = pfs_cutter_flush(&s->cutter, err);
	if (!s->cutter.stopped)
		s->end = s->base->size;
	return rc < 0 ? rc : pfs_seqlevel_close(&s->level, s->end, err);
}

static void splicer_free(struct splicer **s)
{
	if (!*s)
		return;
	pfs_cutter_fini(&(*s)->cutter);
	pfs_seqlevel_fini(&(*s)->level);
	pfs_seqwalk_fini(&(*s)->fed);
	pfs_seqwalk_fini(&(*s)->cuts);
	pfs_seqwalk_fini(&(*s)->tree);
	free(*s);
	*s = NULL;
}

static int splice_sequence(struct splicer *s, struct pfs_content *out, struct pfs_error *err)
{
	const struct pfs_id *root = &s->base->id;
	uint64_t size = s->base->size;
	int rc;

	rc = pfs_seqwalk_init(&s->fed, s->st, root, size, err);
	if (rc == 0)
		rc = pfs_seqwalk_init(&s->cuts, s->st, root, size, err);
	if (rc == 0)
		rc = pfs_seqwalk_init(&s->tree, s->st, root, size, err);
	pfs_seqlevel_init(&s->level, s->st, &s->tree, 0);
	pfs_cutter_init(&s->cutter, s->st, &splice_ops, s);
	while (rc == 0 && s->next < s->n)
		rc = run_zone(s, err);
	return rc < 0 ? rc : pfs_seqlevel_root(&s->level, root, &out->id, err);
}

/* --- short files --------------------------------------------------------- */

static int write_some(struct splicer *s, struct pfs_content_writer *w, uint64_t off, uint64_t len,
		      struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t n = len < sizeof(s->history) ? (size_t)len : sizeof(s->history);

		rc = s->read(s->arg, off, s->history, n, err);
		if (rc == 0)
			rc = pfs_content_write(w, s->history, n, err);
		off += n;
		len -= n;
	}
	return rc;
}

/* There is hardly anything to keep: everything is written anew. */
static int splice_all(struct splicer *s, struct pfs_content *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	uint64_t off = 0, pos = 0;
	int rc = pfs_content_writer_open(s->st, &w, err);

	if (rc == 0)
		pfs_content_writer_near(w, s->base);
	for (size_t i = 0; rc == 0 && i <= s->n; i++) {
		const struct pfs_splice *x = i < s->n ? &s->list[i] : NULL;
		uint64_t keep = (x ? x->off : s->base->size) - pos;

		rc = write_some(s, w, off, keep, err);
		off += keep;
		if (!x || rc < 0)
			break;
		rc = x->zeros ? pfs_content_write_hole(w, x->new_len, err)
			      : write_some(s, w, off, x->new_len, err);
		off += x->new_len;
		pos = x->off + x->old_len;
	}
	return rc < 0 ? rc : pfs_content_finish(w, out, err);
}

int pfs_content_splice(struct pfs_store *st, const struct pfs_content *base,
		       const struct pfs_splice *list, size_t n, pfs_splice_read read, void *arg,
		       struct pfs_content *out, struct pfs_error *err)
{
	PFS_AUTO(splicer_free) struct splicer *s = NULL;
	struct pfs_content c = { .form = PFS_CONTENT_SEQ };
	int rc = check_list(base, list, n, &c.size, err);

	if (rc < 0)
		return rc;
	if (n == 0) {
		*out = *base;
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return pfs_fail_nomem(err, "a file's content");
	s->st = st;
	s->base = base;
	s->list = list;
	s->n = n;
	s->read = read;
	s->arg = arg;
	if (base->form != PFS_CONTENT_SEQ || c.size <= SCRATCH_MAX)
		rc = splice_all(s, &c, err);
	else
		rc = splice_sequence(s, &c, err);
	if (rc == 0)
		*out = c;
	return rc;
}
