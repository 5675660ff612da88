/*
 * One node of a directory's tree: bytes and back, and search in place.
 *
 * The layout is in pfs-tree(5), DIRECTORY NODES; in short:
 *
 *	 0 'D' 'N'  2 version  3 level  4 u16 count  6 restart  7 flags
 *	 8 u64 direct  16 u64 entries  24 u64 bytes
 *	32 i64 base_mtime  40 u32 uid  44 u32 gid
 *	48 entries ..., u32 restart_offset[ceil(count / 16)], u32 entries_end
 *
 * Level 0 holds the names of the directory, higher levels hold the last name
 * of each child node, its id and its sums. One set of entries has one
 * encoding; anything else is PFS_E_CORRUPT.
 *
 * Threads: values; a node borrows the bytes it was opened on.
 */
#ifndef PFS_FORMAT_TREENODE_H
#define PFS_FORMAT_TREENODE_H

#include "format/room.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"

#define PFS_TREENODE_VERSION     1
#define PFS_TREENODE_HEADER_SIZE 48u
#define PFS_TREENODE_RESTART     16u /* every so many entries one stands without a prefix */
#define PFS_TREENODE_FORCED      1u  /* flag: the end of this node is not a local maximum */

enum pfs_treenode_kind {
	PFS_TREENODE_INLINE = 0, /* file, bytes in the entry */
	PFS_TREENODE_CHUNK = 1,  /* file of one chunk */
	PFS_TREENODE_SEQ = 2,    /* file of a sequence tree */
	PFS_TREENODE_DIR = 3,
	PFS_TREENODE_SYMLINK = 4,
	PFS_TREENODE_FIFO = 5,
	PFS_TREENODE_SOCKET = 6,
	PFS_TREENODE_CHR = 7,
	PFS_TREENODE_BLK = 8,
};

/* A name at level 0, a child at the others; which fields count follows from that. */
struct pfs_treenode_entry {
	const char *name; /* a child's last name */
	size_t name_len;
	enum pfs_treenode_kind kind;
	uint16_t mode;
	uint32_t mtime_nsec, uid, gid;
	int64_t mtime_sec;
	struct pfs_id xattrs;       /* zero: none */
	uint64_t link;              /* 0: none */
	uint64_t size;              /* files, symlinks */
	const unsigned char *bytes; /* INLINE, SYMLINK: `size` of them */
	struct pfs_id id;           /* CHUNK, SEQ, DIR, child */
	uint64_t direct;            /* child: names of this directory below it */
	uint64_t entries;           /* DIR, child: names below, recursively */
	uint64_t below_bytes;       /* DIR, child: sizes of all files below */
	uint64_t rdev;              /* CHR, BLK */
};

/* Whether this can stand at level 0: PFS_E_INVALID, naming it and why not. */
int pfs_treenode_entry_check(const struct pfs_treenode_entry *e, struct pfs_error *err);

/* What an entry weighs when boundaries are chosen; not its encoded size. */
uint64_t pfs_treenode_weight(const struct pfs_treenode_entry *e, unsigned level);

/*
 * Append the encoding of `n` sorted entries to `out`. PFS_E_INVALID for
 * entries that cannot be, PFS_E_LIMIT for sums past 64 bits.
 */
int pfs_treenode_encode(const struct pfs_treenode_entry *entries, size_t n, unsigned level,
			unsigned flags, struct pfs_buf *out, struct pfs_error *err);

/* The header of a node, and where its parts are. */
struct pfs_treenode {
	const unsigned char *data; /* borrowed */
	size_t entries_end;
	unsigned level, flags, count;
	uint64_t direct, entries, bytes;
	int64_t base_mtime;
	uint32_t uid, gid;
};

/* Check header and restart table; the entries are checked as they are walked. */
int pfs_treenode_open(const void *data, size_t len, struct pfs_treenode *out,
		      struct pfs_error *err);

/* Everything that can be wrong with a node, without keeping any of it. */
int pfs_treenode_check(const void *data, size_t len, struct pfs_error *err);

/* A walk over the entries; `e` borrows from the node and from the walk. Do not move it. */
struct pfs_treenode_iter {
	const struct pfs_treenode *node;
	struct pfs_treenode_entry e;
	size_t off;     /* of the next entry */
	unsigned index; /* of the next entry */
	bool known;     /* `name` is that of the entry before */
	size_t name_len;
	char name[PFS_NAME_SIZE_MAX + 1];
};

void pfs_treenode_iter_init(struct pfs_treenode_iter *it, const struct pfs_treenode *node);

/* 1 and it->e, 0 at the end. */
int pfs_treenode_iter_next(struct pfs_treenode_iter *it, struct pfs_error *err);

/*
 * Go to the first entry >= (with `after`: >) the name: 1 and it->e, 0 when all
 * are smaller. Reads one entry of each restart on the way and at most sixteen
 * in a row.
 */
int pfs_treenode_iter_seek(struct pfs_treenode_iter *it, const char *name, size_t name_len,
			   bool after, struct pfs_error *err);

/* Go to the entry of this number, which is below node->count. */
int pfs_treenode_iter_at(struct pfs_treenode_iter *it, unsigned index, struct pfs_error *err);

/* Order of names: raw bytes, shorter first. */
int pfs_treenode_name_compare(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
