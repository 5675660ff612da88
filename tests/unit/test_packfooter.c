#include "format/packfooter.h"
#include "format/bundle.h"
#include "base/endian.h"
#include "base/limits.h"

#include <criterion/criterion.h>

/* A payload of `n` members of 3, 4, 5, ... bytes; its table only, nobody looks at the bytes. */
static size_t make_table(unsigned char *out, uint32_t n, uint32_t *out_ulen)
{
	*out_ulen = 0;
	pfs_bundle_encode_head(n, out);
	for (uint32_t i = 0; i < n; i++) {
		struct pfs_bundle_member m = { .len = 3 + i, .type = 1 };

		memset(m.id.bytes, 0xb0 + (int)i, sizeof(m.id.bytes));
		pfs_bundle_encode_member(&m,
					 out + PFS_BUNDLE_HEAD_SIZE + i * PFS_BUNDLE_MEMBER_SIZE);
		*out_ulen += m.len;
	}
	return PFS_BUNDLE_HEAD_SIZE + n * PFS_BUNDLE_MEMBER_SIZE;
}

static void add(struct pfs_packfooter *f, uint8_t type, enum pfs_codec codec, uint64_t off,
		uint32_t members)
{
	unsigned char payload[1000] = { 0 };
	struct pfs_packrec r = { .type = type, .codec = (uint8_t)codec, .ulen = 5000, .clen = 500 };
	struct pfs_error err = { 0 };

	memset(r.id.bytes, (int)(off / 8), sizeof(r.id.bytes));
	if (codec == PFS_CODEC_DELTA)
		memset(payload, 0xde, PFS_ID_SIZE);
	if (codec == PFS_CODEC_RAW)
		r.clen = r.ulen;
	if (type == PFS_PACK_BUNDLE)
		r.clen = (uint32_t)make_table(payload, members, &r.ulen) + 5;
	cr_assert_eq(pfs_packfooter_add(f, &r, off, payload, &err), 0, "%s", err.text);
}

/* A chunk, a bundle of 3, a delta, a bundle of 1, a node. */
static void fill(struct pfs_packfooter *f)
{
	pfs_packfooter_init(f, PFS_PACK_DATA);
	add(f, 1, PFS_CODEC_RAW, 64, 0);
	add(f, PFS_PACK_BUNDLE, PFS_CODEC_ZSTD, 128, 3);
	add(f, 1, PFS_CODEC_DELTA, 256, 0);
	add(f, PFS_PACK_BUNDLE, PFS_CODEC_ZSTD, 512, 1);
	add(f, 3, PFS_CODEC_ZSTD, 1024, 0);
}

static struct pfs_packtrailer trailer_of(const struct pfs_packfooter *f)
{
	return (struct pfs_packtrailer){
		.version = 2,
		.n_entries = 5,
		.n_deltas = 1,
		.n_bundles = 2,
		.n_members = 4,
	};
}

static void expect_objects(const struct pfs_packfooter *f)
{
	static const struct {
		uint64_t off;
		uint32_t ulen;
		int codec;
	} want[] = {
		{ 64, 5000, PFS_CODEC_RAW },    { 128, 3, PFS_CODEC_BUNDLED },
		{ 128, 4, PFS_CODEC_BUNDLED },  { 128, 5, PFS_CODEC_BUNDLED },
		{ 256, 5000, PFS_CODEC_DELTA }, { 512, 3, PFS_CODEC_BUNDLED },
		{ 1024, 5000, PFS_CODEC_ZSTD },
	};
	struct pfs_packwalk walk = { 0 };
	struct pfs_packentry e;
	struct pfs_id id, base;

	cr_expect_eq(pfs_packfooter_records(f), 5);
	cr_expect_eq(pfs_packfooter_objects(f), 7);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		cr_assert(pfs_packfooter_next(f, &walk, &e), "object %zu", i);
		cr_expect(e.off == want[i].off && e.ulen == want[i].ulen &&
				  e.codec == want[i].codec,
			  "object %zu", i);
	}
	cr_expect_not(pfs_packfooter_next(f, &walk, &e));
	cr_assert_eq(pfs_packfooter_deltas(f), 1);
	pfs_packfooter_delta(f, 0, &id, &base);
	cr_expect(id.bytes[0] == 32 && base.bytes[0] == 0xde && base.bytes[31] == 0xde);
}

