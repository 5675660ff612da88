/*
 * Garbage: find what of the packs is wanted, rewrite those with too much that
 * is not. What is wanted the caller knows; he marks it.
 *
 *	new ─▶ mark roots ─▶ choose ─▶ condemn ─▶ mark roots again ─▶ finish ─▶ free
 *	 │                     │          │                             │
 *	what packs hold    too much       puts and hints see nothing    what is wanted is
 *	is listed          garbage        in the chosen packs; all      copied, synced, and
 *	                   in which?      sessions that began before    the packs are dropped
 *	                                  have ended
 *
 * Only the chosen packs are condemned and only for as long as it takes to mark
 * what changed since the first time; all other packs go on answering "stored
 * already". A stop anywhere, by the caller or by a crash, leaves everything
 * readable: nothing of this is kept but in memory.
 *
 * Why nothing is lost: let C be the time by which all chosen packs are
 * condemned, B the end of the barrier, and let the caller read his roots, for
 * the second time, after B. An object goes only when it lies in a chosen pack
 * and was not marked. Suppose something names it later.
 *
 *	1. It was named all the time from when the roots were read: then it was marked.
 *	2. Else its name was made later, in a session (session.h). That session
 *	   began after C, or the barrier would have waited for it and the name
 *	   would have been read.
 *	3. The name was made from an id that this session got from a put, or from a
 *	   has: after C both are told nothing of condemned packs, so the object
 *	   lies elsewhere. Or it was made from what another name leads to; then the
 *	   same holds for that one, back to one that was there when the roots were
 *	   read. A tree that no root leads to is not used (history sees to that).
 *	4. An object is a delta, and what goes is its base: bases of all deltas in
 *	   packs that stay are kept, wanted or not, and of those that are copied.
 *	   After C no new delta is made against what lies in a condemned pack.
 *	5. It comes to an end half way, and condemned packs are as before: then
 *	   puts are told again that deltas in them are there, garbage or not. So
 *	   no base goes before the pack of any delta that leans on it has gone:
 *	   packs go in that order, and where two lean on each other the bases
 *	   are copied, to go the next time.
 *
 * Bytes are counted as they lie on disk: header, payload and padding of a
 * record and what the footer says of it. A bundle is one thing: it is wanted
 * while any member is. A piece of an adopted file counts its length.
 *
 * Threads: one at a time per sweep, one sweep at a time per store.
 */
#ifndef PFS_STORE_SWEEP_H
#define PFS_STORE_SWEEP_H

#include "store/store.h"

struct pfs_sweep;

struct pfs_sweep_options {
	bool thorough;           /* any garbage is too much; else 30 % of a pack */
	bool (*stop)(void *arg); /* asked often; NULL: never */
	void *stop_arg;
};

/*
 * Memory is bounded, so a large store is swept in parts, each with marks of its
 * own. Zeroes are before the first.
 */
struct pfs_sweep_part {
	size_t pos, end; /* pack numbers */
	bool begun;
};
bool pfs_sweep_has_more(const struct pfs_sweep_part *part);

/* The next part. A store without packs has one, empty part. */
int pfs_sweep_new(struct pfs_store *st, const struct pfs_sweep_options *options,
		  struct pfs_sweep_part *part, struct pfs_sweep **out, struct pfs_error *err);

/* Condemned packs that were not finished are as before. NULL inside is fine. */
void pfs_sweep_free(struct pfs_sweep **sw);

/*
 * This object is wanted. 1 when that is new and it may have others below it, 0
 * when there is nothing to do: what visit of tree/reach.h wants.
 */
int pfs_sweep_mark(struct pfs_sweep *sw, enum pfs_kind kind, const struct pfs_id *id,
		   struct pfs_error *err);

/* What is wanted until now, of this part. */
void pfs_sweep_wanted(struct pfs_sweep *sw, uint64_t *out_objects, uint64_t *out_bytes);

struct pfs_sweep_figures {
	uint64_t live_objects, live_bytes;
	uint64_t dead_objects, dead_bytes;
	uint64_t double_objects, double_bytes; /* older copies */
	uint64_t packs;
	uint64_t packs_chosen;
	uint64_t copy_bytes;    /* live, in chosen packs */
	uint64_t garbage_bytes; /* in chosen packs */
	uint64_t left_bytes;    /* garbage in others */
	uint64_t packs_damaged; /* not looked at, or not removed, since they are */
};

/* Which packs are to be rewritten; *out is what that would come to. */
int pfs_sweep_choose(struct pfs_sweep *sw, struct pfs_sweep_figures *out, struct pfs_error *err);

/* 0; 1 when it was told to stop, then nothing is condemned. */
int pfs_sweep_condemn(struct pfs_sweep *sw, struct pfs_error *err);

/* What was done. 0; 1 when it was told to stop before the end. `out` is set in every case. */
struct pfs_sweep_done {
	uint64_t packs_removed, copied_bytes, freed_bytes, packs_damaged;
	uint64_t left_bytes; /* of garbage in chosen packs that did not go after all */
	uint64_t kept_bytes; /* bases of garbage, copied since that could not go first */
};
int pfs_sweep_finish(struct pfs_sweep *sw, struct pfs_sweep_done *out, struct pfs_error *err);

#endif
