#include "daemon/keeper.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS      50    /* of work, and then */
#define REST_MS       50    /* this much of rest, */
#define BUSY_REST_MS  1000  /* or this much while others work */
#define BUSY_WAIT_MS  60000 /* after so long something is done for all that */
#define BUSY_PERCENT  10    /* of a processor that others need */
#define LOOK_MS       1000
#define PAUSE_S       60 /* between two looks whether there is something to do */
#define RETRY_MS      60000
#define REPEAT_MS     3600000
#define NICE          10              /* not more: who holds a lock must get on */
#define SCRUB_PAUSE_S (7 * 24 * 3600) /* from the end of a round to the next */
#define TOLD_MAX      20u             /* damages of a round, each with a line of its own */

struct pfs_keeper {
	struct pfs_keeper_options options;
	struct pfs_instance *pfs;
	pthread_t thread;
	bool running;
	int wake; /* eventfd: readable from the stop on */
	_Atomic bool stopping;

	/* The thread's own. */
	int64_t slice_ms;                 /* when this slice began */
	int64_t looked_ms;                /* when was found out how busy the others are, */
	int64_t others_ns;                /* how long they have worked until then, */
	bool busy;                        /* and what that means */
	int64_t tidy_ms, gc_ms, scrub_ms; /* when it is time */
	struct pfs_tidy_report tidied;    /* since the last line about it */
	int64_t postponed_ms, failed_ms;  /* when a line told of that */
	uint64_t told;                    /* damages of this round */

	struct pfs_lock lock; /* PFS_RANK_BASE; protects all below */
	struct pfs_keeper_figures figures;
};

/* --- when to rest ------------------------------------------------------------- */

/* True when it was told to stop meanwhile. */
static bool rest(struct pfs_keeper *k, int64_t ms)
{
	struct pollfd p = { .fd = k->wake, .events = POLLIN };

	if (!k->stopping)
		poll(&p, 1, (int)ms);
	return k->stopping;
}

static int64_t cpu_ns(clockid_t clock)
{
	struct timespec t;

	return clock_gettime(clock, &t) < 0 ? 0 : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether the other threads of pfsd have much to do: by the time that they use. */
static bool others_work(struct pfs_keeper *k)
{
	int64_t now = pfs_clock_monotonic_ms(), passed = now - k->looked_ms, others;

	if (passed < LOOK_MS / 2)
		return k->busy;
	others = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	k->busy = others - k->others_ns > passed * 1000000 * BUSY_PERCENT / 100;
	k->others_ns = others;
	k->looked_ms = now;
	return k->busy;
}

/* What the library asks between two records: whether to stop. And that is when we rest. */
static bool breathe(void *arg)
{
	struct pfs_keeper *k = arg;

	if (pfs_clock_monotonic_ms() - k->slice_ms < SLICE_MS)
		return k->stopping;
	rest(k, others_work(k) ? BUSY_REST_MS : REST_MS);
	k->slice_ms = pfs_clock_monotonic_ms();
	return k->stopping;
}

/* Best effort, and last of it: what we write and flush somebody may wait for, so it is never idle. */
static void set_priority(int io_class)
{
	int io = (io_class << IOPRIO_CLASS_SHIFT) | (io_class == IOPRIO_CLASS_BE ? 7 : 0);

	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io);
}

static void set_state(struct pfs_keeper *k, enum pfs_keeper_state state)
{
	pfs_lock(&k->lock);
	k->figures.state = state;
	pfs_unlock(&k->lock);
	k->slice_ms = pfs_clock_monotonic_ms();
}

/* What lasts is told once an hour. */
static bool is_time_to_repeat(int64_t *told_ms)
{
	int64_t now = pfs_clock_monotonic_ms();

	if (*told_ms && now - *told_ms < REPEAT_MS)
		return false;
	*told_ms = now;
	return true;
}

