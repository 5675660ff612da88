/*
 * Inside the packset: what its files share.
 *
 *	packset.c         the packs and their descriptors
 *	packset_find.c    where is this object?
 *	packset_tidy.c    what is in memory goes into runs, runs are merged
 *	packset_doubt.c   damage that is known, over a restart, and what is whole beside it
 *	packset_drop.c    a pack goes
 *	packset_read.c    what was read of adopted packs, and what they are
 *	packset_build.c   the index is loaded, checked, made anew
 *
 * A pack on its way into the index:
 *
 *	add ──▶ entries are set ──complete──▶ flush ──▶ covered ──▶ dropped
 *	        only in the table             in a run, and in the manifest
 *
 * 1. Runs tell of covered packs only. So every id in a covered pack is found in
 *    the runs, whatever becomes of packs that are being written.
 * 2. The table is newer than any run; a newer run is newer than an older one.
 * 3. Runs, `covered` and `dropped` change under both locks, tidy and lock.
 */
#ifndef PFS_STORE_PACKSET_I_H
#define PFS_STORE_PACKSET_I_H

#include "store/doubts.h"
#include "store/index.h"
#include "store/indexmerge.h"
#include "store/locality.h"
#include "store/packset.h"
#include "base/lock.h"
#include "base/map.h"

#define PFS_PACKSET_TROUBLE_SIZE PFS_ERROR_TEXT_SIZE

struct pfs_packset {
	int dir;                                 /* the store's folder; borrowed */
	unsigned char store_uuid[PFS_UUID_SIZE]; /* never changes */

	struct pfs_rwlock lock;  /* PFS_RANK_PACKSET; protects all down to `ready` */
	struct pfs_pack **packs; /* by number, NULL where none is; what it points to stays */
	size_t n_packs, packs_cap;
	uint64_t drops;           /* of packs, ever */
	struct pfs_idtable table; /* what is not in runs */
	size_t promised;          /* sets that were reserved and have not come yet */
	struct pfs_indexruns *runs;
	struct pfs_locality near;
	uint64_t lists_read;            /* for `near`; atomic */
	uint64_t objects, object_bytes; /* all that are found */
	size_t ready;    /* entries of the table that can go into a run; atomic to look at */
	size_t flush_at; /* so many are ready: flush */

	struct pfs_lock files; /* PFS_RANK_PACKSET_FILES */
	size_t n_open;         /* not pinned; protected by files */
	size_t hand;           /* where to look for one to close; protected by files */

	struct pfs_lock tidy; /* PFS_RANK_INDEX: one at a time makes runs; protects all below */
	uint64_t next_run;
	struct pfs_indexmerge *merge;  /* the one that is under way */
	struct pfs_indexruns *merging; /* what it merges */
	uint64_t merge_number;         /* the run it makes */
	bool unpublished;              /* packs were dropped since the last manifest */
	uint64_t rebuilds;             /* atomic to look at */
	char trouble
		[PFS_PACKSET_TROUBLE_SIZE]; /* what was wrong with the index, until it is told */

	struct pfs_doubts doubts; /* has locks of its own */
	bool trouble_mended;      /* by an index made anew since; protected by tidy */
	bool pack_gone; /* the trouble is that it knew of one that is not there; as well */
	bool opened;    /* all packs are known: one that is not there has gone */

	struct pfs_index found;   /* while the store is opened: what the manifest says, */
	struct pfs_map unclaimed; /* and its packs by uuid that were not seen yet */
};

/* Room for a pack of this number, and its place in the array. Under the lock. */
int pfs_packset_widen(struct pfs_packset *set, size_t number, struct pfs_error *err);
void pfs_packset_place_pack(struct pfs_packset *set, struct pfs_pack *pack);

/* What was read there is not what was written. */
void pfs_packset_note_unread(struct pfs_pack *pack, uint64_t off);

/* Close the descriptor of a dropped pack, unless somebody has it lent. */
void pfs_packset_close_dropped(struct pfs_packset *set, struct pfs_pack *pack);

/* Whether runs may be believed about this pack. Takes the lock. */
bool pfs_packset_is_live(struct pfs_packset *set, uint32_t number);

/*
 * The newest place that the runs know in a live pack other than `except` (or
 * UINT32_MAX). 1, 0, or negative when the index cannot be read.
 */
int pfs_packset_search(struct pfs_packset *set, const struct pfs_indexruns *runs,
		       const struct pfs_id *id, uint32_t except, struct pfs_place *out,
		       struct pfs_error *err);

/*
 * `*place` is known to be damaged; where an adopted file has the object in another
 * place that is not, that is the answer, and what the table tells from now on. `runs`
 * told the place, or the table did (NULL). Reads the list of the file.
 */
void pfs_packset_find_twin(struct pfs_packset *set, const struct pfs_indexruns *runs,
			   const struct pfs_id *id, struct pfs_place *place);

/* One object more or less that is found in this pack. Under the lock. */
void pfs_packset_enter(struct pfs_packset *set, uint32_t number, uint32_t ulen);
void pfs_packset_leave(struct pfs_packset *set, uint32_t number, uint32_t ulen);

/* Objects that make a run. */
extern size_t pfs_packset_batch;

/* How many entries of the table can go into a run. Under the lock. */
void pfs_packset_count_ready(struct pfs_packset *set);

/* These five under tidy. */
int pfs_packset_flush(struct pfs_packset *set, struct pfs_error *err);
void pfs_packset_stop_merge(struct pfs_packset *set);
int pfs_packset_rebuild_locked(struct pfs_packset *set, struct pfs_error *err);
void pfs_packset_note_trouble(struct pfs_packset *set, const char *text);

/* A run that cannot be read is no reason to give up: the packs tell all of it again. */
int pfs_packset_after_failure(struct pfs_packset *set, int failed, struct pfs_error *err);

/* For pfs_idtable_keep(): what the runs do not tell. */
bool pfs_packset_stays_in_table(void *arg, const struct pfs_idtable_entry *e,
				const struct pfs_idtable_entry *newest);

/* The level a run of so many records belongs to. */
uint8_t pfs_packset_level_of(uint64_t records);

/* Changes to what runs count in each pack, while they are made. By number. */
struct pfs_packset_counts {
	int64_t *objects, *bytes; /* owned */
	size_t n;
};
int pfs_packset_counts_init(struct pfs_packset_counts *c, size_t n, struct pfs_error *err);
void pfs_packset_counts_fini(struct pfs_packset_counts *c);

/*
 * A manifest of `runs`, of all covered packs that are not dropped, and of those
 * for which `also` answers true. `counts` are added to what packs count, or
 * take their place when `anew`. Under tidy.
 */
int pfs_packset_put_manifest(struct pfs_packset *set, struct pfs_indexruns *runs,
			     bool (*also)(const struct pfs_pack *pack),
			     const struct pfs_packset_counts *counts, bool anew,
			     struct pfs_error *err);

#endif
