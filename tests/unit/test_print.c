#include "cli/print.h"

#include <criterion/criterion.h>

Test(print, sizes_are_short_and_honest)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} cases[] = {
		{ 0, "0B" },
		{ 1023, "1023B" },
		{ 1024, "1.0KiB" },
		{ 1536, "1.5KiB" },
		{ 1048576, "1.0MiB" },
		{ 200ULL << 20, "200MiB" },
		{ UINT64_MAX, "16.0EiB" },
	};
	char text[PFS_PRINT_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_str_eq(pfs_print_size(cases[i].bytes, text), cases[i].want);
}

Test(print, ages_are_told_in_the_largest_unit_that_fits)
{
	static const struct {
		int64_t later;
		const char *want;
	} cases[] = { { 0, "just now" },        { -5, "just now" },     { 1, "1 second ago" },
		      { 59, "59 seconds ago" }, { 60, "1 minute ago" }, { 7200, "2 hours ago" },
		      { 90000, "1 day ago" } };
	const char *then = "2026-11-21T00:00:00.123456+00:00";
	char text[PFS_PRINT_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_str_eq(pfs_print_age(then, false, 1795219200 + cases[i].later, text),
				 cases[i].want);
	cr_expect_str_eq(pfs_print_age(then, true, 0, text), then);
	cr_expect_str_eq(pfs_print_age(NULL, false, 0, text), "-");
	cr_expect_str_eq(pfs_print_age("nonsense", false, 0, text), "nonsense");
	cr_expect_str_eq(pfs_print_span(then, "2026-11-21T00:02:05+00:00", 0, text), "2m 5s");
}