static void note_failure(struct pfs_keeper *k, const char *what, const struct pfs_error *err)
{
	bool same;

	pfs_lock(&k->lock);
	same = strcmp(k->figures.last_failure, err->text) == 0;
	k->figures.failures++;
	snprintf(k->figures.last_failure, sizeof(k->figures.last_failure), "%s", err->text);
	pfs_unlock(&k->lock);
	if (!same)
		k->failed_ms = 0;
	if (is_time_to_repeat(&k->failed_ms))
		pfs_log(PFS_LOG_ERROR, "%s why=%s", what, err->text);
}

static int64_t pause_ms(const struct pfs_keeper *k)
{
	int64_t s = k->options.rest_s < PAUSE_S ? k->options.rest_s : PAUSE_S;

	return s < 1 ? 1000 : s * 1000;
}

/* --- tidying --------------------------------------------------------------------- */

void pfs_keeper_add_tidied(struct pfs_tidy_report *sum, const struct pfs_tidy_report *step)
{
	sum->packs_seen += step->packs_seen;
	sum->packs_rewritten += step->packs_rewritten;
	sum->packs_damaged += step->packs_damaged;
	sum->packs_postponed += step->packs_postponed;
	sum->read_bytes += step->read_bytes;
	sum->written_bytes += step->written_bytes;
	sum->freed_bytes += step->freed_bytes;
	sum->more = step->more;
}

/* A large pack takes many steps, and gets one line. */
static void log_tidied(struct pfs_keeper *k)
{
	const struct pfs_tidy_report *t = &k->tidied;

	pfs_log(PFS_LOG_INFO,
		"store.tidied packs=%llu read=%llu written=%llu freed=%llu damaged=%llu "
		"postponed=%llu",
		(unsigned long long)t->packs_rewritten, (unsigned long long)t->read_bytes,
		(unsigned long long)t->written_bytes, (unsigned long long)t->freed_bytes,
		(unsigned long long)t->packs_damaged, (unsigned long long)t->packs_postponed);
	k->tidied = (struct pfs_tidy_report){ 0 };
}

static void note_tidied(struct pfs_keeper *k, const struct pfs_tidy_report *r)
{
	const struct pfs_tidy_report *t = &k->tidied;

	pfs_lock(&k->lock);
	k->figures.packs_rewritten += r->packs_rewritten;
	k->figures.read_bytes += r->read_bytes;
	k->figures.written_bytes += r->written_bytes;
	k->figures.freed_bytes += r->freed_bytes;
	pfs_unlock(&k->lock);
	pfs_keeper_add_tidied(&k->tidied, r);
	if (t->packs_rewritten || t->packs_damaged ||
	    (t->packs_postponed && is_time_to_repeat(&k->postponed_ms)))
		log_tidied(k);
}

static void tidy(struct pfs_keeper *k)
{
	struct pfs_tidy_options o = PFS_TIDY_OPTIONS_INIT;
	struct pfs_tidy_report r = { 0 };
	struct pfs_error err;
	int rc;

	o.rest_ns = k->options.rest_s * 1000000000;
	o.stop = breathe;
	o.stop_arg = k;
	set_state(k, PFS_KEEPER_TIDYING);
	rc = pfs_instance_tidy(k->pfs, &o, &r, &err);
	if (rc < 0)
		note_failure(k, "store.tidy_failed", &err);
	else
		note_tidied(k, &r);
	k->tidy_ms = pfs_clock_monotonic_ms() + (rc < 0 ? RETRY_MS : r.more ? 0 : pause_ms(k));
}

/* --- collecting -------------------------------------------------------------------- */

static int collect_for(struct pfs_keeper *k, const char *why, struct pfs_error *err)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	int64_t began = pfs_clock_monotonic_ms();
	int rc;

	o.stop = breathe;
	o.stop_arg = k;
	set_state(k, PFS_KEEPER_COLLECTING);
	rc = pfs_gc_run(pfs_instance_history(k->pfs), &o, &r, err);
	if (rc < 0)
		return rc;
	pfs_lock(&k->lock);
	k->figures.collections++;
	k->figures.collected_bytes += r.freed_bytes;
	pfs_unlock(&k->lock);
	pfs_log(PFS_LOG_INFO,
		"gc.%s reason=\"%s\" freed=%llu copied=%llu left=%llu packs=%llu damaged=%llu "
		"ms=%lld",
		r.stopped ? "stopped" : "finished", why, (unsigned long long)r.freed_bytes,
		(unsigned long long)r.copied_bytes, (unsigned long long)r.left_bytes,
		(unsigned long long)r.packs_removed, (unsigned long long)r.packs_damaged,
		(long long)(pfs_clock_monotonic_ms() - began));
	return 0;
}

