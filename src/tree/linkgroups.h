/*
 * Which names are one file, for directories that do not change.
 *
 * An entry alone says in which directory all names of its file are, its home,
 * but not which names these are: the home has to be walked for that. What a
 * walk found is remembered by the id of the directory.
 *
 *	entry x, link ──up──▶ home ──walked once──▶ "x", "sub/y", "z"
 *
 * Threads: any. Locks: PFS_RANK_LINKGROUPS, held during a walk: whoever comes
 * meanwhile would have to do the same.
 */
#ifndef PFS_TREE_LINKGROUPS_H
#define PFS_TREE_LINKGROUPS_H

#include "base/buf.h"
#include "tree/links.h"

struct pfs_linkgroups;

int pfs_linkgroups_new(struct pfs_store *st, struct pfs_linkgroups **out, struct pfs_error *err);
void pfs_linkgroups_free(struct pfs_linkgroups **g);

/*
 * The names of a file, as paths from its home, each terminated, appended to
 * `out` (may be NULL) in the order of paths; how many.
 * PFS_E_LIMIT for a home with more than PFS_LINKS_MAX names with numbers.
 */
int pfs_linkgroups_names(struct pfs_linkgroups *g, const struct pfs_id *home,
			 const struct pfs_links_file *file, struct pfs_buf *out, size_t *out_n,
			 struct pfs_error *err);

/* The names below `dir` whose home is above it, in the same form. */
int pfs_linkgroups_outward(struct pfs_linkgroups *g, const struct pfs_id *dir, struct pfs_buf *out,
			   size_t *out_n, struct pfs_error *err);

#endif
