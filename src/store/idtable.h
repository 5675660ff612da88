/*
 * Where objects are: id -> place, in memory.
 *
 * Entries of 48 bytes lie densely in segments that never move; an open-
 * addressing table of their numbers finds them. Together 53 to 58 bytes an
 * object. Nothing here is a fact: packs tell it all again.
 *
 * An object can be declared lost (its bytes never became durable). Its entry
 * stays, so that a later put of the same bytes takes it over. Or it can be
 * doubted: reading it found damage. It is still found, to be told of, but a put
 * of the same bytes stores them anew.
 *
 * Threads: one at a time; the packset's lock protects it.
 */
#ifndef PFS_STORE_IDTABLE_H
#define PFS_STORE_IDTABLE_H

#include "store/room.h"
#include "base/error.h"
#include "base/id.h"

struct pfs_place {
	uint32_t pack; /* number in the packset */
	uint64_t
		off; /* of the record header, with PFS_CODEC_BUNDLED the bundle's; in an adopted pack of the bytes */
	uint32_t clen, ulen;
	uint8_t type, codec; /* codec: enum pfs_codec */
	bool doubted;        /* what was read there was damaged */
};

struct pfs_idtable {
	struct pfs_identry **segments;
	size_t n_segments, n;
	uint32_t *slots; /* entry number + 1, 0 free */
	size_t n_slots;  /* a power of two */
	size_t live, lost;
	uint64_t live_bytes; /* before compression */
};

void pfs_idtable_fini(struct pfs_idtable *t); /* zeroes are an empty table */

/* Whether the id is there and not lost; `out` may be NULL. */
bool pfs_idtable_find(const struct pfs_idtable *t, const struct pfs_id *id, struct pfs_place *out);

/* Make sure that `more` sets cannot fail. */
int pfs_idtable_reserve(struct pfs_idtable *t, size_t more, struct pfs_error *err);

/* Add or replace; needs a reserve before. */
void pfs_idtable_set(struct pfs_idtable *t, const struct pfs_id *id, const struct pfs_place *place);

/* Doubt the object if it still is at that place. */
void pfs_idtable_doubt(struct pfs_idtable *t, const struct pfs_id *id,
		       const struct pfs_place *place);

/* What lies in this pack is gone, and is not counted as lost. */
void pfs_idtable_drop_pack(struct pfs_idtable *t, uint32_t pack);

/* The object is gone until it is set again. */
void pfs_idtable_lose(struct pfs_idtable *t, const struct pfs_id *id);

#endif
