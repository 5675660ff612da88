#include "format/packhdr.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/limits.h"
#include "format/bundle.h"

#include <inttypes.h>

#define VERSION 1 /* of the superblock */

const struct pfs_chunker_params pfs_chunker_params_v1 = {
	.id = 1,
	.candidate_bits = 10,
	.reach = 32768,
	.max = 262144,
	.tail = 8192,
	.hole = 65536,
};

static bool all_zero(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static int check_head(const char *what, const unsigned char *in, const char *magic, size_t crc_off,
		      struct pfs_error *err)
{
	if (memcmp(in, magic, 4) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "%s does not start with %s", what, magic);
	if (pfs_crc32c(0, in, crc_off) == pfs_get_le32(in + crc_off))
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "checksum of %s is wrong", what);
}

static int check_version(const char *what, uint32_t version, uint32_t newest, struct pfs_error *err)
{
	if (version >= 1 && version <= newest)
		return 0;
	return pfs_fail(err, PFS_E_UNSUPPORTED,
			"%s has version %" PRIu32 ", this program knows up to %" PRIu32, what,
			version, newest);
}

void pfs_packhdr_encode(const struct pfs_packhdr *h, unsigned char out[PFS_PACKHDR_SIZE])
{
	memset(out, 0, PFS_PACKHDR_SIZE);
	memcpy(out, "VPK1", 4);
	pfs_put_le16(out + 4, h->version);
	out[6] = h->kind;
	pfs_put_le64(out + 8, h->created_ns);
	memcpy(out + 16, h->store_uuid, PFS_UUID_SIZE);
	memcpy(out + 32, h->pack_uuid, PFS_UUID_SIZE);
	pfs_put_le32(out + 48, h->seq);
	pfs_put_le64(out + 52, h->file_size);
	pfs_put_le32(out + 60, pfs_crc32c(0, out, 60));
}

int pfs_packhdr_decode(const unsigned char in[PFS_PACKHDR_SIZE], struct pfs_packhdr *out,
		       struct pfs_error *err)
{
	struct pfs_packhdr h = {
		.kind = in[6],
		.created_ns = pfs_get_le64(in + 8),
		.seq = pfs_get_le32(in + 48),
		.file_size = pfs_get_le64(in + 52),
	};
	int rc = check_head("pack header", in, "VPK1", 60, err);

	if (rc == 0)
		rc = check_version("pack header", pfs_get_le16(in + 4), PFS_PACK_VERSION, err);
	if (rc < 0)
		return rc;
	h.version = in[4];
	if (h.kind < PFS_PACK_DATA || h.kind > (h.version == 1 ? PFS_PACK_META : PFS_PACK_ADOPTED))
		return pfs_fail(err, PFS_E_CORRUPT, "pack header of unknown kind %d", h.kind);
	if (in[7] || (h.kind != PFS_PACK_ADOPTED && h.file_size))
		return pfs_fail(err, PFS_E_CORRUPT, "reserved bytes of a pack header are not zero");
	if (h.file_size > PFS_ADOPTION_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT, "an adopted file of %" PRIu64 " bytes",
				h.file_size);
	memcpy(h.store_uuid, in + 16, PFS_UUID_SIZE);
	memcpy(h.pack_uuid, in + 32, PFS_UUID_SIZE);
	*out = h;
	return 0;
}

static int check_bundle(unsigned codec, uint32_t ulen, uint32_t clen, struct pfs_error *err)
{
	if (codec != PFS_CODEC_RAW && codec != PFS_CODEC_ZSTD)
		return pfs_fail(err, PFS_E_CORRUPT, "bundle with unknown codec %u", codec);
	if (ulen <= PFS_BUNDLE_SIZE_MAX && clen > PFS_BUNDLE_HEAD_SIZE &&
	    clen <= ulen + PFS_BUNDLE_TABLE_MAX)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT,
			"bundle of %" PRIu32 " bytes kept in %" PRIu32 ", at most %u are allowed",
			ulen, clen, PFS_BUNDLE_SIZE_MAX);
}

static bool fits(unsigned codec, uint32_t ulen, uint32_t clen)
{
	switch (codec) {
	case PFS_CODEC_RAW:
		return clen == ulen;
	case PFS_CODEC_DELTA:
		return clen < ulen && clen > PFS_ID_SIZE;
	default:
		return clen < ulen;
	}
}

