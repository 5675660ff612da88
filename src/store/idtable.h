/*
 * Where the newest objects are: id -> place, in memory.
 *
 * This is what is in front of the index on disk: everything in packs that the
 * runs do not cover. Entries of 48 bytes lie densely in segments that never
 * move; an open-addressing table of their numbers finds them. Together 53 to 58
 * bytes an object. Nothing here is a fact: packs tell it all again.
 *
 * An object can be declared lost (its bytes never became durable). Its entry
 * stays, so that a later put of the same bytes takes it over. Or it can be
 * doubted: reading it found damage. It is still found, to be told of, but a put
 * of the same bytes stores them anew.
 *
 * An id may have older entries behind its newest one. They are not found, but
 * go into a run with their pack: what lies in the newer pack may be cut off by
 * a power cut, and then the older place has to be known.
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
	size_t lost;
};

void pfs_idtable_fini(struct pfs_idtable *t); /* zeroes are an empty table */

enum pfs_idtable_answer { PFS_IDTABLE_ABSENT, PFS_IDTABLE_LOST, PFS_IDTABLE_FOUND };

/* `out`, which may be NULL, is set when the id is FOUND. */
enum pfs_idtable_answer pfs_idtable_find(const struct pfs_idtable *t, const struct pfs_id *id,
					 struct pfs_place *out);

/* Make sure that `more` sets cannot fail. */
int pfs_idtable_reserve(struct pfs_idtable *t, size_t more, struct pfs_error *err);

/* Add or replace; needs a reserve before. The entry that was there may be kept behind the new one. */
void pfs_idtable_set(struct pfs_idtable *t, const struct pfs_id *id, const struct pfs_place *place,
		     bool keep_older);

/* Doubt the object if it still is at that place. */
void pfs_idtable_doubt(struct pfs_idtable *t, const struct pfs_id *id,
		       const struct pfs_place *place);

/* The object, if it is FOUND, is gone until it is set again. */
void pfs_idtable_lose(struct pfs_idtable *t, const struct pfs_id *id);

struct pfs_idtable_entry {
	struct pfs_id id;
	struct pfs_place place;
	bool lost, older; /* older: there is a newer entry of this id */
};

/* What it takes in memory. */
uint64_t pfs_idtable_bytes(const struct pfs_idtable *t);

/* Walk over all entries, in the order they were set: *pos starts at 0; false at the end. */
bool pfs_idtable_next(const struct pfs_idtable *t, size_t *pos, struct pfs_idtable_entry *out);

/*
 * Leave only the entries that `keep` wants, and give the memory of the others
 * back, all but room for `more` sets; the newest of those that are left is found.
 * `newest` is the entry that `e` is older than, or `e` itself. On failure nothing
 * has changed.
 */
typedef bool (*pfs_idtable_keep_fn)(void *arg, const struct pfs_idtable_entry *e,
				    const struct pfs_idtable_entry *newest);
int pfs_idtable_keep(struct pfs_idtable *t, pfs_idtable_keep_fn keep, void *arg, size_t more,
		     struct pfs_error *err);

#endif
