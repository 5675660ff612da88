#include "daemon/uri.h"

#include <criterion/criterion.h>
#include <string.h>

Test(uri, decodes_names_exactly_once)
{
	static const struct {
		const char *target, *path, *why;
	} cases[] = {
		{ "/file/a%20b/c", "file/a b/c", "an escape" },
		{ "/file/a%2520b", "file/a%20b", "what was escaped twice is decoded once" },
		{ "/file/a+b", "file/a+b", "a plus in a path is a plus" },
		{ "//file///a/", "file/a", "doubled and trailing slashes collapse" },
		{ "/file/a%2Fb", "file/a/b", "an escaped slash separates: no name has one in it" },
		{ "/file/%c3%A9", "file/\xc3\xa9", "either case of digits" },
		{ "/", "", "the root" },
		{ "/?x=1", "", "the root with a query" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pfs_uri u = { 0 };
		struct pfs_error err = { 0 };

		cr_assert_eq(pfs_uri_parse(cases[i].target, &u, &err), 0, "%s: %s", cases[i].why,
			     err.text);
		cr_expect_str_eq(u.path, cases[i].path, "%s", cases[i].why);
		pfs_uri_fini(&u);
	}
}

Test(uri, refuses_what_could_lead_elsewhere_and_leaves_out_untouched)
{
	static const struct {
		const char *target;
		int rc;
		const char *why;
	} cases[] = {
		{ "/file/../etc", PFS_E_INVALID, "dots" },
		{ "/file/%2e%2e/etc", PFS_E_INVALID, "escaped dots" },
		{ "/file/..%2fetc", PFS_E_INVALID, "an escaped slash behind dots" },
		{ "/file/./a", PFS_E_INVALID, "a dot is refused rather than interpreted" },
		{ "/file/a%00b", PFS_E_INVALID, "a NUL" },
		{ "/file/a%", PFS_E_INVALID, "an escape without digits" },
		{ "/file/a%2", PFS_E_INVALID, "an escape with one digit" },
		{ "/file/a%zz", PFS_E_INVALID, "an escape of other letters" },
		{ "/file?branch=%", PFS_E_INVALID, "a bad escape in the query" },
		{ "/file?branch=a%00", PFS_E_INVALID, "a NUL in the query" },
		{ "file", PFS_E_INVALID, "no leading slash" },
		{ "http://elsewhere/file", PFS_E_INVALID, "a whole URL" },
		{ "*", PFS_E_INVALID, "the target of OPTIONS" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pfs_uri u = { .n_parameters = 77 };

		cr_expect_eq(pfs_uri_parse(cases[i].target, &u, NULL), cases[i].rc, "%s",
			     cases[i].why);
		cr_expect_eq(u.n_parameters, 77, "%s: wrote to out", cases[i].why);
	}
}

Test(uri, refuses_a_path_past_the_limit)
{
	struct pfs_uri u = { 0 };
	char target[PFS_PATH_SIZE_MAX + 100] = "/";

	while (strlen(target) < PFS_PATH_SIZE_MAX + 50)
		strcat(target, "abcdefgh/");
	cr_expect_eq(pfs_uri_parse(target, &u, NULL), PFS_E_NAMETOOLONG);
}

Test(uri, parameters_have_names_and_maybe_values)
{
	struct pfs_uri u = { 0 };

	cr_assert_eq(pfs_uri_parse("/commit?branch=a%26b&run&message=x+y%2Bz&&empty=", &u, NULL),
		     0);
	cr_expect_str_eq(pfs_uri_get(&u, "branch"), "a&b");
	cr_expect_str_eq(pfs_uri_get(&u, "run"), "");
	cr_expect_str_eq(pfs_uri_get(&u, "message"), "x y+z");
	cr_expect_str_eq(pfs_uri_get(&u, "empty"), "");
	cr_expect_null(pfs_uri_get(&u, "absent"));
	pfs_uri_fini(&u);
}

Test(uri, too_many_parameters_are_a_limit)
{
	struct pfs_uri u = { 0 };
	char target[4 * PFS_URI_PARAMETERS_MAX + 16] = "/?";

	for (unsigned i = 0; i <= PFS_URI_PARAMETERS_MAX; i++)
		strcat(target, "a=&");
	cr_expect_eq(pfs_uri_parse(target, &u, NULL), PFS_E_LIMIT);
}

Test(uri, patterns_take_components_or_the_rest)
{
	static const struct {
		const char *pattern, *path;
		bool fits;
		const char *first, *second, *why;
	} cases[] = {
		{ "/", "", true, NULL, NULL, "the root" },
		{ "/", "x", false, NULL, NULL, "not the root" },
		{ "/commit", "commit", true, NULL, NULL, "a plain route" },
		{ "/commit", "commits", false, NULL, NULL, "a longer word" },
		{ "/commit", "commit/x", false, NULL, NULL, "more behind it" },
		{ "/commit/{id}", "commit/x", true, "x", NULL, "one component" },
		{ "/commit/{id}", "commit", false, NULL, NULL, "an absent component" },
		{ "/commit/{id}", "commit/x/y", false, NULL, NULL, "one component too many" },
		{ "/file/{path...}", "file/a/b c", true, "a/b c", NULL, "the rest" },
		{ "/file/{path...}", "file", true, "", NULL, "an empty rest" },
		{ "/p/{n}/file/{path...}", "p/wc/file/a/b", true, "wc", "a/b", "both" },
		{ "/p/{n}/file/{path...}", "p/wc/fil/a", false, NULL, NULL,
		  "a word in the middle" },
		{ "/p/{n}/file/{path...}", "p/wc/file", true, "wc", "", "both, nothing left" },
		{ "/job/{p}/{id}/log", "job/wc/1/log", true, "wc", "1", "a word behind" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char store[PFS_PATH_SIZE_MAX + 1];
		const char *captures[PFS_URI_CAPTURES_MAX] = { 0 };

		cr_expect_eq(pfs_uri_match(cases[i].pattern, cases[i].path, store, captures),
			     cases[i].fits, "%s", cases[i].why);
		if (cases[i].first)
			cr_expect_str_eq(captures[0], cases[i].first, "%s", cases[i].why);
		else
			cr_expect_null(captures[0], "%s: wrote to captures", cases[i].why);
		if (cases[i].second)
			cr_expect_str_eq(captures[1], cases[i].second, "%s", cases[i].why);
	}
}
