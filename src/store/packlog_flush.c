/* Making it durable: the flusher, and who waits for it. */
#include "store/packlog_i.h"

#include <assert.h>

#define SEALING_MAX    4 /* packs waiting to be sealed before appends wait too */
#define FLUSH_ATTEMPTS 2

static void take_out(struct pfs_packlog *log, struct pfs_packwriter *w)
{
	struct pfs_packwriter **link = &log->sealing;

	for (int slot = 0; slot < N_SLOTS; slot++)
		if (log->writing[slot] == w)
			log->writing[slot] = NULL;
	while (*link && *link != w)
		link = &(*link)->next;
	if (*link) {
		*link = w->next;
		log->n_sealing--;
	}
}

/* What one turn of the flusher has to do, and how it went. */
struct turn {
	struct pfs_packwriter *work[N_SLOTS + 16];
	int seal[N_SLOTS + 16]; /* whether to seal it */
	int rc[N_SLOTS + 16];
	size_t n;
	struct pfs_adopted *files;
	struct pfs_adopted *failed; /* one of them; those behind it were not tried */
	int files_rc;
	struct pfs_error err; /* of the first that failed */
};

static bool add_work(struct turn *t, struct pfs_packwriter *w, bool seal)
{
	if (t->n == sizeof(t->work) / sizeof(*t->work))
		return false;
	w->flush_to = w->written;
	t->work[t->n] = w;
	t->seal[t->n++] = seal;
	return true;
}

static void note_failure(struct turn *t, const struct pfs_error *err)
{
	if (t->err.code == 0)
		t->err = *err;
}

static int work_on(struct pfs_packwriter *w, bool seal, struct pfs_error *err)
{
	if (w->failed)
		return pfs_fail(err, PFS_E_IO, "a pack could not be written");
	return seal ? pfs_packwriter_seal(w, err) : pfs_packwriter_flush(w, err);
}

static void do_files(struct pfs_packlog *log, struct turn *t)
{
	struct pfs_error err = { 0 };

	for (struct pfs_adopted *a = t->files; a && !t->failed; a = a->next) {
		t->files_rc = pfs_packlog_publish_file(log, a, &err);
		if (t->files_rc < 0)
			t->failed = a;
		else
			a->durable = true;
	}
	if (t->failed)
		note_failure(t, &err);
}

static void do_work(struct pfs_packlog *log, struct turn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct pfs_error err = { 0 };

		t->rc[i] = work_on(t->work[i], t->seal[i], &err);
		if (t->rc[i] < 0)
			note_failure(t, &err);
	}
	do_files(log, t);
}

static int settle_files(struct pfs_packlog *log, struct turn *t, bool again)
{
	struct pfs_adopted *a;

	while ((a = t->files)) {
		t->files = a->next;
		if (a == t->failed && !a->flushed)
			pfs_packlog_rescue_file(log, a, again);
		if (a->durable) {
			__atomic_store_n(&a->pack->sealed, 1, __ATOMIC_RELEASE);
			__atomic_store_n(&a->pack->unsettled, 0, __ATOMIC_RELEASE);
		}
		if (a->durable || a->gone)
			pfs_packlog_release_file(log, a);
		else
			pfs_packlog_keep_file(log, a);
	}
	return t->files_rc;
}

/* Put away what was sealed, rescue what failed. The first failure, or 0. */
static int settle(struct pfs_packlog *log, struct turn *t, bool again)
{
	int first = 0;
	int rc;

	for (size_t i = 0; i < t->n; i++) {
		struct pfs_packwriter *w = t->work[i];

		if (t->rc[i] >= 0 && !t->seal[i])
			continue;
		take_out(log, w);
		if (t->rc[i] < 0) {
			pfs_packlog_rescue_pack(log, w, again);
			first = first ? first : t->rc[i];
		} else if (t->rc[i] == 1) {
			pfs_packset_unpin(log->set, w->pack);
			pfs_packset_complete(log->set, w->pack);
		}
		pfs_packwriter_free(&w);
	}
	rc = settle_files(log, t, again);
	return first ? first : rc;
}

/* Seal what waits for it and, for a sync, flush what is being written and what was adopted. */
static int run_turn(struct pfs_packlog *log, bool sync, bool again, struct pfs_error *err)
{
	struct turn t = { .n = 0 };
	bool all = true;
	int rc;

	assert(log->flushing);
	for (int slot = 0; sync && slot < N_SLOTS; slot++) {
		struct pfs_packwriter *w = log->writing[slot];

		if (w && (w->written > w->durable || !w->named))
			add_work(&t, w, false);
	}
	for (struct pfs_packwriter *w = log->sealing; w && all; w = w->next)
		all = add_work(&t, w, true);
	if (sync) {
		t.files = log->files;
		log->files = NULL;
	}
	pfs_unlock(&log->lock);
	do_work(log, &t);
	pfs_lock(&log->lock);
	rc = settle(log, &t, again);
	if (rc < 0 && err)
		*err = t.err;
	return rc < 0 ? rc : all ? 0 : 1;
}

