#include "daemon/route.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/path.h"

#include <stdio.h>
#include <string.h>

#define PACHFILE_MAX PFS_PACHFILE_SIZE_MAX
#define JSON_MAX     PFS_HTTP_JSON_MAX

/*
 * The first row that fits wins, so what is more exact stands above. The last
 * column marks what only the unix socket serves.
 */
static const struct pfs_route routes[] = {
	{ "GET", "/", route_welcome },
	{ "GET", "/ping", route_ping },
	{ "GET", "/version", route_version },
	{ "GET", "/stats", route_stats },
	{ "GET", "/event", route_event_get },
	{ "GET", "/gc", route_gc_get },
	{ "POST", "/gc", route_gc_post },
	{ "POST", "/tidy", route_tidy_post },
	{ "POST", "/fsck", route_fsck_post },

	{ "GET", "/file/{path...}", route_file_get },
	{ "POST", "/file/{path...}", route_file_post, 0, &pfs_file_upload_ops },
	{ "PUT", "/file/{path...}", route_file_post, 0, &pfs_file_upload_ops },
	{ "DELETE", "/file/{path...}", route_file_delete },

	{ "GET", "/commit", route_commit_list },
	{ "POST", "/commit", route_commit_post },
	{ "GET", "/commit/{id}", route_commit_get },
	{ "GET", "/commitset/{id}", route_commitset_get },
	{ "GET", "/status", route_status_get },
	{ "GET", "/diff", route_diff_get },

	{ "GET", "/branch", route_branch_list },
	{ "POST", "/branch", route_branch_post },
	{ "POST", "/branch/{name}", route_branch_rename },
	{ "DELETE", "/branch/{name}", route_branch_delete },

	{ "GET", "/repo", route_repo_list },
	{ "POST", "/repo", route_repo_post },
	{ "GET", "/repo/{name}", route_repo_get },
	{ "POST", "/repo/{name}", route_repo_post },
	{ "DELETE", "/repo/{name}", route_repo_delete },

	{ "GET", "/pipeline", route_pipeline_list },
	{ "GET", "/pipeline/{name}", route_pipeline_get },
	{ "POST", "/pipeline/{name}", route_pipeline_post, PACHFILE_MAX },
	{ "PUT", "/pipeline/{name}", route_pipeline_post, PACHFILE_MAX },
	{ "DELETE", "/pipeline/{name}", route_pipeline_delete },
	{ "GET", "/pipeline/{name}/file/{path...}", route_pipeline_file },

	{ "GET", "/job", route_job_list },
	{ "POST", "/job/{name}", route_compat_post },
	{ "GET", "/job/{name}", route_compat_job },
	{ "DELETE", "/job/{name}", route_compat_job },
	{ "GET", "/job/{name}/file/{path...}", route_compat_job },
	{ "GET", "/job/{pipeline}/{id}", route_job_get },
	{ "GET", "/job/{pipeline}/{id}/log", route_job_log },
	{ "DELETE", "/job/{pipeline}/{id}", route_job_stop },

	{ "POST", "/runner/claim", route_runner_claim, JSON_MAX, NULL, true },
	{ "POST", "/runner/{pipeline}/{id}/heartbeat", route_runner_heartbeat, JSON_MAX, NULL,
	  true },
	{ "POST", "/runner/{pipeline}/{id}/log", route_runner_log, JSON_MAX, NULL, true },
	{ "POST", "/runner/{pipeline}/{id}/finish", route_runner_finish, JSON_MAX, NULL, true },
};

#define N_ROUTES (sizeof(routes) / sizeof(*routes))

static int fail_method(struct pfs_request *rq, struct pfs_reply *rp, const char *allow,
		       struct pfs_error *err)
{
	int rc = pfs_reply_add_header(rp, err, "Allow", "%s", allow);

	rp->status = 405;
	if (rc < 0)
		return rc;
	return pfs_fail(err, PFS_E_UNSUPPORTED, "/%.200s does not take %.20s, but %s", rq->uri.path,
			rq->method, allow);
}

