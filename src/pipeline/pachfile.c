#include "pipeline/pachfile.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS          " \t\v\f\r"
#define S3_SCHEME       "s3://"
#define PIPELINE_SCHEME "pps://"
#define FILES_SCHEME    "pfs://"

/* What one logical line is about: its text without keyword, and where it stood. */
struct parser {
	const char *text;
	size_t len;
	size_t pos;
	unsigned next_line;    /* number of the line at pos */
	unsigned line;         /* number of the logical line's first line */
	struct pfs_buf joined; /* the logical line */
	char *image;           /* owned; NULL before the first `image` line */
	struct pfs_pachfile out;
};

#define WORD_TEXT_SIZE 68

/* A word for a message: bounded, and nothing in it that a terminal or a JSON text would mind. */
static const char *show(const char *word, size_t len, char out[WORD_TEXT_SIZE])
{
	size_t used = 0, i;

	for (i = 0; i < len && used < WORD_TEXT_SIZE - 8; i++) {
		unsigned char c = (unsigned char)word[i];

		if (c < 0x20 || c >= 0x7f)
			used += (size_t)snprintf(out + used, WORD_TEXT_SIZE - used, "\\x%02x", c);
		else
			out[used++] = (char)c;
	}
	snprintf(out + used, WORD_TEXT_SIZE - used, "%s", i < len ? "..." : "");
	return out;
}

/* Every complaint starts with the line it is about. */
#define complain(p, err, code, fmt, ...) \
	pfs_fail(err, code, "line %u: " fmt, (p)->line __VA_OPT__(, ) __VA_ARGS__)

static bool is_blank(char c)
{
	return c && strchr(BLANKS, c);
}

/* Cut blanks from both ends: a carriage return before the line feed goes the same way. */
static void trim(const char **s, size_t *len)
{
	while (*len && is_blank(**s)) {
		(*s)++;
		(*len)--;
	}
	while (*len && is_blank((*s)[*len - 1]))
		(*len)--;
}

/* A last word that is a backslash and nothing else; `s` is trimmed. */
static bool continues(const char *s, size_t len)
{
	return len && s[len - 1] == '\\' && (len == 1 || is_blank(s[len - 2]));
}

static void next_physical(struct parser *p, const char **out, size_t *out_len)
{
	const char *from = p->text + p->pos;
	const char *end = memchr(from, '\n', p->len - p->pos);

	*out = from;
	*out_len = end ? (size_t)(end - from) : p->len - p->pos;
	p->pos += *out_len + (end ? 1 : 0);
	p->next_line++;
	trim(out, out_len);
}

/* 1 and a line in p->joined, which is not empty and no comment; 0 at the end of the text. */
static int next_logical(struct parser *p, struct pfs_error *err)
{
	const char *s = NULL;
	size_t len = 0;
	bool more;
	int rc;

	pfs_buf_clear(&p->joined);
	while (len == 0 || *s == '#') {
		if (p->pos == p->len)
			return 0;
		p->line = p->next_line;
		next_physical(p, &s, &len);
	}
	for (;;) {
		more = continues(s, len);
		if (more) {
			len--;
			trim(&s, &len);
		}
		if (p->joined.len && len)
			rc = pfs_buf_add(&p->joined, " ", 1, err);
		else
			rc = 0;
		if (rc == 0)
			rc = pfs_buf_add(&p->joined, s, len, err);
		if (rc < 0 || !more)
			return rc < 0 ? rc : 1;
		if (p->pos == p->len)
			return complain(
				p, err, PFS_E_INVALID,
				"the text ends after '\\'; the line it continues on is missing");
		next_physical(p, &s, &len);
	}
}

/* The array with room for one more, doubling from 8; NULL without memory, and it is as it was. */
static void *grow(void *array, size_t n, size_t size)
{
	if (n & (n - 1) || (n && n < 8))
		return array;
	return realloc(array, (n ? n * 2 : 8) * size);
}

