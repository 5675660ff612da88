#include "format/seqnode.h"
#include "base/endian.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 27182;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

static size_t leaf_entries(struct pfs_seqnode_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		memset(&e[i], 0, sizeof(e[i]));
		e[i].kind = (enum pfs_seqnode_kind)(i % 5 == 2 ? PFS_SEQNODE_HOLE : roll(2));
		e[i].bytes =
			e[i].kind == PFS_SEQNODE_HOLE ? 65536 + roll(1u << 30) : 1 + roll(262144);
		e[i].chunks = e[i].kind != PFS_SEQNODE_HOLE;
		if (e[i].chunks)
			memset(&e[i].id, 1 + (int)roll(255), sizeof(e[i].id));
		e[i].last_seed = pfs_seqnode_seed(e[i].kind, e[i].bytes, &e[i].id);
	}
	return n;
}

static size_t inner_entries(struct pfs_seqnode_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		e[i] = (struct pfs_seqnode_entry){ .kind = PFS_SEQNODE_CHILD,
						   .bytes = 1000 + roll(1u << 30),
						   .chunks = roll(1000),
						   .last_seed = roll(UINT64_MAX) };
		memset(&e[i].id, 1 + (int)roll(255), sizeof(e[i].id));
	}
	return n;
}

static bool is_its_own_encoding(const void *data, size_t len)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 22);
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it;
	struct pfs_seqnode_entry *e;
	size_t n = 0;
	bool same;

	if (pfs_seqnode_open(data, len, &node, NULL) < 0)
		return false;
	e = calloc(node.count, sizeof(*e));
	pfs_seqnode_iter_init(&it, &node);
	while (pfs_seqnode_iter_next(&it, NULL) > 0)
		e[n++] = it.e;
	same = pfs_seqnode_encode(e, n, node.level, node.flags, &b, NULL) == 0 && b.len == len &&
	       memcmp(b.data, data, len) == 0;
	free(e);
	return same;
}

Test(seqnode, gives_back_its_entries_and_finds_the_one_at_any_byte)
{
	struct pfs_seqnode_entry e[200];

	for (unsigned level = 0; level < 3; level++) {
		for (size_t n = 1; n <= 200; n += 1 + n / 5) {
			PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
			struct pfs_seqnode node;
			struct pfs_seqnode_iter it;
			uint64_t start = 0;

			level ? inner_entries(e, n) : leaf_entries(e, n);
			cr_assert_eq(pfs_seqnode_encode(e, n, level, 0, &b, NULL), 0);
			cr_assert_eq(pfs_seqnode_check(b.data, b.len, NULL), 0);
			cr_assert(is_its_own_encoding(b.data, b.len));
			cr_assert_eq(pfs_seqnode_open(b.data, b.len, &node, NULL), 0);
			pfs_seqnode_iter_init(&it, &node);
			for (size_t i = 0; i < n; start += e[i++].bytes) {
				uint64_t at[] = { start, start + e[i].bytes - 1,
						  start + roll(e[i].bytes) };

				for (size_t k = 0; k < 3; k++) {
					cr_assert_eq(pfs_seqnode_iter_seek(&it, at[k], NULL), 0);
					cr_assert_eq(it.index - 1, i);
					cr_assert_eq(it.start, start);
					cr_assert_eq(memcmp(&it.e, &e[i], sizeof(e[i])), 0);
				}
			}
			cr_expect_eq(pfs_seqnode_iter_seek(&it, start, NULL), PFS_E_INVALID);
		}
	}
}

Test(seqnode, refuses_to_write_entries_that_cannot_be)
{
	static const struct {
		const char *why;
		unsigned level;
		struct pfs_seqnode_entry e;
	} rows[] = {
		{ "nothing", 0, { .kind = 0, .id = { { 1 } } } },
		{ "chunk too long", 0, { .kind = 0, .bytes = 262145, .id = { { 1 } } } },
		{ "chunk without id", 0, { .kind = 1, .bytes = 5 } },
		{ "hole too short", 0, { .kind = 2, .bytes = 65535 } },
		{ "child in a leaf", 0, { .kind = 3, .bytes = 65535, .id = { { 1 } } } },
		{ "chunk above leaves", 1, { .kind = 0, .bytes = 65535, .id = { { 1 } } } },
		{ "more chunks than bytes",
		  1,
		  { .kind = 3, .bytes = 5, .chunks = 6, .id = { { 1 } } } },
		{ "longer than files get",
		  1,
		  { .kind = 3, .bytes = PFS_FILE_SIZE_MAX + 1, .id = { { 1 } } } },
	};
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_seqnode_entry holes[2] = { { .kind = 2, .bytes = 70000 },
					      { .kind = 2, .bytes = 70000 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		cr_expect_eq(pfs_seqnode_encode(&rows[i].e, 1, rows[i].level, 0, &b, NULL),
			     PFS_E_INVALID, "%s", rows[i].why);
		cr_expect_eq(b.len, 0, "%s: wrote to out", rows[i].why);
	}
	cr_expect_eq(pfs_seqnode_encode(holes, 2, 0, 0, &b, NULL), PFS_E_INVALID,
		     "a hole behind a hole");
	holes[0].bytes = PFS_FILE_SIZE_MAX;
	holes[1] = (struct pfs_seqnode_entry){ .bytes = 1, .id = { { 1 } } };
	cr_expect_eq(pfs_seqnode_encode(holes, 2, 0, 0, &b, NULL), PFS_E_LIMIT,
		     "sum past the limit");
}

Test(seqnode, accepts_no_changed_byte_unless_it_is_another_proper_node)
{
	struct pfs_seqnode_entry e[40];

	for (unsigned level = 0; level < 2; level++) {
		PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
		size_t accepted = 0;

		level ? inner_entries(e, 40) : leaf_entries(e, 40);
		cr_assert_eq(pfs_seqnode_encode(e, 40, level, 0, &b, NULL), 0);
		for (size_t at = 0; at < b.len; at++) {
			unsigned char was = b.data[at];

			for (int bit = 0; bit < 8; bit++) {
				b.data[at] = was ^ (unsigned char)(1 << bit);
				if (pfs_seqnode_check(b.data, b.len, NULL) < 0)
					continue;
				accepted++;
				cr_expect(is_its_own_encoding(b.data, b.len),
					  "level %u, byte %zu, bit %d", level, at, bit);
			}
			b.data[at] = was;
		}
		cr_expect_gt(accepted, 0, "an id may be any other id");
		for (size_t len = 0; len < b.len; len++)
			cr_expect_eq(pfs_seqnode_check(b.data, len, NULL), PFS_E_CORRUPT,
				     "cut to %zu bytes", len);
	}
}
