/*
 * The set of all packs: which of them holds this object, and where?
 *
 * Packs are added, and dropped when sweep has moved what is wanted elsewhere.
 * Their descriptors are lent: those of packs being written stay open, of sealed
 * ones at most PFS_PACK_OPEN_MAX do.
 *
 *	add_pack ──▶ found ──condemn──▶ found, but not for puts ──drop──▶ not found
 *	               ◀──condemn(no)──
 *
 * Threads: any.
 */
#ifndef PFS_STORE_PACKSET_H
#define PFS_STORE_PACKSET_H

#include "store/idtable.h"
#include "store/pack.h"

struct pfs_packset;

/* `dir` is the store's folder, borrowed for the set's life. */
int pfs_packset_new(int dir, struct pfs_packset **out, struct pfs_error *err);
void pfs_packset_free(struct pfs_packset **set);

/*
 * Add a pack. `fd`, unless negative, is taken on success and pinned: it stays
 * open until pfs_packset_unpin(). *out lives as long as the set.
 */
int pfs_packset_add_pack(struct pfs_packset *set, const unsigned char uuid[PFS_UUID_SIZE],
			 uint8_t kind, bool sealed, uint64_t size, int fd, struct pfs_pack **out,
			 struct pfs_error *err);
void pfs_packset_unpin(struct pfs_packset *set, struct pfs_pack *pack);

/* The pack of that number, dropped or not; NULL when there is none. */
struct pfs_pack *pfs_packset_pack(struct pfs_packset *set, size_t number);

/* Walk over the packs that are not dropped: *pos starts at 0; NULL at the end. */
struct pfs_pack *pfs_packset_next(struct pfs_packset *set, size_t *pos);

/*
 * From now on a put stores again what lies in this pack only, until `yes` is
 * taken back. Reading goes on as before.
 */
void pfs_packset_condemn(struct pfs_packset *set, struct pfs_pack *pack, bool yes);

/*
 * A sealed pack goes: nothing is found in it any more. What is wanted of it has
 * to lie elsewhere by now, which is to say that pfs_packset_has() answers true
 * for it while the pack is condemned; an older copy in another pack may not be
 * found again. The pack stays readable for whoever has it lent; its file is
 * the caller's to remove.
 */
int pfs_packset_drop_pack(struct pfs_packset *set, struct pfs_pack *pack, struct pfs_error *err);

/* A descriptor to read from, until it is returned; PFS_E_NOTFOUND for a dropped pack. */
int pfs_packset_lend(struct pfs_packset *set, struct pfs_pack *pack, int *out_fd,
		     struct pfs_error *err);
void pfs_packset_return(struct pfs_packset *set, struct pfs_pack *pack);

/* Where the object is, doubted or not; `out` may be NULL. */
bool pfs_packset_find(struct pfs_packset *set, const struct pfs_id *id, struct pfs_place *out);

/*
 * Whether it is there, not only in a condemned pack, and was not found damaged:
 * a put of the same bytes need not store them.
 */
bool pfs_packset_has(struct pfs_packset *set, const struct pfs_id *id);

/* Reading it there found damage. */
void pfs_packset_doubt(struct pfs_packset *set, const struct pfs_id *id,
		       const struct pfs_place *place);

/* Make sure that the next pfs_packset_set cannot fail; see pfs_idtable_*. */
int pfs_packset_reserve(struct pfs_packset *set, size_t more, struct pfs_error *err);
void pfs_packset_set(struct pfs_packset *set, const struct pfs_id *id,
		     const struct pfs_place *place);
void pfs_packset_lose(struct pfs_packset *set, const struct pfs_id *id);
size_t pfs_packset_lost(struct pfs_packset *set);

struct pfs_packset_totals {
	uint64_t objects, object_bytes, packs, pack_bytes;
};
void pfs_packset_count(struct pfs_packset *set, struct pfs_packset_totals *out);

#endif
