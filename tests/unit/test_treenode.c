#include "format/treenode.h"
#include "base/endian.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 31337;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

static const struct pfs_id some_id = { { 1, 2, 3 } };

static struct pfs_treenode_entry file(const char *name)
{
	return (struct pfs_treenode_entry){ .name = name,
					    .name_len = strlen(name),
					    .mode = 0644,
					    .kind = PFS_TREENODE_CHUNK,
					    .size = 1000,
					    .id = some_id,
					    .mtime_sec = 100,
					    .uid = 7,
					    .gid = 8 };
}

/* One entry of every kind, every optional field, names that share and do not. */
static size_t every_kind(struct pfs_treenode_entry *e)
{
	static const char *const names[] = { "a", "aa",   "ab", "b",   "block",
					     "c", "char", "d",  "dir", "\xff" };

	for (size_t i = 0; i < 10; i++)
		e[i] = file(names[i]);
	e[0].kind = PFS_TREENODE_INLINE;
	e[0].size = 5;
	e[0].bytes = (const unsigned char *)"hello";
	e[1].kind = PFS_TREENODE_SEQ;
	e[1].size = PFS_FILE_SIZE_MAX;
	e[2].mtime_nsec = 999999999;
	e[3].uid = 4000000000u;
	e[4].kind = PFS_TREENODE_BLK;
	e[4].rdev = 0x801;
	e[5].xattrs = some_id;
	e[5].link = 12345678901;
	e[6].kind = PFS_TREENODE_CHR;
	e[6].mtime_sec = INT64_MIN;
	e[7].kind = PFS_TREENODE_FIFO;
	e[7].mtime_sec = INT64_MAX;
	e[8].kind = PFS_TREENODE_DIR;
	e[8].entries = 10;
	e[8].below_bytes = UINT64_MAX / 2;
	e[9].kind = PFS_TREENODE_SYMLINK;
	e[9].size = 6;
	e[9].bytes = (const unsigned char *)"target";
	return 10;
}

static void encode(const struct pfs_treenode_entry *e, size_t n, unsigned level, struct pfs_buf *b)
{
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_treenode_encode(e, n, level, 0, b, &err), 0, "%s", err.text);
}

/* Decode everything and encode it again: what is accepted has one form only. */
static bool is_its_own_encoding(const void *data, size_t len)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 22);
	struct pfs_treenode node;
	struct pfs_treenode_iter it;
	struct pfs_treenode_entry *e;
	char *names, *name;
	size_t n = 0;
	bool same;

	if (pfs_treenode_open(data, len, &node, NULL) < 0)
		return false;
	e = calloc(node.count, sizeof(*e));
	name = names = calloc(node.count, PFS_NAME_SIZE_MAX);
	pfs_treenode_iter_init(&it, &node);
	while (pfs_treenode_iter_next(&it, NULL) > 0) {
		e[n] = it.e;
		e[n++].name = memcpy(name, it.e.name, it.e.name_len);
		name += it.e.name_len;
	}
	same = pfs_treenode_encode(e, n, node.level, node.flags, &b, NULL) == 0 && b.len == len &&
	       memcmp(b.data, data, len) == 0;
	free(e);
	free(names);
	return same;
}

Test(treenode, gives_back_every_kind_of_entry)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_treenode_entry e[10];
	size_t n = every_kind(e);
	struct pfs_treenode node;
	struct pfs_treenode_iter it;
	struct pfs_error err = { 0 };

	encode(e, n, 0, &b);
	cr_assert_eq(pfs_treenode_check(b.data, b.len, &err), 0, "%s", err.text);
	cr_expect(is_its_own_encoding(b.data, b.len));
	cr_assert_eq(pfs_treenode_open(b.data, b.len, &node, NULL), 0);
	cr_expect_eq(node.direct, 10);
	cr_expect_eq(node.entries, 20);
	cr_expect_eq(node.bytes, 5 + PFS_FILE_SIZE_MAX + 1000 * 3 + UINT64_MAX / 2);
	pfs_treenode_iter_init(&it, &node);
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(pfs_treenode_iter_next(&it, &err), 1, "%s", err.text);
		cr_expect(it.e.name_len == e[i].name_len &&
			  !memcmp(it.e.name, e[i].name, it.e.name_len));
		cr_expect(it.e.kind == e[i].kind && it.e.mode == e[i].mode &&
				  it.e.uid == e[i].uid && it.e.gid == e[i].gid &&
				  it.e.link == e[i].link,
			  "%s", e[i].name);
		cr_expect(it.e.mtime_sec == e[i].mtime_sec && it.e.mtime_nsec == e[i].mtime_nsec);
		cr_expect(pfs_id_equal(&it.e.xattrs, &e[i].xattrs));
		if (e[i].bytes)
			cr_expect(it.e.size == e[i].size &&
				  !memcmp(it.e.bytes, e[i].bytes, e[i].size));
	}
	cr_expect_eq(pfs_treenode_iter_next(&it, &err), 0);
}