static void allow_add(char allow[64], const char *method)
{
	size_t used = strlen(allow);

	if (used + strlen(method) + sizeof(", , HEAD") < 64)
		snprintf(allow + used, 64 - used, "%s%s%s", used ? ", " : "", method,
			 strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

int pfs_route_find(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	char allow[64] = "";

	for (size_t i = 0; i < N_ROUTES; i++) {
		const struct pfs_route *r = &routes[i];

		memset(rq->captures, 0, sizeof(rq->captures));
		if (!pfs_uri_match(r->pattern, rq->uri.path, rq->capture_store, rq->captures))
			continue;
		if (strcmp(r->method, rq->method) != 0) {
			allow_add(allow, r->method);
			continue;
		}
		if (r->local_only && !rq->is_local)
			return pfs_fail(err, PFS_E_DENIED,
					"/%.100s is served on pfsd's unix socket only",
					rq->uri.path);
		if (r->local_only)
			rq->daemon->runner_ms = pfs_clock_monotonic_ms();
		rq->route = r;
		return 0;
	}
	if (allow[0])
		return fail_method(rq, rp, allow, err);
	return pfs_fail(err, PFS_E_NOTFOUND, "there is no route /%.200s: GET / tells what there is",
			rq->uri.path);
}

static bool wants_json(const struct pfs_request *rq)
{
	const char *accept = pfs_request_header(rq, "Accept");

	return accept && strstr(accept, "application/json");
}

/* Nothing of a half-made answer may follow the failure. */
static void drop_answer(struct pfs_reply *rp)
{
	pfs_buf_clear(&rp->body);
	if (rp->free)
		rp->free(rp->arg);
	rp->read = NULL;
	rp->free = NULL;
	rp->arg = NULL;
	rp->content_type = NULL;
}

static void fail_json(struct pfs_reply *rp, int rc, const char *text)
{
	PFS_AUTO(pfs_json_free)
	json_t *v = json_pack("{s:s, s:o}", "error", pfs_code_name(rc), "message",
			      pfs_json_bytes(text, strlen(text)));

	rp->content_type = "application/json";
	if (v && pfs_json_format(v, &rp->body, NULL) == 0)
		pfs_buf_add_u8(&rp->body, '\n', NULL);
}

void pfs_route_fail(struct pfs_request *rq, struct pfs_reply *rp, int rc,
		    const struct pfs_error *why)
{
	drop_answer(rp);
	if (rp->status < 400)
		rp->status = pfs_code_http(rc);
	/* Without memory for them the status alone tells. */
	pfs_reply_add_header(rp, NULL, "X-Pfs-Error", "%s", pfs_code_name(rc));
	if (wants_json(rq))
		fail_json(rp, rc, why->text);
	else
		pfs_reply_printf(rp, NULL, "pfs: %s\n", why->text);
}

static int ignore_exists(int rc)
{
	return rc == PFS_E_EXISTS ? 0 : rc;
}

int pfs_route_ensure_default(struct pfs_request *rq, const char *repo, const char *branch,
			     struct pfs_error *err)
{
	struct pfs_history *h = rq->daemon->history;
	struct pfs_branch found;
	int rc;

	if (strcmp(repo, PFS_DEFAULT_REPO) != 0 || strcmp(branch, PFS_DEFAULT_BRANCH) != 0)
		return 0;
	rc = pfs_branch_inspect(h, repo, branch, &found, err);
	if (rc != PFS_E_NOTFOUND)
		return rc;
	/* Two first requests may come at once: whoever is later finds it made. */
	rc = ignore_exists(pfs_repo_create(h, repo, err));
	if (rc == 0)
		rc = ignore_exists(pfs_branch_create(h, repo, branch, NULL, err));
	return rc;
}

int pfs_route_commit_id(const char *text, struct pfs_commit_id *out, struct pfs_error *err)
{
	char plain[PFS_COMMIT_ID_HEX_SIZE];
	size_t used = 0;

	for (const char *p = text; *p; p++) {
		if (*p == '-')
			continue;
		if (used == sizeof(plain) - 1)
			return pfs_fail(err, PFS_E_INVALID,
					"\"%.60s\" is not a commit id: a UUID is", text);
		plain[used++] = *p;
	}
	plain[used] = 0;
	if (pfs_commit_id_parse(plain, out, NULL) < 0)
		return pfs_fail(err, PFS_E_INVALID, "\"%.60s\" is not a commit id: a UUID is",
				text);
	return 0;
}
