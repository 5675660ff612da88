#include "daemon/facts.h"
#include "daemon/route.h"

#include <stdlib.h>
#include <string.h>

static const char *get_repo(const struct pfs_request *rq)
{
	return pfs_request_get(rq, "repo", PFS_DEFAULT_REPO);
}

int route_branch_list(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *repo = get_repo(rq);
	struct pfs_branch *list = NULL;
	size_t n = 0;
	int rc = pfs_branch_list(rq->daemon->history, repo, &list, &n, err);

	/* The old servers had the default repo from the first moment on. */
	if (rc == PFS_E_NOTFOUND && strcmp(repo, PFS_DEFAULT_REPO) == 0)
		rc = 0;
	rp->content_type = "application/x-ndjson";
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = pfs_facts_branch(&list[i], &rp->body, err);
	free(list);
	return rc;
}

/* "commit=" that is there and empty asks for an empty branch; absent it means master. */
int route_branch_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *repo = get_repo(rq);
	const char *name = pfs_request_get(rq, "branch", PFS_DEFAULT_BRANCH);
	const char *commit = pfs_uri_get(&rq->uri, "commit");
	int rc;

	if (!commit)
		commit = PFS_DEFAULT_BRANCH;
	rc = pfs_branch_create(rq->daemon->history, repo, name, commit, err);
	if (rc == PFS_E_EXISTS)
		return pfs_fail(err, rc,
				"Branch \"%s\" already exists in repo %s: choose another name, or "
				"delete it first (its commits stay): `pfs delete branch %s@%s "
				"--force`, DELETE /branch/%s",
				name, repo, repo, name, name);
	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "Created branch. (%s) -> %s.\n", commit, name);
}

int route_branch_rename(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *to = pfs_request_get(rq, "rename", NULL);
	int rc;

	if (!to)
		return pfs_fail(err, PFS_E_INVALID,
				"POST /branch/<name>?rename=<new name> renames; POST "
				"/branch?commit=<commit>&branch=<name> creates");
	rc = pfs_branch_rename(rq->daemon->history, get_repo(rq), rq->captures[0], to, err);
	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "Renamed branch. %s -> %s.\n", rq->captures[0], to);
}

int route_branch_delete(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	int rc = pfs_branch_delete(rq->daemon->history, get_repo(rq), rq->captures[0],
				   pfs_request_is_on(rq, "force"), err);

	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "Deleted branch %s.\n", rq->captures[0]);
}