Test(treenode, finds_the_first_name_at_or_after_any_other)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	static char names[200][16];
	struct pfs_treenode_entry e[200];
	struct pfs_treenode node;
	struct pfs_treenode_iter it;

	for (unsigned n = 1; n <= 200; n += 1 + n / 6) {
		for (unsigned i = 0; i < n; i++) {
			sprintf(names[i], "n%05u", 2 * i);
			e[i] = file(names[i]);
		}
		pfs_buf_clear(&b);
		encode(e, n, 0, &b);
		cr_assert_eq(pfs_treenode_open(b.data, b.len, &node, NULL), 0);
		for (unsigned k = 0; k <= 2 * n; k++) {
			for (int after = 0; after < 2; after++) {
				unsigned want = after ? k / 2 + 1 : (k + 1) / 2;
				char name[16];
				int rc;

				sprintf(name, "n%05u", k);
				pfs_treenode_iter_init(&it, &node);
				rc = pfs_treenode_iter_seek(&it, name, strlen(name), after, NULL);
				cr_assert_eq(rc, want < n, "%s among %u", name, n);
				if (rc)
					cr_assert_eq(it.index - 1, want, "%s among %u", name, n);
			}
		}
		for (unsigned i = 0; i < n; i++) {
			cr_assert_eq(pfs_treenode_iter_at(&it, i, NULL), 0);
			cr_assert(it.name_len == 6 && memcmp(it.name, names[i], 6) == 0, "%u of %u",
				  i, n);
		}
	}
}

Test(treenode, refuses_to_write_entries_that_cannot_be)
{
	static const struct {
		const char *why;
		struct pfs_treenode_entry e;
	} rows[] = {
		{ "no name", { .name = "" } },
		{ "a slash", { .name = "a/b", .name_len = 3 } },
		{ "a NUL", { .name = "a\0b", .name_len = 3 } },
		{ "itself", { .name = ".", .name_len = 1 } },
		{ "its parent", { .name = "..", .name_len = 2 } },
		{ "mode too wide", { .name = "a", .name_len = 1, .mode = 010000 } },
		{ "a second of nanoseconds",
		  { .name = "a", .name_len = 1, .mtime_nsec = 1000000000 } },
		{ "inline too long", { .name = "a", .name_len = 1, .size = 257 } },
		{ "chunk without id", { .name = "a", .name_len = 1, .kind = 1, .size = 300 } },
		{ "chunk too small",
		  { .name = "a", .name_len = 1, .kind = 1, .size = 256, .id = { { 1 } } } },
		{ "chunk too large",
		  { .name = "a", .name_len = 1, .kind = 1, .size = 262145, .id = { { 1 } } } },
		{ "file too large",
		  { .name = "a",
		    .name_len = 1,
		    .kind = 2,
		    .size = PFS_FILE_SIZE_MAX + 1,
		    .id = { { 1 } } } },
		{ "empty directory with an id",
		  { .name = "a", .name_len = 1, .kind = 3, .id = { { 1 } } } },
		{ "full directory without one",
		  { .name = "a", .name_len = 1, .kind = 3, .entries = 1 } },
		{ "empty directory with bytes",
		  { .name = "a", .name_len = 1, .kind = 3, .below_bytes = 1 } },
		{ "symlink to nothing", { .name = "a", .name_len = 1, .kind = 4 } },
		{ "unknown kind", { .name = "a", .name_len = 1, .kind = 9 } },
	};
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_treenode_entry two[2] = { file("b"), file("a") };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		cr_expect_eq(pfs_treenode_encode(&rows[i].e, 1, 0, 0, &b, NULL), PFS_E_INVALID,
			     "%s", rows[i].why);
		cr_expect_eq(b.len, 0, "%s: wrote to out", rows[i].why);
	}
	cr_expect_eq(pfs_treenode_encode(two, 2, 0, 0, &b, NULL), PFS_E_INVALID, "out of order");
	two[0].name = "a";
	cr_expect_eq(pfs_treenode_encode(two, 2, 0, 0, &b, NULL), PFS_E_INVALID, "twice the same");
	cr_expect_eq(pfs_treenode_encode(two, 0, 0, 0, &b, NULL), PFS_E_INVALID, "no entry");
	two[0].kind = two[1].kind = PFS_TREENODE_DIR;
	two[0].entries = two[1].entries = UINT64_MAX / 2 + 2;
	two[1].name = "b";
	cr_expect_eq(pfs_treenode_encode(two, 2, 0, 0, &b, NULL), PFS_E_LIMIT, "sums past 64 bits");
}

