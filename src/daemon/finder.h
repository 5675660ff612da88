/*
 * Which files of a commit or branch does a pattern mean? One after the other,
 * in name order within each directory, without keeping them: a pattern may
 * match millions.
 *
 * Symlinks are followed as long as they stay inside the commit or branch.
 *
 * Threads: one at a time per object.
 */
#ifndef PFS_DAEMON_FINDER_H
#define PFS_DAEMON_FINDER_H

#include "base/error.h"
#include <pfs/pfs.h>

struct pfs_finder;

enum pfs_finder_flags {
	PFS_FINDER_LITERAL = 1,  /* '*' and the like are bytes of names */
	PFS_FINDER_CHILDREN = 2, /* not what matches, but what is in it */
	PFS_FINDER_BELOW = 4,    /* what matches and all that is below it */
	PFS_FINDER_NOFOLLOW = 8, /* a match that is a link is the link */
};

struct pfs_found {
	const char *path;          /* below the commit's root; borrowed until the next call */
	struct pfs_handle *handle; /* borrowed until the next call; of what a link leads to */
	struct pfs_attr attr;
	bool by_link;
};

/* `pattern` is a normalized path. PFS_E_NOTFOUND (repo, rev), PFS_E_INVALID (names, pattern). */
int pfs_finder_open(struct pfs_view *v, const char *repo, const char *rev, const char *pattern,
		    unsigned flags, struct pfs_finder **out, struct pfs_error *err);
void pfs_finder_close(struct pfs_finder **f);

/* 1 and a match, 0 at the end. What vanishes meanwhile is passed over. */
int pfs_finder_next(struct pfs_finder *f, struct pfs_found *out, struct pfs_error *err);

/* Is any component of the pattern more than a name? */
bool pfs_finder_is_pattern(const struct pfs_finder *f);

/* The directory "/<repo>/<rev>" itself; the caller owns the reference. */
int pfs_finder_root(struct pfs_view *v, const char *repo, const char *rev, struct pfs_handle **out,
		    struct pfs_error *err);

#endif
