#include "cli/args.h"

#include <criterion/criterion.h>

static const struct pfs_option known[] = { { 'f', "file", "FILE", "" },
					   { 'r', "recursive", NULL, "" },
					   { 0 } };
static const struct pfs_option common[] = { { 'h', "help", NULL, "" },
					    { 'z' + 1, "raw", NULL, "" },
					    { 0 } };

static int parse(const char *const *argv, struct pfs_args *out)
{
	size_t n = 0;

	while (argv[n])
		n++;
	return pfs_args_parse(argv, n, known, common, out, NULL);
}

Test(args, options_stand_anywhere_and_words_keep_their_order)
{
	const char *argv[] = { "a",      "-rf",   "one", "b",  "--file=two", "--file", "three",
			       "-ffour", "--raw", "-",   "--", "-r",         NULL };
	const char *values[] = { "one", "two", "three", "four" };
	const char *words[] = { "a", "b", "-", "-r" };
	struct pfs_args a = { 0 };
	size_t pos = 0;

	cr_assert_eq(parse(argv, &a), 0);
	for (size_t i = 0; i < 4; i++)
		cr_expect_str_eq(pfs_args_next(&a, 'f', &pos), values[i]);
	cr_expect_null(pfs_args_next(&a, 'f', &pos));
	cr_expect_str_eq(pfs_args_get(&a, 'f'), "four", "the last one wins");
	cr_expect_not_null(pfs_args_get(&a, 'r'));
	cr_expect_not_null(pfs_args_get(&a, 'z' + 1));
	cr_expect_null(pfs_args_get(&a, 'h'));
	cr_assert_eq(a.n_words, 4);
	for (size_t i = 0; i < 4; i++)
		cr_expect_str_eq(a.words[i], words[i]);
	pfs_args_fini(&a);
}

Test(args, refuses_what_is_not_known_and_leaves_out_untouched)
{
	static const char *const cases[][3] = {
		{ "-x", NULL },  { "--fil", "x", NULL }, { "--file", NULL },
		{ "-rf", NULL }, { "--raw=1", NULL },    { "-{", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pfs_args a = { .n_words = 77 };

		cr_expect_eq(parse(cases[i], &a), PFS_E_INVALID, "%s", cases[i][0]);
		cr_expect_eq(a.n_words, 77, "%s: wrote to out", cases[i][0]);
	}
}
