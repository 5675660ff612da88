#include "daemon/wildcard.h"

#include <criterion/criterion.h>
#include <string.h>

Test(wildcard, matches_as_the_old_servers_did)
{
	static const struct {
		const char *pattern, *name;
		bool want;
		const char *why;
	} cases[] = {
		{ "*", "", true, "a star takes nothing too" },
		{ "*", ".pfs", true, "a leading dot is a byte like any other" },
		{ "a*c", "abbc", true, "a star in the middle" },
		{ "a*c", "abb", false, "the end must fit" },
		{ "a*b*c", "a-b-b-c", true, "two stars" },
		{ "?", "a", true, "one byte" },
		{ "?", "", false, "no byte" },
		{ "??", "a", false, "one byte is not two" },
		{ "[a-c]x", "bx", true, "a range" },
		{ "[a-c]x", "dx", false, "outside of a range" },
		{ "[^a-c]x", "dx", true, "a negated range" },
		{ "[^a-c]x", "ax", false, "inside of a negated range" },
		{ "[!a]", "b", true, "negated the shell's way" },
		{ "[]a]", "]", true, "a bracket that comes first is a byte" },
		{ "[a-]", "-", true, "a dash that comes last is a byte" },
		{ "\\*", "*", true, "an escaped star" },
		{ "\\*", "a", false, "an escaped star takes only a star" },
		{ "[\\]]", "]", true, "an escaped bracket" },
		{ "a.txt", "a.txt", true, "plain" },
		{ "a.txt", "aXtxt", false, "a dot is a dot" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t len = strlen(cases[i].pattern);

		cr_assert_eq(pfs_wildcard_check(cases[i].pattern, len, NULL), 0, "%s",
			     cases[i].why);
		cr_expect_eq(pfs_wildcard_match(cases[i].pattern, len, cases[i].name),
			     cases[i].want, "%s", cases[i].why);
	}
}

Test(wildcard, refuses_patterns_that_are_not_finished)
{
	static const char *const bad[] = { "[", "[a", "[^", "a\\", "[z-a]", "[a\\", "x[]" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_expect_eq(pfs_wildcard_check(bad[i], strlen(bad[i]), NULL), PFS_E_INVALID, "%s",
			     bad[i]);
}

Test(wildcard, many_stars_cost_no_more_than_the_product_of_the_lengths, .timeout = 5)
{
	char pattern[250], name[250];

	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
		pattern[i] = i % 2 ? 'a' : '*';
	pattern[sizeof(pattern) - 2] = 'b';
	pattern[sizeof(pattern) - 1] = 0;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	cr_expect_not(pfs_wildcard_match(pattern, strlen(pattern), name));
}

Test(wildcard, tells_patterns_from_names)
{
	cr_expect(pfs_wildcard_is_pattern("a*", 2));
	cr_expect(pfs_wildcard_is_pattern("[x]", 3));
	cr_expect_not(pfs_wildcard_is_pattern("a.b-c", 5));
	cr_expect_not(pfs_wildcard_is_pattern("ab*", 2), "only the bytes that belong to it");
}
