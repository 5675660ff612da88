#include "store/packlog.h"
#include "store/store.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/pool.h"
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
#define SEALING_MAX       4 /* packs waiting to be sealed before appends wait too */
#define FLUSH_ATTEMPTS    2
#define PIECES_AT_ONCE    512 /* of an adopted file, while others wait for the lock */

enum slot { DATA, META, N_SLOTS };

struct pfs_packlog {
	int dir;
	struct pfs_packset *set;
	const struct pfs_hasher *hasher;
	struct pfs_pool *sealer; /* one thread */
	struct pfs_pool_job seal_job;
	unsigned char store_uuid[PFS_UUID_SIZE];
	struct pfs_lock lock;  /* PFS_RANK_STORE; protects all below */
	pthread_cond_t turned; /* a flusher has finished */
	bool flushing, closing;
	uint32_t next_seq;
	uint64_t appended; /* records, ever */
	uint64_t durable;  /* the first so many of them are */
	uint64_t unsynced; /* bytes appended since the last sync began */
	struct pfs_packwriter *writing[N_SLOTS];
	struct pfs_packwriter *sealing; /* newest first; only the flusher takes out */
	size_t n_sealing;
	struct pfs_adopted *files; /* linked, not yet durable */
};

static void add_sealing(struct pfs_packlog *log, struct pfs_packwriter *w)
{
	w->next = log->sealing;
	log->sealing = w;
	log->n_sealing++;
}

/* Writing to this pack fails: the next flush rescues what it holds, others go on elsewhere. */
static void give_up(struct pfs_packlog *log, enum slot slot)
{
	struct pfs_packwriter *w = log->writing[slot];

	w->failed = true;
	log->writing[slot] = NULL;
	add_sealing(log, w);
}

