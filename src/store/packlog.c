#include "store/packlog_i.h"
#include "store/store.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/rand.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * While fewer bytes than this were put since the last sync, chunks go into the
 * metadata pack too: a small commit then has one file to flush, not two.
 */
#define SMALL_COMMIT_SIZE (256u << 10)

void pfs_packlog_add_sealing(struct pfs_packlog *log, struct pfs_packwriter *w)
{
	w->next = log->sealing;
	log->sealing = w;
	log->n_sealing++;
}

/* Writing to this pack fails: the next flush rescues what it holds, others go on elsewhere. */
static void give_up(struct pfs_packlog *log, enum pfs_packlog_slot slot)
{
	struct pfs_packwriter *w = log->writing[slot];

	w->failed = true;
	log->writing[slot] = NULL;
	pfs_packlog_add_sealing(log, w);
}

void pfs_packlog_resume(struct pfs_packlog *log, struct pfs_packwriter *w)
{
	enum pfs_packlog_slot slot = w->pack->kind == PFS_PACK_META ? META : DATA;

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
		pfs_packlog_add_sealing(log, w);
	else
		log->writing[slot] = w;
	pfs_unlock(&log->lock);
}

int pfs_packlog_make_header(struct pfs_packlog *log, uint8_t kind, struct pfs_packhdr *out,
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

static int start_pack(struct pfs_packlog *log, enum pfs_packlog_slot slot, struct pfs_error *err)
{
	struct pfs_packwriter *w = NULL;
	struct pfs_packhdr h;
	int fd = -1;
	int rc =
		pfs_packlog_make_header(log, slot == META ? PFS_PACK_META : PFS_PACK_DATA, &h, err);

	if (rc == 0)
		rc = pfs_packwriter_create(log->dir, &h, &w, &fd, err);
	if (rc < 0)
		return rc;
	rc = pfs_packset_add_pack(log->set, h.pack_uuid, h.kind, false, PFS_PACKHDR_SIZE, fd,
				  &w->pack, err);
	if (rc < 0) {
		pfs_fd_close(&fd);
		pfs_packwriter_free(&w);
		return rc;
	}
	__atomic_store_n(&w->pack->seq, h.seq, __ATOMIC_RELAXED);
	__atomic_store_n(&w->pack->unsettled, 1, __ATOMIC_RELEASE);
	log->writing[slot] = w;
	log->next_seq++;
	return 0;
}

/* To the pack being written or, should that one fail, to a new one. */
static int append_record(struct pfs_packlog *log, enum pfs_packlog_slot slot,
			 const struct pfs_packrec *rec, const void *payload, uint64_t *out_off,
			 struct pfs_error *err)
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

/* The record into a pack of that slot; *out is where it is, and nobody was told. */
static int write_record(struct pfs_packlog *log, enum pfs_packlog_slot slot,
			const struct pfs_packrec *rec, const void *payload, struct pfs_place *out,
			struct pfs_error *err)
{
	struct pfs_place place = {
		.clen = rec->clen,
		.ulen = rec->ulen,
		.type = rec->type,
		.codec = rec->codec,
	};
	int rc = append_record(log, slot, rec, payload, &place.off, err);

	assert(pfs_held(&log->lock));
	if (rc < 0)
		return rc;
	place.pack = log->writing[slot]->pack->number;
	log->appended++;
	*out = place;
	return 0;
}

int pfs_packlog_append_to(struct pfs_packlog *log, enum pfs_packlog_slot slot,
			  const struct pfs_packrec *rec, const void *payload, struct pfs_error *err)
{
	struct pfs_place place;
	int rc = pfs_packset_reserve(log->set, 1, err);

	if (rc < 0)
		return rc;
	rc = write_record(log, slot, rec, payload, &place, err);
	if (rc < 0) {
		pfs_packset_unreserve(log->set, 1);
		return rc;
	}
	pfs_packset_set(log->set, &rec->id, &place);
	log->unsynced += pfs_packrec_extent(rec->clen);
	return 0;
}

bool pfs_packlog_lies_at(struct pfs_packlog *log, const struct pfs_id *id, uint32_t pack,
			 uint64_t off)
{
	struct pfs_place now;

	return pfs_packset_find(log->set, id, &now) && now.pack == pack && now.off == off;
}

static bool is_still_at(struct pfs_packlog *log, const struct pfs_move *move)
{
	struct pfs_place now;

	return pfs_packset_find(log->set, &move->id, &now) &&
	       pfs_packset_is_place(log->set, &move->id, &now, &move->from);
}

/*
 * Under the log's lock nobody else appends, so what is found at its old place
 * is still there when it is told to be at the new one.
 */
int pfs_packlog_move_to(struct pfs_packlog *log, enum pfs_packlog_slot slot,
			const struct pfs_packrec *rec, const void *payload,
			const struct pfs_move *moves, size_t n, struct pfs_error *err)
{
	struct pfs_place place;
	size_t wanted = 0;
	int rc;

	assert(pfs_held(&log->lock));
	for (size_t i = 0; i < n; i++)
		wanted += is_still_at(log, &moves[i]);
	if (!wanted)
		return 0;
	rc = pfs_packset_reserve(log->set, wanted, err);
	if (rc < 0)
		return rc;
	rc = write_record(log, slot, rec, payload, &place, err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct pfs_place to = place;

		if (!is_still_at(log, &moves[i]))
			continue;
		to.type = moves[i].from.type;
		to.ulen = moves[i].from.ulen;
		to.codec = rec->type == PFS_PACK_BUNDLE ? PFS_CODEC_BUNDLED : rec->codec;
		pfs_packset_set(log->set, &moves[i].id, &to);
		wanted--;
	}
	pfs_packset_unreserve(log->set, wanted);
	return rc < 0 ? rc : 1;
}

/* A full pack goes to be sealed. On a full disk it just grows on meanwhile. */
void pfs_packlog_retire_full(struct pfs_packlog *log, enum pfs_packlog_slot slot)
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
		pfs_packlog_add_sealing(log, w);
		log->writing[slot] = NULL;
	}
}

