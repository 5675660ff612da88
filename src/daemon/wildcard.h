/*
 * Patterns as the old servers took them: '*' and '?' and "[a-z]", "[^a]" in any
 * component of a path; a backslash takes the next byte as it is. None of them
 * crosses a slash; a leading dot is a byte like any other.
 *
 * Pure. Threads: any.
 */
#ifndef PFS_DAEMON_WILDCARD_H
#define PFS_DAEMON_WILDCARD_H

#include "base/error.h"

/* Does one component of a pattern have anything but plain bytes in it? */
bool pfs_wildcard_is_pattern(const char *pattern, size_t len);

/* PFS_E_INVALID for a "[" that is never closed, an empty range or a trailing backslash. */
int pfs_wildcard_check(const char *pattern, size_t len, struct pfs_error *err);

/* Does a checked component of a pattern fit a name? */
bool pfs_wildcard_match(const char *pattern, size_t len, const char *name);

#endif
