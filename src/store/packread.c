#include "store/packread.h"
#include "store/codec.h"
#include "format/bundle.h"
#include "base/io.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#define READ_ATTEMPTS 3

/* From the file, or from the buffer that has not reached it. */
static int read_bytes(const struct pfs_packread *r, const struct pfs_place *place,
		      unsigned char *raw, size_t len, struct pfs_error *err)
{
	struct pfs_pack *pack = pfs_packset_pack(r->set, place->pack);
	size_t got = 0;
	int fd;
	int rc;

	if (r->log && place->off + len > __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE) &&
	    pfs_packlog_copy(r->log, place->pack, place->off, len, raw))
		return 0;
	rc = pfs_packset_lend(r->set, pack, &fd, err);
	if (rc < 0)
		return rc;
	rc = pfs_io_pread(fd, raw, len, place->off, &got, err);
	pfs_packset_return(r->set, pack);
	if (rc == 0 && got < len)
		return pfs_fail(err, PFS_E_CORRUPT, "the pack ends in the middle of an object");
	return rc;
}

/* *out_raw is owned by the caller; the payload stands behind the record's header. */
static int read_record(const struct pfs_packread *r, const struct pfs_place *place,
		       struct pfs_packrec *out, unsigned char **out_raw, struct pfs_error *err)
{
	size_t len = (size_t)pfs_packrec_extent(place->clen);
	unsigned char *raw = malloc(len);
	int rc;

	if (!raw)
		return pfs_fail_nomem(err, "reading an object");
	rc = read_bytes(r, place, raw, len, err);
	if (rc == 0)
		rc = pfs_packrec_check(raw, len, out, err);
	if (rc < 0)
		free(raw);
	else
		*out_raw = raw;
	return rc;
}

/* --- deltas ------------------------------------------------------------- */

static int read_base(const struct pfs_packread *r, enum pfs_kind kind, const struct pfs_id *id,
		     const struct pfs_object **out, struct pfs_error *err)
{
	struct pfs_counted_object *o = NULL;
	struct pfs_place place;
	char text[PFS_ID_HEX_SIZE];
	int rc;

	*out = r->cache ? pfs_cache_find(r->cache, kind, id) : NULL;
	if (*out)
		return 0;
	if (pfs_packset_find(r->set, id, &place) && place.codec == PFS_CODEC_DELTA)
		return pfs_fail(err, PFS_E_CORRUPT, "base %s is a delta itself",
				pfs_id_format(id, text));
	rc = pfs_packread_find(r, kind, id, &place, &o, err);
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, PFS_E_CORRUPT, "base %s is not stored",
				pfs_id_format(id, text));
	if (rc < 0)
		return pfs_wrap(err, rc, "base %s", pfs_id_format(id, text));
	*out = &o->object;
	return 0;
}

static int unpack_delta(const struct pfs_packread *r, const struct pfs_packrec *rec,
			const unsigned char *payload, unsigned char *plain, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *base = NULL;
	struct pfs_id id;
	int rc;

	memcpy(id.bytes, payload, PFS_ID_SIZE);
	rc = read_base(r, (enum pfs_kind)rec->type, &id, &base, err);
	if (rc < 0)
		return rc;
	return pfs_codec_decode_delta(base->data, base->len, payload + PFS_ID_SIZE,
				      rec->clen - PFS_ID_SIZE, plain, rec->ulen, err);
}

int pfs_packread_payload(const struct pfs_packread *r, const struct pfs_packrec *rec,
			 const unsigned char *payload, unsigned char *plain, struct pfs_error *err)
{
	if (rec->codec == PFS_CODEC_DELTA)
		return unpack_delta(r, rec, payload, plain, err);
	return pfs_codec_decode((enum pfs_codec)rec->codec, payload, rec->clen, plain, rec->ulen,
				err);
}

static int get_record(const struct pfs_packread *r, const struct pfs_id *id,
		      const struct pfs_place *place, struct pfs_counted_object **out,
		      struct pfs_error *err)
{
	struct pfs_counted_object *o;
	struct pfs_packrec rec;
	unsigned char *raw = NULL;
	int rc = read_record(r, place, &rec, &raw, err);

	if (rc < 0)
		return rc;
	/* The codec too: that a base is no delta is known from its place. */
	if (!pfs_id_equal(&rec.id, id) || rec.type != place->type || rec.ulen != place->ulen ||
	    rec.codec != place->codec) {
		free(raw);
		return pfs_fail(err, PFS_E_CORRUPT, "another record is in the place of this one");
	}
	o = pfs_object_new((enum pfs_kind)rec.type, id, rec.ulen);
	rc = o ? pfs_packread_payload(r, &rec, raw + PFS_PACKREC_SIZE, o->bytes, err)
	       : pfs_fail_nomem(err, "an object");
	free(raw);
	if (rc < 0)
		free(o);
	else
		*out = o;
	return rc;
}

