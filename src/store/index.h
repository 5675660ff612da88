/*
 * The index of a store on disk: its manifest, and the runs that it names.
 *
 * Everything in the folder index/ follows from the packs, pfs-index(5): losing
 * it loses nothing, and whoever finds it damaged makes it anew.
 *
 * Threads: any for a list of runs, which never changes and is counted; the
 * rest one at a time.
 */
#ifndef PFS_STORE_INDEX_H
#define PFS_STORE_INDEX_H

#include "store/indexrun.h"

/* The runs that count at some time, newest first. */
struct pfs_indexruns {
	int refs; /* atomic */
	size_t n;
	struct pfs_indexrun *runs[]; /* counted */
};

/* `runs` are counted once more; NULL without memory. */
struct pfs_indexruns *pfs_indexruns_new(struct pfs_indexrun *const *runs, size_t n);
struct pfs_indexruns *pfs_indexruns_ref(struct pfs_indexruns *r);
void pfs_indexruns_unref(struct pfs_indexruns **r);

/* Whether the Bloom filter of any run lets the id through. */
bool pfs_indexruns_may_hold(const struct pfs_indexruns *r, const struct pfs_id *id);

/*
 * Step through the runs that have this id: *pos starts at 0. 1 and the next
 * record, from the newest run on, 0 when there are no more.
 */
int pfs_indexruns_next(const struct pfs_indexruns *r, const struct pfs_id *id, size_t *pos,
		       struct pfs_idxrec *out, struct pfs_error *err);

/* What a manifest tells. */
struct pfs_index {
	unsigned char store_uuid[PFS_UUID_SIZE];
	uint64_t next_run;
	uint32_t next_pack;
	struct pfs_indexruns *runs; /* counted; NULL only in zeroes */
	struct pfs_idxpack *packs;  /* owned */
	uint32_t n_packs;
};
void pfs_index_fini(struct pfs_index *x);

/*
 * Read the manifest and open its runs. PFS_E_NOTFOUND when there is none;
 * anything else: it cannot be used. out->next_run is past all files that are
 * there in every case.
 */
int pfs_index_load(int dir, const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_index *out,
		   struct pfs_error *err);

/* Read the manifest on disk once more, and nothing else. */
int pfs_index_check(int dir, const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_error *err);

/*
 * Make the names of new runs durable and put a manifest of `x` in place. On
 * failure either may be there, the old one or the new.
 */
int pfs_index_publish(int dir, const struct pfs_index *x, struct pfs_error *err);

/* Remove the files of runs that are not in `runs`. */
void pfs_index_clean(int dir, const struct pfs_indexruns *runs);

#endif
