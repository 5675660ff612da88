/*
 * The words after a command: options in any place, and the rest in order.
 *
 *	pfs put file books@master:/a -r -f dir --file=x
 *
 * Pure. Threads: one at a time per object.
 */
#ifndef PFS_CLI_ARGS_H
#define PFS_CLI_ARGS_H

#include "base/error.h"

struct pfs_option {
	char letter;       /* what get asks for; a letter past 'z' has no short form */
	const char *name;  /* without dashes */
	const char *value; /* what to call its value in the help; NULL: it has none */
	const char *help;
};

struct pfs_args_given {
	char letter;
	const char *value; /* "" for an option without one */
};

struct pfs_args {
	const char **words; /* owned array of borrowed strings: what is no option */
	size_t n_words;
	struct pfs_args_given *given; /* owned */
	size_t n_given;
};

/*
 * `known` ends with a zero letter, as does `common`, which is looked at second.
 * "--" ends the options; "-" is a word. PFS_E_INVALID names what is not understood.
 */
int pfs_args_parse(const char *const *argv, size_t n, const struct pfs_option *known,
		   const struct pfs_option *common, struct pfs_args *out, struct pfs_error *err);
void pfs_args_fini(struct pfs_args *a);

/* The value given last, or NULL. */
const char *pfs_args_get(const struct pfs_args *a, char letter);

/* Each value in turn: *pos starts at 0; NULL at the end. */
const char *pfs_args_next(const struct pfs_args *a, char letter, size_t *pos);

#endif