/* --- bundles ------------------------------------------------------------ */

/* A bundle that was read: its table, and all its members' bytes. */
struct opened {
	unsigned char *raw, *plain; /* owned */
	uint32_t n;
};

static void close_bundle(struct opened *b)
{
	free(b->raw);
	free(b->plain);
	*b = (struct opened){ 0 };
}

static int open_bundle(const struct pfs_packread *r, const struct pfs_place *place,
		       struct opened *out, struct pfs_error *err)
{
	PFS_AUTO(close_bundle) struct opened b = { 0 };
	struct pfs_packrec rec;
	uint32_t table;
	int rc = read_record(r, place, &rec, &b.raw, err);

	if (rc < 0)
		return rc;
	if (rec.type != PFS_PACK_BUNDLE)
		return pfs_fail(err, PFS_E_CORRUPT, "another record is in the place of a bundle");
	b.plain = malloc(rec.ulen ? rec.ulen : 1);
	if (!b.plain)
		return pfs_fail_nomem(err, "reading a bundle");
	rc = pfs_bundle_decode(b.raw + PFS_PACKREC_SIZE, rec.clen, rec.ulen, &b.n, &table, err);
	if (rc == 0)
		rc = pfs_codec_decode((enum pfs_codec)rec.codec, b.raw + PFS_PACKREC_SIZE + table,
				      rec.clen - table, b.plain, rec.ulen, err);
	if (rc < 0)
		return rc;
	*out = b;
	b = (struct opened){ 0 };
	return 0;
}

/* Whoever reads one small object will want its neighbours: they are unpacked already. */
static void offer(const struct pfs_packread *r, struct pfs_counted_object *o)
{
	const struct pfs_object *held = &o->object;
	struct pfs_id got;

	if (r->cache &&
	    pfs_hasher_id(r->hasher, o->kind, o->bytes, o->object.len, &got, NULL) == 0 &&
	    pfs_id_equal(&got, &o->id))
		pfs_cache_add(r->cache, o);
	pfs_object_unref(&held);
}

static struct pfs_counted_object *make_member(const struct pfs_bundle_member *m,
					      const unsigned char *bytes)
{
	struct pfs_counted_object *o = pfs_object_new((enum pfs_kind)m->type, &m->id, m->len);

	if (o && m->len)
		memcpy(o->bytes, bytes, m->len);
	return o;
}

static int get_member(const struct pfs_packread *r, const struct pfs_id *id,
		      const struct pfs_place *place, struct pfs_counted_object **out,
		      struct pfs_error *err)
{
	PFS_AUTO(close_bundle) struct opened b = { 0 };
	struct pfs_counted_object *found = NULL;
	size_t at = 0;
	int rc = open_bundle(r, place, &b, err);

	for (uint32_t i = 0; i < b.n && rc == 0; i++) {
		const unsigned char *row = b.raw + PFS_PACKREC_SIZE + PFS_BUNDLE_HEAD_SIZE +
					   i * PFS_BUNDLE_MEMBER_SIZE;
		struct pfs_counted_object *o = NULL;
		struct pfs_bundle_member m;

		rc = pfs_bundle_decode_member(row, &m, err);
		if (rc == 0)
			o = make_member(&m, b.plain + at);
		at += m.len;
		if (o && !found && pfs_id_equal(&m.id, id) && m.type == place->type)
			found = o;
		else if (o)
			offer(r, o);
	}
	if (rc == 0 && !found)
		rc = pfs_fail(err, PFS_E_CORRUPT, "this object is not in its bundle");
	if (rc == 0)
		*out = found;
	else
		free(found);
	return rc;
}

/* --- the door ----------------------------------------------------------- */

/* A piece of an adopted file has no record around it. */
static int get_piece(const struct pfs_packread *r, const struct pfs_id *id,
		     const struct pfs_place *place, struct pfs_counted_object **out,
		     struct pfs_error *err)
{
	struct pfs_counted_object *o = pfs_object_new((enum pfs_kind)place->type, id, place->ulen);
	int rc = o ? read_bytes(r, place, o->bytes, place->ulen, err)
		   : pfs_fail_nomem(err, "an object");

	if (rc < 0)
		free(o);
	else
		*out = o;
	if (rc == 0)
		pfs_packset_note_read(pfs_packset_pack(r->set, place->pack), place->off);
	return rc;
}

