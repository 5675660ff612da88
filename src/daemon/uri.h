/*
 * What a request names: a path and parameters, decoded exactly once.
 *
 *	/file/a%20b/c?commit=master&list
 *	path "file/a b/c"; commit = "master", list = ""
 *
 * Pure: no I/O, nothing shared. Threads: one at a time per object.
 */
#ifndef PFS_DAEMON_URI_H
#define PFS_DAEMON_URI_H

#include "base/error.h"
#include "base/limits.h"

#define PFS_URI_PARAMETERS_MAX 32u /* far above what any route reads */
#define PFS_URI_CAPTURES_MAX   4u

struct pfs_uri_parameter {
	const char *name;
	const char *value;
};

struct pfs_uri {
	char *path;  /* owned: normalized, without a leading slash */
	char *query; /* owned: decoded in place, parameters point into it */
	struct pfs_uri_parameter parameters[PFS_URI_PARAMETERS_MAX];
	size_t n_parameters;
};

/*
 * Take a request target apart. PFS_E_INVALID: a bad escape, a NUL, a "." or
 * ".." component; PFS_E_NAMETOOLONG; PFS_E_LIMIT: too many parameters.
 */
int pfs_uri_parse(const char *target, struct pfs_uri *out, struct pfs_error *err);
void pfs_uri_fini(struct pfs_uri *u);

/* The value of a parameter ("" when it was given without one), or NULL. Borrowed from `u`. */
const char *pfs_uri_get(const struct pfs_uri *u, const char *name);

/*
 * Does a normalized path fit "/commit/{id}/file/{path...}"? "{x}" takes one
 * component, "{x...}" the rest, which may be empty. What was taken is written
 * one after the other into `store` and pointed to by `captures`; both are
 * written on success only.
 */
bool pfs_uri_match(const char *pattern, const char *path, char store[PFS_PATH_SIZE_MAX + 1],
		   const char *captures[PFS_URI_CAPTURES_MAX]);

/* Decode %XX, and '+' as a space when `plus`, to out[strlen(text) + 1]. */
int pfs_uri_decode(const char *text, size_t len, bool plus, char *out, struct pfs_error *err);

#endif