static int check_record(unsigned type, unsigned codec, uint32_t ulen, uint32_t clen,
			struct pfs_error *err)
{
	if (type == PFS_PACK_BUNDLE)
		return check_bundle(codec, ulen, clen, err);
	if (type == 0 || type > 6)
		return pfs_fail(err, PFS_E_CORRUPT, "record of unknown type %u", type);
	if (codec != PFS_CODEC_RAW && codec != PFS_CODEC_ZSTD && codec != PFS_CODEC_DELTA)
		return pfs_fail(err, PFS_E_CORRUPT, "record with unknown codec %u", codec);
	if (ulen > PFS_OBJECT_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT,
				"record of %" PRIu32 " bytes, at most %u are allowed", ulen,
				PFS_OBJECT_SIZE_MAX);
	if (!fits(codec, ulen, clen))
		return pfs_fail(err, PFS_E_CORRUPT,
				"record of %" PRIu32 " bytes kept in %" PRIu32 " with codec %u",
				ulen, clen, codec);
	return 0;
}

void pfs_packrec_encode(const struct pfs_packrec *r, unsigned char out[PFS_PACKREC_SIZE])
{
	memcpy(out, "VREC", 4);
	out[4] = r->type;
	out[5] = r->codec;
	pfs_put_le16(out + 6, 0);
	pfs_put_le32(out + 8, r->ulen);
	pfs_put_le32(out + 12, r->clen);
	memcpy(out + 16, r->id.bytes, PFS_ID_SIZE);
	pfs_put_le32(out + 48, r->payload_crc);
	pfs_put_le32(out + 52, pfs_crc32c(0, out, 52));
}

int pfs_packrec_decode(const unsigned char in[PFS_PACKREC_SIZE], struct pfs_packrec *out,
		       struct pfs_error *err)
{
	struct pfs_packrec r;
	int rc = check_head("record header", in, "VREC", 52, err);

	if (rc < 0)
		return rc;
	r.type = in[4];
	r.codec = in[5];
	r.ulen = pfs_get_le32(in + 8);
	r.clen = pfs_get_le32(in + 12);
	memcpy(r.id.bytes, in + 16, PFS_ID_SIZE);
	r.payload_crc = pfs_get_le32(in + 48);
	if (pfs_get_le16(in + 6))
		return pfs_fail(err, PFS_E_CORRUPT, "reserved flags of a record are not zero");
	rc = check_record(r.type, r.codec, r.ulen, r.clen, err);
	if (rc == 0)
		*out = r;
	return rc;
}

uint64_t pfs_packrec_extent(uint32_t clen)
{
	return ((uint64_t)PFS_PACKREC_SIZE + clen + PFS_PACK_ALIGN - 1) &
	       ~(uint64_t)(PFS_PACK_ALIGN - 1);
}

/* The table of a bundle has to agree with the header, and leave bytes for its members. */
static int check_members(const struct pfs_packrec *r, const unsigned char *payload,
			 struct pfs_error *err)
{
	uint32_t n, table;
	int rc = pfs_bundle_decode(payload, r->clen, r->ulen, &n, &table, err);

	if (rc < 0)
		return rc;
	if (r->codec == PFS_CODEC_RAW ? r->clen == table + r->ulen
				      : r->clen > table && r->clen < table + r->ulen)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT,
			"bundle of %" PRIu32 " bytes kept in %" PRIu32 " with codec %d", r->ulen,
			r->clen, r->codec);
}

int pfs_packrec_check(const unsigned char *in, uint64_t len, struct pfs_packrec *out,
		      struct pfs_error *err)
{
	struct pfs_packrec r;
	uint64_t end;
	int rc;

	if (len < PFS_PACKREC_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "%" PRIu64 " bytes hold no record header", len);
	rc = pfs_packrec_decode(in, &r, err);
	if (rc < 0)
		return rc;
	end = pfs_packrec_extent(r.clen);
	if (end > len)
		return pfs_fail(err, PFS_E_CORRUPT,
				"record of %" PRIu64 " bytes, %" PRIu64 " are left", end, len);
	if (pfs_crc32c(0, in + PFS_PACKREC_SIZE, r.clen) != r.payload_crc)
		return pfs_fail(err, PFS_E_CORRUPT, "checksum of a payload is wrong");
	if (!all_zero(in + PFS_PACKREC_SIZE + r.clen, end - PFS_PACKREC_SIZE - r.clen))
		return pfs_fail(err, PFS_E_CORRUPT, "padding behind a payload is not zero");
	rc = r.type == PFS_PACK_BUNDLE ? check_members(&r, in + PFS_PACKREC_SIZE, err) : 0;
	if (rc == 0)
		*out = r;
	return rc;
}

