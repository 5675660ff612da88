/*
 * Failing in one line. See <pfs/error.h> for the contract of codes.
 *
 *	if (len > PFS_NAME_SIZE_MAX)
 *		return pfs_fail(err, PFS_E_NAMETOOLONG, "name of %zu bytes", len);
 *	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
 *	if (fd < 0)
 *		return pfs_fail_errno(err, errno, "open %s", name);
 *	rc = pfs_pack_open(fd, &pack, err);
 *	if (rc < 0)
 *		return pfs_wrap(err, rc, "pack %s", name);
 *
 * Threads: any.
 */
#ifndef PFS_BASE_ERROR_H
#define PFS_BASE_ERROR_H

#include "base/room.h"
#include <pfs/error.h>

/* Run `destroy(&variable)` when the variable goes out of scope. */
#define PFS_AUTO(destroy) __attribute__((cleanup(destroy)))

#define PFS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Fill `err` (may be NULL) and return `code`. */
int pfs_fail(struct pfs_error *err, int code, const char *fmt, ...) PFS_PRINTF(3, 4);

/* The same for a failed system call: the code follows from `sys`, its text is appended. */
int pfs_fail_errno(struct pfs_error *err, int sys, const char *fmt, ...) PFS_PRINTF(3, 4);

/* Put "context: " in front of the text that is there; returns `rc` untouched. */
int pfs_wrap(struct pfs_error *err, int rc, const char *fmt, ...) PFS_PRINTF(3, 4);

/* "out of memory", with the thing it was wanted for. */
int pfs_fail_nomem(struct pfs_error *err, const char *what);

/* The code that an errno amounts to when it is the user's answer. */
int pfs_code_of_errno(int sys);

#endif
