#include "store/mover.h"
#include "format/bundle.h"
#include "store/codec.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNC_SIZE  (8u << 20) /* so much at a time: whoever commits meanwhile waits for no more */
#define BUNDLE_MIN 4u         /* fewer are as well off by themselves */
#define RAW_SIZE   (PFS_OBJECT_SIZE_MAX + PFS_BUNDLE_TABLE_MAX + PFS_PACKREC_SIZE + PFS_PACK_ALIGN)

size_t pfs_mover_next_record(const struct pfs_packlist *list, size_t at)
{
	const struct pfs_place *first = &list->items[at].place;

	for (at++; at < list->n && first->codec == PFS_CODEC_BUNDLED; at++)
		if (list->items[at].place.codec != PFS_CODEC_BUNDLED ||
		    list->items[at].place.off != first->off)
			break;
	return at;
}

/* Deltas are smaller already, and nodes are read one by one on the way to something. */
bool pfs_mover_is_small(const struct pfs_place *place)
{
	return place->ulen < PFS_BUNDLER_SMALL && place->type == PFS_KIND_CHUNK &&
	       (place->codec == PFS_CODEC_RAW || place->codec == PFS_CODEC_ZSTD);
}

static int make_room(struct pfs_mover *m, struct pfs_error *err)
{
	if (!m->raw)
		m->raw = malloc(RAW_SIZE);
	if (!m->packed)
		m->packed = malloc(PFS_OBJECT_SIZE_MAX);
	if (m->bundle && !m->members) {
		pfs_bundler_init(&m->bundler);
		m->members = calloc(PFS_BUNDLE_MEMBERS_MAX, sizeof(*m->members));
	}
	if (!m->raw || !m->packed || (m->bundle && !m->members))
		return pfs_fail_nomem(err, "moving records");
	if (m->n_taken == m->taken_cap) {
		size_t cap = m->taken_cap ? 2 * m->taken_cap : 16;
		struct pfs_taken *wider = reallocarray(m->taken, cap, sizeof(*wider));

		if (!wider)
			return pfs_fail_nomem(err, "moving records");
		m->taken = wider;
		m->taken_cap = cap;
	}
	return 0;
}

/* A record as it lies in the file, checked; PFS_E_CORRUPT when it is not whole. */
static int read_record(struct pfs_mover *m, int fd, const struct pfs_place *place,
		       struct pfs_packrec *out, struct pfs_error *err)
{
	size_t len = (size_t)pfs_packrec_extent(place->clen), got;
	int rc;

	if (len > RAW_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "a record of %zu bytes", len);
	rc = pfs_io_pread(fd, m->raw, len, place->off, &got, err);
	return rc < 0 ? rc : pfs_packrec_check(m->raw, got, out, err);
}

/* A piece of an adopted file as the record that a put would have made of it. */
static int read_piece(struct pfs_mover *m, int fd, const struct pfs_packlist_item *item,
		      struct pfs_packrec *out, const unsigned char **out_payload,
		      struct pfs_error *err)
{
	const struct pfs_place *place = &item->place;
	size_t got = 0, packed_len;
	enum pfs_codec codec;
	struct pfs_id id;
	int rc = 0;

	if (place->ulen > PFS_OBJECT_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT, "a piece of %u bytes", place->ulen);
	rc = pfs_io_pread(fd, m->raw, place->ulen, place->off, &got, err);
	if (rc < 0)
		return rc;
	pfs_store_id(m->st, place->type, m->raw, got, &id);
	if (got < place->ulen || !pfs_id_equal(&id, &item->id))
		return pfs_fail(err, PFS_E_CORRUPT, "a piece is not what it was");
	rc = (m->bundle ? pfs_codec_encode_spare : pfs_codec_encode)(m->raw, got, m->packed,
								     &packed_len, &codec, err);
	if (rc < 0)
		return rc;
	*out_payload = codec == PFS_CODEC_RAW ? m->raw : m->packed;
	*out = (struct pfs_packrec){
		.type = place->type,
		.codec = (uint8_t)codec,
		.ulen = place->ulen,
		.clen = (uint32_t)packed_len,
		.id = item->id,
		.payload_crc = pfs_crc32c(0, *out_payload, packed_len),
	};
	return 0;
}

