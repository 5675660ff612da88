#include "format/packfooter.h"
#include "format/bundle.h"
#include "base/endian.h"
#include "base/limits.h"

#include <inttypes.h>

void pfs_packfooter_init(struct pfs_packfooter *f, uint8_t kind)
{
	*f = (struct pfs_packfooter){ .kind = kind };
	pfs_buf_init(&f->entries, PFS_PACK_SIZE_MAX);
	pfs_buf_init(&f->deltas, PFS_PACK_SIZE_MAX);
	pfs_buf_init(&f->bundles, PFS_PACK_SIZE_MAX);
	pfs_buf_init(&f->members, PFS_PACK_SIZE_MAX);
}

void pfs_packfooter_fini(struct pfs_packfooter *f)
{
	pfs_buf_fini(&f->entries);
	pfs_buf_fini(&f->deltas);
	pfs_buf_fini(&f->bundles);
	pfs_buf_fini(&f->members);
}

uint32_t pfs_packfooter_records(const struct pfs_packfooter *f)
{
	return (uint32_t)(f->entries.len / PFS_PACKENTRY_SIZE);
}

int pfs_packfooter_record(const struct pfs_packfooter *f, uint32_t i, struct pfs_packentry *out,
			  struct pfs_error *err)
{
	const unsigned char *raw = f->entries.data + (size_t)i * PFS_PACKENTRY_SIZE;

	if (f->kind == PFS_PACK_ADOPTED)
		return pfs_packentry_decode_piece(raw, out, err);
	return pfs_packentry_decode(raw, out, err);
}

static bool next_member(const struct pfs_packfooter *f, struct pfs_packwalk *w,
			struct pfs_packentry *out)
{
	size_t at = (size_t)w->member++ * PFS_BUNDLE_MEMBER_SIZE;
	struct pfs_bundle_member m;

	w->left--;
	if (at + PFS_BUNDLE_MEMBER_SIZE > f->members.len ||
	    pfs_bundle_decode_member(f->members.data + at, &m, NULL) < 0)
		return false;
	*out = (struct pfs_packentry){
		.id = m.id,
		.off = w->off,
		.clen = w->clen,
		.ulen = m.len,
		.type = m.type,
		.codec = PFS_CODEC_BUNDLED,
	};
	return true;
}

static void enter_bundle(const struct pfs_packfooter *f, struct pfs_packwalk *w,
			 const struct pfs_packentry *e)
{
	size_t at = (size_t)w->bundle++ * PFS_PACKBUNDLE_SIZE;

	w->left = at + PFS_PACKBUNDLE_SIZE <= f->bundles.len
			  ? pfs_get_le32(f->bundles.data + at + 4)
			  : 0;
	w->off = e->off;
	w->clen = e->clen;
}

/* Tables were checked when they were split or made, so that nothing here is skipped; a walk never leaves them. */
bool pfs_packfooter_next(const struct pfs_packfooter *f, struct pfs_packwalk *w,
			 struct pfs_packentry *out)
{
	struct pfs_packentry e;

	for (;;) {
		if (w->left) {
			if (next_member(f, w, out))
				return true;
			continue;
		}
		if (w->entry >= pfs_packfooter_records(f))
			return false;
		if (pfs_packfooter_record(f, w->entry++, &e, NULL) < 0)
			continue;
		if (e.type != PFS_PACK_BUNDLE) {
			*out = e;
			return true;
		}
		enter_bundle(f, w, &e);
	}
}

uint32_t pfs_packfooter_objects(const struct pfs_packfooter *f)
{
	return (uint32_t)(pfs_packfooter_records(f) - f->bundles.len / PFS_PACKBUNDLE_SIZE +
			  f->members.len / PFS_BUNDLE_MEMBER_SIZE);
}

uint32_t pfs_packfooter_deltas(const struct pfs_packfooter *f)
{
	return (uint32_t)(f->deltas.len / PFS_PACKDELTA_SIZE);
}

void pfs_packfooter_delta(const struct pfs_packfooter *f, uint32_t i, struct pfs_id *out_id,
			  struct pfs_id *out_base)
{
	const unsigned char *row = f->deltas.data + (size_t)i * PFS_PACKDELTA_SIZE;
	size_t entry = pfs_get_le32(row + 32);

	memcpy(out_base->bytes, row, PFS_ID_SIZE);
	memcpy(out_id->bytes, f->entries.data + entry * PFS_PACKENTRY_SIZE, PFS_ID_SIZE);
}

/* --- growing ------------------------------------------------------------ */

static int add_delta(struct pfs_packfooter *f, const unsigned char *payload, struct pfs_error *err)
{
	unsigned char row[PFS_PACKDELTA_SIZE];

	memcpy(row, payload, PFS_ID_SIZE);
	pfs_put_le32(row + 32, pfs_packfooter_records(f));
	pfs_put_le32(row + 36, 0);
	return pfs_buf_add(&f->deltas, row, sizeof(row), err);
}

static int add_bundle(struct pfs_packfooter *f, const struct pfs_packrec *rec,
		      const unsigned char *payload, struct pfs_error *err)
{
	unsigned char row[PFS_PACKBUNDLE_SIZE];
	uint32_t n, table;
	int rc = pfs_bundle_decode(payload, rec->clen, rec->ulen, &n, &table, err);

	if (rc < 0)
		return rc;
	pfs_put_le32(row, pfs_packfooter_records(f));
	pfs_put_le32(row + 4, n);
	rc = pfs_buf_reserve(&f->bundles, sizeof(row), err);
	if (rc == 0)
		rc = pfs_buf_add(&f->members, payload + PFS_BUNDLE_HEAD_SIZE,
				 table - PFS_BUNDLE_HEAD_SIZE, err);
	return rc < 0 ? rc : pfs_buf_add(&f->bundles, row, sizeof(row), err);
}