Test(treenode, accepts_no_changed_byte_unless_it_is_another_proper_node)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	static char names[40][8];
	struct pfs_treenode_entry e[50];
	size_t n = every_kind(e), accepted = 0;

	for (size_t i = 0; i < 40; i++) { /* behind "dir" and before 0xff, past two restarts */
		sprintf(names[i], "n%03zu", i);
		e[n + i] = file(names[i]);
	}
	e[49] = e[9];
	memmove(e + 9, e + 10, 40 * sizeof(*e));
	e[49].name = "\xff";
	e[49].kind = PFS_TREENODE_SYMLINK;
	e[49].size = 6;
	e[49].bytes = (const unsigned char *)"target";
	for (size_t i = 9; i < 49; i++)
		e[i] = file(names[i - 9]);
	encode(e, 50, 0, &b);
	for (size_t at = 0; at < b.len; at++) {
		unsigned char was = b.data[at];

		for (int bit = 0; bit < 8; bit++) {
			b.data[at] = was ^ (unsigned char)(1 << bit);
			if (pfs_treenode_check(b.data, b.len, NULL) < 0)
				continue;
			accepted++;
			cr_expect(is_its_own_encoding(b.data, b.len), "byte %zu, bit %d", at, bit);
		}
		b.data[at] = was;
	}
	cr_expect_gt(accepted, 0, "an id may be any other id");
	for (size_t len = 0; len < b.len; len++)
		cr_expect_eq(pfs_treenode_check(b.data, len, NULL), PFS_E_CORRUPT,
			     "cut to %zu bytes", len);
}

Test(treenode, headers_are_claims_that_are_checked)
{
	static const struct {
		size_t off;
		unsigned char value;
		const char *why;
	} rows[] = {
		{ 0, 'S', "magic" },
		{ 2, 2, "version" },
		{ 3, 13, "level past the limit" },
		{ 4, 11, "more entries than there are" },
		{ 4, 9, "fewer entries than there are" },
		{ 5, 1, "many more entries" },
		{ 6, 8, "another restart" },
		{ 7, 2, "unknown flag" },
		{ 8, 9, "direct" },
		{ 16, 1, "entries" },
		{ 24, 1, "bytes" },
		{ 32, 1, "base time" },
	};
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_treenode_entry e[10];

	encode(e, every_kind(e), 0, &b);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned char was = b.data[rows[i].off];

		b.data[rows[i].off] = rows[i].value;
		cr_expect_eq(pfs_treenode_check(b.data, b.len, NULL), PFS_E_CORRUPT, "%s",
			     rows[i].why);
		b.data[rows[i].off] = was;
	}
}

Test(treenode, the_default_owner_is_the_most_frequent_and_the_smallest_of_several)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_treenode_entry e[2] = { file("a"), file("b") };

	e[1].uid = 9;
	encode(e, 2, 0, &b);
	cr_assert_eq(b.data[40], 7);
	b.data[40] = 8; /* "a" is 8's now: still the smaller of two */
	cr_expect_eq(pfs_treenode_check(b.data, b.len, NULL), 0);
	b.data[40] = 10;
	cr_expect_eq(pfs_treenode_check(b.data, b.len, NULL), PFS_E_CORRUPT);
	b.data[40] = 9; /* "b" names an owner that is the default */
	cr_expect_eq(pfs_treenode_check(b.data, b.len, NULL), PFS_E_CORRUPT);
}

Test(treenode, inner_nodes_hold_children_and_their_sums)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_treenode_entry e[20];
	static char names[20][8];
	struct pfs_treenode node;

	for (size_t i = 0; i < 20; i++) {
		sprintf(names[i], "n%zu", 100 + i);
		e[i] = (struct pfs_treenode_entry){ .name = names[i],
						    .name_len = 4,
						    .id = some_id,
						    .direct = 1 + roll(300),
						    .below_bytes = roll(1u << 31) };
		e[i].entries = e[i].direct + roll(1000);
	}
	encode(e, 20, 3, &b);
	cr_assert_eq(pfs_treenode_check(b.data, b.len, NULL), 0);
	cr_expect(is_its_own_encoding(b.data, b.len));
	cr_assert_eq(pfs_treenode_open(b.data, b.len, &node, NULL), 0);
	cr_expect_eq(node.level, 3);
	e[4].entries = e[4].direct - 1;
	cr_expect_eq(pfs_treenode_encode(e, 20, 3, 0, &b, NULL), PFS_E_INVALID,
		     "fewer below than in it");
}