static int read_either(struct pfs_mover *m, int fd, const struct pfs_packlist_item *item,
		       struct pfs_packrec *out, const unsigned char **out_payload,
		       struct pfs_error *err)
{
	if (pfs_packset_pack(m->parts.set, item->place.pack)->kind == PFS_PACK_ADOPTED)
		return read_piece(m, fd, item, out, out_payload, err);
	*out_payload = m->raw + PFS_PACKREC_SIZE;
	return read_record(m, fd, &item->place, out, err);
}

/* A pack whose records go elsewhere. */
struct leaving {
	int fd;
	const struct pfs_packlist *list;
	bool damaged; /* it has to stay */
};

/*
 * Only an object that is found here alone needs to be moved, and only that can
 * be missed. One that is damaged where it is found may be mended from here.
 * Of those that an adopted file has more than once, the first takes it along.
 */
static bool is_found_here(struct pfs_mover *m, struct leaving *l, size_t i)
{
	const struct pfs_packlist_item *item = &l->list->items[i];
	struct pfs_place now;

	if (!pfs_packset_find(m->parts.set, &item->id, &now))
		return false;
	if (pfs_packset_is_place(m->parts.set, &item->id, &now, &item->place))
		return true;
	l->damaged = l->damaged || now.doubted;
	return false;
}

/* What cannot be read makes the pack stay, and is no failure. */
static int tell_damage(struct leaving *l, int rc, const struct pfs_error *why,
		       struct pfs_error *err)
{
	if (rc == PFS_E_CORRUPT) {
		l->damaged = true;
		return 0;
	}
	if (rc < 0 && err)
		*err = *why;
	return rc;
}

/* The record into the log, with those objects that it holds. */
static int append(struct pfs_mover *m, const struct pfs_packrec *rec, const void *payload,
		  const struct pfs_move *moves, size_t n, struct pfs_error *err)
{
	int rc = pfs_fault("mover.copy", err);

	if (rc == 0)
		rc = pfs_packlog_move(m->parts.log, rec, payload, moves, n, err);
	if (rc == 1) {
		m->copied += pfs_packrec_extent(rec->clen);
		m->unsynced += pfs_packrec_extent(rec->clen);
	}
	return rc < 0 ? rc : 0;
}

static int move_record(struct pfs_mover *m, struct leaving *l, size_t first, size_t end,
		       struct pfs_error *err)
{
	const struct pfs_packlist_item *items = l->list->items;
	const unsigned char *payload = NULL;
	struct pfs_error why = { 0 };
	struct pfs_move *moves;
	struct pfs_packrec rec;
	bool here = false;
	int rc;

	for (size_t i = first; i < end; i++)
		here = is_found_here(m, l, i) || here;
	if (!here)
		return 0;
	rc = read_either(m, l->fd, &items[first], &rec, &payload, &why);
	if (rc < 0)
		return tell_damage(l, rc, &why, err);
	m->seen += items[first].place.clen;
	moves = reallocarray(NULL, end - first, sizeof(*moves));
	if (!moves)
		return pfs_fail_nomem(err, "moving records");
	for (size_t i = first; i < end; i++)
		moves[i - first] = (struct pfs_move){ items[i].id, items[i].place };
	rc = append(m, &rec, payload, moves, end - first, err);
	free(moves);
	return rc;
}

/* --- small ones, together --------------------------------------------------- */

/* The bundle as it is now. */
static int append_bundle(struct pfs_mover *m, const struct leaving *l, struct pfs_error *err)
{
	uint32_t n = pfs_bundler_members(&m->bundler);
	struct pfs_move *moves = calloc(n, sizeof(*moves));
	unsigned char *payload = NULL;
	struct pfs_packrec rec;
	int rc = moves ? pfs_bundler_make(&m->bundler, m->st->hasher, &rec, &payload, err)
		       : pfs_fail_nomem(err, "moving records");

	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		const struct pfs_packlist_item *item = &l->list->items[m->members[i]];

		moves[i] = (struct pfs_move){ item->id, item->place };
	}
	if (rc == 0)
		rc = append(m, &rec, payload, moves, n, err);
	free(payload);
	free(moves);
	return rc;
}