static void collect(struct pfs_keeper *k)
{
	const struct pfs_gc_policy policy = {
		.size = sizeof(policy),
		.every_ns = k->options.gc_every_s * 1000000000,
		.rest_ns = k->options.rest_s * 1000000000,
	};
	const char *why;
	struct pfs_error err;
	int rc = pfs_gc_is_due(pfs_instance_history(k->pfs), &policy, &why, &err);

	if (rc == 1)
		rc = collect_for(k, why, &err);
	if (rc < 0)
		note_failure(k, "gc.failed", &err);
	k->gc_ms = pfs_clock_monotonic_ms() + (rc < 0 ? RETRY_MS : pause_ms(k));
}

/* --- scrubbing --------------------------------------------------------------------- */

static void tell_damage(void *arg, const char *damage)
{
	struct pfs_keeper *k = arg;

	pfs_lock(&k->lock);
	k->figures.damages++;
	snprintf(k->figures.last_damage, sizeof(k->figures.last_damage), "%s", damage);
	pfs_unlock(&k->lock);
	if (++k->told <= TOLD_MAX)
		pfs_log(PFS_LOG_ERROR,
			"scrub.damage what=\"%s\" next=\"`pfs fsck` tells which files it takes, "
			"`pfs fsck --repair` mends what can be\"",
			damage);
}

static void note_scrubbed(struct pfs_keeper *k, const struct pfs_scrub_state *s,
			  uint64_t rounds_before)
{
	pfs_lock(&k->lock);
	k->figures.scrubbed_bytes += s->read_bytes;
	pfs_unlock(&k->lock);
	if (s->rounds == rounds_before)
		return;
	pfs_log(s->last_damages ? PFS_LOG_ERROR : PFS_LOG_INFO,
		"scrub.finished damages=%llu round=%llu%s", (unsigned long long)s->last_damages,
		(unsigned long long)s->rounds, s->last_damages ? " next=\"pfs fsck\"" : "");
	k->told = 0;
}

/* The next pack, if it is time for this round. */
static int scrub_pack(struct pfs_keeper *k, struct pfs_scrub_state *s, struct pfs_error *err)
{
	struct pfs_scrub_options o = PFS_SCRUB_OPTIONS_INIT;
	struct pfs_upkeep u;
	int rc = pfs_instance_upkeep(k->pfs, &u, err);

	if (rc < 0 ||
	    (u.scrub.pack == 0 && u.scrub.rounds &&
	     pfs_clock_ns() - u.scrub.round_ended_ns < (int64_t)SCRUB_PAUSE_S * 1000000000))
		return rc;
	o.report = tell_damage;
	o.stop = breathe;
	o.arg = k;
	set_state(k, PFS_KEEPER_SCRUBBING);
	set_priority(IOPRIO_CLASS_IDLE);
	rc = pfs_instance_scrub(k->pfs, &o, s, err);
	set_priority(IOPRIO_CLASS_BE);
	if (rc == 0)
		note_scrubbed(k, s, u.scrub.rounds);
	return rc;
}

static void scrub(struct pfs_keeper *k)
{
	struct pfs_scrub_state s = { 0 };
	struct pfs_error err;
	int rc = scrub_pack(k, &s, &err);
	int64_t pause = s.read_bytes ? (int64_t)(s.read_bytes * 1000 / k->options.scrub_rate)
				     : PAUSE_S * 1000;

	if (rc < 0)
		note_failure(k, "scrub.failed", &err);
	k->scrub_ms = pfs_clock_monotonic_ms() + (rc < 0 ? RETRY_MS : pause);
}

/* --- the thread ---------------------------------------------------------------------- */