/* Buffers to files. What fails stays in its buffer: nothing is lost. */
int pfs_packlog_write_all(struct pfs_packlog *log, struct pfs_error *err)
{
	int rc = 0;

	assert(pfs_held(&log->lock));
	for (int slot = 0; slot < N_SLOTS && rc == 0; slot++) {
		if (log->writing[slot])
			rc = pfs_packwriter_write(log->writing[slot], err);
		if (rc == PFS_E_IO) {
			give_up(log, (enum pfs_packlog_slot)slot);
			rc = 0;
		}
	}
	return rc;
}

int pfs_packlog_append(struct pfs_packlog *log, const struct pfs_packrec *rec, const void *payload,
		       struct pfs_error *err)
{
	enum pfs_packlog_slot slot = META;
	int rc = 1;

	pfs_lock(&log->lock);
	if (!pfs_packset_has(log->set, &rec->id)) {
		if (rec->type == PFS_KIND_CHUNK &&
		    log->unsynced + pfs_packrec_extent(rec->clen) > SMALL_COMMIT_SIZE)
			slot = DATA;
		rc = pfs_packlog_append_to(log, slot, rec, payload, err);
		pfs_packlog_retire_full(log, slot);
		if (rc == 0)
			pfs_packlog_seal_waiting(log);
	}
	pfs_unlock(&log->lock);
	return rc;
}

int pfs_packlog_move(struct pfs_packlog *log, const struct pfs_packrec *rec, const void *payload,
		     const struct pfs_move *moves, size_t n, struct pfs_error *err)
{
	enum pfs_packlog_slot slot =
		rec->type == PFS_KIND_CHUNK || rec->type == PFS_PACK_BUNDLE ? DATA : META;
	int rc;

	pfs_lock(&log->lock);
	rc = pfs_packlog_move_to(log, slot, rec, payload, moves, n, err);
	pfs_packlog_retire_full(log, slot);
	if (rc == 1)
		pfs_packlog_seal_waiting(log);
	pfs_unlock(&log->lock);
	return rc;
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
	rc = pfs_packlog_write_all(log, err);
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
	log->seal_job = (struct pfs_pool_job){ .step = pfs_packlog_seal_step, .arg = log };
	memcpy(log->store_uuid, store_uuid, PFS_UUID_SIZE);
	pfs_lock_init(&log->lock, PFS_RANK_STORE);
	rc = pfs_pool_new(1, &log->sealer, err);
	if (rc < 0)
		pfs_packlog_free(&log);
	else
		*out = log;
	return rc;
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
	pfs_packlog_forget_files(*log);
	pthread_cond_destroy(&(*log)->turned);
	pfs_lock_fini(&(*log)->lock);
	free(*log);
	*log = NULL;
}
