/*
 * Which paths of a tree lead to given objects: what damage costs, by name.
 *
 *	struct pfs_trace t = { .st = st, .wanted = &lost, .found = tell, .arg = arg };
 *
 *	rc = pfs_trace_dir(&t, &commit.root, err);      and other roots
 *	pfs_trace_fini(&t);
 *
 * What was seen to lead to none of them is not read again, in later roots
 * neither: many versions cost little more than one. Memory: an id for each
 * such node.
 *
 * Threads: one at a time per trace.
 */
#ifndef PFS_TREE_TRACE_H
#define PFS_TREE_TRACE_H

#include "base/idset.h"
#include "store/store.h"
#include "tree/entry.h"

struct pfs_trace {
	struct pfs_store *st;
	const struct pfs_idset *wanted;

	/*
	 * A path whose file, attributes or directory needs the object; one of them,
	 * when there are several. Of a directory it ends with a slash, the root is "".
	 * Nodes that cannot be read are told of likewise. Negative ends the walk.
	 */
	int (*found)(void *arg, const char *path, const struct pfs_id *id, struct pfs_error *err);
	void *arg;

	struct pfs_idset clean; /* the trace's: nodes without any of them below */
};

void pfs_trace_fini(struct pfs_trace *t);

int pfs_trace_dir(struct pfs_trace *t, const struct pfs_id *dir, struct pfs_error *err);

#endif
