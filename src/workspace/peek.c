/* A workspace that is not open, looked at from outside. */
#include "workspace/workspace.h"
#include "workspace/journal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct peek {
	struct pfs_root base;
	struct pfs_commit_id sealed;
};

static void take_base(void *arg, const struct pfs_root *base, bool links,
		      const struct pfs_commit_id *sealed)
{
	struct peek *p = arg;

	p->base = *base;
	if (sealed)
		p->sealed = *sealed;
}

int pfs_workspace_peek(const char *folder, struct pfs_root *out_base,
		       struct pfs_commit_id *out_sealed, struct pfs_error *err)
{
	static const struct pfs_journal_reader reader = { .base = take_base };
	static const struct pfs_root nothing;
	struct pfs_journal *j = NULL;
	char path[PFS_PATH_SIZE_MAX + 1];
	struct peek p = { 0 };
	int rc;

	if (snprintf(path, sizeof(path), "%s/journal.db", folder) >= (int)sizeof(path))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "folder %.100s...", folder);
	/* Looking must not make one. */
	if (access(path, F_OK) < 0)
		return pfs_fail_errno(err, errno, "%s", path);
	rc = pfs_journal_open(folder, &nothing, &j, err);
	if (rc == 0)
		rc = pfs_journal_load(j, &reader, &p, err);
	pfs_journal_close(&j);
	if (rc < 0)
		return rc;
	*out_base = p.base;
	*out_sealed = p.sealed;
	return 0;
}
