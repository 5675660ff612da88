/*
 * Names and paths as text; no I/O.
 *
 * A path inside a repo is "a/b/c": no leading slash is needed, doubled slashes
 * collapse, "." and ".." are refused rather than interpreted. Names are any
 * bytes but '/' and NUL, at most PFS_NAME_SIZE_MAX of them.
 */
#ifndef PFS_BASE_PATH_H
#define PFS_BASE_PATH_H

#include "base/error.h"

/* One component: not empty, "." or "..", without '/', not too long. */
int pfs_path_check_name(const char *name, size_t len, struct pfs_error *err);

/*
 * Step through a path: *rest moves past the next component, which is borrowed
 * from the text. Returns 1 with a checked component, 0 at the end, or an error.
 */
int pfs_path_next(const char **rest, const char **out_name, size_t *out_len, struct pfs_error *err);

/* Check every component and write "a/b/c" to out[PFS_PATH_SIZE_MAX + 1]; "" for the root. */
int pfs_path_normalize(const char *path, char *out, struct pfs_error *err);

/* Split a normalized path at its last slash: parent (may be "") and name. */
void pfs_path_split(const char *path, size_t *out_parent_len, const char **out_name);

/* Repo and branch names: [A-Za-z0-9_-], starting alphanumeric, not shaped like a commit id. */
int pfs_path_check_repo(const char *name, struct pfs_error *err);
int pfs_path_check_branch(const char *name, struct pfs_error *err);

#endif
