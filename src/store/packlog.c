#include "store/packlog.h"
#include "store/store.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/rand.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * While fewer bytes than this were put since the last sync, chunks go into the
 * metadata pack too: a small commit then has one file to flush, not two.
 */
#define SMALL_COMMIT_SIZE (256u << 10)
#define SEALING_MAX       2 /* packs waiting to be sealed before appends wait too */
#define FLUSH_ATTEMPTS    2

enum slot { DATA, META, N_SLOTS };

struct pfs_packlog {
	int dir;
	struct pfs_packset *set;
	unsigned char store_uuid[PFS_UUID_SIZE];
	struct pfs_lock lock;  /* PFS_RANK_STORE; protects all below */
	pthread_cond_t turned; /* a flusher has finished */
	bool flushing;
	uint32_t next_seq;
	uint64_t appended; /* records, ever */
	uint64_t durable;  /* the first so many of them are */
	uint64_t unsynced; /* bytes appended since the last sync began */
	struct pfs_packwriter *writing[N_SLOTS];
	struct pfs_packwriter *sealing; /* newest first; only the flusher takes out */
	size_t n_sealing;
};

int pfs_packlog_new(int dir, struct pfs_packset *set, const unsigned char store_uuid[PFS_UUID_SIZE],
		    uint32_t seq, struct pfs_packlog **out, struct pfs_error *err)
{
	struct pfs_packlog *log = calloc(1, sizeof(*log));

	if (!log || pfs_cond_init(&log->turned) != 0) {
		free(log);
		return pfs_fail_nomem(err, "the packs being written");
	}
	log->dir = dir;
	log->set = set;
	log->next_seq = seq;
	memcpy(log->store_uuid, store_uuid, PFS_UUID_SIZE);
	pfs_lock_init(&log->lock, PFS_RANK_STORE);
	*out = log;
	return 0;
}

void pfs_packlog_free(struct pfs_packlog **log)
{
	struct pfs_packwriter *w;

	if (!*log)
		return;
	pfs_packlog_write(*log, NULL);
	for (int slot = 0; slot < N_SLOTS; slot++)
		pfs_packwriter_free(&(*log)->writing[slot]);
	while ((w = (*log)->sealing)) {
		(*log)->sealing = w->next;
		pfs_packwriter_free(&w);
	}
	pthread_cond_destroy(&(*log)->turned);
	pfs_lock_fini(&(*log)->lock);
	free(*log);
	*log = NULL;
}

static void add_sealing(struct pfs_packlog *log, struct pfs_packwriter *w)
{
	w->next = log->sealing;
	log->sealing = w;
	log->n_sealing++;
}

void pfs_packlog_adopt(struct pfs_packlog *log, struct pfs_packwriter *w)
{
	enum slot slot = w->pack->kind == PFS_PACK_META ? META : DATA;

	pfs_lock(&log->lock);
	if (w->seq >= log->next_seq)
		log->next_seq = w->seq + 1;
	/* It may hold records that no flush has seen: a sync has to look at it. */
	log->appended++;
	/* A pack of an older version is finished, so that no reader of that finds what it does not know. */
	if (log->writing[slot] || pfs_packwriter_full(w) || w->version < PFS_PACK_VERSION)
		add_sealing(log, w);
	else
		log->writing[slot] = w;
	pfs_unlock(&log->lock);
}

static int start_pack(struct pfs_packlog *log, enum slot slot, struct pfs_error *err)
{
	struct pfs_packwriter *w = NULL;
	struct pfs_packhdr h = {
		.version = PFS_PACK_VERSION,
		.kind = slot == META ? PFS_PACK_META : PFS_PACK_DATA,
		.created_ns = (uint64_t)pfs_clock_ns(),
		.seq = log->next_seq,
	};
	int fd = -1;
	int rc = pfs_rand_bytes(h.pack_uuid, sizeof(h.pack_uuid), err);

	memcpy(h.store_uuid, log->store_uuid, PFS_UUID_SIZE);
	if (rc == 0)
		rc = pfs_packwriter_create(log->dir, &h, &w, &fd, err);
	if (rc < 0)
		return rc;
	rc = pfs_packset_add_pack(log->set, h.pack_uuid, h.kind, false, 0, fd, &w->pack, err);
	if (rc < 0) {
		pfs_fd_close(&fd);
		pfs_packwriter_free(&w);
		return rc;
	}
	w->pack->seq = h.seq;
	log->writing[slot] = w;
	log->next_seq++;
	return 0;
}

