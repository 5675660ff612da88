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

#define SYNC_SIZE (8u << 20) /* so much at a time: whoever commits meanwhile waits for no more */
#define RAW_SIZE  (PFS_OBJECT_SIZE_MAX + PFS_BUNDLE_TABLE_MAX + PFS_PACKREC_SIZE + PFS_PACK_ALIGN)

size_t pfs_mover_next_record(const struct pfs_packlist *list, size_t at)
{
	const struct pfs_place *first = &list->items[at].place;

	for (at++; at < list->n && first->codec == PFS_CODEC_BUNDLED; at++)
		if (list->items[at].place.codec != PFS_CODEC_BUNDLED ||
		    list->items[at].place.off != first->off)
			break;
	return at;
}

static int make_room(struct pfs_mover *m, struct pfs_error *err)
{
	if (!m->raw)
		m->raw = malloc(RAW_SIZE);
	if (!m->packed)
		m->packed = malloc(PFS_OBJECT_SIZE_MAX);
	if (!m->raw || !m->packed)
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
	rc = pfs_codec_encode(m->raw, got, m->packed, &packed_len, &codec, err);
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

/* Only an object that is found here alone needs to be moved, and only that can be missed. */
static bool is_found_here(struct pfs_mover *m, const struct pfs_packlist_item *item)
{
	struct pfs_place now;

	return pfs_packset_find(m->parts.set, &item->id, &now) && now.pack == item->place.pack &&
	       now.off == item->place.off;
}

static int move_record(struct pfs_mover *m, int fd, const struct pfs_packlist *list, size_t first,
		       size_t end, bool *out_damaged, struct pfs_error *err)
{
	const unsigned char *payload = NULL;
	struct pfs_error why = { 0 };
	struct pfs_move *moves;
	struct pfs_packrec rec;
	bool here = false;
	int rc;

	for (size_t i = first; i < end && !here; i++)
		here = is_found_here(m, &list->items[i]);
	if (!here)
		return 0;
	rc = read_either(m, fd, &list->items[first], &rec, &payload, &why);
	if (rc == PFS_E_CORRUPT) {
		*out_damaged = true;
		return 0;
	}
	if (rc < 0) {
		if (err)
			*err = why;
		return rc;
	}
	moves = reallocarray(NULL, end - first, sizeof(*moves));
	if (!moves)
		return pfs_fail_nomem(err, "moving records");
	for (size_t i = first; i < end; i++)
		moves[i - first] = (struct pfs_move){ list->items[i].id, list->items[i].place };
	rc = pfs_fault("mover.copy", err);
	if (rc == 0)
		rc = pfs_packlog_move(m->parts.log, &rec, payload, moves, end - first, err);
	free(moves);
	if (rc == 1) {
		m->copied += pfs_packrec_extent(rec.clen);
		m->unsynced += pfs_packrec_extent(rec.clen);
	}
	return rc < 0 ? rc : 0;
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

static int move_all(struct pfs_mover *m, int fd, const struct pfs_packlist *list,
		    bool (*wanted)(void *arg, uint32_t record), void *arg, bool *out_damaged,
		    struct pfs_error *err)
{
	uint32_t record = 0;
	int rc = 0;

	for (size_t at = 0, next; rc == 0 && at < list->n; at = next, record++) {
		next = pfs_mover_next_record(list, at);
		if (!wanted(arg, record))
			continue;
		if (m->stop && m->stop(m->stop_arg))
			return 1;
		rc = move_record(m, fd, list, at, next, out_damaged, err);
		if (rc == 0 && m->unsynced >= SYNC_SIZE)
			rc = sync_some(m, err);
	}
	return rc < 0 ? rc : *out_damaged;
}

int pfs_mover_take(struct pfs_mover *m, struct pfs_pack *pack, const struct pfs_packlist *list,
		   bool (*wanted)(void *arg, uint32_t record), void *arg, bool *out_damaged,
		   struct pfs_error *err)
{
	int fd = -1;
	int rc = make_room(m, err);

	*out_damaged = false;
	if (rc == 0)
		rc = pfs_packset_lend(m->parts.set, pack, &fd, err);
	if (rc < 0)
		return rc;
	rc = move_all(m, fd, list, wanted, arg, out_damaged, err);
	pfs_packset_return(m->parts.set, pack);
	m->taken[m->n_taken++] = (struct pfs_taken){ pack, rc == 0 };
	return rc;
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
static int remove_pack(struct pfs_mover *m, const struct pfs_pack *pack, struct pfs_error *err)
{
	int rc = pfs_fault("mover.unlink", err);

	return rc < 0 ? rc : pfs_pack_remove(m->parts.dir, pack, err);
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
	if (rc < 0) {
		take_back_all(m);
		return rc;
	}
	for (size_t i = 0; i < m->n_taken && rc == 0; i++)
		if (m->taken[i].whole)
			rc = pfs_packset_drop_pack(m->parts.set, m->taken[i].pack, err);
	if (rc == 0)
		rc = pfs_packset_publish(m->parts.set, err);
	for (size_t i = 0; i < m->n_taken && rc == 0; i++) {
		if (!m->taken[i].whole)
			continue;
		rc = remove_pack(m, m->taken[i].pack, err);
		m->removed += rc == 0;
	}
	m->n_taken = 0;
	return rc;
}

void pfs_mover_fini(struct pfs_mover *m)
{
	if (m->n_taken && sync_some(m, NULL) < 0)
		take_back_all(m);
	free(m->raw);
	free(m->packed);
	free(m->taken);
	m->raw = m->packed = NULL;
	m->taken = NULL;
	m->n_taken = m->taken_cap = 0;
}
