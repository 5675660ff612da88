#include "runner/lane.h"
#include "runner/job.h"
#include "runner/joblog.h"
#include "runner/lease.h"
#include "runner/pfsd.h"
#include "runner/sources.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BACKOFF_MS     200
#define BACKOFF_MAX_MS 5000
#define CLAIM_MS       20000
#define SLEEP_MS       100
#define LOG_END_MS     10000 /* for the rest of the output, before the job is finished */
#define REASON_SIZE    1024

/* One job under way. */
struct work {
	struct runner *r;
	struct job job;
	struct lease *lease;
	struct joblog *log;
	struct sources sources;
	const char *why; /* a job was abandoned */
};

/* How a job ended for us. */
enum verdict {
	VERDICT_OK,
	VERDICT_FAILED,    /* with a reason */
	VERDICT_ABANDONED, /* not ours to tell */
};

bool lane_sleep(struct runner *r, int64_t ms)
{
	while (ms > 0 && !atomic_load(&r->stopping)) {
		int64_t part = ms < SLEEP_MS ? ms : SLEEP_MS;
		struct timespec t = { .tv_nsec = (long)part * 1000000L };

		nanosleep(&t, NULL);
		ms -= part;
	}
	return !atomic_load(&r->stopping);
}

static int64_t next_pause(int64_t ms)
{
	return ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms * 2;
}

static bool is_stopping(void *arg)
{
	return atomic_load(&((struct runner *)arg)->stopping);
}

static bool must_stop(void *arg)
{
	struct work *w = arg;

	return atomic_load(&w->r->stopping) || lease_lost(w->lease) || lease_cancelled(w->lease);
}

static void take_output(void *arg, const void *data, size_t len)
{
	joblog_add(((struct work *)arg)->log, data, len);
}

/*
 * "<runner>-<id>-<pipeline>-<attempt>-<step>", within what containerd takes: all
 * pipelines of a commit have its id, and two of them may run at once. The name
 * of a pipeline may be longer than there is room, so its hash stands for it.
 */
static void make_id(const struct work *w, size_t step, char out[77])
{
	char id[33];
	uint64_t pipeline = pfs_map_hash(0, w->job.name.pipeline, strlen(w->job.name.pipeline));
	size_t n = 0;

	for (const char *p = w->job.name.id; *p && n < sizeof(id) - 1; p++)
		if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
		    (*p >= 'A' && *p <= 'Z'))
			id[n++] = *p;
	id[n] = 0;
	snprintf(out, 77, "%.20s-%s-%08" PRIx32 "-%lld-%zu", w->r->name, n ? id : "job",
		 (uint32_t)pipeline, (long long)w->job.name.attempt % 100000, step);
}

/* Run a step once; what is infrastructure comes back as PFS_E_IO or PFS_E_TIMEOUT. */
static int run_step_once(struct work *w, size_t i, struct pfs_run_result *result,
			 struct pfs_error *err)
{
	const char *argv[] = { "sh", "-c", w->job.steps[i].line, NULL };
	char id[77];
	const struct pfs_run run = {
		.id = id,
		.image = w->job.steps[i].image,
		.argv = argv,
		.env = w->job.env,
		.mounts = w->job.mounts,
		.n_mounts = w->job.n_mounts,
		.output = take_output,
		.cancelled = must_stop,
		.arg = w,
	};

	make_id(w, i + 1, id);
	return pfs_runtime_run(w->r->runtime, &run, result, err);
}

/* Whoever reads the log of a job that does not get on shall see why. */
static void tell_trouble(struct work *w, const struct pfs_error *err)
{
	char line[PFS_ERROR_TEXT_SIZE + 64];
	int n = snprintf(line, sizeof(line), "[pfs-runner: %s; trying again]\n", err->text);

	joblog_add(w->log, line, (size_t)n);
	pfs_log(PFS_LOG_WARN, "containerd.lost pipeline=%s job=%s: %s", w->job.name.pipeline,
		w->job.name.id, err->text);
}

