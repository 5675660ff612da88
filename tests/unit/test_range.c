#include "daemon/range.h"

#include <criterion/criterion.h>

Test(range, reads_one_range_and_nothing_else)
{
	static const struct {
		const char *text;
		uint64_t size;
		enum pfs_range_kind want;
		uint64_t off, len;
		const char *why;
	} cases[] = {
		{ NULL, 10, PFS_RANGE_WHOLE, 0, 0, "no header" },
		{ "bytes=0-4", 10, PFS_RANGE_PART, 0, 5, "both ends" },
		{ "bytes=4-", 10, PFS_RANGE_PART, 4, 6, "to the end" },
		{ "bytes=-3", 10, PFS_RANGE_PART, 7, 3, "the last three" },
		{ "bytes=-30", 10, PFS_RANGE_PART, 0, 10, "more than there is" },
		{ "bytes=5-500", 10, PFS_RANGE_PART, 5, 5, "an end past the end" },
		{ "Bytes=0-0", 10, PFS_RANGE_PART, 0, 1, "the unit in any case" },
		{ "bytes=10-", 10, PFS_RANGE_UNSATISFIABLE, 0, 0, "behind the end" },
		{ "bytes=0-", 0, PFS_RANGE_UNSATISFIABLE, 0, 0, "of an empty file" },
		{ "bytes=-0", 10, PFS_RANGE_UNSATISFIABLE, 0, 0, "the last none" },
		{ "bytes=5-4", 10, PFS_RANGE_WHOLE, 0, 0, "backwards is no range" },
		{ "bytes=0-1,3-4", 10, PFS_RANGE_WHOLE, 0, 0, "several" },
		{ "bytes=a-b", 10, PFS_RANGE_WHOLE, 0, 0, "letters" },
		{ "bytes=-", 10, PFS_RANGE_WHOLE, 0, 0, "nothing" },
		{ "bytes=+1-2", 10, PFS_RANGE_WHOLE, 0, 0, "a sign" },
		{ "lines=0-1", 10, PFS_RANGE_WHOLE, 0, 0, "another unit" },
		{ "bytes=99999999999999999999999-", 10, PFS_RANGE_UNSATISFIABLE, 0, 0,
		  "no number of ours" },
		{ "bytes=0-99999999999999999999999", 10, PFS_RANGE_PART, 0, 10,
		  "an end without limit" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t off = 0, len = 0;

		cr_expect_eq(pfs_range_parse(cases[i].text, cases[i].size, &off, &len),
			     cases[i].want, "%s", cases[i].why);
		cr_expect_eq(off, cases[i].off, "%s", cases[i].why);
		cr_expect_eq(len, cases[i].len, "%s", cases[i].why);
	}
}
