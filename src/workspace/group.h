/*
 * Names of the base that are one file come into memory together.
 *
 *	 base:  home/                      overlay:  home/
 *	          x      link, up 0                    x ──────╮
 *	          sub/y  link, up 1                    sub/y ──┴─▶ node
 *
 * Whoever looks up one of them gets a node that has all of them as places, and
 * from there on they are as any other. What needs no reading is where to look:
 * an entry says how far above it its home is, and as long as none of the names
 * was touched, all of them are where the base has them below that home. That
 * holds because every change of a node touches all its places, and because a
 * directory is renamed only after the files with names in it and names outside
 * were touched.
 */
#ifndef PFS_WORKSPACE_GROUP_H
#define PFS_WORKSPACE_GROUP_H

#include "workspace/workspace_i.h"
#include "base/vec.h"
#include "tree/links.h"

/* Where all names are of an entry of the base of `dir`; NULL: it has no others. With the lock held in any way. */
struct pfs_node *pfs_group_home(struct pfs_node *dir, const struct pfs_entry *e);

/* The number of the node of a file with that home, in or for memory. With the lock held in any way. */
uint64_t pfs_group_ino(struct pfs_node *home, const struct pfs_links_file *file);

/*
 * What the base of the probe's directory has at its name, which has a number:
 * 1 and p->held, a node with all its names; 0 when something moved on
 * meanwhile. Without the lock.
 */
int pfs_group_load(struct pfs_workspace *ws, struct pfs_probe *p, const struct pfs_entry *e,
		   struct pfs_error *err);

/* A clean node at a name of the base that has no slot. With the lock held. */
int pfs_probe_attach(struct pfs_workspace *ws, struct pfs_probe *p, const struct pfs_entry *e,
		     uint64_t ino, struct pfs_error *err);

/* Files with names in directories that are to be renamed, and names outside. */
struct pfs_crossing_nodes PFS_VEC(struct pfs_node *);
struct pfs_crossing {
	struct pfs_crossing_nodes nodes; /* one reference each */
	struct pfs_node *dirs[2];        /* which directories: one reference each */
	uint64_t bases;                  /* of the workspace, then */
};

/* Find them for what is at one name or two (`b` may be NULL). Without the lock. */
int pfs_crossing_find(struct pfs_workspace *ws, struct pfs_probe *a, struct pfs_probe *b,
		      struct pfs_crossing *out, struct pfs_error *err);
/* With the lock held and both probes checked: touch them, 1; 0 when other ones have to be found. */
int pfs_crossing_touch(struct pfs_workspace *ws, const struct pfs_probe *a,
		       const struct pfs_probe *b, struct pfs_crossing *c);
void pfs_crossing_fini(struct pfs_crossing *c);

#endif
