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
 * Where objects are is kept in a table in memory as long as it is small, and
 * else in runs on disk, pfs-index(5), of which 1.6 bytes an object stay in
 * memory:
 *
 *	set ──▶ table ──tidy──▶ runs ──tidy──▶ fewer, larger runs
 *	         find asks the table, then the runs from the newest to the oldest
 *
 * The index holds no facts. When it is found damaged, whoever found it makes it
 * anew from the packs and goes on.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_PACKSET_H
#define PFS_STORE_PACKSET_H

#include "store/idtable.h"
#include "store/pack.h"

struct pfs_packset;

/* Keep so many objects in memory instead of PFS_INDEX_BATCH, so that a test need not have so many;
 * before any store is open. */
void pfs_packset_set_batch(size_t batch);

/* `dir` is the store's folder, borrowed for the set's life. */
int pfs_packset_new(int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		    struct pfs_packset **out, struct pfs_error *err);
void pfs_packset_free(struct pfs_packset **set);

/*
 * Opening a store: load the index, then claim every sealed pack that is there;
 * true when the index covers it, and *out is that pack. Then claim_end tells
 * whether the index can be believed; when not, no pack is covered, and all of
 * them are to be read. A failure is one of memory.
 */
int pfs_packset_load_index(struct pfs_packset *set, struct pfs_error *err);
bool pfs_packset_claim(struct pfs_packset *set, const unsigned char uuid[PFS_UUID_SIZE],
		       uint8_t kind, uint64_t size, struct pfs_pack **out);
bool pfs_packset_claim_end(struct pfs_packset *set);

/*
 * Add a pack. `fd`, unless negative, is taken on success and pinned: it stays
 * open until pfs_packset_unpin(). *out lives as long as the set.
 */
int pfs_packset_add_pack(struct pfs_packset *set, const unsigned char uuid[PFS_UUID_SIZE],
			 uint8_t kind, bool sealed, uint64_t size, int fd, struct pfs_pack **out,
			 struct pfs_error *err);
void pfs_packset_unpin(struct pfs_packset *set, struct pfs_pack *pack);

/*
 * The pack is sealed and durable, all of its objects were set, and none will be
 * set any more: from now on it can go into the index. A pack for which nobody
 * says so stays in memory.
 */
void pfs_packset_complete(struct pfs_packset *set, struct pfs_pack *pack);

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
 * to lie elsewhere by now, durably, which is to say that pfs_packset_has()
 * answered true for it while the pack was condemned, and then came a sync; an
 * older copy in another pack may not be found again. The pack stays readable for whoever has it lent; its file is
 * the caller's to remove, after pfs_packset_publish().
 */
int pfs_packset_drop_pack(struct pfs_packset *set, struct pfs_pack *pack, struct pfs_error *err);

/* A dropped pack whose file could not be removed, or NULL. */
struct pfs_pack *pfs_packset_leftover(struct pfs_packset *set);

/*
 * Make durable what was dropped: once for any number of packs, before their
 * files are removed. A store whose packs go without it makes its index anew when
 * it is opened next.
 */
int pfs_packset_publish(struct pfs_packset *set, struct pfs_error *err);

/* A descriptor to read from, until it is returned; PFS_E_NOTFOUND for a dropped pack. */
int pfs_packset_lend(struct pfs_packset *set, struct pfs_pack *pack, int *out_fd,
		     struct pfs_error *err);
void pfs_packset_return(struct pfs_packset *set, struct pfs_pack *pack);

/*
 * Which pieces of an adopted pack were read since the store was opened, whole or
 * not: who finds that one is not doubts it.
 */
void pfs_packset_note_read(struct pfs_pack *pack, uint64_t off);
void pfs_packset_note_all_read(struct pfs_pack *pack);
bool pfs_packset_was_read(const struct pfs_pack *pack, uint64_t off);

/* That an adopted file is this content, and whether all of it was read; whoever found out tells. */
enum pfs_pack_content {
	PFS_PACK_CONTENT_UNKNOWN = 0,
	PFS_PACK_CONTENT_OTHER = 1,
	PFS_PACK_CONTENT_SAME = 2,
	PFS_PACK_CONTENT_READ = 3, /* the same, and all of it was read */
};
void pfs_packset_note_content(struct pfs_packset *set, struct pfs_pack *pack,
			      const struct pfs_id *content, bool all_read);
enum pfs_pack_content pfs_packset_is_content(struct pfs_packset *set, struct pfs_pack *pack,
					     const struct pfs_id *content);

/*
 * Damage in a pack of which no object is known that it takes: of a header, of
 * padding, of what is found elsewhere by now. Known until the pack is gone, or
 * all of it was found to be whole.
 */
void pfs_packset_doubt_pack(struct pfs_packset *set, const struct pfs_pack *pack);
void pfs_packset_trust_pack(struct pfs_packset *set, const struct pfs_pack *pack);

/* How many damages are known, of packs that are there. */
size_t pfs_packset_count_doubts(struct pfs_packset *set);

/* Whether damage of this pack is known. */
bool pfs_packset_knows_damage_of(struct pfs_packset *set, const struct pfs_pack *pack);

/*
 * Where the object is, doubted or not; `out` may be NULL. Of an adopted file that
 * has it several times a place that is known to be damaged is told only when each
 * of them is.
 */
bool pfs_packset_find(struct pfs_packset *set, const struct pfs_id *id, struct pfs_place *out);

/*
 * What is found at this place of a pack that is not in the index yet, as one that
 * is being written never is: ids and places, owned by the caller.
 */