Test(packfooter, walks_over_objects_and_tells_bases)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 }, again = { 0 };
	struct pfs_packtrailer t;
	unsigned char raw[2000];
	size_t len;

	fill(&f);
	expect_objects(&f);
	len = pfs_packfooter_size(&f);
	cr_assert_eq(len, 5 * 48 + 40 + 2 * 8 + 4 * 40);
	pfs_packfooter_encode(&f, raw);
	t = trailer_of(&f);
	cr_assert_eq(pfs_packfooter_decode(raw, len, &t, PFS_PACK_DATA, &again, NULL), 0);
	expect_objects(&again);
	pfs_packfooter_fini(&again);
}

Test(packfooter, refuses_tables_that_are_not_those_of_its_entries)
{
	static const struct {
		size_t off;
		unsigned char value;
		const char *why;
	} lies[] = {
		{ 240 + 32, 1, "a delta for an entry that is none" },
		{ 240 + 36, 1, "reserved" },
		{ 280, 0, "a bundle for an entry that is none" },
		{ 284, 4, "a member more" },
		{ 288, 1, "one bundle twice" },
		{ 296 + 36, 5, "a bundle in a bundle" },
		{ 296 + 37, 1, "reserved" },
		{ 296 + 34, 2, "a member larger than all" },
		{ 45, 3, "a delta without a row" },
		{ 48 + 45, 3, "a bundle that is a delta" },
	};
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	struct pfs_packfooter out = { .off = 77 };
	unsigned char raw[2000];
	struct pfs_packtrailer t;

	fill(&f);
	t = trailer_of(&f);
	pfs_packfooter_encode(&f, raw);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		unsigned char before = raw[lies[i].off];

		raw[lies[i].off] = lies[i].value;
		cr_expect_eq(pfs_packfooter_decode(raw, pfs_packfooter_size(&f), &t, PFS_PACK_DATA,
						   &out, NULL),
			     PFS_E_CORRUPT, "%s", lies[i].why);
		cr_expect_eq(out.off, 77, "wrote to out");
		raw[lies[i].off] = before;
	}
	cr_expect_eq(pfs_packfooter_decode(raw, 300, &t, PFS_PACK_DATA, &out, NULL), PFS_E_CORRUPT,
		     "cut");
}

Test(packfooter, adds_nothing_of_a_bundle_whose_table_lies)
{
	static const struct {
		size_t off;
		unsigned char value;
		const char *why;
	} lies[] = {
		{ 0, 0, "no members" },     { 0, 4, "one more than there is room for" },
		{ 2, 1, "65 thousand" },    { 4, 1, "reserved" },
		{ 8 + 32, 9, "other sum" }, { 8 + 36, 0, "a member of no type" },
	};
	unsigned char payload[1000] = { 0 };
	struct pfs_packrec r = { .type = PFS_PACK_BUNDLE, .codec = PFS_CODEC_ZSTD };
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };

	pfs_packfooter_init(&f, PFS_PACK_DATA);
	r.clen = (uint32_t)make_table(payload, 3, &r.ulen) + 5;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		unsigned char before = payload[lies[i].off];

		payload[lies[i].off] = lies[i].value;
		cr_expect_eq(pfs_packfooter_add(&f, &r, 64, payload, NULL), PFS_E_CORRUPT, "%s",
			     lies[i].why);
		cr_expect_eq(pfs_packfooter_size(&f), 0, "%s: something was added", lies[i].why);
		payload[lies[i].off] = before;
	}
	cr_expect_eq(pfs_packfooter_add(&f, &r, 64, payload, NULL), 0);
}
