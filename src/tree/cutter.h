/*
 * The bytes of a file in order become pieces: chunks, named, and holes.
 * Writers, splices and surveys differ in what they do with pieces; this is all
 * they have in common. Private to the room.
 *
 *	data, holes ──▶ zeros held back ──▶ buffer ──▶ chunker ──▶ pieces ──▶ store
 *
 *	buffer   | pieces, cut but not sent | not yet cut | free ... |
 *	         head                       cut           len        cap
 *
 * Zeros wait as a number until it is known whether they are a hole. A segment
 * is what lies between holes. Pieces that were sent are hashed on other
 * processors while what comes next is cut in a second buffer.
 *
 * Threads: one at a time per cutter.
 */
#ifndef PFS_TREE_CUTTER_H
#define PFS_TREE_CUTTER_H

#include "tree/chunker.h"
#include "tree/refill.h"
#include "store/batch.h"

#define PFS_CUTTER_STEP       (1u << 20) /* the most that is taken in at once */
#define PFS_CUTTER_PIECES     128u       /* sent together, or so many bytes */
#define PFS_CUTTER_BYTES      (4u << 20)
#define PFS_CUTTER_PIECES_MAX 256u

struct pfs_piece {
	enum pfs_seqnode_kind kind;
	uint64_t off; /* in the file */
	uint64_t bytes;
	struct pfs_id id;   /* of a chunk; not set before it is put */
	struct pfs_id near; /* what it resembles; zero: unknown */
};

struct pfs_cutter_ops {
	/* A piece was cut. 1: what lies behind it is not wanted. Not needed. */
	int (*cut)(void *arg, const struct pfs_piece *p, struct pfs_error *err);
	/* Say what these pieces, which follow one another, resemble. Not needed. */
	int (*near)(void *arg, struct pfs_piece *pieces, size_t n, struct pfs_error *err);
	/* The next piece, with its id. */
	int (*take)(void *arg, const struct pfs_piece *p, struct pfs_error *err);
};

struct pfs_cutter {
	struct pfs_store *st;
	const struct pfs_cutter_ops *ops;
	void *arg;
	bool names_only;           /* chunks are not stored; set it before the first byte comes */
	struct pfs_refill *refill; /* borrowed; with names_only: those it wants are, all the same */
	uint64_t size;             /* where the next byte comes from; zeros and holes count */
	uint64_t zeros;            /* held back */
	uint64_t off;              /* where the next piece begins */
	unsigned char *buf;
	size_t head, cut, len, cap;
	size_t segment; /* bytes of this segment in the buffer, while the chunker saw none */
	bool chunking;  /* the chunker has this segment */
	bool stopped;   /* what comes now is not wanted */
	struct pfs_gear gear;
	struct pfs_chunker chunker;
	struct pfs_piece *pieces; /* cut and not sent: one half of `halves` */
	size_t n_pieces;

	/* What was sent and is not taken yet. */
	struct pfs_batch *batch; /* NULL: nothing */
	unsigned char *sent_buf; /* the second buffer; holds the bytes of the chunks */
	size_t sent_cap;
	struct pfs_piece *sent;
	size_t n_sent;
	struct pfs_store_item items[PFS_CUTTER_PIECES_MAX];

	struct pfs_piece halves[2][PFS_CUTTER_PIECES_MAX];
};

/* At the start of a file. */
void pfs_cutter_init(struct pfs_cutter *c, struct pfs_store *st, const struct pfs_cutter_ops *ops,
		     void *arg);
void pfs_cutter_fini(struct pfs_cutter *c); /* safe on zeroes and twice */

/*
 * Instead: at a piece's end at `off` of a file. `before` are the bytes of the
 * segment before it, all or the last PFS_CHUNK_HISTORY of them.
 */
int pfs_cutter_resume(struct pfs_cutter *c, uint64_t off, const void *before, size_t len,
		      struct pfs_error *err);

/* Room for `want` bytes, at most PFS_CUTTER_STEP; fill it, then tell how many there are. */
int pfs_cutter_room(struct pfs_cutter *c, size_t want, unsigned char **out, struct pfs_error *err);
int pfs_cutter_filled(struct pfs_cutter *c, size_t len, struct pfs_error *err);

/* Zeros that need no bytes. */
int pfs_cutter_hole(struct pfs_cutter *c, uint64_t len, struct pfs_error *err);

/* The file ends here: everything is cut. */
int pfs_cutter_end(struct pfs_cutter *c, struct pfs_error *err);

/* Store and hand out what was cut so far. */
int pfs_cutter_flush(struct pfs_cutter *c, struct pfs_error *err);

#endif