static int append_to(struct pfs_packlog *log, enum slot slot, const struct pfs_packrec *rec,
		     const void *payload, struct pfs_error *err)
{
	struct pfs_place place = {
		.clen = rec->clen,
		.ulen = rec->ulen,
		.type = rec->type,
		.codec = rec->codec,
	};
	int rc = pfs_packset_reserve(log->set, 1, err);

	assert(pfs_held(&log->lock));
	if (rc == 0 && !log->writing[slot])
		rc = start_pack(log, slot, err);
	if (rc == 0)
		rc = pfs_packwriter_append(log->writing[slot], rec, payload, &place.off, err);
	if (rc < 0)
		return rc;
	place.pack = log->writing[slot]->pack->number;
	pfs_packset_set(log->set, &rec->id, &place);
	log->appended++;
	log->unsynced += pfs_packrec_extent(rec->clen);
	return 0;
}

/* A full pack goes to be sealed. On a full disk it just grows on meanwhile. */
static void retire_full(struct pfs_packlog *log, enum slot slot)
{
	struct pfs_packwriter *w = log->writing[slot];

	if (!w || !pfs_packwriter_full(w) || pfs_packwriter_write(w, NULL) < 0)
		return;
	add_sealing(log, w);
	log->writing[slot] = NULL;
}

/* Read one record of a pack back, from wherever it is, and see that it is whole. */
static int read_back(const struct pfs_packwriter *w, const struct pfs_packentry *e,
		     unsigned char *raw, struct pfs_packrec *out, struct pfs_error *err)
{
	size_t len = (size_t)pfs_packrec_extent(e->clen);
	size_t got = len;
	int rc = 0;

	if (!pfs_packwriter_copy(w, e->off, len, raw))
		rc = pfs_io_pread(w->fd, raw, len, e->off, &got, err);
	return rc < 0 ? rc : pfs_packrec_check(raw, got, out, err);
}

static int rescue(struct pfs_packlog *log, const struct pfs_packwriter *w,
		  const struct pfs_packentry *e, bool again)
{
	unsigned char *raw = again ? malloc((size_t)pfs_packrec_extent(e->clen)) : NULL;
	enum slot slot = w->pack->kind == PFS_PACK_META ? META : DATA;
	struct pfs_packrec rec;
	int rc = raw ? read_back(w, e, raw, &rec, NULL) : PFS_E_NOMEM;

	if (rc == 0)
		rc = append_to(log, slot, &rec, raw + PFS_PACKREC_SIZE, NULL);
	free(raw);
	return rc;
}

/*
 * The flush of `w` failed: move what was not durable yet into another pack, or
 * declare it lost. An object that has a newer place is no longer ours to move.
 */
static void rescue_all(struct pfs_packlog *log, struct pfs_packwriter *w, bool again)
{
	assert(pfs_held(&log->lock));
	for (uint32_t i = 0; i < pfs_packfooter_records(&w->footer); i++) {
		struct pfs_packentry e;
		struct pfs_place now;

		if (pfs_packfooter_record(&w->footer, i, &e, NULL) < 0 || e.off < w->durable)
			continue;
		if (!pfs_packset_find(log->set, &e.id, &now) || now.pack != w->pack->number ||
		    now.off != e.off)
			continue;
		if (rescue(log, w, &e, again) < 0)
			pfs_packset_lose(log->set, &e.id);
	}
}

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

static void do_work(struct turn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct pfs_error err = { 0 };
		struct pfs_packwriter *w = t->work[i];

		t->rc[i] =
			t->seal[i] ? pfs_packwriter_seal(w, &err) : pfs_packwriter_flush(w, &err);
		if (t->rc[i] < 0 && t->err.code == 0)
			t->err = err;
	}
}

