#include "tree/xattrs.h"
#include "format/xattrs.h"
#include "base/io.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pfs_store *st;

static void setup(void)
{
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&st);
}

TestSuite(xattrs, .init = setup, .fini = teardown, .timeout = 120);

static const struct pfs_xattr example[] = { { "user.comment", 12, "hello", 5 },
					    { "user.empty", 10, "", 0 } };

Test(xattrs, writes_the_golden_set)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf want = PFS_BUF_INIT(1 << 20), got = want;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_io_load(AT_FDCWD, PFS_GOLDEN "/tree-v1/xattrs", &want, &err), 0, "%s",
		     err.text);
	cr_assert_eq(pfs_xattrs_encode(example, 2, &got, &err), 0, "%s", err.text);
	cr_expect(got.len == want.len && memcmp(got.data, want.data, want.len) == 0);
}

Test(xattrs, refuses_each_damaged_byte_and_leaves_out_untouched)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf good = PFS_BUF_INIT(1 << 20);
	static const struct {
		size_t off;
		unsigned char value;
		const char *why;
	} rows[] = {
		{ 0, 'Y', "magic" },
		{ 2, 2, "version" },
		{ 3, 1, "reserved" },
		{ 4, 0, "no attributes" },
		{ 4, 1, "bytes left over" },
		{ 4, 3, "cut short" },
		{ 7, 1, "cut short by far" },
		{ 8, 0, "no name" },
		{ 8, 0x80, "a number not in its shortest form" },
		{ 8, 200, "a name past the end" },
		{ 10, 0, "zero byte in a name" },
		{ 9, 'v', "out of order" },
		{ 14, 'a', "in order, and yet another set" },
		{ 21, 6, "a value of another length" },
		{ 38, 1, "a value past the end" },
	};

	cr_assert_eq(pfs_xattrs_encode(example, 2, &good, NULL), 0);
	cr_assert_eq(good.len, 39);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned char bytes[39];
		struct pfs_xattrs out = { .count = 77 };
		int rc, want = rows[i].off == 14 ? 0 : PFS_E_CORRUPT;

		memcpy(bytes, good.data, 39);
		bytes[rows[i].off] = rows[i].value;
		rc = pfs_xattrs_open(bytes, 39, &out, NULL);
		cr_expect_eq(rc, want, "%s", rows[i].why);
		cr_expect_eq(out.count, want ? 77 : 2, "%s: wrote to out", rows[i].why);
	}
	for (size_t len = 0; len < good.len; len++) {
		struct pfs_xattrs out;

		cr_expect_eq(pfs_xattrs_open(good.data, len, &out, NULL), PFS_E_CORRUPT,
			     "cut at %zu", len);
	}
}

Test(xattrs, limits_hold_to_the_byte)
{
	static char name[PFS_NAME_SIZE_MAX + 1], value[PFS_XATTR_VALUE_MAX + 1];
	static char names[300][256];
	static struct pfs_xattr list[300];
	PFS_AUTO(pfs_buf_fini) struct pfs_buf out = PFS_BUF_INIT(4u << 20);
	struct pfs_xattr x = { name, PFS_NAME_SIZE_MAX, value, PFS_XATTR_VALUE_MAX };

	memset(name, 'n', sizeof(name));
	cr_expect_eq(pfs_xattrs_encode(&x, 1, &out, NULL), 0);
	x.name_len++;
	cr_expect_eq(pfs_xattrs_encode(&x, 1, &out, NULL), PFS_E_LIMIT);
	x.name_len--;
	x.value_len++;
	cr_expect_eq(pfs_xattrs_encode(&x, 1, &out, NULL), PFS_E_LIMIT);
	for (size_t i = 0; i < 300; i++) {
		memset(names[i], 'n', 255);
		sprintf(names[i], "%03zu", i);
		names[i][3] = 'n';
		list[i] = (struct pfs_xattr){ names[i], 255, value, i < 16 ? 65000 : 0 };
	}
	cr_expect_eq(pfs_xattrs_encode(list, 256, &out, NULL), PFS_E_LIMIT, "the set as a whole");
	for (size_t i = 0; i < 16; i++)
		list[i].value_len = 0;
	cr_expect_eq(pfs_xattrs_encode(list, 256, &out, NULL), 0);
	cr_expect_eq(pfs_xattrs_encode(list, 257, &out, NULL), PFS_E_LIMIT, "what can be listed");
	cr_expect_eq(pfs_xattrs_encode(list, 0, &out, NULL), PFS_E_INVALID);
	list[1] = list[0];
	cr_expect_eq(pfs_xattrs_encode(list, 2, &out, NULL), PFS_E_INVALID, "twice the same name");
}