static int check_lost(struct pfs_packlog *log, struct pfs_error *err)
{
	size_t lost = pfs_packset_lost(log->set);

	if (lost == 0)
		return 0;
	return pfs_fail(err, PFS_E_IO,
			"%zu objects put earlier were lost when the disk failed; put them again",
			lost);
}

static int flush_all(struct pfs_packlog *log, struct pfs_error *err)
{
	uint64_t upto = 0;
	int rc = 1;

	log->unsynced = 0;
	/* A rescue appends to new packs, and those want their flush as well. */
	for (int failures = 0; rc != 0 && failures < FLUSH_ATTEMPTS;) {
		uint64_t waiting = log->appended;

		rc = pfs_packlog_write_all(log, err);
		if (rc < 0)
			return rc;
		rc = run_turn(log, true, failures + 1 < FLUSH_ATTEMPTS, err);
		if (rc == 0)
			upto = waiting;
		else if (rc < 0)
			failures++;
	}
	if (rc < 0)
		return rc;
	if (upto > log->durable)
		log->durable = upto;
	return 0;
}

/* Seal behind the backs of those who put; false when no thread can be had for it. */
static bool start_sealing(struct pfs_packlog *log)
{
	return pfs_pool_start(log->sealer, &log->seal_job);
}

int pfs_packlog_sync(struct pfs_packlog *log, struct pfs_error *err)
{
	uint64_t mine;
	int rc = 0;

	pfs_lock(&log->lock);
	mine = log->appended;
	while (rc == 0 && log->durable < mine) {
		if (log->flushing) {
			pfs_cond_wait(&log->turned, &log->lock, -1);
			continue;
		}
		log->flushing = true;
		rc = flush_all(log, err);
		log->flushing = false;
		pthread_cond_broadcast(&log->turned);
	}
	if (log->sealing || pfs_packset_is_due(log->set))
		start_sealing(log);
	if (rc == 0)
		rc = check_lost(log, err);
	pfs_unlock(&log->lock);
	return rc;
}

/* One turn for what waits to be sealed. */
static int seal_once(struct pfs_packlog *log, struct pfs_error *err)
{
	int rc;

	assert(!log->flushing);
	log->flushing = true;
	rc = run_turn(log, false, true, err);
	log->flushing = false;
	pthread_cond_broadcast(&log->turned);
	return rc;
}

/* What is sealed fills the index: here no put waits for it, and who fills it too fast waits for seals. */
bool pfs_packlog_seal_step(void *arg)
{
	struct pfs_packlog *log = arg;
	bool more = false, closing;

	pfs_lock(&log->lock);
	closing = log->closing;
	/* While a sync flushes it seals as well, and looks whether more came. */
	if (!log->flushing && log->sealing) {
		/* Failing is nobody's put: what was not durable was moved or counts as lost. */
		seal_once(log, NULL);
		more = log->sealing;
	}
	pfs_unlock(&log->lock);
	return (!closing && pfs_packset_tidy(log->set, NULL) == 1) || more;
}

/* Whoever fills packs faster than they can be sealed waits, once there are too many. */
void pfs_packlog_seal_waiting(struct pfs_packlog *log)
{
	if (!log->sealing)
		return;
	do {
		if (!log->flushing && !start_sealing(log))
			seal_once(log, NULL);
		else if (log->n_sealing > SEALING_MAX)
			pfs_cond_wait(&log->turned, &log->lock, -1);
	} while (log->n_sealing > SEALING_MAX);
}

/* Not full, but nothing is to be added: into the list of those to be sealed. */
static int retire(struct pfs_packlog *log, const struct pfs_pack *pack, struct pfs_error *err)
{
	int rc = 0;

	for (int slot = 0; slot < N_SLOTS && rc == 0; slot++) {
		struct pfs_packwriter *w = log->writing[slot];

		if (!w || w->pack != pack)
			continue;
		rc = pfs_packwriter_write(w, err);
		if (rc == 0) {
			pfs_packwriter_shrink(w);
			pfs_packlog_add_sealing(log, w);
			log->writing[slot] = NULL;
		}
	}
	return rc;
}

int pfs_packlog_seal(struct pfs_packlog *log, const struct pfs_pack *pack, struct pfs_error *err)
{
	int rc;

	pfs_lock(&log->lock);
	while (log->flushing)
		pfs_cond_wait(&log->turned, &log->lock, -1);
	rc = retire(log, pack, err);
	if (rc == 0 && log->sealing)
		rc = seal_once(log, err);
	pfs_unlock(&log->lock);
	return rc < 0 ? rc : __atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE);
}