void pfs_packentry_encode(const struct pfs_packentry *e, unsigned char out[PFS_PACKENTRY_SIZE])
{
	memcpy(out, e->id.bytes, PFS_ID_SIZE);
	pfs_put_le32(out + 32, (uint32_t)(e->off / PFS_PACK_ALIGN));
	pfs_put_le32(out + 36, e->clen);
	pfs_put_le32(out + 40, e->ulen);
	out[44] = e->type;
	out[45] = e->codec;
	pfs_put_le16(out + 46, 0);
}

int pfs_packentry_decode(const unsigned char in[PFS_PACKENTRY_SIZE], struct pfs_packentry *out,
			 struct pfs_error *err)
{
	struct pfs_packentry e = {
		.off = (uint64_t)pfs_get_le32(in + 32) * PFS_PACK_ALIGN,
		.clen = pfs_get_le32(in + 36),
		.ulen = pfs_get_le32(in + 40),
		.type = in[44],
		.codec = in[45],
	};
	int rc = check_record(e.type, e.codec, e.ulen, e.clen, err);

	if (rc < 0)
		return pfs_wrap(err, rc, "footer entry");
	if (pfs_get_le16(in + 46))
		return pfs_fail(err, PFS_E_CORRUPT,
				"reserved flags of a footer entry are not zero");
	if (e.off < PFS_PACKHDR_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT,
				"footer entry at %" PRIu64 ", inside the pack header", e.off);
	memcpy(e.id.bytes, in, PFS_ID_SIZE);
	*out = e;
	return 0;
}

void pfs_packentry_encode_piece(const struct pfs_packentry *e,
				unsigned char out[PFS_PACKENTRY_SIZE])
{
	memcpy(out, e->id.bytes, PFS_ID_SIZE);
	pfs_put_le64(out + 32, e->off);
	pfs_put_le32(out + 40, e->ulen);
	out[44] = e->type;
	out[45] = e->codec;
	pfs_put_le16(out + 46, 0);
}

int pfs_packentry_decode_piece(const unsigned char in[PFS_PACKENTRY_SIZE],
			       struct pfs_packentry *out, struct pfs_error *err)
{
	struct pfs_packentry e = {
		.off = pfs_get_le64(in + 32),
		.clen = pfs_get_le32(in + 40),
		.ulen = pfs_get_le32(in + 40),
		.type = in[44],
		.codec = in[45],
	};
	int rc = check_record(e.type, e.codec, e.ulen, e.clen, err);

	if (rc < 0)
		return pfs_wrap(err, rc, "piece of an adopted file");
	if (e.type == PFS_PACK_BUNDLE || e.codec != PFS_CODEC_RAW || pfs_get_le16(in + 46))
		return pfs_fail(err, PFS_E_CORRUPT,
				"piece of an adopted file with type %d and codec %d", e.type,
				e.codec);
	if (e.off > PFS_ADOPTION_SIZE_MAX - e.ulen)
		return pfs_fail(err, PFS_E_CORRUPT,
				"piece of an adopted file at %" PRIu64 ", past its limit", e.off);
	memcpy(e.id.bytes, in, PFS_ID_SIZE);
	*out = e;
	return 0;
}

void pfs_packtrailer_encode(const struct pfs_packtrailer *t,
			    unsigned char out[PFS_PACKTRAILER_SIZE])
{
	memset(out, 0, PFS_PACKTRAILER_SIZE);
	pfs_put_le64(out, t->footer_off);
	pfs_put_le32(out + 8, t->n_entries);
	pfs_put_le32(out + 12, t->n_deltas);
	pfs_put_le32(out + 16, t->n_bundles);
	pfs_put_le32(out + 20, t->footer_crc);
	memcpy(out + 24, t->digest, sizeof(t->digest));
	pfs_put_le32(out + 56, t->version);
	memcpy(out + 60, "VPKE", 4);
}

/* What is left of the footer behind entries, deltas and bundles are members; false when that cannot be. */
static bool count_members(struct pfs_packtrailer *t, uint64_t file_size)
{
	uint64_t tables = (uint64_t)t->n_entries * PFS_PACKENTRY_SIZE +
			  (uint64_t)t->n_deltas * PFS_PACKDELTA_SIZE +
			  (uint64_t)t->n_bundles * PFS_PACKBUNDLE_SIZE;
	uint64_t left;

	if (t->footer_off < PFS_PACKHDR_SIZE || t->footer_off % PFS_PACK_ALIGN ||
	    file_size < PFS_PACKTRAILER_SIZE || t->footer_off > file_size - PFS_PACKTRAILER_SIZE ||
	    tables > file_size - PFS_PACKTRAILER_SIZE - t->footer_off)
		return false;
	left = file_size - PFS_PACKTRAILER_SIZE - t->footer_off - tables;
	if (left % PFS_BUNDLE_MEMBER_SIZE ||
	    left / PFS_BUNDLE_MEMBER_SIZE > (uint64_t)t->n_bundles * PFS_BUNDLE_MEMBERS_MAX)
		return false;
	t->n_members = (uint32_t)(left / PFS_BUNDLE_MEMBER_SIZE);
	return t->n_deltas <= t->n_entries && t->n_bundles <= t->n_entries;
}