int pfs_packread_at(const struct pfs_packread *r, const struct pfs_id *id,
		    const struct pfs_place *place, struct pfs_counted_object **out,
		    struct pfs_error *err)
{
	if (pfs_packset_pack(r->set, place->pack)->kind == PFS_PACK_ADOPTED)
		return get_piece(r, id, place, out, err);
	if (place->codec == PFS_CODEC_BUNDLED)
		return get_member(r, id, place, out, err);
	return get_record(r, id, place, out, err);
}

int pfs_packread_find(const struct pfs_packread *r, enum pfs_kind kind, const struct pfs_id *id,
		      struct pfs_place *out_place, struct pfs_counted_object **out,
		      struct pfs_error *err)
{
	struct pfs_place place;
	int rc = PFS_E_NOTFOUND;

	/* A rescue or a sweep may move an object between the look-up and the read. */
	for (int i = 0; i < READ_ATTEMPTS; i++) {
		if (!pfs_packset_find(r->set, id, &place) || place.type != kind)
			break;
		if (i > 0 && place.pack == out_place->pack && place.off == out_place->off)
			break;
		*out_place = place;
		rc = pfs_packread_at(r, id, &place, out, err);
		if (rc == 0)
			break;
	}
	return rc;
}

static bool is_right(const struct pfs_packread *r, enum pfs_kind kind, const struct pfs_id *id,
		     const struct pfs_object *o)
{
	struct pfs_id got;

	return pfs_hasher_id(r->hasher, kind, o->data, o->len, &got, NULL) == 0 &&
	       pfs_id_equal(&got, id);
}

/* Only the front of the payload is wanted. A wrong id is not found, or is another object: no harm. */
static bool base_of(const struct pfs_packread *r, const struct pfs_place *place, struct pfs_id *out)
{
	unsigned char raw[PFS_PACKREC_SIZE + PFS_ID_SIZE];
	struct pfs_packrec rec;

	if (read_bytes(r, place, raw, sizeof(raw), NULL) < 0 ||
	    pfs_packrec_decode(raw, &rec, NULL) < 0 || rec.codec != PFS_CODEC_DELTA)
		return false;
	memcpy(out->bytes, raw + PFS_PACKREC_SIZE, PFS_ID_SIZE);
	return true;
}

static bool find_kept(const struct pfs_packread *r, enum pfs_kind kind, const struct pfs_id *id,
		      struct pfs_place *out)
{
	return pfs_packset_has(r->set, id) && pfs_packset_find(r->set, id, out) &&
	       out->type == kind;
}

/* Whether a power cut leaves it where it is. */
static bool is_durable(const struct pfs_packread *r, const struct pfs_place *place)
{
	return pfs_pack_is_durable(pfs_packset_pack(r->set, place->pack), place->off);
}

const struct pfs_object *pfs_packread_base(const struct pfs_packread *r, enum pfs_kind kind,
					   const struct pfs_id *near, struct pfs_id *out_id)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_counted_object *fresh;
	const struct pfs_object *base;
	struct pfs_id id = *near;
	struct pfs_place place;

	if (!find_kept(r, kind, &id, &place))
		return NULL;
	if (place.codec == PFS_CODEC_DELTA &&
	    (!base_of(r, &place, &id) || !find_kept(r, kind, &id, &place)))
		return NULL;
	if (place.codec == PFS_CODEC_DELTA || !is_durable(r, &place))
		return NULL;
	o = r->cache ? pfs_cache_find(r->cache, kind, &id) : NULL;
	if (!o) {
		if (pfs_packread_at(r, &id, &place, &fresh, NULL) < 0)
			return NULL;
		o = &fresh->object;
		if (!is_right(r, kind, &id, o)) {
			pfs_packset_doubt(r->set, &id, &place);
			return NULL;
		}
	}
	base = o;
	o = NULL;
	*out_id = id;
	return base;
}

void pfs_packread_doubt(const struct pfs_packread *r, const struct pfs_id *id,
			const struct pfs_place *place)
{
	struct pfs_counted_object *o = NULL;
	struct pfs_place at;
	struct pfs_id base;

	pfs_packset_doubt(r->set, id, place);
	if (place->codec != PFS_CODEC_DELTA || !base_of(r, place, &base) ||
	    pfs_packread_find(r, (enum pfs_kind)place->type, &base, &at, &o, NULL) ==
		    PFS_E_NOTFOUND)
		return;
	if (!o || !is_right(r, (enum pfs_kind)place->type, &base, &o->object))
		pfs_packset_doubt(r->set, &base, &at);
	free(o);
}
