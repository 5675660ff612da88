/*
 * What lies beside what was found last: the objects of a few packs, in memory.
 *
 * Whoever stores a file again, or reads one, asks for objects in the order in
 * which they were packed. After the second look-up that ends in the same pack,
 * what the pack holds is loaded, and the next thousand look-ups read no page.
 *
 * Whoever asks for more packs than there is room for would load one for each
 * few look-ups. So a list that was read once is read again only after as many
 * look-ups in its pack as that costs: in all, no more than twice the time that
 * the better of both takes (rent or buy: Karlin, Manasse, Rudolph and Sleator,
 * "Competitive snoopy caching", Algorithmica 3, 1988).
 *
 * Only packs are taken in all of whose objects are found in them and nowhere
 * newer, so that an answer from here is that of the index.
 *
 * Threads: hit at any time; find any, the others one at a time and without
 * find: the packset's lock, for reading or for writing.
 */
#ifndef PFS_STORE_LOCALITY_H
#define PFS_STORE_LOCALITY_H

#include "store/packlist.h"

#define PFS_LOCALITY_PACKS       16u
#define PFS_LOCALITY_HITS        8u
#define PFS_LOCALITY_OBJECTS_MAX 65536u /* of a pack; 4 MiB */
#define PFS_LOCALITY_ALL_MAX     131072u
#define PFS_LOCALITY_PER_LOOKUP  16u /* objects of a list, read in the time of a look-up */

struct pfs_locality {
	struct {
		struct pfs_idtable *table; /* owned; NULL: free */
		uint32_t pack;
		uint32_t used; /* atomic */
	} packs[PFS_LOCALITY_PACKS];
	size_t n_objects;
	uint32_t tick;                    /* atomic */
	uint32_t last;                    /* atomic: where something was found last */
	uint32_t hits[PFS_LOCALITY_HITS]; /* atomic: numbers of packs, plus 1 */
};

void pfs_locality_fini(struct pfs_locality *l); /* zeroes are an empty one */

bool pfs_locality_find(struct pfs_locality *l, const struct pfs_id *id, struct pfs_place *out);

/* The index found something in this pack: whether its neighbours are worth loading. */
bool pfs_locality_hit(struct pfs_locality *l, uint32_t pack);

/* A table of what a pack holds, for take; NULL without memory. */
struct pfs_idtable *pfs_locality_prepare(const struct pfs_packlist *list);

/* Takes `table`; what was used longest ago makes room. */
void pfs_locality_take(struct pfs_locality *l, uint32_t pack, struct pfs_idtable *table);

/* Something of this pack is not to be found there any more, or was doubted. */
void pfs_locality_forget(struct pfs_locality *l, uint32_t pack);

#endif
