#include "format/packhdr.h"
#include "base/crc32c.h"
#include "base/endian.h"

#include <criterion/criterion.h>

static struct pfs_packrec sample_record(void)
{
	struct pfs_packrec r = { .type = 1,
				 .codec = PFS_CODEC_ZSTD,
				 .ulen = 5000,
				 .clen = 21,
				 .payload_crc = 0x12345678 };

	memset(r.id.bytes, 0xab, sizeof(r.id.bytes));
	return r;
}

static struct pfs_packhdr sample_header(void)
{
	struct pfs_packhdr h = {
		.version = 2, .kind = PFS_PACK_META, .created_ns = 1234567890123456789u, .seq = 7
	};

	memset(h.store_uuid, 0x11, sizeof(h.store_uuid));
	memset(h.pack_uuid, 0x22, sizeof(h.pack_uuid));
	return h;
}

static struct pfs_superblock sample_superblock(void)
{
	struct pfs_superblock s = { .created_ns = 42, .chunker = pfs_chunker_params_v1 };

	memset(s.uuid, 0x33, sizeof(s.uuid));
	memset(s.secret, 0x44, sizeof(s.secret));
	return s;
}

Test(packhdr, gives_back_what_it_was_given)
{
	unsigned char raw[PFS_SUPERBLOCK_SIZE], again[PFS_SUPERBLOCK_SIZE];
	struct pfs_packhdr h = sample_header(), h2;
	struct pfs_packrec r = sample_record(), r2;
	struct pfs_superblock s = sample_superblock(), s2;

	pfs_packhdr_encode(&h, raw);
	cr_assert_eq(pfs_packhdr_decode(raw, &h2, NULL), 0);
	pfs_packhdr_encode(&h2, again);
	cr_expect_arr_eq(raw, again, PFS_PACKHDR_SIZE);
	cr_expect_eq(h2.created_ns, h.created_ns);
	cr_expect_eq(h2.seq, 7);
	pfs_packrec_encode(&r, raw);
	cr_assert_eq(pfs_packrec_decode(raw, &r2, NULL), 0);
	pfs_packrec_encode(&r2, again);
	cr_expect_arr_eq(raw, again, PFS_PACKREC_SIZE);
	pfs_superblock_encode(&s, raw);
	cr_assert_eq(pfs_superblock_decode(raw, &s2, NULL), 0);
	pfs_superblock_encode(&s2, again);
	cr_expect_arr_eq(raw, again, PFS_SUPERBLOCK_SIZE);
}

