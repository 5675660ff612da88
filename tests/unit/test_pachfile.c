#include "pipeline/pachfile.h"
#include "base/limits.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char word_count[] =
	"# Count words: one file per word, then one number per file.\n"
	"image ubuntu\n"
	"\n"
	"input text\n"
	"run mkdir -p /out/counts\n"
	"run cat /in/text/* | tr -cs \"[:alnum:]\" \"\\n\" | sort | uniq -c | \\\n"
	"    while read count word; do echo $count >> /out/counts/$word; done\n"
	"shuffle counts\n"
	"run find /out/counts -type f | while read f; do awk '{s+=$1} END {print s}' $f > $f.n; "
	"done\n";

static int parse(const char *text, struct pfs_pachfile *out, struct pfs_error *err)
{
	return pfs_pachfile_parse(text, strlen(text), out, err);
}

Test(pachfile, reads_the_word_count_example)
{
	struct pfs_pachfile p = { 0 };
	struct pfs_error err = { 0 };

	cr_assert_eq(parse(word_count, &p, &err), 0, "%s", err.text);
	cr_assert_eq(p.n_inputs, 1);
	cr_expect_eq(p.inputs[0].kind, PFS_PACHFILE_DIRECTORY);
	cr_expect_str_eq(p.inputs[0].name, "text");
	cr_expect_str_eq(p.inputs[0].path, "text");
	cr_expect_eq(p.inputs[0].line_number, 4);
	cr_assert_eq(p.n_steps, 3, "shuffle is no step on one machine");
	cr_expect_str_eq(p.steps[0].image, "ubuntu");
	cr_expect_str_eq(p.steps[1].line,
			 "cat /in/text/* | tr -cs \"[:alnum:]\" \"\\n\" | sort | uniq -c | "
			 "while read count word; do echo $count >> /out/counts/$word; done");
	cr_expect_eq(p.steps[1].line_number, 6);
	cr_expect_eq(p.steps[2].line_number, 9, "a continued line counts as two");
	pfs_pachfile_fini(&p);
	pfs_pachfile_fini(&p);
}

/* What the first `run` line comes to. */
static const struct {
	const char *text, *line, *why;
} lines[] = {
	{ "image a\nrun echo 'a  b'", "echo 'a  b'", "blanks inside quotes stay" },
	{ "image a\nrun   echo\t\tx ", "echo\t\tx", "only the ends are trimmed" },
	{ "image a\r\nrun echo x\r\n", "echo x", "line ends of another system" },
	{ "IMAGE a\nRuN echo x\n", "echo x", "keywords in any case" },
	{ "  image a\n\t run echo x\n", "echo x", "indented lines" },
	{ "image a\nrun echo x # y\n", "echo x # y", "a later # is the shell's" },
	{ "image a\nrun echo \\\n  x \\\n\ty\n", "echo x y", "continuations join with one blank" },
	{ "image a\nrun echo \\\r\n x\r\n", "echo x", "a continuation before CRLF" },
	{ "image a\nrun echo \\  \n x\n", "echo x", "blanks behind the backslash" },
	{ "image a\nrun echo \\\n\nrun b\n", "echo", "a blank line ends a continuation" },
	{ "image a\nrun echo \\\n# x\n", "echo # x", "inside a continuation # is no comment" },
	{ "image a\nrun \\\necho x\n", "echo x", "nothing but the keyword on the first line" },
	{ "image \\\na\nrun echo x\n", "echo x", "every keyword may be continued" },
	{ "image a\nrun printf 'a\\'\n", "printf 'a\\'", "a backslash that is no word of its own" },
	{ "image a\nrun printf a\\\nrun b\n", "printf a\\", "neither at the end of the line" },
	{ "# note \\\nimage a\nrun x\n", "x", "a comment is one line" },
	{ "#\n #x\n\n\nimage a\nrun x", "x", "comments, blank lines, no line feed at the end" },
	{ "\xef\xbb\xbfimage a\nrun x\n", "x", "a byte order mark" },
	{ "image a\nshuffle b\nrun x\n", "x", "a shuffle before the first run" },
	{ "image a\nrun gr\xc3\xbc\xc3\x9f"
	  "e\n",
	  "gr\xc3\xbc\xc3\x9f"
	  "e",
	  "other than ASCII" },
};

