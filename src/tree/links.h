/*
 * Hard links in trees: which names are one file, and the numbers that say so.
 *
 * The rule is in pfs-tree(5), HARD LINKS: the number of a name follows from
 * all names of its file, as paths from the deepest directory that has them all.
 * So whoever adds, renames or removes one name of a file gives all of them
 * their numbers anew, and equal trees stay equal whatever the order of edits.
 *
 * Threads: any.
 */
#ifndef PFS_TREE_LINKS_H
#define PFS_TREE_LINKS_H

#include "tree/tree.h"

/*
 * The numbers (pfs_entry.link) of a file with exactly these names, as
 * normalized paths from the root; 0 for a file of one name.
 */
void pfs_links_number(const struct pfs_store *st, const char *const *paths, size_t n,
		      uint64_t *out_numbers);

/* What a number says: how far above the directory of the name the home of its group is. */
unsigned pfs_links_up(uint64_t link);

/* The same for the path of a name: so many bytes of it are the home; SIZE_MAX: above the root. */
size_t pfs_links_home(const char *path, uint64_t link);

/* Which file of those with the same home an entry is a name of. */
struct pfs_links_file {
	uint64_t number; /* in the home */
	uint64_t value;  /* a hash of all that names of one file have in common */
};
int pfs_links_file(struct pfs_store *st, const struct pfs_entry *e, struct pfs_links_file *out,
		   struct pfs_error *err);

/*
 * Make the groups of a whole tree as a writer of the page would have made them:
 * names that are one file get its numbers, others lose theirs. For trees put
 * together from parts, or whose writer numbered groups in any way of its own.
 *
 * With `base`: where names of a group differ, those that are as the file was
 * there become what the others are, if these agree. So a name that one side of
 * a merge added to a file that the other side changed has the changed bytes.
 *
 * Reads every directory; PFS_E_LIMIT past PFS_LINKS_MAX names with numbers.
 */
int pfs_links_settle(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_id *base,
		     struct pfs_id *out, struct pfs_error *err);

#endif