/* The argument as the one word it has to be. */
static int one_word(const struct parser *p, const char *keyword, const char *arg,
		    const char *wanted, struct pfs_error *err)
{
	size_t first = strcspn(arg, BLANKS);
	char word[WORD_TEXT_SIZE];

	if (!*arg)
		return complain(p, err, PFS_E_INVALID, "'%s' without an argument; it takes one: %s",
				keyword, wanted);
	if (!arg[first])
		return 0;
	arg += first;
	arg += strspn(arg, BLANKS);
	return complain(p, err, PFS_E_INVALID, "'%s' takes one argument, %s; what is '%s' for?",
			keyword, wanted, show(arg, strcspn(arg, BLANKS), word));
}

static int take_image(struct parser *p, const char *arg, struct pfs_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-/:@";
	char word[WORD_TEXT_SIZE];
	char *image;
	int rc;

	rc = one_word(p, "image", arg, "the name of a container image", err);
	if (rc < 0)
		return rc;
	if (strlen(arg) > PFS_IMAGE_NAME_MAX)
		return complain(p, err, PFS_E_LIMIT, "an image name of %zu bytes, at most %u fit",
				strlen(arg), PFS_IMAGE_NAME_MAX);
	if (arg[strspn(arg, allowed)] || strchr("._-/:@", arg[0]))
		return complain(p, err, PFS_E_INVALID,
				"'%s' is no image name; it starts with a letter or digit and "
				"holds letters, digits and . _ - / : @",
				show(arg, strlen(arg), word));
	image = strdup(arg);
	if (!image)
		return pfs_fail_nomem(err, "a Pachfile");
	free(p->image);
	p->image = image;
	return 0;
}

static int take_run(struct parser *p, const char *arg, struct pfs_error *err)
{
	struct pfs_pachfile_step step = { .line_number = p->line };
	void *grown;

	if (!*arg)
		return complain(p, err, PFS_E_INVALID,
				"'run' without a command; a shell line follows it");
	if (!p->image)
		return complain(p, err, PFS_E_INVALID,
				"'run' before any 'image'; name the image to run in first");
	if (p->out.n_steps == PFS_PACHFILE_STEPS_MAX)
		return complain(p, err, PFS_E_LIMIT, "'run' number %zu, at most %u are allowed",
				p->out.n_steps + 1, PFS_PACHFILE_STEPS_MAX);
	grown = grow(p->out.steps, p->out.n_steps, sizeof(step));
	if (!grown)
		return pfs_fail_nomem(err, "a Pachfile");
	p->out.steps = grown;
	step.image = strdup(p->image);
	step.line = strdup(arg);
	p->out.steps[p->out.n_steps++] = step; /* half a step is freed with the rest */
	return step.image && step.line ? 0 : pfs_fail_nomem(err, "a Pachfile");
}

/* Write the path normalized; refuses what leaves, or is, the directory it is relative to. */
static int check_path(const struct parser *p, const char *keyword, const char *path,
		      const char *base, char *out, struct pfs_error *err)
{
	char word[WORD_TEXT_SIZE];
	struct pfs_error why;
	int rc;

	show(path, strlen(path), word);
	if (*path == '/')
		return complain(
			p, err, PFS_E_INVALID,
			"%s '%s' is absolute; write it relative to %s, without a leading '/'",
			keyword, word, base);
	rc = pfs_path_normalize(path, out, &why);
	if (rc == PFS_E_NAMETOOLONG)
		return complain(
			p, err, PFS_E_LIMIT,
			"%s '%s' is too long: a path has at most %u bytes, each name in it %u",
			keyword, word, PFS_PATH_SIZE_MAX, PFS_NAME_SIZE_MAX);
	if (rc < 0 || !*out)
		return complain(
			p, err, PFS_E_INVALID,
			"%s '%s' is no path below %s: '.', '..' and nothing at all are not allowed",
			keyword, word, base);
	return 0;
}

/* Whether `name` is `dir` or lies below it. */
static bool below(const char *name, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(name, dir, len) == 0 && (name[len] == 0 || name[len] == '/');
}