/* Again and again while only containerd is to blame; one line when it goes, one when it is back. */
static int run_step_patiently(struct work *w, size_t i, struct pfs_run_result *result,
			      struct pfs_error *err)
{
	int64_t pause = BACKOFF_MS;
	bool told = false;
	int rc;

	while ((rc = run_step_once(w, i, result, err)) == PFS_E_IO || rc == PFS_E_TIMEOUT) {
		if (!told)
			tell_trouble(w, err);
		told = true;
		if (must_stop(w) || sources_check(&w->sources, &w->job, NULL) < 0 ||
		    !lane_sleep(w->r, pause))
			return rc;
		pause = next_pause(pause);
	}
	if (told)
		pfs_log(PFS_LOG_INFO, "containerd.back pipeline=%s job=%s", w->job.name.pipeline,
			w->job.name.id);
	return rc;
}

static enum verdict run_step(struct work *w, size_t i, char reason[REASON_SIZE])
{
	const char *line = w->job.steps[i].line;
	struct pfs_run_result result = { 0 };
	struct pfs_error err = { 0 };
	int rc;

	joblog_add(w->log, "$ ", 2);
	joblog_add(w->log, line, strlen(line));
	joblog_add(w->log, "\n", 1);
	rc = run_step_patiently(w, i, &result, &err);
	if (atomic_load(&w->r->stopping) || lease_lost(w->lease)) {
		w->why = lease_lost(w->lease) ? "the lease is lost" : "the runner ends";
		return VERDICT_ABANDONED;
	}
	if (sources_check(&w->sources, &w->job, &err) < 0) {
		w->why = "its mount went away under it";
		return VERDICT_ABANDONED;
	}
	if (lease_cancelled(w->lease)) {
		snprintf(reason, REASON_SIZE, "cancelled in run line %zu: %.600s", i + 1, line);
		return VERDICT_FAILED;
	}
	if (rc < 0)
		snprintf(reason, REASON_SIZE, "run line %zu: %s", i + 1, err.text);
	else if (result.out_of_memory && result.exit_status != 0)
		snprintf(reason, REASON_SIZE, "run line %zu was killed: out of memory: %.600s",
			 i + 1, line);
	else if (result.exit_status != 0)
		snprintf(reason, REASON_SIZE, "run line %zu exited with status %d: %.600s", i + 1,
			 result.exit_status, line);
	else
		pfs_log(PFS_LOG_DEBUG,
			"step.done pipeline=%s job=%s step=%zu start_ms=%lld ms=%lld",
			w->job.name.pipeline, w->job.name.id, i + 1, (long long)result.start_ms,
			(long long)result.total_ms);
	return rc == 0 && result.exit_status == 0 ? VERDICT_OK : VERDICT_FAILED;
}

static enum verdict run_steps(struct work *w, char reason[REASON_SIZE])
{
	enum verdict v = VERDICT_OK;

	for (size_t i = 0; i < w->job.n_steps && v == VERDICT_OK; i++)
		v = run_step(w, i, reason);
	return v;
}

/* Tell pfsd, for as long as the job is ours. */
static void finish(struct work *w, struct pfsd *pfsd, const char *reason)
{
	int64_t pause = BACKOFF_MS;
	struct pfs_error err = { 0 };
	int rc;

	while ((rc = pfsd_finish(pfsd, &w->job.name, reason, &err)) == PFS_E_IO ||
	       rc == PFS_E_TIMEOUT) {
		if (lease_lost(w->lease) || !lane_sleep(w->r, pause))
			break;
		pause = next_pause(pause);
	}
	if (rc < 0)
		pfs_log(PFS_LOG_WARN, "job.unreported pipeline=%s job=%s: %s", w->job.name.pipeline,
			w->job.name.id, err.text);
}

