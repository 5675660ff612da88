/*
 * Packs that could be smaller become so, one after the other, in the store's
 * spare time.
 *
 *	an adopted file whose bytes compress ──▶ compressed records, then the file goes
 *	a pack with many small chunks ─────────▶ bundles and the rest, then the pack goes
 *	all others stay as they are: an adopted file can be lent, and costs nothing
 *	one that is being written, when there is nothing else and it pays: sealed
 *
 * A pack is looked at once. What comes out of it is in newer packs, which have
 * nothing to gain any more, so every byte is rewritten at most once for each of
 * the two reasons. Who has looked at all packs up to a number keeps that number.
 *
 * Nothing that can be found is ever missing: each object is stored again and
 * found there, all of that is durable, and only then its pack goes. So nobody
 * has to be waited for, neither writers nor readers nor sessions (session.h); a
 * stop anywhere, by a crash too, leaves some objects twice, and the next step
 * goes on behind them.
 *
 * Threads: one at a time per store, and not while a sweep is under way.
 */
#ifndef PFS_STORE_REPACK_H
#define PFS_STORE_REPACK_H

#include "store/store.h"

struct pfs_repack;

/* All packs up to number `after` were looked at; 0: none. */
int pfs_repack_new(struct pfs_store *st, uint32_t after, struct pfs_repack **out,
		   struct pfs_error *err);
void pfs_repack_free(struct pfs_repack **r); /* NULL inside is fine */

struct pfs_repack_options {
	uint64_t budget;         /* bytes to read, about */
	int64_t rest_ns;         /* packs younger than this are left for later */
	bool (*stop)(void *arg); /* asked often; NULL: never */
	void *stop_arg;
};

/* Sums: every step adds. */
struct pfs_repack_done {
	uint64_t packs_seen;      /* looked at */
	uint64_t packs_rewritten; /* and gone */
	uint64_t packs_damaged;   /* not gone, since something in them cannot be read */
	uint64_t packs_postponed; /* too large for the room that the disk has */
	uint64_t read_bytes, written_bytes;
	uint64_t freed_bytes; /* the size of what is gone; written_bytes are to be subtracted */
};

/* One step: 1 when there is more to do, 0 when there is not, for now. */
int pfs_repack_step(struct pfs_repack *r, const struct pfs_repack_options *o,
		    struct pfs_repack_done *done, struct pfs_error *err);

/* For the next pfs_repack_new(). */
uint32_t pfs_repack_after(const struct pfs_repack *r);

#endif
