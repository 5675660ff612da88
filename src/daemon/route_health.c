/* Collecting garbage, tidying and looking for damage. */
#include "daemon/facts_admin.h"
#include "daemon/keeper.h"
#include "daemon/route.h"
#include "daemon/work.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

#define ASK_MS 100 /* a collection asks far more often than it matters */

#define TIDY_BUDGET (256u << 20) /* of a step */

struct patience {
	const struct pfs_request *rq;
	int64_t asked_ms;
	bool gone;
};

static bool is_over(void *arg)
{
	struct patience *p = arg;
	int64_t now = pfs_clock_monotonic_ms();

	if (!p->gone && now - p->asked_ms >= ASK_MS) {
		p->asked_ms = now;
		p->gone = pfs_request_gone(p->rq);
	}
	return p->gone;
}

static void log_gc(const struct pfs_gc_report *r)
{
	pfs_log(PFS_LOG_INFO, "gc.done freed=%llu packs_removed=%llu left=%llu stopped=%s",
		(unsigned long long)r->freed_bytes, (unsigned long long)r->packs_removed,
		(unsigned long long)r->left_bytes, r->stopped ? "yes" : "no");
}

int route_gc_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct patience patience = { .rq = rq };
	struct pfs_gc_report r;
	int rc;

	o.dry_run = pfs_request_is_on(rq, "dry_run");
	o.thorough = pfs_request_is_on(rq, "thorough");
	o.stop = is_over;
	o.stop_arg = &patience;
	rc = pfs_gc_run(rq->daemon->history, &o, &r, err);
	if (rc < 0)
		return rc;
	if (!o.dry_run)
		log_gc(&r);
	rp->content_type = "application/json";
	return pfs_facts_gc(&r, o.dry_run, &rp->body, err);
}

int route_gc_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *repo = pfs_request_get(rq, "repo", NULL);
	struct pfs_gc_share share;
	int rc;

	if (!repo)
		return pfs_fail(err, PFS_E_INVALID,
				"what would be deleted? GET /gc?repo=<repo>, and &branch=<branch>");
	rc = pfs_gc_would_free(rq->daemon->history, repo, pfs_request_get(rq, "branch", NULL),
			       &share, err);
	if (rc < 0)
		return rc;
	rp->content_type = "application/json";
	return pfs_facts_share(&share, &rp->body, err);
}

/* --- tidy ------------------------------------------------------------------ */

/* All that upkeep would do when it has time, at once and without rest. */
int route_tidy_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_tidy_options o = PFS_TIDY_OPTIONS_INIT;
	struct pfs_tidy_report sum = { .more = true };
	struct patience patience = { .rq = rq };

	o.budget_bytes = TIDY_BUDGET;
	o.stop = is_over;
	o.stop_arg = &patience;
	while (sum.more && !is_over(&patience)) {
		struct pfs_tidy_report r = { 0 };
		int rc = pfs_instance_tidy(rq->daemon->instance, &o, &r, err);

		if (rc < 0)
			return rc;
		pfs_keeper_add_tidied(&sum, &r);
	}
	pfs_log(PFS_LOG_INFO, "tidy.done packs=%llu read=%llu written=%llu freed=%llu stopped=%s",
		(unsigned long long)sum.packs_rewritten, (unsigned long long)sum.read_bytes,
		(unsigned long long)sum.written_bytes, (unsigned long long)sum.freed_bytes,
		sum.more ? "yes" : "no");
	rp->content_type = "application/json";
	return pfs_facts_tidy(&sum, sum.more, &rp->body, err);
}

/* --- fsck ------------------------------------------------------------------ */

struct look {
	struct pfs_history *h;
	struct pfs_fsck_options how;
};

/* Without memory for a line the report still counts what it was about. */
static void say_finding(void *arg, const struct pfs_finding *finding)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf line = PFS_BUF_INIT(1u << 20);

	if (pfs_facts_finding(finding, &line, NULL) == 0)
		pfs_work_say(arg, line.data, line.len);
}

static void run_fsck(void *arg, struct pfs_work *work)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf line = PFS_BUF_INIT(1u << 16);
	struct look *l = arg;
	struct pfs_fsck_report report;
	struct pfs_error err = { 0 };
	int rc;

	l->how.report = say_finding;
	l->how.stop = pfs_work_stopped;
	l->how.arg = l->how.stop_arg = work;
	rc = pfs_fsck_run(l->h, &l->how, &report, &err);
	if (rc == 0) {
		rc = pfs_facts_fsck(&report, &line, &err);
		pfs_log(PFS_LOG_INFO,
			"fsck.done damages=%llu missing=%llu names=%llu mended=%llu remaining=%llu "
			"stopped=%s",
			(unsigned long long)report.damages, (unsigned long long)report.missing,
			(unsigned long long)report.names, (unsigned long long)report.mended,
			(unsigned long long)report.remaining, report.stopped ? "yes" : "no");
	}
	if (rc < 0) {
		pfs_log(PFS_LOG_WARN, "fsck.failed why=%s", err.text);
		pfs_facts_failure(rc, &err, &line, NULL);
	}
	pfs_work_say(work, line.data, line.len);
}

int route_fsck_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct look *l;
	int rc = pfs_fsck_level_parse(pfs_request_get(rq, "level", "reach"), &how.level, err);

	if (rc < 0)
		return rc;
	how.repair = pfs_request_is_on(rq, "repair");
	how.rebuild_index = pfs_request_is_on(rq, "rebuild_index");
	l = malloc(sizeof(*l));
	if (!l)
		return pfs_fail_nomem(err, "looking for damage");
	*l = (struct look){ .h = rq->daemon->history, .how = how };
	return pfs_work_start(rq, rp, run_fsck, l, err);
}
