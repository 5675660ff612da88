/*
 * Directories: find, walk and change names below a root id.
 *
 * A directory is the id of its root node; the zero id is the empty one. Order
 * is that of the raw bytes of names. Costs: find O(log n), an edit of k names
 * O(k log n) and about three nodes for one, whatever the size.
 *
 * Threads: any; a cursor belongs to one thread at a time.
 */
#ifndef PFS_TREE_TREE_H
#define PFS_TREE_TREE_H

#include "tree/entry.h"
#include "base/buf.h"
#include "store/store.h"

/* Sums over a directory. */
struct pfs_tree_totals {
	uint64_t direct;  /* names in this directory */
	uint64_t entries; /* names in it and below, recursively */
	uint64_t bytes;   /* sizes of all files in it and below */
};
int pfs_tree_totals(struct pfs_store *st, const struct pfs_id *dir, struct pfs_tree_totals *out,
		    struct pfs_error *err);

/*
 * An entry that stands on its own: `e` borrows from `hold`. Zero it before the
 * first use, reuse it as often as you like, fini at the end.
 */
struct pfs_found {
	struct pfs_entry e;
	const struct pfs_object *hold;
	struct pfs_buf name; /* the key, put together from its prefix and suffix */
};
void pfs_found_fini(struct pfs_found *f);

/* One name in one directory; PFS_E_NOTFOUND names it. */
int pfs_tree_find(struct pfs_store *st, const struct pfs_id *dir, const char *name, size_t name_len,
		  struct pfs_found *out, struct pfs_error *err);

/*
 * A path "a/b/c" (pfs_path_next's rules) from `dir`; does not follow symlinks.
 * The empty path gives a DIR entry without a name that stands for `dir`.
 * PFS_E_NOTFOUND, PFS_E_NOTDIR.
 */
int pfs_tree_lookup(struct pfs_store *st, const struct pfs_id *dir, const char *path,
		    struct pfs_found *out, struct pfs_error *err);

/*
 * Ordered iteration over one directory; the one way to walk it.
 *
 *	open ─▶ next ─▶ next ... 1 and an entry, 0 at the end
 *	         └─▶ failed: every next fails likewise ── seek ─▶ next ...
 *
 * A cursor that failed has no place to go on from, or names would be missing
 * and nobody told. A seek is a fresh start, and fails or not for itself.
 */
struct pfs_cursor;
int pfs_cursor_open(struct pfs_store *st, const struct pfs_id *dir, struct pfs_cursor **out,
		    struct pfs_error *err);
void pfs_cursor_close(struct pfs_cursor **c);

/* Continue with the first name >= (or, with `after`, > ) the given one. */
int pfs_cursor_seek(struct pfs_cursor *c, const char *name, size_t name_len, bool after,
		    struct pfs_error *err);

/* 1 and an entry, borrowed until the next call on the cursor; 0 at the end. */
int pfs_cursor_next(struct pfs_cursor *c, const struct pfs_entry **out, struct pfs_error *err);

/* One change of one name: `entry` is what it shall be, NULL: gone. */
struct pfs_edit {
	const char *name;
	size_t name_len;
	const struct pfs_entry *entry; /* its own name fields are ignored */
};

/*
 * Apply changes, sorted by name without doubles, to a directory: the new root.
 * Removing what is not there is not an error. The result is a function of the
 * resulting set alone. Nodes are put, not synced.
 */
int pfs_tree_edit(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_edit *edits,
		  size_t n, struct pfs_id *out, struct pfs_error *err);

/*
 * What differs between two directories, recursively, in path order. Equal
 * subtrees are never read. `a` or `b` may be the zero id.
 *
 *	compare_open ─▶ compare_next ... 1 and a difference, 0 at the end
 *
 * A directory on one side only is reported itself, then everything below it.
 * One on both sides is not reported for what differs below it; that comes by
 * itself. What is a directory on one side and not on the other is one change,
 * then everything below it. Path order: names in byte order, a directory's own
 * names right behind it. With `attributes` also where only mode, owner, times,
 * xattrs or link groups differ. A comparison that failed goes on failing.
 */
enum pfs_difference_kind { PFS_ADDED = 1, PFS_REMOVED = 2, PFS_CHANGED = 3 };
struct pfs_difference {
	enum pfs_difference_kind kind;
	const char *path;            /* "a/b/c", terminated; borrowed until the next call */
	const struct pfs_entry *was; /* NULL when added; borrowed likewise */
	const struct pfs_entry *is;  /* NULL when removed */
};
struct pfs_compare;
int pfs_compare_open(struct pfs_store *st, const struct pfs_id *a, const struct pfs_id *b,
		     bool attributes, struct pfs_compare **out, struct pfs_error *err);
void pfs_compare_close(struct pfs_compare **c);
int pfs_compare_next(struct pfs_compare *c, struct pfs_difference *out, struct pfs_error *err);

#endif