/* Two inputs on one place in /in, or one inside the other, would hide each other's files. */
static int check_places(const struct parser *p, const char *name, struct pfs_error *err)
{
	char mine[WORD_TEXT_SIZE], theirs[WORD_TEXT_SIZE];

	for (size_t i = 0; i < p->out.n_inputs; i++) {
		const struct pfs_pachfile_input *in = &p->out.inputs[i];

		if (!below(name, in->name) && !below(in->name, name))
			continue;
		show(name, strlen(name), mine);
		if (strcmp(name, in->name) == 0)
			return complain(p, err, PFS_E_INVALID,
					"a second input at /in/%s; line %u has it already", mine,
					in->line_number);
		return complain(p, err, PFS_E_INVALID,
				"input /in/%s overlaps /in/%s of line %u; name only the outer one",
				mine, show(in->name, strlen(in->name), theirs), in->line_number);
	}
	return 0;
}

static int add_input(struct parser *p, enum pfs_pachfile_input_kind kind, const char *name,
		     struct pfs_error *err)
{
	struct pfs_pachfile_input in = { .kind = kind, .line_number = p->line };
	void *grown;
	int rc;

	rc = check_places(p, name, err);
	if (rc < 0)
		return rc;
	if (p->out.n_inputs == PFS_PACHFILE_INPUTS_MAX)
		return complain(p, err, PFS_E_LIMIT, "'input' number %zu, at most %u are allowed",
				p->out.n_inputs + 1, PFS_PACHFILE_INPUTS_MAX);
	grown = grow(p->out.inputs, p->out.n_inputs, sizeof(in));
	if (!grown)
		return pfs_fail_nomem(err, "a Pachfile");
	p->out.inputs = grown;
	in.name = strdup(name);
	in.path = strdup(kind == PFS_PACHFILE_DIRECTORY ? name : "");
	p->out.inputs[p->out.n_inputs++] = in;
	return in.name && in.path ? 0 : pfs_fail_nomem(err, "a Pachfile");
}

static int take_pipeline(struct parser *p, const char *name, struct pfs_error *err)
{
	char word[WORD_TEXT_SIZE];
	struct pfs_error why;

	if (pfs_path_check_repo(name, &why) < 0)
		return complain(p, err, PFS_E_INVALID,
				"input '" PIPELINE_SCHEME "%s' names no pipeline; a name holds "
				"letters, digits, - and _, at most %u of them",
				show(name, strlen(name), word), PFS_REPO_NAME_MAX);
	return add_input(p, PFS_PACHFILE_PIPELINE, name, err);
}

static int take_input(struct parser *p, const char *arg, struct pfs_error *err)
{
	char path[PFS_PATH_SIZE_MAX + 1], word[WORD_TEXT_SIZE];
	int rc;

	rc = one_word(p, "input", arg, "a directory, or pps:// and a pipeline", err);
	if (rc < 0)
		return rc;
	if (strncasecmp(arg, S3_SCHEME, strlen(S3_SCHEME)) == 0)
		return complain(
			p, err, PFS_E_UNSUPPORTED,
			"input '%s': reading from S3 is not supported; commit the files and "
			"name their directory",
			show(arg, strlen(arg), word));
	if (strncasecmp(arg, PIPELINE_SCHEME, strlen(PIPELINE_SCHEME)) == 0)
		return take_pipeline(p, arg + strlen(PIPELINE_SCHEME), err);
	if (strncasecmp(arg, FILES_SCHEME, strlen(FILES_SCHEME)) == 0)
		arg += strlen(FILES_SCHEME);
	else if (strstr(arg, "://"))
		return complain(p, err, PFS_E_INVALID,
				"input '%s' has a scheme we do not know; write a directory, or "
				"pps:// and a pipeline",
				show(arg, strlen(arg), word));
	rc = check_path(p, "input", arg, "the root of the commit", path, err);
	if (rc < 0)
		return rc;
	return add_input(p, PFS_PACHFILE_DIRECTORY, path, err);
}

