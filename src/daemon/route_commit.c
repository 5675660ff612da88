#include "daemon/facts.h"
#include "daemon/route.h"
#include "base/clock.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX         10000000u
#define WAIT_MAX_SECONDS 86400u
#define SLICE_MS         1000

static const char *get_repo(const struct pfs_request *rq)
{
	return pfs_request_get(rq, "repo", PFS_DEFAULT_REPO);
}

struct commits {
	struct pfs_commit *list;
	size_t n;
};

static void commits_fini(struct commits *c)
{
	pfs_commits_free(&c->list, c->n);
}

static int put_commits(const struct commits *c, struct pfs_reply *rp, struct pfs_error *err)
{
	int rc = 0;

	rp->content_type = "application/x-ndjson";
	for (size_t i = 0; i < c->n && rc == 0; i++)
		rc = pfs_facts_commit(&c->list[i], &rp->body, err);
	return rc < 0 ? pfs_wrap(err, rc, "list of %zu commits (n=100 asks for fewer)", c->n) : 0;
}

int route_commit_list(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(commits_fini) struct commits c = { 0 };
	const char *repo = get_repo(rq);
	uint64_t max;
	int rc;

	rc = pfs_request_number(rq, "n", 0, LIST_MAX, &max, err);
	if (rc == 0)
		rc = pfs_commit_list(rq->daemon->history, repo, pfs_request_get(rq, "branch", NULL),
				     max, &c.list, &c.n, err);
	/* The old servers had the default repo from the first moment on. */
	if (rc == PFS_E_NOTFOUND && strcmp(repo, PFS_DEFAULT_REPO) == 0 &&
	    !pfs_request_has(rq, "branch"))
		rc = 0;
	return rc < 0 ? rc : put_commits(&c, rp, err);
}

static bool is_stopping(void *daemon)
{
	const struct pfs_daemon *d = daemon;

	return d->stopping;
}

int route_commit_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	const char *repo = get_repo(rq);
	const char *branch = pfs_request_get(rq, "branch", PFS_DEFAULT_BRANCH);
	const char *id_text = pfs_request_get(rq, "commit", NULL);
	struct pfs_commit_id id, made;
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	int rc = 0;

	o.message = pfs_request_get(rq, "message", pfs_request_header(rq, "Message"));
	if (id_text) {
		rc = pfs_route_commit_id(id_text, &id, err);
		o.id = &id;
	}
	if (rc == 0 && o.message && strlen(o.message) > PFS_MESSAGE_SIZE_MAX)
		rc = pfs_fail(err, PFS_E_LIMIT, "a message of %zu bytes, at most %u fit",
			      strlen(o.message), PFS_MESSAGE_SIZE_MAX);
	if (rc == 0)
		rc = pfs_route_ensure_default(rq, repo, branch, err);
	/* A large one takes longer than a service manager waits for the end. */
	pfs_view_give_up_when(is_stopping, rq->daemon);
	if (rc == 0)
		rc = pfs_commit_branch(rq->daemon->history, repo, branch, &o, &made, err);
	pfs_view_give_up_when(NULL, NULL);
	if (rc < 0)
		return rc;
	return pfs_reply_printf(rp, err, "%s\n", pfs_commit_id_format(&made, hex));
}

int route_commit_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_fini) struct pfs_commit c = { 0 };
	int rc = pfs_commit_inspect(rq->daemon->history, get_repo(rq), rq->captures[0], &c, err);

	if (rc < 0)
		return rc;
	rp->content_type = "application/json";
	return pfs_facts_commit(&c, &rp->body, err);
}

/* How many jobs of a commit set are not at their end. */
static int count_open_jobs(struct pfs_daemon *d, const struct pfs_commit_id *id, size_t *out,
			   struct pfs_error *err)
{
	struct pfs_job *jobs = NULL;
	size_t n = 0, open = 0;
	int rc = pfs_daemon_plan(d, err);

	if (rc == 0)
		rc = pfs_job_list(d->pipelines, NULL, 0, &jobs, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		open += pfs_commit_id_equal(&jobs[i].id, id) && !pfs_job_state_final(jobs[i].state);
	free(jobs);
	if (rc == 0)
		*out = open;
	return rc;
}

static int wait_commitset(struct pfs_request *rq, const struct pfs_commit_id *id,
			  struct pfs_error *err)
{
	struct pfs_daemon *d = rq->daemon;
	uint64_t seconds;
	size_t open = 1;
	int64_t until;
	int rc = pfs_request_number(rq, "wait", 0, WAIT_MAX_SECONDS, &seconds, err);

	if (rc < 0 || seconds == 0)
		return rc;
	until = pfs_clock_monotonic_ms() + (int64_t)seconds * 1000;
	while (open) {
		uint64_t seen = pfs_event_newest(d->history);

		rc = count_open_jobs(d, id, &open, err);
		if (rc < 0)
			return rc;
		if (open && (pfs_clock_monotonic_ms() >= until || pfs_request_gone(rq)))
			return pfs_fail(err, PFS_E_TIMEOUT, "%zu jobs are still under way", open);
		if (open)
			pfs_event_wait(d->history, seen, SLICE_MS);
	}
	return 0;
}

int route_commitset_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(commits_fini) struct commits c = { 0 };
	struct pfs_commit_id id;
	int rc = pfs_route_commit_id(rq->captures[0], &id, err);

	if (rc == 0)
		rc = wait_commitset(rq, &id, err);
	if (rc == 0)
		rc = pfs_commit_set(rq->daemon->history, &id, &c.list, &c.n, err);
	if (rc < 0)
		return rc;
	if (c.n == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "no commit has the id %.60s", rq->captures[0]);
	return put_commits(&c, rp, err);
}

struct changes {
	struct pfs_change *list;
	size_t n;
};

static void changes_fini(struct changes *c)
{
	pfs_changes_free(&c->list, c->n);
}

static int put_changes(const struct changes *c, struct pfs_reply *rp, struct pfs_error *err)
{
	int rc = 0;

	rp->content_type = "application/x-ndjson";
	for (size_t i = 0; i < c->n && rc == 0; i++)
		rc = pfs_facts_change(&c->list[i], &rp->body, err);
	return rc < 0 ? pfs_wrap(err, rc, "list of %zu changes (n=100 asks for fewer)", c->n) : 0;
}

int route_status_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(changes_fini) struct changes c = { 0 };
	uint64_t max;
	int rc = pfs_request_number(rq, "n", 0, LIST_MAX, &max, err);

	if (rc == 0)
		rc = pfs_commit_status(rq->daemon->history, get_repo(rq),
				       pfs_request_get(rq, "branch", PFS_DEFAULT_BRANCH), max,
				       &c.list, &c.n, err);
	return rc < 0 ? rc : put_changes(&c, rp, err);
}

int route_diff_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(changes_fini) struct changes c = { 0 };
	uint64_t max;
	int rc = pfs_request_number(rq, "n", 0, LIST_MAX, &max, err);

	if (rc == 0)
		rc = pfs_commit_diff(
			rq->daemon->history, get_repo(rq), pfs_request_get(rq, "from", NULL),
			pfs_request_get(rq, "to", PFS_DEFAULT_BRANCH), max, &c.list, &c.n, err);
	return rc < 0 ? rc : put_changes(&c, rp, err);
}
