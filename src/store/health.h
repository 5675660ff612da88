/*
 * The health of a store: what of it is damaged, and what can be mended from
 * what is whole.
 *
 *	examine ──▶ damages, as text, and the objects that they take
 *	list    ──▶ every object of a kind, as the packs tell
 *	mend    ──▶ damaged objects of which another pack has a whole copy, stored anew
 *
 * Reading, putting and sweeping go on meanwhile. An object that was found
 * damaged is doubted from then on, also by who opens the store next:
 * pfs_store_has() says no until it is put again.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_HEALTH_H
#define PFS_STORE_HEALTH_H

#include "store/store.h"
#include "base/idset.h"

struct pfs_examination {
	bool thorough; /* every byte of every record; else superblock, headers, footers, and
			  what was found damaged before */
	bool index;    /* hold the index against what footers say, object by object */
	bool mend;     /* put the good copy of the superblock over the bad one */

	/* "pack <uuid> at <offset>: what is wrong". The callbacks may be NULL. */
	void (*report)(void *arg, const char *damage);

	/* An object that cannot be read at the place where it is found. */
	void (*lost)(void *arg, enum pfs_kind kind, const struct pfs_id *id);

	/* The index and a pack do not agree: an index made anew will. */
	void (*misplaced)(void *arg);

	/* Something was mended. */
	void (*mended)(void *arg, const char *what);
	void *arg;

	bool (*stop)(void *arg); /* asked often: true ends it early, perhaps within a pack */
	uint64_t *read_bytes;    /* what was looked at is added; may be NULL */
};

/* Whether the object is there and nothing is known against it; no bytes are read. */
bool pfs_store_is_whole(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id);

/* Whether damage is known of, from reading or looking, that may still be needed; no bytes are read. */
bool pfs_store_knows_damage(struct pfs_store *st);

/* Whether there are packs in which damage was found, now or before, needed or not. */
bool pfs_store_has_damaged_packs(struct pfs_store *st);

/* All of the store: 1 when there was damage, mended or not, 0 when there was none. */
int pfs_store_examine(struct pfs_store *st, const struct pfs_examination *x, struct pfs_error *err);

/*
 * A piece of that: packs behind the one with number *after, in the order of
 * their numbers, until about `budget` bytes were read. *after is the last one's,
 * or 0 when all are through.
 */
int pfs_store_examine_some(struct pfs_store *st, const struct pfs_examination *x, uint32_t *after,
			   uint64_t budget, struct pfs_error *err);

/* Ids of every object of a kind, some more than once. A non-zero answer ends it and is returned. */
int pfs_store_list(struct pfs_store *st, enum pfs_kind kind,
		   int (*each)(void *arg, const struct pfs_id *id, struct pfs_error *err),
		   void *arg, struct pfs_error *err);

/*
 * Look for whole copies of these objects in all packs, put what is found and
 * not had, and tell of each. Not synced.
 */
int pfs_store_mend(struct pfs_store *st, const struct pfs_idset *wanted,
		   void (*mended)(void *arg, enum pfs_kind kind, const struct pfs_id *id),
		   void *arg, struct pfs_error *err);

#endif