/*
 * Checked and then left alone: shuffle brings together, from many machines, the
 * files of a directory. With one machine they are where they belong.
 */
static int take_shuffle(struct parser *p, const char *arg, struct pfs_error *err)
{
	char path[PFS_PATH_SIZE_MAX + 1];
	int rc;

	rc = one_word(p, "shuffle", arg, "a directory below /out", err);
	if (rc < 0)
		return rc;
	return check_path(p, "shuffle", arg, "/out", path, err);
}

static int take_output(struct parser *p, const char *arg, struct pfs_error *err)
{
	return complain(p, err, PFS_E_UNSUPPORTED,
			"'output' is not supported; results are the files in /out, committed "
			"under the id of the input");
}

static const struct keyword {
	const char *word;
	int (*take)(struct parser *p, const char *arg, struct pfs_error *err);
} keywords[] = {
	{ "image", take_image }, { "input", take_input },     { "output", take_output },
	{ "run", take_run },     { "shuffle", take_shuffle },
};

static int take_line(struct parser *p, struct pfs_error *err)
{
	const char *s = pfs_buf_str(&p->joined);
	size_t len = strcspn(s, BLANKS);
	const char *arg = s + len + strspn(s + len, BLANKS);
	char word[WORD_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
		if (strlen(keywords[i].word) == len && strncasecmp(s, keywords[i].word, len) == 0)
			return keywords[i].take(p, arg, err);
	return complain(p, err, PFS_E_INVALID,
			"unknown keyword '%s'; a line starts with image, input, run, shuffle or #",
			show(s, len, word));
}

static int parse(struct parser *p, struct pfs_error *err)
{
	int rc;

	while ((rc = next_logical(p, err)) > 0) {
		rc = take_line(p, err);
		if (rc < 0)
			return rc;
	}
	if (rc == 0 && p->out.n_steps == 0)
		return pfs_fail(err, PFS_E_INVALID,
				"no 'run' line in %u lines: there is nothing to do; write 'image "
				"NAME', then 'run COMMAND'",
				p->next_line - 1);
	return rc;
}

/* What no line can excuse: size, and bytes that would end the text early. */
static int check_text(const char *text, size_t len, struct pfs_error *err)
{
	const char *nul = len ? memchr(text, 0, len) : NULL;
	unsigned line = 1;

	if (len > PFS_PACHFILE_SIZE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a Pachfile of %zu bytes, at most %u are allowed",
				len, PFS_PACHFILE_SIZE_MAX);
	if (!nul)
		return 0;
	for (const char *s = text; s < nul; s++)
		line += *s == '\n';
	return pfs_fail(err, PFS_E_INVALID, "line %u: a NUL byte; a Pachfile is text", line);
}

int pfs_pachfile_parse(const char *text, size_t len, struct pfs_pachfile *out,
		       struct pfs_error *err)
{
	struct parser p = { .text = text,
			    .len = len,
			    .next_line = 1,
			    .joined = PFS_BUF_INIT(PFS_PACHFILE_SIZE_MAX) };
	int rc;

	rc = check_text(text, len, err);
	if (rc < 0)
		return rc;
	/* Some editors of the world still sign their UTF-8. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		p.pos = 3;
	rc = parse(&p, err);
	pfs_buf_fini(&p.joined);
	free(p.image);
	if (rc < 0)
		pfs_pachfile_fini(&p.out);
	else
		*out = p.out;
	return rc;
}

void pfs_pachfile_fini(struct pfs_pachfile *p)
{
	for (size_t i = 0; i < p->n_steps; i++) {
		free(p->steps[i].image);
		free(p->steps[i].line);
	}
	for (size_t i = 0; i < p->n_inputs; i++) {
		free(p->inputs[i].name);
		free(p->inputs[i].path);
	}
	free(p->steps);
	free(p->inputs);
	*p = (struct pfs_pachfile){ 0 };
}
