/*
 * A flush failed: what was not durable goes elsewhere, or is lost.
 */
#include "store/packlog_i.h"
#include "format/bundle.h"
#include "base/crc32c.h"
#include "base/io.h"

#include <assert.h>
#include <stdlib.h>

/* Read one record of a pack back, from wherever it is, and see that it is whole. */
static int read_back(const struct pfs_packwriter *w, const struct pfs_packentry *e,
		     unsigned char *raw, struct pfs_packrec *out, struct pfs_error *err)
{
	size_t len = (size_t)pfs_packrec_extent(e->clen);
	size_t got = len;
	int rc = 0;

	if (!pfs_packwriter_copy(w, e->off, len, raw))
		rc = pfs_io_pread(w->fd, raw, len, e->off, &got, err);
	return rc < 0 ? rc : pfs_packrec_check(raw, got, out, err);
}

/* The objects of a record: itself, or its members. The number of them; *out is the caller's to free. */
static size_t objects_of(const struct pfs_packrec *rec, const unsigned char *payload, uint32_t pack,
			 uint64_t off, struct pfs_move **out)
{
	uint32_t n = 1, table;
	struct pfs_move *moves;

	if (rec->type == PFS_PACK_BUNDLE &&
	    pfs_bundle_decode(payload, rec->clen, rec->ulen, &n, &table, NULL) < 0)
		return 0;
	moves = calloc(n, sizeof(*moves));
	for (uint32_t i = 0; moves && i < n; i++) {
		struct pfs_bundle_member m = { rec->id, rec->ulen, rec->type };

		if (rec->type == PFS_PACK_BUNDLE)
			pfs_bundle_decode_member(payload + PFS_BUNDLE_HEAD_SIZE +
							 i * PFS_BUNDLE_MEMBER_SIZE,
						 &m, NULL);
		moves[i].id = m.id;
		moves[i].from = (struct pfs_place){
			.pack = pack,
			.off = off,
			.ulen = m.len,
			.type = m.type,
		};
	}
	*out = moves;
	return moves ? n : 0;
}

/* The record of this object into another pack, with all that lies in it. */
static int rescue(struct pfs_packlog *log, const struct pfs_packwriter *w,
		  const struct pfs_packentry *e, bool again)
{
	unsigned char *raw = again ? malloc((size_t)pfs_packrec_extent(e->clen)) : NULL;
	enum pfs_packlog_slot slot = w->pack->kind == PFS_PACK_META ? META : DATA;
	struct pfs_move *moves = NULL;
	struct pfs_packrec rec;
	int rc = raw ? read_back(w, e, raw, &rec, NULL) : PFS_E_NOMEM;
	size_t n = 0;

	if (rc == 0)
		n = objects_of(&rec, raw + PFS_PACKREC_SIZE, w->pack->number, e->off, &moves);
	if (n > 0)
		rc = pfs_packlog_move_to(log, slot, &rec, raw + PFS_PACKREC_SIZE, moves, n, NULL);
	free(moves);
	free(raw);
	return n > 0 && rc == 1 ? 0 : PFS_E_IO;
}

/*
 * The flush of `w` failed: move what was not durable yet into another pack, or
 * declare it lost. An object that has a newer place is no longer ours to move.
 */
void pfs_packlog_rescue_pack(struct pfs_packlog *log, struct pfs_packwriter *w, bool again)
{
	struct pfs_packwalk walk = { 0 };
	struct pfs_packentry e;

	assert(pfs_held(&log->lock));
	while (pfs_packfooter_next(&w->footer, &walk, &e)) {
		if (e.off < w->durable || !pfs_packlog_lies_at(log, &e.id, w->pack->number, e.off))
			continue;
		if (rescue(log, w, &e, again) < 0)
			pfs_packset_lose(log->set, &e.id);
	}
}

/* Read a piece back and append it as a record, when it still is what it was. */
static int rescue_piece(struct pfs_packlog *log, int fd, const struct pfs_packentry *e, bool again)
{
	unsigned char *data = again ? malloc(e->ulen ? e->ulen : 1) : NULL;
	struct pfs_packrec rec = {
		.type = e->type,
		.codec = PFS_CODEC_RAW,
		.ulen = e->ulen,
		.clen = e->ulen,
		.id = e->id,
	};
	struct pfs_id got;
	size_t len;
	int rc = data ? pfs_io_pread(fd, data, e->ulen, e->off, &len, NULL) : PFS_E_NOMEM;

	if (rc == 0)
		rc = pfs_hasher_id(log->hasher, (enum pfs_kind)e->type, data, len, &got, NULL);
	if (rc == 0 && (len < e->ulen || !pfs_id_equal(&got, &e->id)))
		rc = PFS_E_CORRUPT;
	if (rc == 0) {
		rec.payload_crc = pfs_crc32c(0, data, len);
		rc = pfs_packlog_append_to(log, DATA, &rec, data, NULL);
	}
	free(data);
	return rc;
}

/* Piece `i` of the table, when it is still found in the file; which of its places is told does not matter. */
static bool is_needed(struct pfs_packlog *log, const struct pfs_adopted *a, uint32_t i,
		      struct pfs_packentry *out)
{
	struct pfs_place now, here = { .pack = a->pack->number };

	if (pfs_packfooter_record(&a->table, i, out, NULL) < 0 ||
	    !pfs_packset_find(log->set, &out->id, &now))
		return false;
	here.off = out->off;
	return pfs_packset_is_place(log->set, &out->id, &now, &here);
}

/*
 * The file's bytes could not be flushed: what is needed of it goes into packs of
 * our own, or is lost when none of its places is whole.
 */
void pfs_packlog_rescue_file(struct pfs_packlog *log, struct pfs_adopted *a, bool again)
{
	int fd = -1;
	int lent = pfs_packset_lend(log->set, a->pack, &fd, NULL);
	struct pfs_packentry e;

	assert(pfs_held(&log->lock));
	for (uint32_t i = 0; lent == 0 && i < pfs_packfooter_records(&a->table); i++) {
		if (is_needed(log, a, i, &e))
			rescue_piece(log, fd, &e, again);
		pfs_packlog_retire_full(log, DATA);
	}
	for (uint32_t i = 0; i < pfs_packfooter_records(&a->table); i++)
		if (is_needed(log, a, i, &e))
			pfs_packset_lose(log->set, &e.id);
	if (lent == 0)
		pfs_packset_return(log->set, a->pack);
	pfs_adopted_unlink(a);
	a->gone = true;
	__atomic_store_n(&a->pack->sealed, 1, __ATOMIC_RELEASE);
	pfs_packset_drop_pack(log->set, a->pack, NULL);
}