Test(pachfile, keeps_a_run_line_as_it_was_written)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct pfs_pachfile p = { 0 };
		struct pfs_error err = { 0 };

		cr_assert_eq(parse(lines[i].text, &p, &err), 0, "%s: %s", lines[i].why, err.text);
		cr_assert_geq(p.n_steps, 1);
		cr_expect_str_eq(p.steps[0].line, lines[i].line, "%s: \"%s\"", lines[i].why,
				 p.steps[0].line);
		cr_expect_str_eq(p.steps[0].image, "a", "%s", lines[i].why);
		pfs_pachfile_fini(&p);
	}
}

/* What the first `input` line comes to. */
static const struct {
	const char *arg, *name, *path;
	enum pfs_pachfile_input_kind kind;
} inputs[] = {
	{ "text", "text", "text", PFS_PACHFILE_DIRECTORY },
	{ "my_data/users", "my_data/users", "my_data/users", PFS_PACHFILE_DIRECTORY },
	{ "a//b/", "a/b", "a/b", PFS_PACHFILE_DIRECTORY },
	{ "pfs://a/b", "a/b", "a/b", PFS_PACHFILE_DIRECTORY },
	{ ".hidden", ".hidden", ".hidden", PFS_PACHFILE_DIRECTORY },
	{ "pps://wordcount", "wordcount", "", PFS_PACHFILE_PIPELINE },
	{ "PPS://word-count_2", "word-count_2", "", PFS_PACHFILE_PIPELINE },
};

Test(pachfile, knows_the_kinds_of_input)
{
	for (size_t i = 0; i < sizeof(inputs) / sizeof(*inputs); i++) {
		struct pfs_pachfile p = { 0 };
		struct pfs_error err = { 0 };
		char text[128];

		snprintf(text, sizeof(text), "image a\ninput %s\nrun x\n", inputs[i].arg);
		cr_assert_eq(parse(text, &p, &err), 0, "%s: %s", inputs[i].arg, err.text);
		cr_assert_eq(p.n_inputs, 1);
		cr_expect_eq(p.inputs[0].kind, inputs[i].kind, "%s", inputs[i].arg);
		cr_expect_str_eq(p.inputs[0].name, inputs[i].name);
		cr_expect_str_eq(p.inputs[0].path, inputs[i].path);
		cr_expect_eq(p.inputs[0].line_number, 2);
		pfs_pachfile_fini(&p);
	}
}