static void work(struct pfs_keeper *k)
{
	int64_t now = pfs_clock_monotonic_ms();

	if (now >= k->tidy_ms && !k->stopping)
		tidy(k);
	if (now >= k->gc_ms && !k->stopping)
		collect(k);
	if (k->options.scrub_rate && now >= k->scrub_ms && !k->stopping)
		scrub(k);
	set_state(k, PFS_KEEPER_IDLE);
}

static void *run(void *arg)
{
	struct pfs_keeper *k = arg;
	int64_t worked = pfs_clock_monotonic_ms();

	/* Whoever starts pfsd has something to do. */
	k->tidy_ms = k->gc_ms = worked + pause_ms(k);
	k->scrub_ms = worked + k->options.rest_s * 1000;
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	set_priority(IOPRIO_CLASS_BE);
	while (!rest(k, LOOK_MS)) {
		if (others_work(k) && pfs_clock_monotonic_ms() - worked < BUSY_WAIT_MS)
			continue;
		work(k);
		worked = pfs_clock_monotonic_ms();
	}
	return NULL;
}

int pfs_keeper_start(struct pfs_instance *pfs, const struct pfs_keeper_options *options,
		     struct pfs_keeper **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_keeper_stop) struct pfs_keeper *k = calloc(1, sizeof(*k));
	int sys;

	if (!k)
		return pfs_fail_nomem(err, "the keeper");
	k->options = *options;
	k->pfs = pfs;
	pfs_lock_init(&k->lock, PFS_RANK_BASE);
	k->wake = eventfd(0, EFD_CLOEXEC);
	if (k->wake < 0)
		return pfs_fail_errno(err, errno, "the keeper");
	k->figures.state = options->off ? PFS_KEEPER_OFF : PFS_KEEPER_IDLE;
	if (!options->off) {
		sys = pthread_create(&k->thread, NULL, run, k);
		if (sys)
			return pfs_fail_errno(err, sys, "start a thread");
		k->running = true;
	}
	*out = k;
	k = NULL;
	return 0;
}

void pfs_keeper_tell(struct pfs_keeper *k)
{
	if (!k)
		return;
	k->stopping = true;
	eventfd_write(k->wake, 1);
}

void pfs_keeper_stop(struct pfs_keeper **p)
{
	struct pfs_keeper *k = *p;

	if (!k)
		return;
	pfs_keeper_tell(k);
	if (k->running)
		pthread_join(k->thread, NULL);
	pfs_fd_close(&k->wake);
	pfs_lock_fini(&k->lock);
	free(k);
	*p = NULL;
}

void pfs_keeper_figures(struct pfs_keeper *k, struct pfs_keeper_figures *out)
{
	pfs_lock(&k->lock);
	*out = k->figures;
	pfs_unlock(&k->lock);
}

json_t *pfs_keeper_json(struct pfs_keeper *k)
{
	static const char *const states[] = { "off", "idle", "tidying", "collecting", "scrubbing" };
	struct pfs_keeper_figures f;
	json_t *v;

	pfs_keeper_figures(k, &f);
	v = json_pack("{s:s, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}, s:I}", "state",
		      states[f.state], "tidy", "packs", (json_int_t)f.packs_rewritten, "read_bytes",
		      (json_int_t)f.read_bytes, "written_bytes", (json_int_t)f.written_bytes,
		      "freed_bytes", (json_int_t)f.freed_bytes, "gc", "runs",
		      (json_int_t)f.collections, "freed_bytes", (json_int_t)f.collected_bytes,
		      "scrub", "read_bytes", (json_int_t)f.scrubbed_bytes, "damages",
		      (json_int_t)f.damages, "failures", (json_int_t)f.failures);
	if (v && f.last_damage[0])
		json_object_set_new(json_object_get(v, "scrub"), "last_damage",
				    pfs_json_bytes(f.last_damage, strlen(f.last_damage)));
	if (v && f.last_failure[0])
		json_object_set_new(v, "last_failure",
				    pfs_json_bytes(f.last_failure, strlen(f.last_failure)));
	return v;
}
