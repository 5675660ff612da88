#include "format/packidx.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/limits.h"
#include "../scratch.h"

#include <criterion/criterion.h>

static struct pfs_id id_of(unsigned i)
{
	struct pfs_id id;

	scratch_fill(&id, sizeof(id), i + 1);
	return id;
}

Test(packidx, keeps_every_place_that_can_be)
{
	const struct pfs_idxrec records[] = {
		{ .pack = 0, .off = 0, .clen = 0, .ulen = 0, .type = 1, .codec = 0 },
		{ .pack = UINT32_MAX,
		  .off = (1ull << 40) - 1,
		  .clen = (1u << 24) - 1,
		  .ulen = (1u << 24) - 1,
		  .type = 15,
		  .codec = 15 },
		{ .pack = 7, .off = 64, .clen = 333, .ulen = 65536, .type = 6, .codec = 3 },
	};

	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++) {
		struct pfs_idxrec want = records[i], got;
		unsigned char raw[PFS_IDXREC_SIZE];

		want.id = id_of((unsigned)i);
		pfs_idxrec_encode(&want, raw);
		pfs_idxrec_decode(raw, &got);
		cr_expect(pfs_id_equal(&got.id, &want.id));
		cr_expect(got.pack == want.pack && got.off == want.off && got.clen == want.clen &&
			  got.ulen == want.ulen && got.type == want.type &&
			  got.codec == want.codec);
	}
}

Test(packidx, knows_a_page_by_its_run_its_number_and_every_bit)
{
	unsigned char page[PFS_IDXPAGE_SIZE];

	scratch_fill(page, sizeof(page), 3);
	pfs_idxpage_seal(page, 77, 5);
	cr_expect_eq(pfs_idxpage_check(page, 77, 5, NULL), 0);
	cr_expect_eq(pfs_idxpage_check(page, 78, 5, NULL), PFS_E_CORRUPT);
	cr_expect_eq(pfs_idxpage_check(page, 77, 6, NULL), PFS_E_CORRUPT);
	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] ^= (unsigned char)(1u << i % 8);
		cr_assert_eq(pfs_idxpage_check(page, 77, 5, NULL), PFS_E_CORRUPT, "byte %zu", i);
		page[i] ^= (unsigned char)(1u << i % 8);
	}
}

Test(packidx, lets_few_ids_through_that_were_not_added)
{
	enum { N = 100000 };
	uint32_t blocks = pfs_idxbloom_blocks(N), before = 0;
	unsigned char *bloom = calloc(blocks, PFS_IDXBLOOM_SIZE);
	unsigned through = 0;

	cr_assert(bloom);
	for (unsigned i = 0; i < N; i++) {
		struct pfs_id id = id_of(i);

		pfs_idxbloom_add(
			bloom + (size_t)pfs_idxbloom_block(&id, blocks) * PFS_IDXBLOOM_SIZE, &id);
	}
	for (unsigned i = 0; i < 2 * N; i++) {
		struct pfs_id id = id_of(i);
		uint32_t block = pfs_idxbloom_block(&id, blocks);
		bool may = pfs_idxbloom_may_hold(bloom + (size_t)block * PFS_IDXBLOOM_SIZE, &id);

		cr_assert_lt(block, blocks);
		cr_assert(may || i >= N, "id %u was added", i);
		through += may && i >= N;
	}
	cr_expect_lt(through, N / 100, "%u of %d let through, 0.5 in a hundred are expected",
		     through, N);
	cr_expect_gt(through, 0, "too good to be true");
	for (unsigned i = 0; i < 256; i++) {
		struct pfs_id id = { .bytes = { (unsigned char)i } };

		cr_expect_geq(pfs_idxbloom_block(&id, blocks), before, "blocks rise with ids");
		before = pfs_idxbloom_block(&id, blocks);
	}
	free(bloom);
}

static const struct pfs_idxhdr sample = { .level = 1, .records = 86, .blocks = 64 };

Test(packidx, refuses_each_damaged_byte_of_a_run_header)
{
	static const struct {
		size_t off;
		unsigned char value;
		int want;
		const char *why;
	} damage[] = {
		{ 0, 'v', PFS_E_CORRUPT, "magic" },
		{ 4, 2, PFS_E_UNSUPPORTED, "version" },
		{ 6, 16, PFS_E_CORRUPT, "a level that cannot be" },
		{ 7, 1, PFS_E_CORRUPT, "reserved" },
		{ 24, 0, PFS_E_CORRUPT, "no records" },
		{ 24, 200, PFS_E_CORRUPT, "more records than pages" },
		{ 28, 0, PFS_E_CORRUPT, "no Bloom blocks" },
		{ 31, 255, PFS_E_CORRUPT, "more blocks than pages" },
		{ 32, 9, PFS_E_CORRUPT, "another number of pages" },
		{ 36, 1, PFS_E_CORRUPT, "reserved" },
		{ PFS_IDXPAGE_ROOM - 1, 1, PFS_E_CORRUPT, "reserved" },
	};
	unsigned char page[PFS_IDXPAGE_SIZE];
	struct pfs_idxhdr got;

	pfs_idxhdr_encode(&sample, page);
	cr_assert_eq(pfs_idxhdr_decode(page, &got, NULL), 0);
	cr_expect(got.records == 86 && got.blocks == 64 && got.level == 1);
	cr_expect_eq(pfs_idxhdr_pages(&got), 1 + 2 + 2 + 1,
		     "64 blocks need two pages, 86 records too");
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		got.records = 4711;
		pfs_idxhdr_encode(&sample, page);
		page[damage[i].off] = damage[i].value;
		cr_expect_eq(pfs_idxhdr_decode(page, &got, NULL), damage[i].want, "%s",
			     damage[i].why);
		cr_expect_eq(got.records, 4711, "%s: wrote to out", damage[i].why);
	}
}