struct pfs_idtable_entry;
int pfs_packset_list_at(struct pfs_packset *set, const struct pfs_pack *pack, uint64_t off,
			struct pfs_idtable_entry **out, size_t *out_n, struct pfs_error *err);

/*
 * Whether it is there, not only in a condemned pack, and was not found damaged:
 * a put of the same bytes need not store them.
 */
bool pfs_packset_has(struct pfs_packset *set, const struct pfs_id *id);

/*
 * Whether the place that an object is found at is this one of a pack. An adopted
 * file may hold an object many times; which of its places is told depends on who
 * is asked, the runs or the list of the pack, and one is as good as another, until
 * it is known to be damaged. In other packs a second one is there since the first is.
 */
bool pfs_packset_is_place(struct pfs_packset *set, const struct pfs_id *id,
			  const struct pfs_place *now, const struct pfs_place *place);

/*
 * Reading it there found damage. That is remembered over a restart, once
 * pfs_packset_save_doubts() has said so; it does nothing when nothing is new.
 */
void pfs_packset_doubt(struct pfs_packset *set, const struct pfs_id *id,
		       const struct pfs_place *place);
int pfs_packset_save_doubts(struct pfs_packset *set, struct pfs_error *err);

/*
 * The same of a place of an adopted file that is not the one the object is found
 * at: it stays found there, and is not found here.
 */
void pfs_packset_doubt_twin(struct pfs_packset *set, const struct pfs_id *id,
			    const struct pfs_place *place);

/* Reading it there found the bytes that were written: whoever doubted it was wrong, or they are back. */
void pfs_packset_trust(struct pfs_packset *set, const struct pfs_id *id,
		       const struct pfs_pack *pack, uint64_t off);

/*
 * Opening a store: what was known to be damaged, before anything is set; and
 * once all packs are there, doubt what is still found in those places.
 */
void pfs_packset_load_doubts(struct pfs_packset *set);
int pfs_packset_apply_doubts(struct pfs_packset *set, struct pfs_error *err);

/* Whether it is known to be damaged at this place, wherever it is found now. */
bool pfs_packset_is_damaged(struct pfs_packset *set, const struct pfs_id *id,
			    const struct pfs_place *place);

/* Whether an object is to be found at `place`, not at `other`: whole before damaged, then the newer pack. */
bool pfs_packset_prefers(struct pfs_packset *set, const struct pfs_id *id,
			 const struct pfs_place *place, const struct pfs_place *other);

/* Forget what went with its pack. */
void pfs_packset_prune_doubts(struct pfs_packset *set);

/* Whether there is an object that is found where it is known to be damaged, or not at all. */
bool pfs_packset_has_doubts(struct pfs_packset *set);

/* Call `each` for the objects that are found in this pack and doubted. */
int pfs_packset_each_doubt(struct pfs_packset *set, const struct pfs_pack *pack,
			   void (*each)(void *arg, const struct pfs_id *id,
					const struct pfs_place *place),
			   void *arg, struct pfs_error *err);

/* Tell what is wrong with the file that remembers it, and write it anew. */
void pfs_packset_check_doubts(struct pfs_packset *set,
			      void (*tell)(void *arg, const char *what, const char *text),
			      void *arg);

/*
 * Make sure that `more` calls of pfs_packset_set cannot fail, whatever others
 * reserve and set meanwhile; what is not needed after all is given back.
 */
int pfs_packset_reserve(struct pfs_packset *set, size_t more, struct pfs_error *err);
void pfs_packset_unreserve(struct pfs_packset *set, size_t less);
void pfs_packset_set(struct pfs_packset *set, const struct pfs_id *id,
		     const struct pfs_place *place);
void pfs_packset_lose(struct pfs_packset *set, const struct pfs_id *id);
size_t pfs_packset_lost(struct pfs_packset *set);

/* Whether so much is in memory that it should go into a run. */
bool pfs_packset_is_due(struct pfs_packset *set);

/*
 * One bounded step of what the index needs now and then: 1 when there is more
 * to do, 0 when there is not. Takes some 100 ms at most; nobody waits for it
 * but who calls it. Failing loses nothing: the table grows until it succeeds.
 */
int pfs_packset_tidy(struct pfs_packset *set, struct pfs_error *err);

/* Opening a store: when the index was damaged, make it anew; that may fail. */
void pfs_packset_mend_index(struct pfs_packset *set);

/* Make the index anew from the packs alone. */
int pfs_packset_rebuild(struct pfs_packset *set, struct pfs_error *err);

/*
 * Look at the manifest, when `thorough` at every page of every run, and tell each
 * damage; then the index is made anew. And tell, once it was mended, what was
 * wrong before and led to a new index. Negative when checking or making it anew failed.
 */
int pfs_packset_check(struct pfs_packset *set, bool thorough,
		      void (*tell)(void *arg, const char *what, const char *text),
		      void (*mended)(void *arg, const char *what, const char *text), void *arg,
		      struct pfs_error *err);

/* How many objects are found in this pack. */
uint64_t pfs_packset_found_in(struct pfs_packset *set, const struct pfs_pack *pack);

struct pfs_packset_totals {
	uint64_t objects, object_bytes, packs, pack_bytes;
	uint64_t in_memory;               /* entries of the table */
	uint64_t index_runs, index_bytes; /* on disk */
	uint64_t index_memory;            /* bytes: the table, and what runs keep there */
	uint64_t index_rebuilds;          /* since open */
	uint64_t lists_read;              /* of packs, to answer from memory; since open */
};
void pfs_packset_count(struct pfs_packset *set, struct pfs_packset_totals *out);

#endif