void pfs_packlog_resume(struct pfs_packlog *log, struct pfs_packwriter *w)
{
	enum slot slot = w->pack->kind == PFS_PACK_META ? META : DATA;

	__atomic_store_n(&w->pack->durable, w->durable, __ATOMIC_RELEASE);
	__atomic_store_n(&w->pack->unsettled, 1, __ATOMIC_RELEASE);
	pfs_packwriter_count(w);
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

static int make_header(struct pfs_packlog *log, uint8_t kind, struct pfs_packhdr *out,
		       struct pfs_error *err)
{
	*out = (struct pfs_packhdr){
		.version = PFS_PACK_VERSION,
		.kind = kind,
		.created_ns = (uint64_t)pfs_clock_ns(),
		.seq = log->next_seq,
	};
	memcpy(out->store_uuid, log->store_uuid, PFS_UUID_SIZE);
	return pfs_rand_bytes(out->pack_uuid, sizeof(out->pack_uuid), err);
}

static int start_pack(struct pfs_packlog *log, enum slot slot, struct pfs_error *err)
{
	struct pfs_packwriter *w = NULL;
	struct pfs_packhdr h;
	int fd = -1;
	int rc = make_header(log, slot == META ? PFS_PACK_META : PFS_PACK_DATA, &h, err);

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
	__atomic_store_n(&w->pack->unsettled, 1, __ATOMIC_RELEASE);
	log->writing[slot] = w;
	log->next_seq++;
	return 0;
}

/* To the pack being written or, should that one fail, to a new one. */
static int append_record(struct pfs_packlog *log, enum slot slot, const struct pfs_packrec *rec,
			 const void *payload, uint64_t *out_off, struct pfs_error *err)
{
	int rc = 0;

	for (int attempt = 0; attempt < 2; attempt++) {
		if (!log->writing[slot])
			rc = start_pack(log, slot, err);
		if (rc == 0)
			rc = pfs_packwriter_append(log->writing[slot], rec, payload, out_off, err);
		if (rc != PFS_E_IO || !log->writing[slot])
			break;
		give_up(log, slot);
		rc = attempt == 0 ? 0 : rc;
	}
	return rc;
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
	if (rc == 0)
		rc = append_record(log, slot, rec, payload, &place.off, err);
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
	int rc;

	if (!w || !pfs_packwriter_full(w))
		return;
	rc = pfs_packwriter_write(w, NULL);
	if (rc == PFS_E_IO) {
		give_up(log, slot);
	} else if (rc == 0) {
		pfs_packwriter_shrink(w);
		add_sealing(log, w);
		log->writing[slot] = NULL;
	}
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

/* --- adopted files ------------------------------------------------------ */

static bool lies_in(struct pfs_packlog *log, const struct pfs_adopted *a,
		    const struct pfs_packentry *e)
{
	struct pfs_place now;

	return pfs_packset_find(log->set, &e->id, &now) && now.pack == a->pack->number &&
	       now.off == e->off;
}

/* Read a piece back and append it as a record, when it still is what it was. */
static int rescue_piece(struct pfs_packlog *log, int fd, const struct pfs_packentry *e, bool again)
{
	unsigned char *data = again ? malloc(e->ulen ? e->ulen : 1) : NULL;
	struct pfs_packrec rec = {
		.type = e->type,
		.codec = PFS_CODEC_RAW,
		.ulen = e->ulen,
		.clen = e->ulen,
		.id = e->id,
	};
	struct pfs_id got;
	size_t len;
	int rc = data ? pfs_io_pread(fd, data, e->ulen, e->off, &len, NULL) : PFS_E_NOMEM;

	if (rc == 0)
		rc = pfs_hasher_id(log->hasher, (enum pfs_kind)e->type, data, len, &got, NULL);
	if (rc == 0 && (len < e->ulen || !pfs_id_equal(&got, &e->id)))
		rc = PFS_E_CORRUPT;
	if (rc == 0) {
		rec.payload_crc = pfs_crc32c(0, data, len);
		rc = append_to(log, DATA, &rec, data, NULL);
	}
	free(data);
	return rc;
}

/* The file's bytes could not be flushed: what is needed of it goes into packs of our own, or is lost. */
static void rescue_file(struct pfs_packlog *log, struct pfs_adopted *a, bool again)
{
	int fd = -1;
	int lent = pfs_packset_lend(log->set, a->pack, &fd, NULL);

	assert(pfs_held(&log->lock));
	for (uint32_t i = 0; i < pfs_packfooter_records(&a->table); i++) {
		struct pfs_packentry e;

		if (pfs_packfooter_record(&a->table, i, &e, NULL) < 0 || !lies_in(log, a, &e))
			continue;
		if (lent < 0 || rescue_piece(log, fd, &e, again) < 0)
			pfs_packset_lose(log->set, &e.id);
		retire_full(log, DATA);
	}
	if (lent == 0)
		pfs_packset_return(log->set, a->pack);
	pfs_adopted_unlink(a);
	a->gone = true;
	__atomic_store_n(&a->pack->sealed, 1, __ATOMIC_RELEASE);
	pfs_packset_drop_pack(log->set, a->pack, NULL);
}

static int publish_file(struct pfs_packlog *log, struct pfs_adopted *a, struct pfs_error *err)
{
	int fd;
	int rc = pfs_packset_lend(log->set, a->pack, &fd, err);

	if (rc < 0)
		return rc;
	rc = pfs_adopted_publish(a, fd, err);
	pfs_packset_return(log->set, a->pack);
	return rc;
}

/* To wait for the next flush. */
static void keep_file(struct pfs_packlog *log, struct pfs_adopted *a)
{
	assert(pfs_held(&log->lock));
	a->next = log->files;
	log->files = a;
}

static void release_file(struct pfs_packlog *log, struct pfs_adopted *a)
{
	assert(pfs_held(&log->lock));
	if (--a->users > 0)
		return;
	if (a->durable && a->told)
		pfs_packset_complete(log->set, a->pack);
	pfs_adopted_free(&a);
}

/* --- the flusher -------------------------------------------------------- */

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
		t->files_rc = publish_file(log, a, &err);
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
			rescue_file(log, a, again);
		if (a->durable) {
			__atomic_store_n(&a->pack->sealed, 1, __ATOMIC_RELEASE);
			__atomic_store_n(&a->pack->unsettled, 0, __ATOMIC_RELEASE);
		}
		if (a->durable || a->gone)
			release_file(log, a);
		else
			keep_file(log, a);
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
			rescue_all(log, w, again);
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

/* Buffers to files. What fails stays in its buffer: nothing is lost. */
static int write_all(struct pfs_packlog *log, struct pfs_error *err)
{
	int rc = 0;

	assert(pfs_held(&log->lock));
	for (int slot = 0; slot < N_SLOTS && rc == 0; slot++) {
		if (log->writing[slot])
			rc = pfs_packwriter_write(log->writing[slot], err);
		if (rc == PFS_E_IO) {
			give_up(log, (enum slot)slot);
			rc = 0;
		}
	}
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
static void seal_once(struct pfs_packlog *log)
{
	assert(!log->flushing);
	log->flushing = true;
	/* Failing is nobody's put: what was not durable was moved or counts as lost. */
	run_turn(log, false, true, NULL);
	log->flushing = false;
	pthread_cond_broadcast(&log->turned);
}

/* What is sealed fills the index: here no put waits for it, and who fills it too fast waits for seals. */
static bool seal_step(void *arg)
{
	struct pfs_packlog *log = arg;
	bool more = false, closing;

	pfs_lock(&log->lock);
	closing = log->closing;
	/* While a sync flushes it seals as well, and looks whether more came. */
	if (!log->flushing && log->sealing) {
		seal_once(log);
		more = log->sealing;
	}
	pfs_unlock(&log->lock);
	return (!closing && pfs_packset_tidy(log->set, NULL) == 1) || more;
}

/* Whoever fills packs faster than they can be sealed waits, once there are too many. */
static void seal_waiting(struct pfs_packlog *log)
{
	if (!log->sealing)
		return;
	do {
		if (!log->flushing && !start_sealing(log))
			seal_once(log);
		else if (log->n_sealing > SEALING_MAX)
			pfs_cond_wait(&log->turned, &log->lock, -1);
	} while (log->n_sealing > SEALING_MAX);
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
		if (rc == 0)
			seal_waiting(log);
	}
	pfs_unlock(&log->lock);
	return rc;
}

static int set_piece(struct pfs_packlog *log, const struct pfs_adopted *a, uint32_t i,
		     struct pfs_error *err)
{
	struct pfs_place place = { .pack = a->pack->number };
	struct pfs_packentry e;
	int rc = pfs_packfooter_record(&a->table, i, &e, err);

	if (rc < 0 || pfs_packset_has(log->set, &e.id))
		return rc;
	rc = pfs_packset_reserve(log->set, 1, err);
	if (rc < 0)
		return rc;
	place.off = e.off;
	place.clen = e.clen;
	place.ulen = e.ulen;
	place.type = e.type;
	place.codec = e.codec;
	pfs_packset_set(log->set, &e.id, &place);
	return 0;
}

/* Pieces of the file that are not stored yet are there from now on; some at a time, others want to put. */
static int set_pieces(struct pfs_packlog *log, const struct pfs_adopted *a, struct pfs_error *err)
{
	uint32_t n = pfs_packfooter_records(&a->table);
	int rc = 0;

	for (uint32_t i = 0; i < n && rc == 0; i++) {
		if (i % PIECES_AT_ONCE == 0 && i > 0) {
			pfs_unlock(&log->lock);
			pfs_lock(&log->lock);
		}
		rc = a->gone ? pfs_fail(err, PFS_E_IO, "the file could not be flushed")
			     : set_piece(log, a, i, err);
	}
	return rc;
}

static int link_file(struct pfs_packlog *log, int from, const char *name,
		     struct pfs_packfooter *table, struct pfs_adopted **out, struct pfs_error *err)
{
	struct pfs_packhdr h;
	int rc;

	pfs_lock(&log->lock);
	rc = make_header(log, PFS_PACK_ADOPTED, &h, err);
	if (rc == 0)
		log->next_seq++;
	pfs_unlock(&log->lock);
	return rc < 0 ? rc : pfs_adopted_link(log->dir, &h, from, name, table, out, err);
}

int pfs_packlog_add_file(struct pfs_packlog *log, int from, const char *name,
			 struct pfs_packfooter *table, struct pfs_error *err)
{
	PFS_AUTO(pfs_adopted_free) struct pfs_adopted *a = NULL;
	int rc = link_file(log, from, name, table, &a, err);

	if (rc != 1)
		return rc;
	rc = pfs_packset_add_pack(log->set, a->header.pack_uuid, PFS_PACK_ADOPTED, false,
				  a->header.file_size, -1, &a->pack, err);
	if (rc < 0) {
		pfs_adopted_unlink(a);
		return rc;
	}
	a->pack->seq = a->header.seq;
	__atomic_store_n(&a->pack->unsettled, 1, __ATOMIC_RELEASE);
	a->users = 2;
	pfs_lock(&log->lock);
	/* First of all a sync has to know of it: whoever finds a piece may ask for one at once. */
	keep_file(log, a);
	log->appended++;
	rc = set_pieces(log, a, err);
	a->told = rc == 0;
	release_file(log, a);
	pfs_unlock(&log->lock);
	a = NULL;
	return rc < 0 ? rc : 1;
}

static const struct pfs_packwriter *find_writer(const struct pfs_packlog *log, uint32_t pack)
{
	for (int slot = 0; slot < N_SLOTS; slot++)
		if (log->writing[slot] && log->writing[slot]->pack->number == pack)
			return log->writing[slot];
	for (const struct pfs_packwriter *w = log->sealing; w; w = w->next)
		if (w->pack->number == pack)
			return w; /* one that was given up has its buffer still */
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

/* --- the log ------------------------------------------------------------ */

int pfs_packlog_new(int dir, struct pfs_packset *set, const struct pfs_hasher *hasher,
		    const unsigned char store_uuid[PFS_UUID_SIZE], uint32_t seq,
		    struct pfs_packlog **out, struct pfs_error *err)
{
	struct pfs_packlog *log = calloc(1, sizeof(*log));
	int rc;

	if (!log || pfs_cond_init(&log->turned) != 0) {
		free(log);
		return pfs_fail_nomem(err, "the packs being written");
	}
	log->dir = dir;
	log->set = set;
	log->hasher = hasher;
	log->next_seq = seq;
	log->seal_job = (struct pfs_pool_job){ .step = seal_step, .arg = log };
	memcpy(log->store_uuid, store_uuid, PFS_UUID_SIZE);
	pfs_lock_init(&log->lock, PFS_RANK_STORE);
	rc = pfs_pool_new(1, &log->sealer, err);
	if (rc < 0)
		pfs_packlog_free(&log);
	else
		*out = log;
	return rc;
}

/* What was adopted and not synced was promised to nobody. */
static void forget_files(struct pfs_packlog *log)
{
	struct pfs_adopted *a;

	while ((a = log->files)) {
		log->files = a->next;
		pfs_adopted_unlink(a);
		pfs_adopted_free(&a);
	}
}

void pfs_packlog_free(struct pfs_packlog **log)
{
	struct pfs_packwriter *w;

	if (!*log)
		return;
	pfs_lock(&(*log)->lock);
	(*log)->closing = true;
	pfs_unlock(&(*log)->lock);
	pfs_pool_free(&(*log)->sealer);
	pfs_packlog_write(*log, NULL);
	for (int slot = 0; slot < N_SLOTS; slot++)
		pfs_packwriter_free(&(*log)->writing[slot]);
	while ((w = (*log)->sealing)) {
		(*log)->sealing = w->next;
		pfs_packwriter_free(&w);
	}
	forget_files(*log);
	pthread_cond_destroy(&(*log)->turned);
	pfs_lock_fini(&(*log)->lock);
	free(*log);
	*log = NULL;
}
