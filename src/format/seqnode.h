/*
 * One node of a file's sequence tree: bytes and back, and search in place.
 *
 * The layout is in pfs-tree(5), SEQUENCE NODES; in short:
 *
 *	 0 'S' 'N'  2 version  3 level  4 u16 count  6 chunker  7 flags
 *	 8 u64 bytes  16 u64 chunks
 *	24 entries ..., { u32 offset, u64 bytes before }[ceil(count / 16)]
 *
 * Level 0 holds chunks and holes in the order of the file, higher levels hold
 * child nodes. One sequence has one encoding; anything else is PFS_E_CORRUPT.
 *
 * Threads: values; a node borrows the bytes it was opened on.
 */
#ifndef PFS_FORMAT_SEQNODE_H
#define PFS_FORMAT_SEQNODE_H

#include "format/room.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"

#define PFS_SEQNODE_VERSION     1
#define PFS_SEQNODE_HEADER_SIZE 24u
#define PFS_SEQNODE_RESTART     16u
#define PFS_SEQNODE_FORCED      1u /* flag: the end of this node is not a local maximum */
#define PFS_SEQNODE_CHUNKER     1u /* LMC-G, the only chunker there is */

/* Given from outside by tests that want many cuts in few bytes; all else follows from it. */
#ifndef PFS_CHUNK_REACH
#define PFS_CHUNK_REACH 32768u /* h of the chunker: how far a cut dominates */
#endif
#define PFS_CHUNK_SIZE_MAX (8u * PFS_CHUNK_REACH) /* MAX of the chunker */
#define PFS_HOLE_SIZE_MIN  (2u * PFS_CHUNK_REACH) /* so many zeros in a row are a hole */

enum pfs_seqnode_kind {
	PFS_SEQNODE_DATA = 0,
	PFS_SEQNODE_DATA_FORCED = 1, /* its end is a forced cut of the chunker */
	PFS_SEQNODE_HOLE = 2,
	PFS_SEQNODE_CHILD = 3, /* above level 0 only */
};

struct pfs_seqnode_entry {
	enum pfs_seqnode_kind kind;
	uint64_t bytes;
	struct pfs_id id;   /* DATA*, CHILD */
	uint64_t chunks;    /* data chunks in it: 1, 0 for a hole, the child's sum */
	uint64_t last_seed; /* of the last leaf entry in it; see pfs_seqnode_seed() */
};

/* What an entry weighs when boundaries are chosen; not its encoded size. */
uint64_t pfs_seqnode_weight(const struct pfs_seqnode_entry *e);

/* The number that a leaf entry's boundary priority is drawn from. */
uint64_t pfs_seqnode_seed(enum pfs_seqnode_kind kind, uint64_t bytes, const struct pfs_id *id);

/* Append the encoding; PFS_E_INVALID for entries that cannot be. */
int pfs_seqnode_encode(const struct pfs_seqnode_entry *entries, size_t n, unsigned level,
		       unsigned flags, struct pfs_buf *out, struct pfs_error *err);

struct pfs_seqnode {
	const unsigned char *data; /* borrowed */
	size_t entries_end;
	unsigned level, flags, count;
	uint64_t bytes, chunks;
};

/* Check header and restart table; the entries are checked as they are walked. */
int pfs_seqnode_open(const void *data, size_t len, struct pfs_seqnode *out, struct pfs_error *err);

/* Everything that can be wrong with a node, without keeping any of it. */
int pfs_seqnode_check(const void *data, size_t len, struct pfs_error *err);

struct pfs_seqnode_iter {
	const struct pfs_seqnode *node;
	struct pfs_seqnode_entry e;
	uint64_t start;  /* of `e`, counted from the start of the node */
	uint64_t next;   /* of the next entry */
	size_t off;      /* of the next entry, in the node's bytes */
	unsigned index;  /* of the next entry */
	bool after_hole; /* the entry before was a hole */
};

void pfs_seqnode_iter_init(struct pfs_seqnode_iter *it, const struct pfs_seqnode *node);

/* 1 and it->e, 0 at the end. */
int pfs_seqnode_iter_next(struct pfs_seqnode_iter *it, struct pfs_error *err);

/* Go to the entry that holds byte `at` of the node; PFS_E_INVALID at or past its end. */
int pfs_seqnode_iter_seek(struct pfs_seqnode_iter *it, uint64_t at, struct pfs_error *err);

#endif
