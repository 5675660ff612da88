/*
 * Sets of extended attributes as stored objects: what pfs_entry.xattrs names.
 *
 * Immutable like everything here: to change one is to get another id. Equal
 * sets have equal ids, and the empty one is the zero id. Names carry their
 * namespace ("user.comment") and mean nothing here.
 *
 * Limits: a name PFS_NAME_SIZE_MAX, a value PFS_XATTR_VALUE_MAX, all names
 * PFS_XATTR_NAMES_MAX, a set PFS_OBJECT_SIZE_MAX; past them PFS_E_LIMIT.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_XATTRS_H
#define PFS_TREE_XATTRS_H

#include "tree/room.h"
#include "store/store.h"

struct pfs_xattr; /* format/xattrs.h, for rooms that may use it */

/* Store a whole set, in any order but without doubles. Put, not synced. */
int pfs_xattrs_put(struct pfs_store *st, const struct pfs_xattr *list, size_t n, struct pfs_id *out,
		   struct pfs_error *err);

/* Append the value of one attribute to `out`; PFS_E_NOTFOUND. */
int pfs_xattrs_get(struct pfs_store *st, const struct pfs_id *set, const char *name,
		   struct pfs_buf *out, struct pfs_error *err);

/* Append all names, each with a NUL behind it, in the order of their bytes. */
int pfs_xattrs_list(struct pfs_store *st, const struct pfs_id *set, struct pfs_buf *out,
		    struct pfs_error *err);

/* The set with this attribute, new or changed; `out` may be `set`. */
int pfs_xattrs_set(struct pfs_store *st, const struct pfs_id *set, const char *name,
		   const void *value, size_t len, struct pfs_id *out, struct pfs_error *err);

/* The set without it; PFS_E_NOTFOUND when it is not in there. */
int pfs_xattrs_remove(struct pfs_store *st, const struct pfs_id *set, const char *name,
		      struct pfs_id *out, struct pfs_error *err);

#endif
