/*
 * How people name things: repo@rev:/path.
 *
 *	books                    a repo
 *	books@master             a branch, or the commit it stands at
 *	books@master^2:/a/b      a path in the commit before the commit before
 *	wc@4f0c...               the commit of a repo with this id
 *
 * Pure. Threads: any.
 */
#ifndef PFS_CLI_OBJECT_H
#define PFS_CLI_OBJECT_H

#include "base/error.h"
#include "base/limits.h"
#include <pfs/id.h>

#define PFS_OBJECT_REV_SIZE 128

struct pfs_object {
	char repo[PFS_REPO_NAME_MAX + 1];
	char rev[PFS_OBJECT_REV_SIZE];    /* "" when it was not given; "~" is written "^" */
	bool has_path;                    /* a colon was there */
	bool path_is_dir;                 /* the path ends with a slash, or is empty */
	char path[PFS_PATH_SIZE_MAX + 1]; /* normalized */
};

/* PFS_E_INVALID, PFS_E_NAMETOOLONG: the text says what is wrong with which part. */
int pfs_object_parse(const char *text, struct pfs_object *out, struct pfs_error *err);

/* The same, and a revision must be there. */
int pfs_object_parse_rev(const char *text, struct pfs_object *out, struct pfs_error *err);

/* The same, and no path may be there. */
int pfs_object_parse_branch(const char *text, struct pfs_object *out, struct pfs_error *err);

/* 32 hexadecimal digits, with or without dashes: a commit, or the commits that share the id. */
bool pfs_object_is_id(const char *text);

#endif
