#include "base/buf.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(buf, grows_up_to_its_limit_and_stays_as_it_was_past_it)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(10);
	struct pfs_error err = { 0 };

	cr_expect_eq(pfs_buf_add(&b, "12345678", 8, &err), 0);
	cr_expect_eq(pfs_buf_add(&b, "9ab", 3, &err), PFS_E_LIMIT);
	cr_expect_eq(err.code, PFS_E_LIMIT);
	cr_expect_str_eq(pfs_buf_str(&b), "12345678");
	cr_expect_eq(pfs_buf_add(&b, "9a", 2, &err), 0);
	cr_expect_eq(b.len, 10);
}

Test(buf, is_a_string_even_when_nothing_was_added)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(10);
	char *s;

	cr_expect_str_eq(pfs_buf_str(&b), "");
	s = pfs_buf_take(&b);
	cr_expect_str_eq(s, "");
	free(s);
}

Test(buf, printf_counts_against_the_limit)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(5);

	cr_expect_eq(pfs_buf_printf(&b, NULL, "%d-%s", 12, "ab"), 0);
	cr_expect_str_eq(pfs_buf_str(&b), "12-ab");
	cr_expect_eq(pfs_buf_printf(&b, NULL, "x"), PFS_E_LIMIT);
	cr_expect_str_eq(pfs_buf_str(&b), "12-ab");
}