static int settle_bundle(struct pfs_mover *m, struct leaving *l, struct pfs_error *err)
{
	uint32_t n = m->members ? pfs_bundler_members(&m->bundler) : 0;
	int rc = 0;

	if (n >= BUNDLE_MIN)
		rc = append_bundle(m, l, err);
	for (uint32_t i = 0; rc == 0 && n < BUNDLE_MIN && i < n; i++)
		rc = move_record(m, l, m->members[i], m->members[i] + 1, err);
	if (n)
		pfs_bundler_clear(&m->bundler);
	return rc;
}

/* The object of a record, checked against its id, in m->packed. */
static int read_small(struct pfs_mover *m, int fd, const struct pfs_packlist_item *item,
		      struct pfs_error *err)
{
	struct pfs_packrec rec;
	struct pfs_id id;
	int rc = read_record(m, fd, &item->place, &rec, err);

	if (rc == 0 && (rec.ulen != item->place.ulen || rec.codec != item->place.codec))
		return pfs_fail(err, PFS_E_CORRUPT,
				"another record is in the place of a small one");
	if (rc == 0)
		rc = pfs_codec_decode((enum pfs_codec)rec.codec, m->raw + PFS_PACKREC_SIZE,
				      rec.clen, m->packed, rec.ulen, err);
	if (rc < 0)
		return rc;
	pfs_store_id(m->st, item->place.type, m->packed, rec.ulen, &id);
	return pfs_id_equal(&id, &item->id)
		       ? 0
		       : pfs_fail(err, PFS_E_CORRUPT, "a small record is not what it was");
}

static int bundle_record(struct pfs_mover *m, struct leaving *l, size_t at, struct pfs_error *err)
{
	const struct pfs_packlist_item *item = &l->list->items[at];
	struct pfs_error why = { 0 };
	int rc;

	if (!is_found_here(m, l, at))
		return 0;
	if (!pfs_bundler_fits(&m->bundler, item->place.ulen)) {
		rc = settle_bundle(m, l, err);
		if (rc < 0)
			return rc;
	}
	rc = read_small(m, l->fd, item, &why);
	if (rc < 0)
		return tell_damage(l, rc, &why, err);
	m->seen += item->place.clen;
	rc = pfs_bundler_add(&m->bundler, (enum pfs_kind)item->place.type, &item->id, m->packed,
			     item->place.ulen, err);
	if (rc == 0)
		m->members[pfs_bundler_members(&m->bundler) - 1] = at;
	return rc;
}

static bool is_to_bundle(struct pfs_mover *m, const struct pfs_place *place)
{
	return m->bundle && pfs_mover_is_small(place) &&
	       pfs_packset_pack(m->parts.set, place->pack)->kind != PFS_PACK_ADOPTED;
}

/*
 * What was copied and lost again, since the disk failed under it, is found at
 * its old place, which is still there.
 */
static void take_back(struct pfs_mover *m, const struct pfs_packlist *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct pfs_packlist_item *item = &list->items[i];

		if (!pfs_packset_find(m->parts.set, &item->id, NULL) &&
		    pfs_packset_reserve(m->parts.set, 1, NULL) == 0)
			pfs_packset_set(m->parts.set, &item->id, &item->place);
	}
}

static int sync_some(struct pfs_mover *m, struct pfs_error *err)
{
	int rc = pfs_packlog_sync(m->parts.log, err);

	if (rc == 0)
		m->unsynced = 0;
	return rc;
}

static bool told_to_stop(const struct pfs_mover *m)
{
	return m->stop && m->stop(m->stop_arg);
}

/* 1 when it was told to stop. */
static int move_all(struct pfs_mover *m, struct leaving *l,
		    bool (*wanted)(void *arg, uint32_t record), void *arg, struct pfs_error *err)
{
	const struct pfs_packlist *list = l->list;
	bool stopped = false;
	uint32_t record = 0;
	int rc = 0;

	for (size_t at = 0, next; rc == 0 && !stopped && at < list->n; at = next, record++) {
		next = pfs_mover_next_record(list, at);
		if (!wanted(arg, record))
			continue;
		stopped = told_to_stop(m);
		if (!stopped)
			rc = is_to_bundle(m, &list->items[at].place)
				     ? bundle_record(m, l, at, err)
				     : move_record(m, l, at, next, err);
		if (rc == 0 && m->unsynced >= SYNC_SIZE)
			rc = sync_some(m, err);
	}
	if (rc == 0)
		rc = settle_bundle(m, l, err);
	return rc < 0 ? rc : stopped;
}

