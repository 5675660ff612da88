/*
 * Whether all that a workspace says it has is there: for whoever looks for damage.
 *
 *	object ──▶ what the store has to have, and for which path
 *	lost   ──▶ bytes of a path that should be in the spool and are not
 *	damage ──▶ the journal itself
 *
 * Told is what differs from the base, and the base; paths are relative to the
 * root, whose own is ""; a file of several names is told of by one of them. Bytes
 * in the spool have no checksum: that they are there is all that can be said of
 * them.
 *
 * Threads: any.
 */
#ifndef PFS_WORKSPACE_AUDIT_H
#define PFS_WORKSPACE_AUDIT_H

#include "workspace/workspace.h"

/* Called without any lock held, texts borrowed for the call. Negative ends it. */
struct pfs_workspace_audit {
	int (*object)(void *arg, const char *path, enum pfs_kind kind, const struct pfs_id *id,
		      struct pfs_error *err);
	/* `empty`: how long the file was is not known either. */
	int (*lost)(void *arg, const char *path, const char *why, bool empty,
		    struct pfs_error *err);
	void (*damage)(void *arg, const char *text);
	void *arg;
};

int pfs_workspace_audit(struct pfs_workspace *ws, const struct pfs_workspace_audit *a,
			struct pfs_error *err);

/*
 * The same of one that is not open, and that nobody opens meanwhile. A folder
 * that was never one has nothing. PFS_E_CORRUPT when the journal cannot be read,
 * or is gone and files are there.
 *
 * `mend` puts zeros where bytes are lost, and tells of them: a workspace
 * without one of its files cannot be opened, and then all the others are out of
 * reach too. A new file gets the size that it had when its row was written.
 */
int pfs_workspace_audit_closed(const char *folder, bool mend, const struct pfs_workspace_audit *a,
			       struct pfs_error *err);

#endif
