/*
 * How deep directories are: the limit of a path holds for what moves as well.
 *
 * A directory that is renamed brings along what is below it: what differs from
 * the base is in memory, the rest is looked for in the base.
 *
 *	depth_look, without the lock ──▶ depth_holds, with it ──▶ depth_check
 */
#ifndef PFS_WORKSPACE_DEPTH_H
#define PFS_WORKSPACE_DEPTH_H

#include "workspace/node.h"

/* Directories above a node. With the lock held. */
unsigned pfs_depth_of(const struct pfs_node *n);

/* What the base has below a directory that is to get a name in another one. */
struct pfs_depth {
	const struct pfs_node *dir, *to; /* borrowed; `dir` NULL: it is none */
	uint64_t moves;                  /* of the workspace, then */
	bool rises;                      /* it does not get deeper than it is */
	bool deep;                       /* there is more than fits */
};

/*
 * What is below `n`, which is in `from`, when it is in `to`. What a base has at a name that leads elsewhere by
 * now counts, too: only where paths are a thousand names long does that matter.
 */
int pfs_depth_look(struct pfs_workspace *ws, const struct pfs_node *n, const struct pfs_node *from,
		   const struct pfs_node *to, struct pfs_depth *out, struct pfs_error *err);
/* With the lock held: whether it is so still, unless the workspace has another base. */
bool pfs_depth_holds(const struct pfs_workspace *ws, const struct pfs_depth *d);
/* Likewise: PFS_E_LIMIT when it would be too deep there. */
int pfs_depth_check(const struct pfs_depth *d, struct pfs_error *err);

#endif
