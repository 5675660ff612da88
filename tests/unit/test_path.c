#include "base/limits.h"
#include "base/path.h"

#include <criterion/criterion.h>
#include <string.h>

Test(path, normalizes_slashes_and_refuses_dots)
{
	static const struct {
		const char *in;
		int want;
		const char *out;
	} rows[] = {
		{ "a/b/c", 0, "a/b/c" },
		{ "/a//b/", 0, "a/b" },
		{ "", 0, "" },
		{ "///", 0, "" },
		{ "...", 0, "..." },
		{ "a/../b", PFS_E_INVALID, NULL },
		{ "..", PFS_E_INVALID, NULL },
		{ "a/.", PFS_E_INVALID, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char got[PFS_PATH_SIZE_MAX + 1] = "untouched";

		cr_expect_eq(pfs_path_normalize(rows[i].in, got, NULL), rows[i].want, "%s",
			     rows[i].in);
		if (rows[i].want == 0)
			cr_expect_str_eq(got, rows[i].out);
	}
}

Test(path, takes_names_of_255_bytes_and_not_of_256)
{
	char name[257];
	char out[PFS_PATH_SIZE_MAX + 1];

	memset(name, 'x', sizeof(name));
	name[256] = 0;
	cr_expect_eq(pfs_path_normalize(name, out, NULL), PFS_E_NAMETOOLONG);
	name[255] = 0;
	cr_expect_eq(pfs_path_normalize(name, out, NULL), 0);
}

Test(path, branch_names_never_look_like_commits)
{
	cr_expect_eq(pfs_path_check_branch("master", NULL), 0);
	cr_expect_eq(pfs_path_check_branch("0123456789abcdef0123456789abcdef", NULL),
		     PFS_E_INVALID);
	cr_expect_eq(pfs_path_check_branch("a.b", NULL), PFS_E_INVALID);
	cr_expect_eq(pfs_path_check_branch("-a", NULL), PFS_E_INVALID);
	cr_expect_eq(pfs_path_check_repo("", NULL), PFS_E_INVALID);
}
