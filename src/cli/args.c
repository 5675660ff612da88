#include "cli/args.h"

#include <stdlib.h>
#include <string.h>

static const struct pfs_option *find_letter(const struct pfs_option *known, char letter)
{
	for (; known && known->letter; known++)
		if (known->letter == letter && letter > 0 && letter <= 'z')
			return known;
	return NULL;
}

static const struct pfs_option *find_name(const struct pfs_option *known, const char *name,
					  size_t len)
{
	for (; known && known->letter; known++)
		if (strlen(known->name) == len && memcmp(known->name, name, len) == 0)
			return known;
	return NULL;
}

/* Where the parser stands in the words. */
struct reader {
	const char *const *argv;
	size_t n, at;
	const struct pfs_option *known, *common;
	struct pfs_args *out;
};

static void give(struct reader *r, const struct pfs_option *o, const char *value)
{
	r->out->given[r->out->n_given++] = (struct pfs_args_given){ o->letter, value ? value : "" };
}

static int take_value(struct reader *r, const struct pfs_option *o, const char *attached,
		      struct pfs_error *err)
{
	if (!o->value) {
		if (attached)
			return pfs_fail(err, PFS_E_INVALID, "--%s takes no value", o->name);
		give(r, o, NULL);
		return 0;
	}
	if (!attached && r->at == r->n)
		return pfs_fail(err, PFS_E_INVALID, "--%s needs a value: %s", o->name, o->value);
	give(r, o, attached ? attached : r->argv[r->at++]);
	return 0;
}

static int parse_long(struct reader *r, const char *word, struct pfs_error *err)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct pfs_option *o = find_name(r->known, word, len);

	if (!o)
		o = find_name(r->common, word, len);
	if (!o)
		return pfs_fail(err, PFS_E_INVALID, "unknown option --%.*s", (int)len, word);
	return take_value(r, o, equals ? equals + 1 : NULL, err);
}

/* "-rf x": letters without values may stand together. */
static int parse_short(struct reader *r, const char *word, struct pfs_error *err)
{
	while (*word) {
		const struct pfs_option *o = find_letter(r->known, *word);

		if (!o)
			o = find_letter(r->common, *word);
		if (!o)
			return pfs_fail(err, PFS_E_INVALID, "unknown option -%c", *word);
		word++;
		if (o->value)
			return take_value(r, o, *word ? word : NULL, err);
		give(r, o, NULL);
	}
	return 0;
}

static int parse_word(struct reader *r, bool *plain, struct pfs_error *err)
{
	const char *word = r->argv[r->at++];

	if (*plain || word[0] != '-' || !word[1]) {
		r->out->words[r->out->n_words++] = word;
		return 0;
	}
	if (strcmp(word, "--") == 0) {
		*plain = true;
		return 0;
	}
	return word[1] == '-' ? parse_long(r, word + 2, err) : parse_short(r, word + 1, err);
}

int pfs_args_parse(const char *const *argv, size_t n, const struct pfs_option *known,
		   const struct pfs_option *common, struct pfs_args *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_args_fini) struct pfs_args a = { 0 };
	struct reader r = { argv, n, 0, known, common, &a };
	size_t letters = 1;
	bool plain = false;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		letters += strlen(argv[i]) + 1;
	a.words = calloc(n + 1, sizeof(*a.words));
	a.given = calloc(letters, sizeof(*a.given));
	if (!a.words || !a.given)
		return pfs_fail_nomem(err, "the command line");
	while (rc == 0 && r.at < n)
		rc = parse_word(&r, &plain, err);
	if (rc < 0)
		return rc;
	*out = a;
	a = (struct pfs_args){ 0 };
	return 0;
}

void pfs_args_fini(struct pfs_args *a)
{
	free(a->words);
	free(a->given);
	*a = (struct pfs_args){ 0 };
}

const char *pfs_args_get(const struct pfs_args *a, char letter)
{
	for (size_t i = a->n_given; i > 0; i--)
		if (a->given[i - 1].letter == letter)
			return a->given[i - 1].value;
	return NULL;
}

const char *pfs_args_next(const struct pfs_args *a, char letter, size_t *pos)
{
	while (*pos < a->n_given)
		if (a->given[(*pos)++].letter == letter)
			return a->given[*pos - 1].value;
	return NULL;
}