int pfs_packtrailer_decode(const unsigned char in[PFS_PACKTRAILER_SIZE], uint64_t file_size,
			   struct pfs_packtrailer *out, struct pfs_error *err)
{
	struct pfs_packtrailer t = {
		.version = in[56],
		.footer_off = pfs_get_le64(in),
		.n_entries = pfs_get_le32(in + 8),
		.n_deltas = pfs_get_le32(in + 12),
		.n_bundles = pfs_get_le32(in + 16),
		.footer_crc = pfs_get_le32(in + 20),
	};
	int rc;

	if (memcmp(in + 60, "VPKE", 4) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "pack does not end with VPKE");
	rc = check_version("pack trailer", pfs_get_le32(in + 56), PFS_PACK_VERSION, err);
	if (rc < 0)
		return rc;
	if (t.version == 1 && (t.n_deltas || t.n_bundles))
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"pack of version 1 with deltas or bundles, it knows none");
	if (!count_members(&t, file_size))
		return pfs_fail(err, PFS_E_CORRUPT,
				"footer of %" PRIu32 " entries, %" PRIu32 " deltas and %" PRIu32
				" bundles at %" PRIu64 " does not fill a pack of %" PRIu64 " bytes",
				t.n_entries, t.n_deltas, t.n_bundles, t.footer_off, file_size);
	memcpy(t.digest, in + 24, sizeof(t.digest));
	*out = t;
	return 0;
}

void pfs_superblock_encode(const struct pfs_superblock *s, unsigned char out[PFS_SUPERBLOCK_SIZE])
{
	memset(out, 0, PFS_SUPERBLOCK_SIZE);
	memcpy(out, "VST1", 4);
	pfs_put_le16(out + 4, VERSION);
	pfs_put_le64(out + 8, s->created_ns);
	memcpy(out + 16, s->uuid, PFS_UUID_SIZE);
	out[32] = s->chunker.id;
	out[33] = s->chunker.candidate_bits;
	pfs_put_le32(out + 36, s->chunker.reach);
	pfs_put_le32(out + 40, s->chunker.max);
	pfs_put_le32(out + 44, s->chunker.tail);
	pfs_put_le32(out + 48, s->chunker.hole);
	memcpy(out + 64, s->secret, sizeof(s->secret));
	pfs_put_le32(out + 4092, pfs_crc32c(0, out, 4092));
}

int pfs_superblock_decode(const unsigned char in[PFS_SUPERBLOCK_SIZE], struct pfs_superblock *out,
			  struct pfs_error *err)
{
	const struct pfs_chunker_params *known = &pfs_chunker_params_v1;
	struct pfs_superblock s = {
		.created_ns = pfs_get_le64(in + 8),
		.chunker =
			{
				.id = in[32],
				.candidate_bits = in[33],
				.reach = pfs_get_le32(in + 36),
				.max = pfs_get_le32(in + 40),
				.tail = pfs_get_le32(in + 44),
				.hole = pfs_get_le32(in + 48),
			},
	};
	int rc = check_head("superblock", in, "VST1", 4092, err);

	if (rc == 0)
		rc = check_version("superblock", pfs_get_le16(in + 4), VERSION, err);
	if (rc < 0)
		return rc;
	if (pfs_get_le16(in + 6) || pfs_get_le16(in + 34) || !all_zero(in + 52, 12) ||
	    !all_zero(in + 96, 4092 - 96))
		return pfs_fail(err, PFS_E_CORRUPT, "reserved bytes of a superblock are not zero");
	if (s.chunker.id != known->id || s.chunker.candidate_bits != known->candidate_bits ||
	    s.chunker.reach != known->reach || s.chunker.max != known->max ||
	    s.chunker.tail != known->tail || s.chunker.hole != known->hole)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"store was made with chunker %d of other parameters", s.chunker.id);
	memcpy(s.uuid, in + 16, PFS_UUID_SIZE);
	memcpy(s.secret, in + 64, sizeof(s.secret));
	*out = s;
	return 0;
}