/* A manifest of one run and one pack. */
static size_t make_manifest(unsigned char raw[256])
{
	const struct pfs_idxmanifest m = {
		.next_run = 10, .next_pack = 4, .n_runs = 1, .n_packs = 1
	};
	const struct pfs_idxrun run = { .number = 9, .records = 86, .level = 1 };
	const struct pfs_idxpack pack = {
		.number = 3,
		.seq = 8,
		.size = 1ull << 33,
		.kind = PFS_PACK_ADOPTED,
		.objects = 5,
		.object_bytes = 1ull << 34,
	};
	size_t len = pfs_idxmanifest_size(&m);

	pfs_idxmanifest_encode(&m, raw);
	pfs_idxrun_encode(&run, raw + PFS_IDXHEAD_SIZE);
	pfs_idxpack_encode(&pack, raw + PFS_IDXHEAD_SIZE + PFS_IDXRUN_SIZE);
	pfs_put_le32(raw + len - 4, pfs_crc32c(0, raw, len - 4));
	return len;
}

Test(packidx, tells_from_a_manifest_what_was_put_into_it)
{
	unsigned char raw[256];
	size_t len = make_manifest(raw);
	struct pfs_idxmanifest m;
	struct pfs_idxpack pack;
	struct pfs_idxrun run;

	cr_assert_eq(pfs_idxmanifest_decode(raw, len, &m, NULL), 0);
	cr_expect(m.next_run == 10 && m.next_pack == 4 && m.n_runs == 1 && m.n_packs == 1);
	cr_assert_eq(pfs_idxrun_decode(raw + PFS_IDXHEAD_SIZE, &m, &run, NULL), 0);
	cr_expect(run.number == 9 && run.records == 86 && run.level == 1);
	cr_assert_eq(pfs_idxpack_decode(raw + PFS_IDXHEAD_SIZE + PFS_IDXRUN_SIZE, &m, &pack, NULL),
		     0);
	cr_expect(pack.number == 3 && pack.seq == 8 && pack.size == 1ull << 33 &&
		  pack.objects == 5 && pack.object_bytes == 1ull << 34 &&
		  pack.kind == PFS_PACK_ADOPTED);
}

Test(packidx, refuses_a_manifest_with_any_bit_turned_and_what_cannot_be)
{
	struct pfs_idxmanifest got = { .next_run = 4711 }, m;
	unsigned char raw[256], piece[64];
	size_t len = make_manifest(raw);

	for (size_t i = 0; i < len; i++) {
		raw[i] ^= 32;
		cr_assert_lt(pfs_idxmanifest_decode(raw, len, &got, NULL), 0, "byte %zu", i);
		raw[i] ^= 32;
	}
	for (size_t cut = 0; cut < len; cut++)
		cr_assert_eq(pfs_idxmanifest_decode(raw, cut, &got, NULL), PFS_E_CORRUPT);
	cr_expect_eq(got.next_run, 4711, "wrote to out");
	cr_assert_eq(pfs_idxmanifest_decode(raw, len, &m, NULL), 0);
	memcpy(piece, raw + PFS_IDXHEAD_SIZE, PFS_IDXRUN_SIZE);
	piece[0] = 10;
	cr_expect_eq(pfs_idxrun_decode(piece, &m, &(struct pfs_idxrun){ 0 }, NULL), PFS_E_CORRUPT,
		     "a run that was not given a number yet");
	memcpy(piece, raw + PFS_IDXHEAD_SIZE + PFS_IDXRUN_SIZE, PFS_IDXPACK_SIZE);
	piece[0] = 4;
	cr_expect_eq(pfs_idxpack_decode(piece, &m, &(struct pfs_idxpack){ 0 }, NULL), PFS_E_CORRUPT,
		     "a pack that was not given a number yet");
	piece[0] = 3;
	piece[36] = 4;
	cr_expect_eq(pfs_idxpack_decode(piece, &m, &(struct pfs_idxpack){ 0 }, NULL), PFS_E_CORRUPT,
		     "a kind that cannot be");
}