Test(packhdr, refuses_every_single_flipped_bit)
{
	unsigned char raw[PFS_SUPERBLOCK_SIZE];
	struct pfs_packhdr h = sample_header();
	struct pfs_packrec r = sample_record(), got = { .ulen = 77 };
	struct pfs_superblock s = sample_superblock();

	pfs_packhdr_encode(&h, raw);
	for (size_t bit = 0; bit < 8 * PFS_PACKHDR_SIZE; bit++) {
		raw[bit / 8] ^= (unsigned char)(1u << bit % 8);
		cr_assert_lt(pfs_packhdr_decode(raw, &h, NULL), 0, "header bit %zu", bit);
		raw[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	pfs_packrec_encode(&r, raw);
	for (size_t bit = 0; bit < 8 * PFS_PACKREC_SIZE; bit++) {
		raw[bit / 8] ^= (unsigned char)(1u << bit % 8);
		cr_assert_eq(pfs_packrec_decode(raw, &got, NULL), PFS_E_CORRUPT, "record bit %zu",
			     bit);
		cr_assert_eq(got.ulen, 77, "wrote to out");
		raw[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	pfs_superblock_encode(&s, raw);
	for (size_t bit = 0; bit < 8 * PFS_SUPERBLOCK_SIZE; bit += bit < 800 ? 1 : 67) {
		raw[bit / 8] ^= (unsigned char)(1u << bit % 8);
		cr_assert_lt(pfs_superblock_decode(raw, &s, NULL), 0, "superblock bit %zu", bit);
		raw[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
}

/* Lies with a right checksum: the fields have to be checked too. */
static const struct {
	size_t off;
	unsigned char value;
	const char *why;
} record_lies[] = {
	{ 4, 0, "type 0" },
	{ 4, 7, "unknown type" },
	{ 5, 2, "unknown codec" },
	{ 5, 5, "a codec that is only said of places" },
	{ 5, 3, "a delta without room for the id of its base" },
	{ 5, 0, "raw, but of another length than the object" },
	{ 6, 1, "reserved flags" },
	{ 10, 0x20, "an object of 2 MiB" },
	{ 13, 0x20, "a payload longer than the object" },
	{ 15, 0xff, "a payload of 4 GiB" },
};

Test(packhdr, refuses_a_record_that_lies_with_a_right_checksum)
{
	struct pfs_packrec r = sample_record(), got = { .ulen = 77 };

	for (size_t i = 0; i < sizeof(record_lies) / sizeof(*record_lies); i++) {
		unsigned char raw[PFS_PACKREC_SIZE];

		pfs_packrec_encode(&r, raw);
		raw[record_lies[i].off] = record_lies[i].value;
		pfs_put_le32(raw + 52, pfs_crc32c(0, raw, 52));
		cr_expect_eq(pfs_packrec_decode(raw, &got, NULL), PFS_E_CORRUPT, "%s",
			     record_lies[i].why);
		cr_expect_eq(got.ulen, 77, "%s: wrote to out", record_lies[i].why);
	}
}

Test(packhdr, checks_the_payload_the_padding_and_the_room_of_a_record)
{
	unsigned char raw[PFS_PACKREC_SIZE + 24] = { 0 };
	struct pfs_packrec r = sample_record(), got;

	for (unsigned i = 0; i < r.clen; i++)
		raw[PFS_PACKREC_SIZE + i] = (unsigned char)i;
	r.payload_crc = pfs_crc32c(0, raw + PFS_PACKREC_SIZE, r.clen);
	pfs_packrec_encode(&r, raw);
	cr_assert_eq(pfs_packrec_extent(r.clen), sizeof(raw));
	cr_expect_eq(pfs_packrec_check(raw, sizeof(raw), &got, NULL), 0);
	for (size_t len = 0; len < sizeof(raw); len++)
		cr_expect_eq(pfs_packrec_check(raw, len, &got, NULL), PFS_E_CORRUPT, "%zu bytes",
			     len);
	raw[sizeof(raw) - 1] = 1;
	cr_expect_eq(pfs_packrec_check(raw, sizeof(raw), &got, NULL), PFS_E_CORRUPT, "padding");
	raw[sizeof(raw) - 1] = 0;
	raw[PFS_PACKREC_SIZE] = 99;
	cr_expect_eq(pfs_packrec_check(raw, sizeof(raw), &got, NULL), PFS_E_CORRUPT, "payload");
}

Test(packhdr, refuses_a_footer_that_does_not_fill_the_file)
{
	struct pfs_packtrailer t = { .version = 2, .footer_off = 1000, .n_entries = 10 }, got;
	unsigned char raw[PFS_PACKTRAILER_SIZE];
	const uint64_t size = 1000 + 480 + 64;

	pfs_packtrailer_encode(&t, raw);
	cr_expect_eq(pfs_packtrailer_decode(raw, size, &got, NULL), 0);
	cr_expect_eq(pfs_packtrailer_decode(raw, size + 8, &got, NULL), PFS_E_CORRUPT, "longer");
	cr_expect_eq(pfs_packtrailer_decode(raw, size - 8, &got, NULL), PFS_E_CORRUPT, "shorter");
	cr_expect_eq(pfs_packtrailer_decode(raw, 10, &got, NULL), PFS_E_CORRUPT, "no room for it");
	t.n_deltas = 3;
	t.n_bundles = 2;
	pfs_packtrailer_encode(&t, raw);
	cr_expect_eq(pfs_packtrailer_decode(raw, size, &got, NULL), PFS_E_CORRUPT, "no tables");
	cr_expect_eq(pfs_packtrailer_decode(raw, size + 3 * 40 + 2 * 8, &got, NULL), 0);
	cr_expect_eq(got.n_members, 0);
	cr_expect_eq(pfs_packtrailer_decode(raw, size + 3 * 40 + 2 * 8 + 7 * 40, &got, NULL), 0);
	cr_expect_eq(got.n_members, 7);
	cr_expect_eq(pfs_packtrailer_decode(raw, size + 3 * 40 + 2 * 8 + 2056 * 40, &got, NULL),
		     PFS_E_CORRUPT, "more members than two bundles can have");
	raw[56] = 1;
	cr_expect_eq(pfs_packtrailer_decode(raw, size + 3 * 40 + 2 * 8, &got, NULL),
		     PFS_E_UNSUPPORTED, "deltas in version 1");
	t = (struct pfs_packtrailer){ .version = 1, .footer_off = 64, .n_entries = 0xffffffff };
	pfs_packtrailer_encode(&t, raw);
	cr_expect_eq(pfs_packtrailer_decode(raw, size, &got, NULL), PFS_E_CORRUPT, "4 G entries");
	pfs_put_le64(raw, UINT64_MAX - 7);
	cr_expect_eq(pfs_packtrailer_decode(raw, size, &got, NULL), PFS_E_CORRUPT,
		     "beyond the end");
}

Test(packhdr, knows_adopted_packs_from_version_2_on)
{
	struct pfs_packhdr h = sample_header(), got;
	unsigned char raw[PFS_PACKHDR_SIZE];

	h.kind = PFS_PACK_ADOPTED;
	h.file_size = 123456789012u;
	pfs_packhdr_encode(&h, raw);
	cr_assert_eq(pfs_packhdr_decode(raw, &got, NULL), 0);
	cr_expect_eq(got.file_size, 123456789012u);
	h.version = 1;
	pfs_packhdr_encode(&h, raw);
	cr_expect_eq(pfs_packhdr_decode(raw, &got, NULL), PFS_E_CORRUPT, "kind 3 in version 1");
	h.version = 2;
	h.kind = PFS_PACK_DATA;
	pfs_packhdr_encode(&h, raw);
	cr_expect_eq(pfs_packhdr_decode(raw, &got, NULL), PFS_E_CORRUPT, "a file in a data pack");
	h.kind = PFS_PACK_ADOPTED;
	h.file_size = (1ULL << 40) + 1;
	pfs_packhdr_encode(&h, raw);
	cr_expect_eq(pfs_packhdr_decode(raw, &got, NULL), PFS_E_CORRUPT, "past its limit");
}

Test(packhdr, tells_pieces_of_a_file_by_any_offset)
{
	struct pfs_packentry e = { .off = 12345678901u, .clen = 777, .ulen = 777, .type = 1 }, got;
	unsigned char raw[PFS_PACKENTRY_SIZE], again[PFS_PACKENTRY_SIZE];
	static const struct {
		size_t off;
		unsigned char value;
		const char *why;
	} lies[] = {
		{ 37, 1, "past 1 TiB" }, { 42, 0x20, "an object of 2 MiB" }, { 44, 5, "a bundle" },
		{ 44, 0, "of no type" }, { 45, 1, "a compressed one" },      { 46, 1, "reserved" },
	};

	memset(e.id.bytes, 0x55, sizeof(e.id.bytes));
	pfs_packentry_encode_piece(&e, raw);
	cr_assert_eq(pfs_packentry_decode_piece(raw, &got, NULL), 0);
	cr_expect(got.off == e.off && got.clen == 777 && got.ulen == 777);
	pfs_packentry_encode_piece(&got, again);
	cr_expect_arr_eq(raw, again, sizeof(raw));
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		memcpy(again, raw, sizeof(raw));
		again[lies[i].off] = lies[i].value;
		cr_expect_eq(pfs_packentry_decode_piece(again, &got, NULL), PFS_E_CORRUPT, "%s",
			     lies[i].why);
	}
}

Test(packhdr, tells_a_later_version_from_damage)
{
	unsigned char raw[PFS_SUPERBLOCK_SIZE];
	struct pfs_superblock s = sample_superblock();
	struct pfs_packhdr h = sample_header();
	struct pfs_error err = { 0 };

	pfs_superblock_encode(&s, raw);
	raw[4] = 2;
	pfs_put_le32(raw + 4092, pfs_crc32c(0, raw, 4092));
	cr_expect_eq(pfs_superblock_decode(raw, &s, &err), PFS_E_UNSUPPORTED);
	cr_expect(strstr(err.text, "version 2"), "%s", err.text);
	pfs_packhdr_encode(&h, raw);
	raw[4] = 9;
	pfs_put_le32(raw + 60, pfs_crc32c(0, raw, 60));
	cr_expect_eq(pfs_packhdr_decode(raw, &h, NULL), PFS_E_UNSUPPORTED);
}
