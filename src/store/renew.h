/*
 * Packs in which damage was found are rewritten without it.
 *
 *	packcheck finds damage ──▶ pack->damaged, now; rows in doubts.h, ever
 *	objects that have a whole copy elsewhere are mended (health.h)
 *	renew: what else is found in such a pack is moved (mover.h), the pack goes
 *
 * All that can be read is kept, garbage too. What cannot be read goes with its
 * pack only when the caller says that nobody needs it; otherwise the pack stays
 * as it is: it tells what was lost, and a copy that comes later may mend it. A
 * pack of another store stays as well.
 *
 * A stop anywhere, a crash too, leaves objects twice or the pack as it was. A
 * full disk does as well; the next one tries again.
 *
 * Threads: one at a time per store, and nobody sweeps or repacks meanwhile.
 */
#ifndef PFS_STORE_RENEW_H
#define PFS_STORE_RENEW_H

#include "store/store.h"

struct pfs_renewal {
	/*
	 * Everything that anybody needs was found to be whole. The caller looked
	 * after the damage was known and after a barrier (session.h): who was told
	 * before that a damaged object is there has named it by then.
	 */
	bool complete;

	/* "pack <uuid>: rewritten without its damage", or that it stays, and why. */
	void (*renewed)(void *arg, const char *what);
	void (*kept)(void *arg, const char *what);
	void *arg;

	bool (*stop)(void *arg); /* asked often; NULL: never */
	void *stop_arg;
};

/* Durable when it is told. What fails for one pack is told and is no failure; memory that is short is one. */
int pfs_store_renew(struct pfs_store *st, const struct pfs_renewal *r, struct pfs_error *err);

#endif
