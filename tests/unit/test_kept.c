#include "workspace/kept.h"

#include <criterion/criterion.h>
#include <string.h>

/* The example of pfs-workspace(5). */
static const unsigned char golden[] = { 0, 3, 0, 0, 0, 0, 0, 0, 0, 'h', 'i', '\n' };

Test(kept, is_encoded_as_the_page_says_and_comes_back_the_same)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1000);
	struct pfs_content c = { .size = 3, .bytes = "hi\n" }, again;
	struct pfs_kept *k = pfs_kept_new(&c);

	cr_assert_eq(pfs_kept_encode(k, &b, NULL), 0);
	cr_assert_eq(b.len, sizeof(golden));
	cr_expect_eq(memcmp(b.data, golden, sizeof(golden)), 0);
	pfs_kept_unref(&k);
	cr_assert_eq(pfs_kept_decode(golden, sizeof(golden), &k, NULL), 0);
	pfs_kept_content(k, &again);
	cr_expect(pfs_content_equal(&c, &again));
	pfs_kept_unref(&k);
}

Test(kept, refuses_what_makes_no_sense)
{
	static const struct {
		size_t len;
		unsigned char form, size0, size7;
		const char *why;
	} rows[] = {
		{ 8, 0, 0, 0, "cut in the head" },
		{ 11, 0, 3, 0, "cut in the bytes" },
		{ 13, 0, 3, 0, "a byte too many" },
		{ 12, 3, 3, 0, "an unknown form" },
		{ 12, 1, 3, 0, "an id cut short" },
		{ 42, 1, 3, 0, "an id and a byte" },
		{ 41, 2, 3, 0xff, "a size past all limits" },
	};
	struct pfs_kept *k = NULL;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned char raw[64] = { rows[i].form, rows[i].size0 };

		raw[8] = rows[i].size7;
		cr_expect_eq(pfs_kept_decode(raw, rows[i].len, &k, NULL), PFS_E_CORRUPT, "%s",
			     rows[i].why);
		cr_expect_null(k, "%s", rows[i].why);
	}
}
