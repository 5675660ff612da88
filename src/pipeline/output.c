#include "pipeline/output.h"

#include "pipeline/pipelines_i.h"
#include "workspace/workspace.h"

#include <string.h>

/* Of an empty branch this answers no: its first directory is history's to know. */
static int stands_on_head(struct pfs_pipelines *p, const char *pipeline, const char *branch,
			  struct pfs_workspace *ws, bool *out, struct pfs_error *err)
{
	struct pfs_root base;
	struct pfs_branch b;
	int rc = pfs_branch_inspect(p->history, pipeline, branch, &b, err);

	if (rc < 0)
		return rc;
	pfs_workspace_base(ws, &base);
	*out = b.has_head && !pfs_workspace_dirty(ws) && pfs_commit_id_equal(&base.mark, &b.head);
	return 0;
}

/*
 * Looked at first, because throwing away costs a flush, and a pipeline whose
 * last job went well has nothing to throw away: its next one starts that much
 * earlier.
 */
int pfs_output_reset(struct pfs_pipelines *p, const char *pipeline, const char *branch, bool lost,
		     struct pfs_error *err)
{
	struct pfs_workspace *ws = NULL;
	bool clean = false;
	int rc;

	rc = pfs_history_workspace(p->history, pipeline, branch, &ws, err);
	if (rc < 0)
		return rc;
	rc = stands_on_head(p, pipeline, branch, ws, &clean, err);
	pfs_history_release(p->history, &ws);
	if (rc == 0 && (lost || !clean))
		rc = pfs_commit_discard(p->history, pipeline, branch, pipeline, err);
	return rc;
}
