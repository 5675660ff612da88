/*
 * A local file that becomes part of the store as it is, with no second write.
 *
 *	begin ──▶ add, add, ... ──▶ commit
 *	          ids of its pieces      its name is linked into the store: packs/a/xx/<uuid>.pk
 *	                                 is the file, and beside it lies a table of the pieces
 *
 * Until commit nothing is stored. From then on the pieces are objects, durable
 * after the next sync, and nobody may change the file again, under any name.
 * When more than half of it is stored already, when the file cannot be linked
 * (another file system, not allowed), or when the store keeps no files, the
 * pieces that are new are copied instead: to the caller it is the same.
 *
 * Threads: one an adoption.
 */
#ifndef PFS_STORE_ADOPTION_H
#define PFS_STORE_ADOPTION_H

#include "store/store.h"

struct pfs_adoption;

int pfs_adoption_begin(struct pfs_store *st, struct pfs_adoption **out, struct pfs_error *err);

/*
 * Chunks that lie one behind the other from offset `off` of the file, behind
 * all that were added before: gives their ids and remembers where they are.
 * The bytes are borrowed for the call. PFS_E_LIMIT past PFS_ADOPTION_CHUNKS_MAX
 * or PFS_ADOPTION_SIZE_MAX: store such a file's content by copying.
 */
int pfs_adoption_add(struct pfs_adoption *a, uint64_t off, struct pfs_store_item *items, size_t n,
		     struct pfs_error *err);

/*
 * The same for chunks whose ids the caller has found out already. What an item
 * is near to counts when it has to be copied.
 */
int pfs_adoption_note(struct pfs_adoption *a, uint64_t off, const struct pfs_store_item *items,
		      size_t n, struct pfs_error *err);

/*
 * Take in file `name` of folder `dir`. The name stays the caller's to remove.
 * PFS_E_CONFLICT when the file is not the one that was surveyed, as far as that
 * was looked at: its size always, its bytes when they are copied. Takes `a`,
 * also on failure; nothing was stored then that is not whole.
 */
int pfs_adoption_commit(struct pfs_adoption **a, int dir, const char *name, struct pfs_error *err);

/* Nothing is stored; NULL inside is fine. */
void pfs_adoption_abort(struct pfs_adoption **a);

#endif