/* Each text is refused; the message has to hold all three pieces (NULL: none). */
static const struct {
	const char *text;
	int code;
	const char *has[3];
} bad[] = {
	{ "", PFS_E_INVALID, { "no 'run' line" } },
	{ "image a\n# run x\n", PFS_E_INVALID, { "no 'run' line", "2 lines" } },
	{ "image a\nrun x\nfrob y\n",
	  PFS_E_INVALID,
	  { "line 3", "'frob'", "image, input, run, shuffle" } },
	{ "image a\nrunx\n", PFS_E_INVALID, { "line 2", "'runx'" } },
	{ "\x1b[31m a\n", PFS_E_INVALID, { "line 1", "'\\x1b[31m'" } },
	{ "run x\nimage a\n", PFS_E_INVALID, { "line 1", "before any 'image'" } },
	{ "image a\n\nrun\n", PFS_E_INVALID, { "line 3", "'run' without a command" } },
	{ "image\nrun x\n", PFS_E_INVALID, { "line 1", "'image' without an argument" } },
	{ "image a b\nrun x\n", PFS_E_INVALID, { "line 1", "one argument", "'b'" } },
	{ "image -v\nrun x\n", PFS_E_INVALID, { "line 1", "'-v'", "letters, digits" } },
	{ "image a;b\nrun x\n", PFS_E_INVALID, { "line 1", "'a;b'" } },
	{ "image a\ninput\nrun x\n", PFS_E_INVALID, { "line 2", "'input' without", "pps://" } },
	{ "image a\ninput b c d\nrun x\n", PFS_E_INVALID, { "line 2", "one argument", "'c'" } },
	{ "image a\ninput ../b\nrun x\n", PFS_E_INVALID, { "line 2", "'../b'", "'..'" } },
	{ "image a\ninput b/../../c\nrun x\n", PFS_E_INVALID, { "line 2", "'b/../../c'" } },
	{ "image a\ninput ./b\nrun x\n", PFS_E_INVALID, { "line 2", "'./b'" } },
	{ "image a\ninput /etc\nrun x\n", PFS_E_INVALID, { "line 2", "'/etc'", "absolute" } },
	{ "image a\ninput pfs:///etc\nrun x\n", PFS_E_INVALID, { "line 2", "absolute" } },
	{ "image a\ninput pfs://\nrun x\n", PFS_E_INVALID, { "line 2", "nothing at all" } },
	{ "image a\ninput b\ninput c\ninput b/\nrun x\n",
	  PFS_E_INVALID,
	  { "line 4", "/in/b", "line 2" } },
	{ "image a\ninput b\ninput b/c\nrun x\n",
	  PFS_E_INVALID,
	  { "line 3", "/in/b/c overlaps", "line 2" } },
	{ "image a\ninput b/c\ninput b\nrun x\n", PFS_E_INVALID, { "line 3", "overlaps /in/b/c" } },
	{ "image a\ninput b\ninput pps://b\nrun x\n",
	  PFS_E_INVALID,
	  { "line 3", "/in/b", "line 2" } },
	{ "image a\ninput pps://\nrun x\n",
	  PFS_E_INVALID,
	  { "line 2", "'pps://'", "names no pipeline" } },
	{ "image a\ninput pps://a/b\nrun x\n", PFS_E_INVALID, { "line 2", "'pps://a/b'" } },
	{ "image a\ninput s3://b/c\nrun x\n", PFS_E_UNSUPPORTED, { "line 2", "'s3://b/c'", "S3" } },
	{ "image a\ninput http://b/c\nrun x\n",
	  PFS_E_INVALID,
	  { "line 2", "scheme", "'http://b/c'" } },
	{ "image a\nshuffle\nrun x\n", PFS_E_INVALID, { "line 2", "'shuffle' without", "/out" } },
	{ "image a\nshuffle b c\nrun x\n", PFS_E_INVALID, { "line 2", "'shuffle' takes one" } },
	{ "image a\nshuffle ../in\nrun x\n", PFS_E_INVALID, { "line 2", "'../in'", "/out" } },
	{ "image a\nshuffle /out/b\nrun x\n", PFS_E_INVALID, { "line 2", "absolute" } },
	{ "image a\noutput s3://b\nrun x\n", PFS_E_UNSUPPORTED, { "line 2", "'output'" } },
	{ "image a\nrun x \\", PFS_E_INVALID, { "line 2", "ends after" } },
	{ "image a\nrun x \\\n", PFS_E_INVALID, { "line 2", "ends after" } },
	{ "\\\n\\\n", PFS_E_INVALID, { "line 1", "ends after" } },
	{ "image a\nrun x\n\\\n\n", PFS_E_INVALID, { "line 3", "unknown keyword ''" } },
};

Test(pachfile, says_which_line_which_word_and_what_is_allowed)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct pfs_pachfile p = { .n_steps = 77 };
		struct pfs_error err = { 0 };

		cr_expect_eq(parse(bad[i].text, &p, &err), bad[i].code, "\"%s\": %s", bad[i].text,
			     err.text);
		for (size_t k = 0; k < 3 && bad[i].has[k]; k++)
			cr_expect(strstr(err.text, bad[i].has[k]), "\"%s\": \"%s\" lacks \"%s\"",
				  bad[i].text, err.text, bad[i].has[k]);
		cr_expect_eq(p.n_steps, 77, "\"%s\": wrote to out", bad[i].text);
	}
}

