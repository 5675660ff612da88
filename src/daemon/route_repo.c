#include "daemon/facts.h"
#include "daemon/route.h"

#include <stdlib.h>

int route_repo_list(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_repo *list = NULL;
	size_t n = 0;
	int rc = pfs_repo_list(rq->daemon->history, &list, &n, err);

	rp->content_type = "application/x-ndjson";
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = pfs_facts_repo(&list[i], &rp->body, err);
	free(list);
	return rc;
}

int route_repo_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_repo repo;
	int rc = pfs_repo_inspect(rq->daemon->history, rq->captures[0], &repo, err);

	if (rc < 0)
		return rc;
	rp->content_type = "application/json";
	return pfs_facts_repo(&repo, &rp->body, err);
}

/* POST /repo/<name> and POST /repo?repo=<name> */
int route_repo_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *name = rq->captures[0] ? rq->captures[0] : pfs_request_get(rq, "repo", NULL);
	int rc;

	if (!name)
		return pfs_fail(err, PFS_E_INVALID, "which repo? POST /repo/<name>");
	rc = pfs_repo_create(rq->daemon->history, name, err);
	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "Created repo %s.\n", name);
}

int route_repo_delete(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	int rc = pfs_repo_delete(rq->daemon->history, rq->captures[0],
				 pfs_request_is_on(rq, "force"), err);

	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "Deleted repo %s.\n", rq->captures[0]);
}
