/*
 * A set of extended attributes: bytes and back.
 *
 * The layout is in pfs-tree(5), ATTRIBUTE SETS; in short:
 *
 *	0 'X' 'A'  2 version  3 zero  4 u32 count
 *	8 { varint n, name[n], varint v, value[v] } ..., by name
 *
 * One set has one encoding; anything else is PFS_E_CORRUPT. The empty set has
 * none: it is no set.
 *
 * Threads: values; a set borrows the bytes it was opened on.
 */
#ifndef PFS_FORMAT_XATTRS_H
#define PFS_FORMAT_XATTRS_H

#include "format/room.h"
#include "base/buf.h"
#include "base/limits.h"

#define PFS_XATTRS_VERSION     1
#define PFS_XATTRS_HEADER_SIZE 8u

struct pfs_xattr {
	const char *name; /* borrowed, like the value; not terminated */
	size_t name_len;
	const void *value;
	size_t value_len;
};

/* Append the encoding of at least one attribute, sorted by name without doubles. */
int pfs_xattrs_encode(const struct pfs_xattr *list, size_t n, struct pfs_buf *out,
		      struct pfs_error *err);

struct pfs_xattrs {
	const unsigned char *data; /* borrowed */
	size_t len, count;
};

/* Check all of it. */
int pfs_xattrs_open(const void *data, size_t len, struct pfs_xattrs *out, struct pfs_error *err);

/* Walk a set that was opened: *off starts at 0; false at the end. */
bool pfs_xattrs_next(const struct pfs_xattrs *set, size_t *off, struct pfs_xattr *out);

/* Whether this can be in a set: PFS_E_INVALID, PFS_E_LIMIT. */
int pfs_xattr_check(const struct pfs_xattr *x, struct pfs_error *err);

#endif