static void expect(const struct pfs_id *set, const char *name, const char *value)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf out = PFS_BUF_INIT(PFS_XATTR_VALUE_MAX);
	int rc = pfs_xattrs_get(st, set, name, &out, NULL);

	cr_expect_eq(rc, value ? 0 : PFS_E_NOTFOUND, "%s", name);
	if (value)
		cr_expect_str_eq(pfs_buf_str(&out), value);
}

Test(xattrs, a_set_is_what_was_set_whatever_the_order)
{
	static const char *const orders[] = { "abc", "cba", "bac", "cab" };
	PFS_AUTO(pfs_buf_fini) struct pfs_buf names = PFS_BUF_INIT(PFS_XATTR_NAMES_MAX);
	struct pfs_id first = { 0 }, set, whole;
	const struct pfs_xattr list[] = { { "c", 1, "value", 5 },
					  { "a", 1, "value", 5 },
					  { "b", 1, "value", 5 } };

	for (size_t i = 0; i < 4; i++) {
		memset(&set, 0, sizeof(set));
		for (const char *p = orders[i]; *p; p++) {
			char name[2] = { *p, 0 };

			cr_assert_eq(pfs_xattrs_set(st, &set, name, "other", 5, &set, NULL), 0);
			cr_assert_eq(pfs_xattrs_set(st, &set, "x", name, 1, &set, NULL), 0);
			cr_assert_eq(pfs_xattrs_set(st, &set, name, "value", 5, &set, NULL), 0);
		}
		cr_assert_eq(pfs_xattrs_remove(st, &set, "x", &set, NULL), 0);
		first = i ? first : set;
		cr_expect(pfs_id_equal(&first, &set), "order %s", orders[i]);
	}
	cr_assert_eq(pfs_xattrs_put(st, list, 3, &whole, NULL), 0);
	cr_expect(pfs_id_equal(&whole, &set));
	expect(&set, "b", "value");
	expect(&set, "x", NULL);
	cr_assert_eq(pfs_xattrs_list(st, &set, &names, NULL), 0);
	cr_expect(names.len == 6 && memcmp(names.data, "a\0b\0c\0", 6) == 0);
	cr_expect_eq(pfs_xattrs_remove(st, &set, "x", &whole, NULL), PFS_E_NOTFOUND);
	for (const char *p = "bca"; *p; p++) {
		char name[2] = { *p, 0 };

		cr_assert_eq(pfs_xattrs_remove(st, &set, name, &set, NULL), 0);
	}
	cr_expect(pfs_id_is_zero(&set), "without attributes there is no set");
	expect(&set, "a", NULL);
	names.len = 0;
	cr_assert_eq(pfs_xattrs_list(st, &set, &names, NULL), 0);
	cr_expect_eq(names.len, 0);
}

Test(xattrs, refuses_names_that_cannot_be)
{
	struct pfs_id set = { 0 }, out = { { 7 } };
	struct pfs_error err = { 0 };

	cr_expect_eq(pfs_xattrs_set(st, &set, "", "x", 1, &out, &err), PFS_E_INVALID);
	cr_expect_eq(out.bytes[0], 7);
	set.bytes[0] = 1;
	cr_expect_eq(pfs_xattrs_set(st, &set, "a", "x", 1, &out, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "attributes 01"), "%s", err.text);
}