static void report(struct work *w, struct pfsd *pfsd, enum verdict v, const char *reason,
		   int64_t ms)
{
	const struct pfsd_job *name = &w->job.name;

	if (v == VERDICT_ABANDONED) {
		pfs_log(PFS_LOG_WARN, "job.abandoned pipeline=%s job=%s attempt=%lld: %s",
			name->pipeline, name->id, (long long)name->attempt, w->why);
		return;
	}
	finish(w, pfsd, v == VERDICT_OK ? NULL : reason);
	if (v == VERDICT_OK)
		pfs_log(PFS_LOG_INFO, "job.done pipeline=%s job=%s attempt=%lld ms=%lld",
			name->pipeline, name->id, (long long)name->attempt, (long long)ms);
	else
		pfs_log(PFS_LOG_INFO, "job.failed pipeline=%s job=%s attempt=%lld ms=%lld: %s",
			name->pipeline, name->id, (long long)name->attempt, (long long)ms, reason);
}

static void run_job(struct work *w, struct pfsd *pfsd)
{
	int64_t began = pfs_clock_monotonic_ms();
	char reason[REASON_SIZE] = "";
	struct pfs_error err = { 0 };
	enum verdict v = VERDICT_ABANDONED;
	int rc;

	rc = lease_open(w->r->socket, &w->job, &w->lease, &err);
	if (rc == 0)
		rc = joblog_open(w->r->socket, &w->job, w->lease, &w->log, &err);
	if (rc == 0)
		rc = sources_open(&w->job, &w->sources, &err);
	if (rc == 0)
		v = run_steps(w, reason);
	else
		w->why = err.text;
	/* The log is whole before the job is over: whoever waits for one reads the other. */
	joblog_close(&w->log, v == VERDICT_ABANDONED ? 0 : LOG_END_MS);
	report(w, pfsd, v, reason, pfs_clock_monotonic_ms() - began);
	sources_close(&w->sources);
	lease_close(&w->lease);
}

/* Claim once; what came is run. Negative when pfsd is not there. */
static int take_turn(struct runner *r, struct pfsd *pfsd, int64_t wait_ms, struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *claim = NULL;
	struct work w = { .r = r };
	int rc;

	rc = pfsd_claim(pfsd, r->name, wait_ms, &claim, err);
	if (rc <= 0)
		return rc;
	rc = job_parse(&claim, &w.job, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "claim");
	pfs_log(PFS_LOG_INFO, "job.claimed pipeline=%s job=%s attempt=%lld steps=%zu",
		w.job.name.pipeline, w.job.name.id, (long long)w.job.name.attempt, w.job.n_steps);
	run_job(&w, pfsd);
	job_fini(&w.job);
	return 0;
}

void *lane_run(void *arg)
{
	struct runner *r = arg;
	PFS_AUTO(pfsd_close) struct pfsd *pfsd = NULL;
	int64_t pause = BACKOFF_MS;
	struct pfs_error err = { 0 };
	bool told = false;
	int rc;

	rc = pfsd_open(r->socket, (struct pfsd_patience){ is_stopping, r }, &pfsd, &err);
	if (rc < 0) {
		pfs_log(PFS_LOG_ERROR, "lane.failed: %s", err.text);
		return NULL;
	}
	while (!atomic_load(&r->stopping)) {
		/* One that was away is asked for a quick answer first, to know that it is back. */
		rc = take_turn(r, pfsd, told ? 0 : CLAIM_MS, &err);
		if (rc < 0 && !atomic_load(&r->stopping)) {
			if (!told)
				pfs_log(PFS_LOG_WARN, "pfsd.lost: %s", err.text);
			told = true;
			lane_sleep(r, pause);
			pause = next_pause(pause);
			continue;
		}
		if (told && !atomic_load(&r->stopping))
			pfs_log(PFS_LOG_INFO, "pfsd.back");
		told = false;
		pause = BACKOFF_MS;
	}
	return NULL;
}
