/*
 * What differs from the base, on disk: names and attributes in SQLite.
 *
 *	node        one row per dirty node, its whole state
 *	name        one row per name that differs: it leads to a node, or is gone
 *	range       one row per range of a patched file that is in its spool file
 *	meta        the base these differ from
 *
 * A batch is a list of rows in order; it is applied whole or not at all. The
 * tables are those of pfs-workspace(5).
 *
 * Threads: one at a time.
 */
#ifndef PFS_WORKSPACE_JOURNAL_H
#define PFS_WORKSPACE_JOURNAL_H

#include "workspace/room.h"
#include "base/buf.h"
#include "workspace/spool.h"
#include "workspace/workspace.h"

enum pfs_file_state {
	PFS_FILE_CLEAN = 0,   /* the bytes are a content of the store */
	PFS_FILE_NEW = 1,     /* the bytes are a spool file */
	PFS_FILE_PATCHED = 2, /* the bytes are a content, and in ranges a spool file */
};

struct pfs_journal_node {
	uint64_t ino;
	enum pfs_entry_type type;
	struct pfs_attrs attrs;
	int64_t ctime_ns;
	struct pfs_id xattrs;      /* a set in the store; zero: none */
	enum pfs_file_state state; /* FILE */
	uint64_t serial;           /* FILE, NEW or PATCHED: of its spool file */
	uint64_t size;     /* FILE, PATCHED: of the file; NEW: once, if its bytes are lost */
	uint64_t keep;     /* FILE, PATCHED: so much of the content counts */
	struct pfs_id dir; /* DIR: what is looked through */
	uint64_t rdev;
	const void *blob; /* FILE, CLEAN or PATCHED: content; SYMLINK: target */
	size_t blob_len;
};

struct pfs_journal_name {
	uint64_t parent;
	const char *name;
	size_t name_len;
	uint64_t ino; /* 0: gone */
	bool in_base; /* the base of the directory has this name */
};

/* One range of a patched file. */
struct pfs_journal_range {
	uint64_t ino, off, end;
};

/* Ranges that were added or have grown, each as it is now. */
struct pfs_journal_ranges {
	uint64_t ino;
	const uint64_t *pairs; /* off and end of each */
	size_t n;
	bool all; /* there are no others */
};

enum pfs_journal_op {
	PFS_JOURNAL_SAVE_NODE,
	PFS_JOURNAL_DROP_NODE,
	PFS_JOURNAL_SAVE_NAME,
	PFS_JOURNAL_DROP_NAME,
	PFS_JOURNAL_SAVE_RANGES,
	PFS_JOURNAL_CLEAR, /* nothing differs */
	PFS_JOURNAL_BASE,
	PFS_JOURNAL_SEALED, /* base.mark: these rows have all that was sealed as that */
};

/* Blobs and names of rows live in `blobs`, at `blob_at`. */
struct pfs_journal_row {
	enum pfs_journal_op op;
	size_t blob_at;
	union {
		struct pfs_journal_node node;
		struct pfs_journal_name name;
		struct pfs_journal_ranges ranges;
		struct {
			struct pfs_root base;
			bool links; /* it has files of several names, or may */
		};
	};
};

struct pfs_journal_batch {
	struct pfs_journal_row *rows; /* owned */
	size_t n, cap;
	struct pfs_buf blobs;
};

void pfs_journal_batch_init(struct pfs_journal_batch *b);
void pfs_journal_batch_fini(struct pfs_journal_batch *b);
/* Room for so many rows and blob bytes, so that adding them cannot fail. */
int pfs_journal_batch_reserve(struct pfs_journal_batch *b, size_t rows, size_t bytes,
			      struct pfs_error *err);
int pfs_journal_batch_add(struct pfs_journal_batch *b, const struct pfs_journal_row *row,
			  struct pfs_error *err);
/*
 * Rows go that a later one makes good for nothing, as that of a node which is dropped
 * after all; true when there were some. Applied it is the same, and takes less room: of
 * what came and went meanwhile nothing is left. Without memory it stays as it is.
 */
bool pfs_journal_batch_shorten(struct pfs_journal_batch *b);

struct pfs_journal;

/*
 * Whether the workspace has one. It is made, durable, before the first file of the
 * spool, so files in the spool and no journal is damage: PFS_E_CORRUPT. An empty
 * one says as much as none.
 */
int pfs_journal_is_there(const char *folder, struct pfs_spool *spool, bool *out,
			 struct pfs_error *err);

/* PFS_E_BUSY when another process has it. */
int pfs_journal_open(const char *folder, const struct pfs_root *base_when_new,
		     struct pfs_journal **out, struct pfs_error *err);
void pfs_journal_close(struct pfs_journal **j);

/* What is there: the base, then all nodes, all names, and all ranges in order, for those that have a
 * callback. What callbacks get is borrowed. */
struct pfs_journal_reader {
	void (*base)(void *arg, const struct pfs_root *base, bool links,
		     const struct pfs_commit_id *sealed);
	int (*node)(void *arg, const struct pfs_journal_node *node, struct pfs_error *err);
	int (*name)(void *arg, const struct pfs_journal_name *name, struct pfs_error *err);
	int (*range)(void *arg, const struct pfs_journal_range *range, struct pfs_error *err);
};
int pfs_journal_load(struct pfs_journal *j, const struct pfs_journal_reader *reader, void *arg,
		     struct pfs_error *err);

/* Read every page of it and say what is not as it was written; the number of complaints. */
int64_t pfs_journal_check(struct pfs_journal *j, void (*damage)(void *arg, const char *text),
			  void *arg);

/* Move its log into it, as far as there is room: then the log takes little. */
void pfs_journal_fold(struct pfs_journal *j);

/* Whole and durable, or not at all. */
int pfs_journal_apply(struct pfs_journal *j, const struct pfs_journal_batch *b,
		      struct pfs_error *err);

#endif