/* Put away what was sealed, rescue what failed. The first failure, or 0. */
static int settle(struct pfs_packlog *log, struct turn *t, bool again)
{
	int first = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct pfs_packwriter *w = t->work[i];

		if (t->rc[i] >= 0 && !t->seal[i])
			continue;
		take_out(log, w);
		if (t->rc[i] < 0) {
			rescue_all(log, w, again);
			first = first ? first : t->rc[i];
		} else if (t->rc[i] == 1) {
			pfs_packset_unpin(log->set, w->pack);
		}
		pfs_packwriter_free(&w);
	}
	return first;
}

/* Seal what waits for it and, for a sync, flush what is being written. */
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
	pfs_unlock(&log->lock);
	do_work(&t);
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

/* Buffers to files. What fails stays in its buffer: nothing is lost. */
static int write_all(struct pfs_packlog *log, struct pfs_error *err)
{
	int rc = 0;

	assert(pfs_held(&log->lock));
	for (int slot = 0; slot < N_SLOTS && rc == 0; slot++)
		if (log->writing[slot])
			rc = pfs_packwriter_write(log->writing[slot], err);
	return rc;
}

static int flush_all(struct pfs_packlog *log, struct pfs_error *err)
{
	uint64_t upto = 0;
	int rc = 1;

	log->unsynced = 0;
	/* A rescue appends to new packs, and those want their flush as well. */
	for (int failures = 0; rc != 0 && failures < FLUSH_ATTEMPTS;) {
		uint64_t waiting = log->appended;

		rc = write_all(log, err);
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
	if (rc == 0)
		rc = check_lost(log, err);
	pfs_unlock(&log->lock);
	return rc;
}

/* Whoever filled a pack seals it; when another is at it, wait once there are too many. */
static void seal_waiting(struct pfs_packlog *log)
{
	while (log->flushing && log->n_sealing > SEALING_MAX)
		pfs_cond_wait(&log->turned, &log->lock, -1);
	if (log->flushing || !log->sealing)
		return;
	log->flushing = true;
	/* Failing is not this put's: what was not durable was moved or counts as lost. */
	run_turn(log, false, true, NULL);
	log->flushing = false;
	pthread_cond_broadcast(&log->turned);
}

int pfs_packlog_append(struct pfs_packlog *log, const struct pfs_packrec *rec, const void *payload,
		       struct pfs_error *err)
{
	enum slot slot = META;
	int rc = 1;

	pfs_lock(&log->lock);
	if (!pfs_packset_has(log->set, &rec->id)) {
		if (rec->type == PFS_KIND_CHUNK &&
		    log->unsynced + pfs_packrec_extent(rec->clen) > SMALL_COMMIT_SIZE)
			slot = DATA;
		rc = append_to(log, slot, rec, payload, err);
		retire_full(log, slot);
		if (rc == 0 && log->sealing)
			seal_waiting(log);
	}
	pfs_unlock(&log->lock);
	return rc;
}

static const struct pfs_packwriter *find_writer(const struct pfs_packlog *log, uint32_t pack)
{
	for (int slot = 0; slot < N_SLOTS; slot++)
		if (log->writing[slot] && log->writing[slot]->pack->number == pack)
			return log->writing[slot];
	return NULL;
}

bool pfs_packlog_copy(struct pfs_packlog *log, uint32_t pack, uint64_t off, size_t len, void *out)
{
	const struct pfs_packwriter *w;
	bool copied;

	pfs_lock(&log->lock);
	w = find_writer(log, pack);
	copied = w && pfs_packwriter_copy(w, off, len, out);
	pfs_unlock(&log->lock);
	return copied;
}

int pfs_packlog_write(struct pfs_packlog *log, struct pfs_error *err)
{
	int rc;

	pfs_lock(&log->lock);
	rc = write_all(log, err);
	pfs_unlock(&log->lock);
	return rc;
}