Test(pachfile, refuses_a_nul_and_names_its_line)
{
	struct pfs_pachfile p = { 0 };
	struct pfs_error err = { 0 };

	cr_expect_eq(pfs_pachfile_parse("image a\nrun x\0y\n", 16, &p, &err), PFS_E_INVALID);
	cr_expect(strstr(err.text, "line 2") && strstr(err.text, "NUL"), "%s", err.text);
	cr_expect_eq(pfs_pachfile_parse(NULL, 0, &p, &err), PFS_E_INVALID);
}

/* `head`, then `line` n times with a number in it, then `tail`. */
static int parse_many(const char *line, unsigned n, struct pfs_pachfile *out, struct pfs_error *err)
{
	size_t cap = 64 + (size_t)n * (strlen(line) + 12), len;
	char *text = malloc(cap);
	int rc;

	cr_assert(text);
	len = (size_t)snprintf(text, cap, "image a\nrun x\n");
	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, cap - len, "%s%u\n", line, i);
	rc = pfs_pachfile_parse(text, len, out, err);
	free(text);
	return rc;
}

Test(pachfile, has_limits_and_names_them)
{
	struct pfs_pachfile p = { 0 };
	struct pfs_error err = { 0 };
	char *big = calloc(1, PFS_PACHFILE_SIZE_MAX + 1);

	cr_assert_eq(parse_many("run x", PFS_PACHFILE_STEPS_MAX - 1, &p, &err), 0, "%s", err.text);
	cr_expect_eq(p.n_steps, PFS_PACHFILE_STEPS_MAX);
	pfs_pachfile_fini(&p);
	cr_expect_eq(parse_many("run x", PFS_PACHFILE_STEPS_MAX, &p, &err), PFS_E_LIMIT);
	cr_expect(strstr(err.text, "line 1026") && strstr(err.text, "1024"), "%s", err.text);

	cr_assert_eq(parse_many("input d", PFS_PACHFILE_INPUTS_MAX, &p, &err), 0, "%s", err.text);
	cr_expect_eq(p.n_inputs, PFS_PACHFILE_INPUTS_MAX);
	pfs_pachfile_fini(&p);
	cr_expect_eq(parse_many("input d", PFS_PACHFILE_INPUTS_MAX + 1, &p, &err), PFS_E_LIMIT);
	cr_expect(strstr(err.text, "64"), "%s", err.text);

	memset(big, '#', PFS_PACHFILE_SIZE_MAX);
	cr_expect_eq(pfs_pachfile_parse(big, PFS_PACHFILE_SIZE_MAX, &p, &err), PFS_E_INVALID);
	cr_expect_eq(pfs_pachfile_parse(big, PFS_PACHFILE_SIZE_MAX + 1, &p, &err), PFS_E_LIMIT);

	memcpy(big, "image ", 6);
	memset(big + 6, 'a', PFS_IMAGE_NAME_MAX + 1);
	big[6 + PFS_IMAGE_NAME_MAX + 1] = 0;
	cr_expect_eq(parse(big, &p, &err), PFS_E_LIMIT);
	memcpy(big, "input ", 6);
	cr_expect_eq(parse(big, &p, &err), PFS_E_LIMIT, "a name in the path is too long");
	free(big);
}

Test(pachfile, lets_the_image_change_between_lines)
{
	struct pfs_pachfile p = { 0 };
	struct pfs_error err = { 0 };

	cr_assert_eq(parse("image a\nrun x\nimage r.example:5000/b@sha256:00\nrun y\n", &p, &err),
		     0, "%s", err.text);
	cr_expect_str_eq(p.steps[0].image, "a");
	cr_expect_str_eq(p.steps[1].image, "r.example:5000/b@sha256:00");
	pfs_pachfile_fini(&p);
}