int pfs_packfooter_add(struct pfs_packfooter *f, const struct pfs_packrec *rec, uint64_t off,
		       const unsigned char *payload, struct pfs_error *err)
{
	const struct pfs_packentry e = {
		.id = rec->id,
		.off = off,
		.clen = rec->clen,
		.ulen = rec->ulen,
		.type = rec->type,
		.codec = rec->codec,
	};
	unsigned char raw[PFS_PACKENTRY_SIZE];
	int rc;

	pfs_packentry_encode(&e, raw);
	rc = pfs_buf_reserve(&f->entries, sizeof(raw), err);
	if (rc == 0 && rec->codec == PFS_CODEC_DELTA)
		rc = add_delta(f, payload, err);
	if (rc == 0 && rec->type == PFS_PACK_BUNDLE)
		rc = add_bundle(f, rec, payload, err);
	return rc < 0 ? rc : pfs_buf_add(&f->entries, raw, sizeof(raw), err);
}

int pfs_packfooter_add_piece(struct pfs_packfooter *f, const struct pfs_packentry *e,
			     struct pfs_error *err)
{
	unsigned char raw[PFS_PACKENTRY_SIZE];

	pfs_packentry_encode_piece(e, raw);
	return pfs_buf_add(&f->entries, raw, sizeof(raw), err);
}

/* --- to and from bytes -------------------------------------------------- */

size_t pfs_packfooter_size(const struct pfs_packfooter *f)
{
	return f->entries.len + f->deltas.len + f->bundles.len + f->members.len;
}

static unsigned char *put(unsigned char *out, const struct pfs_buf *b)
{
	if (b->len)
		memcpy(out, b->data, b->len);
	return out + b->len;
}

void pfs_packfooter_encode(const struct pfs_packfooter *f, unsigned char *out)
{
	out = put(out, &f->entries);
	out = put(out, &f->deltas);
	out = put(out, &f->bundles);
	put(out, &f->members);
}

/* Row `i` of a table belongs to entry `entry`. */
static bool row_is_of(const struct pfs_buf *table, size_t i, size_t size, size_t at, uint32_t entry)
{
	return (i + 1) * size <= table->len && pfs_get_le32(table->data + i * size + at) == entry;
}

static bool members_are_whole(const struct pfs_packfooter *f)
{
	struct pfs_bundle_member m;

	for (size_t i = 0; i < f->members.len; i += PFS_BUNDLE_MEMBER_SIZE)
		if (pfs_bundle_decode_member(f->members.data + i, &m, NULL) < 0)
			return false;
	return true;
}

/* Each delta and each bundle has its row and no other has one; rows tell of all members. */
static int check_tables(const struct pfs_packfooter *f, struct pfs_error *err)
{
	size_t deltas = 0, bundles = 0, members = 0;

	for (uint32_t i = 0; i < pfs_packfooter_records(f); i++) {
		struct pfs_packentry e;
		int rc = pfs_packfooter_record(f, i, &e, err);

		if (rc < 0)
			return pfs_wrap(err, rc, "entry %" PRIu32, i);
		if (e.codec == PFS_CODEC_DELTA &&
		    (!row_is_of(&f->deltas, deltas, PFS_PACKDELTA_SIZE, 32, i) ||
		     pfs_get_le32(f->deltas.data + deltas++ * PFS_PACKDELTA_SIZE + 36)))
			return pfs_fail(err, PFS_E_CORRUPT, "no delta is told for entry %" PRIu32,
					i);
		if (e.type != PFS_PACK_BUNDLE)
			continue;
		if (!row_is_of(&f->bundles, bundles, PFS_PACKBUNDLE_SIZE, 0, i))
			return pfs_fail(err, PFS_E_CORRUPT, "no bundle is told for entry %" PRIu32,
					i);
		members += pfs_get_le32(f->bundles.data + bundles++ * PFS_PACKBUNDLE_SIZE + 4);
	}
	if (deltas * PFS_PACKDELTA_SIZE == f->deltas.len &&
	    bundles * PFS_PACKBUNDLE_SIZE == f->bundles.len &&
	    members * PFS_BUNDLE_MEMBER_SIZE == f->members.len && members_are_whole(f))
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "deltas and bundles of a footer are not its entries'");
}

int pfs_packfooter_decode(const unsigned char *in, size_t len, const struct pfs_packtrailer *t,
			  uint8_t kind, struct pfs_packfooter *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	struct {
		struct pfs_buf *buf;
		size_t len;
	} parts[] = {
		{ &f.entries, (size_t)t->n_entries * PFS_PACKENTRY_SIZE },
		{ &f.deltas, (size_t)t->n_deltas * PFS_PACKDELTA_SIZE },
		{ &f.bundles, (size_t)t->n_bundles * PFS_PACKBUNDLE_SIZE },
		{ &f.members, (size_t)t->n_members * PFS_BUNDLE_MEMBER_SIZE },
	};
	int rc = 0;

	pfs_packfooter_init(&f, kind);
	f.off = t->footer_off;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts) && rc == 0; i++) {
		if (parts[i].len > len)
			return pfs_fail(err, PFS_E_CORRUPT, "footer is cut short");
		rc = pfs_buf_add(parts[i].buf, in, parts[i].len, err);
		in += parts[i].len;
		len -= parts[i].len;
	}
	if (rc == 0)
		rc = check_tables(&f, err);
	if (rc < 0)
		return rc;
	*out = f;
	pfs_packfooter_init(&f, kind);
	return 0;
}
