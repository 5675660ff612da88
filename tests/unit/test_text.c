#include "base/text.h"

#include <criterion/criterion.h>
#include <string.h>

Test(text, bytes_that_a_terminal_obeys_are_question_marks)
{
	static const struct {
		const char *text, *want, *why;
		size_t len;
	} rows[] = {
		{ "plain ~!", "plain ~!", "the first and the last that stay", 8 },
		{ "\x1b[31mred", "?[31mred", "an escape", 8 },
		{ "a\nb\tc\r", "a?b?c?", "line breaks and tabs", 6 },
		{ "\x7f\x01\x1f", "???", "deletes, and both ends of the lower ones", 3 },
		{ "gr\xc3\xbc\xc3\x9f \xff", "gr\xc3\xbc\xc3\x9f \xff", "bytes past 127", 8 },
		{ "", "", "nothing", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[16] = "";

		memcpy(text, rows[i].text, rows[i].len);
		pfs_text_tame(text, rows[i].len);
		cr_expect_str_eq(text, rows[i].want, "%s", rows[i].why);
	}
}

Test(text, no_byte_behind_the_text_is_touched)
{
	char text[] = "\n\n\n";

	pfs_text_tame(text, 2);
	cr_expect_str_eq(text, "??\n");
	pfs_text_tame(text, 0);
	cr_expect_str_eq(text, "??\n");
	text[1] = 0;
	pfs_text_tame(text, 3);
	cr_expect_eq(memcmp(text, "???", 4), 0, "a byte of zero is one of them");
}
