/*
 * One name in a directory and what it stands for.
 *
 * Threads: a value; copy it freely while what it borrows lives.
 */
#ifndef PFS_TREE_ENTRY_H
#define PFS_TREE_ENTRY_H

#include "tree/room.h"
#include "base/error.h"
#include "base/id.h"
#include "base/limits.h"

enum pfs_entry_type {
	PFS_ENTRY_FILE = 1,
	PFS_ENTRY_DIR = 2,
	PFS_ENTRY_SYMLINK = 3,
	PFS_ENTRY_FIFO = 4,
	PFS_ENTRY_SOCKET = 5,
	PFS_ENTRY_CHR = 6,
	PFS_ENTRY_BLK = 7,
};

/* Where the bytes of a file are. The form follows from size and bytes, never from history. */
enum pfs_content_form {
	PFS_CONTENT_INLINE = 0, /* at most PFS_INLINE_SIZE_MAX bytes, in `bytes` */
	PFS_CONTENT_CHUNK = 1,  /* one chunk: `id` */
	PFS_CONTENT_SEQ = 2,    /* a sequence tree: `id` of its root node */
};

/* The content of a file; self-contained, equal bytes give equal values (pfs_content_equal). */
struct pfs_content {
	uint64_t size;
	enum pfs_content_form form;
	struct pfs_id id;                         /* zero when inline */
	unsigned char bytes[PFS_INLINE_SIZE_MAX]; /* the first `size` count, when inline */
};

struct pfs_attrs {
	uint16_t mode; /* permission bits, setuid, setgid, sticky: 12 bits */
	uint32_t uid, gid;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
};

/* The time as one number, which ends in the years 1677 and 2262: what lies beyond is its end. */
static inline int64_t pfs_attrs_mtime_ns(const struct pfs_attrs *a)
{
	int64_t ns;

	if (__builtin_mul_overflow(a->mtime_sec, (int64_t)1000000000, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)a->mtime_nsec, &ns))
		return a->mtime_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

struct pfs_entry {
	const char *name; /* borrowed; not terminated */
	size_t name_len;
	enum pfs_entry_type type;
	struct pfs_attrs attrs;
	struct pfs_id xattrs; /* PFS_KIND_XATTRS object; zero: none */
	uint64_t link;        /* hard-link group within the commit; 0: a file of its own */

	struct pfs_content content; /* FILE */
	struct pfs_id dir;          /* DIR: root node; zero: empty */
	uint64_t dir_entries;       /* DIR: everything below, recursively */
	uint64_t dir_bytes;         /* DIR: sizes of all files below */
	const char *target;         /* SYMLINK: borrowed; not terminated */
	size_t target_len;
	uint64_t rdev; /* CHR, BLK */
};

bool pfs_content_equal(const struct pfs_content *a, const struct pfs_content *b);

/* Same type and same content (bytes, subtree, target, device); attributes do not count. */
bool pfs_entry_same_content(const struct pfs_entry *a, const struct pfs_entry *b);

/* Same in everything. */
bool pfs_entry_equal(const struct pfs_entry *a, const struct pfs_entry *b);

/* A copy that borrows nothing; drop frees what it owns and leaves zeroes, on zeroes too. */
int pfs_entry_keep(const struct pfs_entry *e, struct pfs_entry *out, struct pfs_error *err);
void pfs_entry_drop(struct pfs_entry *e);

#endif
