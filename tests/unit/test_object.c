#include "cli/object.h"

#include <criterion/criterion.h>
#include <string.h>

Test(object, names_repos_revisions_and_paths)
{
	static const struct {
		const char *text, *repo, *rev, *path;
		bool has_path, is_dir;
	} cases[] = {
		{ "books", "books", "", "", false, false },
		{ "books@master", "books", "master", "", false, false },
		{ "books@master:", "books", "master", "", true, true },
		{ "books@master:/", "books", "master", "", true, true },
		{ "books@master:/a/b", "books", "master", "a/b", true, false },
		{ "books@master:a//b/", "books", "master", "a/b", true, true },
		{ "books@master^2:/x", "books", "master^2", "x", true, false },
		{ "books@master~~", "books", "master^^", "", false, false },
		{ "books@master.3^1", "books", "master.3^1", "", false, false },
		{ "books:/a@b:c", "books", "", "a@b:c", true, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pfs_object o;
		struct pfs_error err = { 0 };

		cr_assert_eq(pfs_object_parse(cases[i].text, &o, &err), 0, "%s: %s", cases[i].text,
			     err.text);
		cr_expect_str_eq(o.repo, cases[i].repo, "%s", cases[i].text);
		cr_expect_str_eq(o.rev, cases[i].rev, "%s", cases[i].text);
		cr_expect_str_eq(o.path, cases[i].path, "%s", cases[i].text);
		cr_expect_eq(o.has_path, cases[i].has_path, "%s", cases[i].text);
		cr_expect_eq(o.path_is_dir, cases[i].is_dir, "%s", cases[i].text);
	}
}

Test(object, refuses_what_names_nothing_and_leaves_out_untouched)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "nothing" },
		{ "@master", "no repo" },
		{ "bo/oks@master", "a slash in a repo" },
		{ "..@master", "dots" },
		{ "books@", "an empty revision" },
		{ "books@a b", "a space in a revision" },
		{ "books@a/b", "a slash in a revision" },
		{ "books@a@b", "two revisions" },
		{ "books@a^~", "both ways to say parent" },
		{ "books@master:/../x", "a path that leads out" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pfs_object o = { .rev = "untouched" };
		struct pfs_error err = { 0 };

		cr_expect_eq(pfs_object_parse(cases[i].text, &o, &err), PFS_E_INVALID, "%s",
			     cases[i].why);
		cr_expect_str_eq(o.rev, "untouched", "%s: wrote to out", cases[i].why);
		cr_expect_not_null(strstr(err.text, cases[i].text), "%s: does not name it",
				   cases[i].why);
	}
}

Test(object, asks_for_a_revision_where_one_is_needed)
{
	struct pfs_object o;

	cr_expect_eq(pfs_object_parse_rev("books", &o, NULL), PFS_E_INVALID);
	cr_expect_eq(pfs_object_parse_branch("books@master:/a", &o, NULL), PFS_E_INVALID);
	cr_expect_eq(pfs_object_parse_branch("books@master", &o, NULL), 0);
}

Test(object, tells_ids_from_names)
{
	cr_expect(pfs_object_is_id("0123456789abcdef0123456789ABCDEF"));
	cr_expect(pfs_object_is_id("01234567-89ab-cdef-0123-456789abcdef"));
	cr_expect_not(pfs_object_is_id("master"));
	cr_expect_not(pfs_object_is_id("0123456789abcdef0123456789abcde"));
	cr_expect_not(pfs_object_is_id("g123456789abcdef0123456789abcdef"));
}
