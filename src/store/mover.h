/*
 * What is wanted of a pack goes elsewhere, then the pack goes.
 *
 *	mover_take, mover_take, ...  ──▶ settle: sync, then drop and unlink
 *	 records copied as they are,       copies and their names are durable
 *	 found at the new place            before the old file is gone
 *
 * A stop anywhere, a crash too, leaves objects twice or in a file that nobody
 * needs. Puts and reads go on meanwhile; who found an object at its old place
 * and comes too late looks it up again.
 *
 * Threads: one at a time per mover, one mover at a time per store.
 */
#ifndef PFS_STORE_MOVER_H
#define PFS_STORE_MOVER_H

#include "store/bundler.h"
#include "store/packlist.h"
#include "store/packlog.h"
#include "store/store_i.h"

/* A pack that something was copied from since the last settle. */
struct pfs_taken {
	struct pfs_pack *pack;
	bool whole; /* all that was wanted is elsewhere: it can go */
};

struct pfs_mover {
	struct pfs_store *st;
	struct pfs_store_parts parts;
	bool (*stop)(void *arg); /* asked between records; NULL: never */
	void *stop_arg;
	bool bundle; /* there is time: small chunks go into bundles, compression is thorough */

	uint64_t seen;    /* bytes read for it */
	uint64_t copied;  /* bytes of records */
	uint64_t removed; /* packs */

	unsigned char *raw, *packed; /* owned; room for one record, for one payload */
	struct pfs_bundler bundler;  /* and what is in it, as items of the list; both owned */
	size_t *members;
	struct pfs_taken *taken; /* owned */
	size_t n_taken, taken_cap;
	uint64_t unsynced; /* bytes */
};

/* Safe on zeroes. Copies that were not settled are made durable; no pack is dropped. */
void pfs_mover_fini(struct pfs_mover *m);

/*
 * Copy those records of a sealed pack, or compress those pieces of an adopted
 * file, for which `wanted` says so, by their number in the pack. 0: all are
 * elsewhere now. 1: stopped on the way, or one of them is damaged, here or where
 * it is found now; the pack stays, and *out_damaged tells why. What was copied
 * until then is not copied again by the next one.
 */
int pfs_mover_take(struct pfs_mover *m, struct pfs_pack *pack, const struct pfs_packlist *list,
		   bool (*wanted)(void *arg, uint32_t record), void *arg, bool *out_damaged,
		   struct pfs_error *err);

/*
 * Make the copies durable, then drop the packs taken since the last time and
 * remove their files. On failure of the first part those packs stay, and what
 * was lost of the copies is found in them again.
 */
int pfs_mover_settle(struct pfs_mover *m, struct pfs_error *err);

/* Whether a mover that bundles would take this object into a bundle. */
bool pfs_mover_is_small(const struct pfs_place *place);

/* The next record of a list: items [*at, returned) lie in it. */
size_t pfs_mover_next_record(const struct pfs_packlist *list, size_t at);

#endif