int pfs_mover_take(struct pfs_mover *m, struct pfs_pack *pack, const struct pfs_packlist *list,
		   bool (*wanted)(void *arg, uint32_t record), void *arg, bool *out_damaged,
		   struct pfs_error *err)
{
	struct leaving l = { .fd = -1, .list = list };
	int rc = make_room(m, err);

	*out_damaged = false;
	if (rc == 0)
		rc = pfs_packset_lend(m->parts.set, pack, &l.fd, err);
	if (rc < 0)
		return rc;
	if (m->members)
		pfs_bundler_clear(&m->bundler);
	rc = move_all(m, &l, wanted, arg, err);
	pfs_packset_return(m->parts.set, pack);
	m->taken[m->n_taken++] = (struct pfs_taken){ pack, rc == 0 && !l.damaged };
	*out_damaged = l.damaged;
	return rc == 0 ? l.damaged : rc;
}

static void take_back_all(struct pfs_mover *m)
{
	for (size_t i = 0; i < m->n_taken; i++) {
		PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };

		if (pfs_packlist_load(m->parts.dir, m->taken[i].pack, &list, NULL) == 0)
			take_back(m, &list);
	}
	m->n_taken = 0;
}

/* Nothing is found in it any more, and who reads it keeps it open: the names can go. */
static int remove_pack(struct pfs_mover *m, struct pfs_pack *pack, struct pfs_error *err)
{
	int rc = pfs_fault("mover.unlink", err);

	if (rc == 0)
		rc = pfs_pack_remove(m->parts.dir, pack, err);
	if (rc == 0)
		__atomic_store_n(&pack->leftover, 0, __ATOMIC_RELEASE);
	return rc;
}

static int drop_taken(struct pfs_mover *m, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < m->n_taken && rc == 0; i++) {
		if (!m->taken[i].whole)
			continue;
		rc = pfs_packset_drop_pack(m->parts.set, m->taken[i].pack, err);
		if (rc == 0)
			__atomic_store_n(&m->taken[i].pack->leftover, 1, __ATOMIC_RELEASE);
	}
	m->n_taken = 0;
	return rc;
}

/*
 * Also what somebody before us could not remove: a file that was left is back
 * when the store is opened next, and its deltas must not miss the bases that
 * we drop after it.
 */
static int remove_leftovers(struct pfs_mover *m, struct pfs_error *err)
{
	struct pfs_pack *pack;
	int rc = pfs_packset_publish(m->parts.set, err);

	while (rc == 0 && (pack = pfs_packset_leftover(m->parts.set))) {
		rc = remove_pack(m, pack, err);
		m->removed += rc == 0;
	}
	return rc;
}

int pfs_mover_settle(struct pfs_mover *m, struct pfs_error *err)
{
	int rc;

	if (m->n_taken == 0)
		return 0;
	/* Also when nothing was copied: what made a record here an older copy may not be durable yet. */
	rc = sync_some(m, err);
	if (rc == 0)
		rc = pfs_fault("mover.settle", err);
	if (rc == 0 && pfs_packset_leftover(m->parts.set))
		rc = remove_leftovers(m, err);
	if (rc < 0) {
		take_back_all(m);
		return rc;
	}
	rc = drop_taken(m, err);
	return rc < 0 ? rc : remove_leftovers(m, err);
}

void pfs_mover_fini(struct pfs_mover *m)
{
	if (m->n_taken && sync_some(m, NULL) < 0)
		take_back_all(m);
	free(m->raw);
	free(m->packed);
	free(m->taken);
	free(m->members);
	pfs_bundler_fini(&m->bundler);
	m->raw = m->packed = NULL;
	m->members = NULL;
	m->taken = NULL;
	m->n_taken = m->taken_cap = 0;
}
