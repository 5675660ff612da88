/*
 * Where a row of bytes is cut into chunks: LMC-G, pfs-tree(5), CHUNKS.
 *
 * A pure value: no I/O, and it keeps no bytes. Cuts are a function of the
 * bytes alone, however they are fed:
 *
 *	init ──▶ feed, next* ──▶ feed, next* ... ──▶ end, next* ──▶ feed ...
 *
 * A cut is certain once PFS_CHUNK_REACH bytes behind it were seen; after end
 * the rest of the segment comes out and the next one begins.
 *
 * Threads: one at a time per chunker; a gear is constant after init.
 */
#ifndef PFS_TREE_CHUNKER_H
#define PFS_TREE_CHUNKER_H

#include "tree/room.h"
#include "base/error.h"
#include "format/seqnode.h"
#include "base/ring.h"

#ifndef PFS_CHUNK_BITS    /* given from outside as PFS_CHUNK_REACH is */
#define PFS_CHUNK_BITS 10 /* a candidate's hash begins with so many zeros */
#endif
#define PFS_CHUNK_TAIL    (PFS_CHUNK_REACH / 4)                /* no cut so near the end */
#define PFS_CHUNK_WINDOW  64u                                  /* bytes that a hash depends on */
#define PFS_CHUNK_SINGLE  (PFS_CHUNK_REACH + PFS_CHUNK_TAIL)   /* below it there is one chunk */
#define PFS_CHUNK_HISTORY (PFS_CHUNK_REACH + PFS_CHUNK_WINDOW) /* what cuts behind one depend on */

/* The keyed table and the key of priorities. */
struct pfs_gear {
	uint64_t table[256];
	uint64_t key2;
};
int pfs_gear_init(struct pfs_gear *g, const unsigned char gear_key[32], struct pfs_error *err);

/* A candidate for a cut: `pos` bytes of the segment are before it. */
struct pfs_candidate {
	uint64_t pos;
	uint64_t priority;
	bool left_ok; /* nothing within reach before it is as high */
};

struct pfs_candidate_queue PFS_RING(struct pfs_candidate);

struct pfs_chunker {
	const struct pfs_gear *gear; /* borrowed */
	uint64_t hash;               /* of the last 64 bytes */
	uint64_t fed;                /* bytes of this segment so far */
	uint64_t cut;                /* the last cut that was handed out */
	bool ended;
	struct pfs_candidate_queue maxima; /* falling priorities; may still become cuts */
	struct pfs_candidate_queue bounds; /* local maxima, certain, behind `cut` */
	struct pfs_candidate_queue places; /* every candidate behind `cut`: where to cut by force */
};

struct pfs_cut {
	uint32_t len; /* of the chunk that ends here */
	bool forced;  /* not a local maximum */
};

int pfs_chunker_init(struct pfs_chunker *c, const struct pfs_gear *gear, struct pfs_error *err);
void pfs_chunker_fini(struct pfs_chunker *c); /* safe on zeroes and twice */

/*
 * Begin in the middle of a segment, right behind one of its chunks. `before`
 * are the bytes before that place: the last PFS_CHUNK_HISTORY of them, or all
 * when there are fewer. What was fed before is forgotten.
 */
int pfs_chunker_resume(struct pfs_chunker *c, const void *before, size_t len,
		       struct pfs_error *err);

/* The next bytes of the segment. */
int pfs_chunker_feed(struct pfs_chunker *c, const void *data, size_t len, struct pfs_error *err);

/* The segment is complete. */
void pfs_chunker_end(struct pfs_chunker *c);

/* The next chunk, when it is certain. After end: false once all came out, and a new segment begins. */
bool pfs_chunker_next(struct pfs_chunker *c, struct pfs_cut *out);

#endif
