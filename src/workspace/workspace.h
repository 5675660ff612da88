/*
 * A workspace: a writable directory tree, POSIX in its semantics.
 *
 *	 base root (committed, immutable)          overlay (memory, journal)
 *	      a/  ───────────────────────────────▶  a/      clean: looked through
 *	      a/x ───────────────────────────────▶  a/x     new: bytes in a spool file
 *	      b   ───────────────────────────────▶  b       whiteout: gone
 *
 * Nodes are found by name, counted, and keep their identity while somebody
 * holds them: through renames, and after unlink until the last reference goes.
 * What is no directory may have several names, which all lead to one node, also
 * those that it has in the base.
 * A clean directory that is renamed takes what is below along without being
 * read.
 *
 * Durability. What fsync promised is there after a crash, names and bytes; the
 * rest is journaled every few seconds, bytes before the names that lead to
 * them, so a crash leaves an older state but never a name with foreign or
 * missing bytes. The folder of a workspace belongs to it:
 *
 *	<folder>/journal.db    names and attributes that differ from the base
 *	<folder>/spool/...     bytes of files that differ from the base
 *
 * Threads: any. Locks: PFS_RANK_WORKSPACE_FLUSH and what is below it.
 */
#ifndef PFS_WORKSPACE_WORKSPACE_H
#define PFS_WORKSPACE_WORKSPACE_H

#include "workspace/room.h"
#include "store/store.h"
#include "tree/entry.h"

struct pfs_workspace;
struct pfs_node; /* one file, directory, symlink or special file of a workspace */

/*
 * A committed directory with its own attributes: what a workspace starts from
 * and seals into. The mark is its owner's name for it, unique among all that a
 * workspace ever stood on (two of them may hold the same bytes); the workspace
 * only compares it.
 */
struct pfs_root {
	struct pfs_id dir;         /* zero: empty */
	struct pfs_attrs attrs;    /* of the root directory itself */
	struct pfs_commit_id mark; /* zero: none */
};

/*
 * Open the workspace kept in `folder`, made on `base` when it is not there.
 * What the last crash left is recovered.
 *
 * Otherwise `base` is the newest root that its owner knows of. Usually the
 * journal stands on that, or was saved after the seal that made it, and `base`
 * is not used. When the journal knows nothing of it, the process died after a
 * seal was made durable and named, and before the journal was saved again: all
 * that the journal has is in `base`, and the workspace starts anew from there.
 */
int pfs_workspace_open(const char *folder, struct pfs_store *st, const struct pfs_root *base,
		       struct pfs_workspace **out, struct pfs_error *err);

/* Journals what is pending. All nodes must have been given back. */
void pfs_workspace_close(struct pfs_workspace **ws);

/* Read every page of the journal and say what is not as it was written; the number of complaints.
 * Flushes wait. Bytes in spool files have no checksum until they are committed. */
int64_t pfs_workspace_check(struct pfs_workspace *ws, void (*damage)(void *arg, const char *text),
			    void *arg);

/* Remove the folder of a workspace that is not open. */
int pfs_workspace_remove(const char *folder, struct pfs_error *err);

/*
 * What the workspace in `folder`, which is not open, stands on, and the mark of
 * a seal that came after its base; zero when there was none. PFS_E_NOTFOUND for
 * a folder that has no journal.
 */
int pfs_workspace_peek(const char *folder, struct pfs_root *out_base,
		       struct pfs_commit_id *out_sealed, struct pfs_error *err);

/* Attributes of a node as stat(2) wants them. */
struct pfs_node_attr {
	uint64_t ino; /* stable while the node lives and, when its names stay, across restarts */
	enum pfs_entry_type type;
	struct pfs_attrs attrs;
	int64_t atime_ns, ctime_ns;
	uint32_t nlink;
	uint64_t size_bytes;
	uint64_t blocks; /* of 512 bytes */
	uint64_t rdev;
	bool dirty; /* differs from the base, or may */
};

struct pfs_node *pfs_node_ref(struct pfs_node *n);
void pfs_node_unref(struct pfs_node **n);
uint64_t pfs_node_ino(const struct pfs_node *n);
enum pfs_entry_type pfs_node_type(const struct pfs_node *n);

/* A place for the holder's own pointer; NULL at first. Guarded by the holder. */
void *pfs_node_tag(struct pfs_node *n);
void pfs_node_set_tag(struct pfs_node *n, void *tag);

struct pfs_node *pfs_workspace_root(struct pfs_workspace *ws); /* a new reference */

/* All the following: *out nodes are new references, `name` is checked by pfs_path_check_name. */
int pfs_workspace_lookup(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
			 size_t name_len, struct pfs_node **out, struct pfs_error *err);
int pfs_workspace_getattr(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_node_attr *out,
			  struct pfs_error *err);

/* Which fields of `set` to take. Size changes make the file new. */
enum {
	PFS_NODE_MODE = 1,
	PFS_NODE_UID = 2,
	PFS_NODE_GID = 4,
	PFS_NODE_SIZE = 8,
	PFS_NODE_MTIME = 16,
	PFS_NODE_ATIME = 32 /* told until the node is forgotten, in no journal and no commit */
};
int pfs_workspace_setattr(struct pfs_workspace *ws, struct pfs_node *n, unsigned which,
			  const struct pfs_node_attr *set, struct pfs_error *err);

/* What a new node shall be. */
struct pfs_node_make {
	enum pfs_entry_type type;
	uint16_t mode;
	uint32_t uid, gid;
	const char *target; /* SYMLINK */
	size_t target_len;
	uint64_t rdev; /* CHR, BLK */
};
/* PFS_E_EXISTS; PFS_E_NOTFOUND when the directory itself was removed. */
int pfs_workspace_make(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
		       size_t name_len, const struct pfs_node_make *make, struct pfs_node **out,
		       struct pfs_error *err);

/* A file without a name, and giving it one (replacing a file that is there). Gone when given back nameless. */
int pfs_workspace_make_unnamed(struct pfs_workspace *ws, const struct pfs_node_make *make,
			       struct pfs_node **out, struct pfs_error *err);
int pfs_workspace_place(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_node *dir,
			const char *name, size_t name_len, struct pfs_error *err);

/*
 * Another name for what has one, or the first for a file made without. PFS_E_EXISTS;
 * PFS_E_DENIED for a directory; PFS_E_NOTFOUND when it was removed, or the directory
 * was; PFS_E_LIMIT past PFS_FILE_NAMES_MAX.
 */
int pfs_workspace_link(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_node *dir,
		       const char *name, size_t name_len, struct pfs_error *err);

/* `directory` tells rmdir from unlink. PFS_E_ISDIR, PFS_E_NOTDIR, PFS_E_NOTEMPTY. */
int pfs_workspace_remove_name(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
			      size_t name_len, bool directory, struct pfs_error *err);

/* rename(2); with `noreplace` PFS_E_EXISTS when the target is there; with `exchange` both swap.
 * PFS_E_INVALID: into its own subtree. */
int pfs_workspace_rename(struct pfs_workspace *ws, struct pfs_node *from, const char *name,
			 size_t name_len, struct pfs_node *to, const char *new_name,
			 size_t new_name_len, bool noreplace, bool exchange, struct pfs_error *err);
/* The same, leaving a whiteout at the old name: a device 0/0, as overlayfs hides names with, owned as
 * what moved. */
int pfs_workspace_rename_away(struct pfs_workspace *ws, struct pfs_node *from, const char *name,
			      size_t name_len, struct pfs_node *to, const char *new_name,
			      size_t new_name_len, bool noreplace, struct pfs_error *err);

/* Appended to `out`. */
int pfs_workspace_readlink(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_buf *out,
			   struct pfs_error *err);

/*
 * Extended attributes, by their whole names ("user.comment"); as durable as the
 * mode. The top directory has none: a commit has no place for them, so setting
 * one is PFS_E_UNSUPPORTED. PFS_E_NOTFOUND: no such attribute; PFS_E_LIMIT: more
 * than a set may hold, tree/xattrs.h.
 */
enum pfs_xattr_how {
	PFS_XATTR_ANY,
	PFS_XATTR_CREATE, /* PFS_E_EXISTS when it is there */
	PFS_XATTR_REPLACE /* PFS_E_NOTFOUND when it is not */
};
int pfs_workspace_set_xattr(struct pfs_workspace *ws, struct pfs_node *n, const char *name,
			    const void *value, size_t len, enum pfs_xattr_how how,
			    struct pfs_error *err);
int pfs_workspace_remove_xattr(struct pfs_workspace *ws, struct pfs_node *n, const char *name,
			       struct pfs_error *err);
/* Appended to `out`: the value; all names, each with a NUL behind it. */
int pfs_workspace_get_xattr(struct pfs_workspace *ws, struct pfs_node *n, const char *name,
			    struct pfs_buf *out, struct pfs_error *err);
int pfs_workspace_list_xattrs(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_buf *out,
			      struct pfs_error *err);

/*
 * Names of a directory now, in byte order, copied: each callback may stop the
 * walk with a non-zero result, which is returned. No lock is held during it.
 */
struct pfs_node_name {
	const char *name; /* terminated */
	size_t name_len;
	enum pfs_entry_type type;
	uint64_t ino;
};
int pfs_workspace_list(struct pfs_workspace *ws, struct pfs_node *dir,
		       int (*each)(void *arg, const struct pfs_node_name *item), void *arg,
		       struct pfs_error *err);

/*
 * An open file. Opening for writing makes a clean file new (its bytes are
 * copied to the spool unless `truncate`); the copy is made once.
 */
struct pfs_open;
int pfs_workspace_open_file(struct pfs_workspace *ws, struct pfs_node *n, bool write, bool truncate,
			    struct pfs_open **out, struct pfs_error *err);
void pfs_workspace_close_file(struct pfs_open **o);
int pfs_workspace_read(struct pfs_open *o, uint64_t off, void *data, size_t len, size_t *out_len,
		       struct pfs_error *err);
int pfs_workspace_write(struct pfs_open *o, uint64_t off, const void *data, size_t len,
			struct pfs_error *err);
int pfs_workspace_append(struct pfs_open *o, const void *data, size_t len, struct pfs_error *err);
int pfs_workspace_allocate(struct pfs_open *o, int mode, uint64_t off, uint64_t len,
			   struct pfs_error *err);
/* SEEK_DATA or SEEK_HOLE; PFS_E_NOTFOUND past the last one (ENXIO of lseek). */
int pfs_workspace_seek(struct pfs_open *o, uint64_t off, int whence, uint64_t *out,
		       struct pfs_error *err);

/*
 * By reference. The content of a clean file: true and what it is, without its
 * bytes being read. And letting a file be a content, as if it had been written
 * from start to end: 1, or 0 when that cannot be now, since the file is longer,
 * others write it, or its descriptor was borrowed. It has to be durable, as what
 * is committed is. Whoever takes a content from elsewhere does both in a session
 * in which he may link (store/session.h).
 */
bool pfs_workspace_content(struct pfs_open *o, struct pfs_content *out);
int pfs_workspace_become(struct pfs_open *o, const struct pfs_content *content,
			 struct pfs_error *err);

/* The spool descriptor while the file is new, read and written freely by whoever borrows it; -1 otherwise,
 * and while the file has set-id bits, which a write may have to clear.
 * While it may be borrowed for writing the file counts as changing, until the close. */
int pfs_workspace_local_fd(struct pfs_open *o);

/* fsync: bytes and attributes of the file, and every name that leads to it, durable. */
int pfs_workspace_sync_file(struct pfs_open *o, struct pfs_error *err);

/* Everything that returned before this call, durable: fsync of a directory, syncfs. */
int pfs_workspace_sync(struct pfs_workspace *ws, struct pfs_error *err);

/* The same, lazily: only when the oldest unjournaled change is older than `age_ms`. Also removes
 * some spool files that nobody needs any more: call it every second or so. */
int pfs_workspace_tick(struct pfs_workspace *ws, int64_t age_ms, struct pfs_error *err);

/*
 * Commit, in two halves. seal() turns the present state into content: chunks
 * and nodes are put into the store (not synced), writers wait only for the
 * short second part. A file open for writing is taken as it is and stays dirty.
 * settle() comes after the root was made durable and named: what has not
 * changed since the seal becomes clean on the new base. Never calling settle is
 * safe: the workspace stays on its old base with all its changes.
 *
 * `mark` is what the root will be called, NULL when it is only looked at. One
 * seal at a time; the caller serializes.
 */
struct pfs_sealed {
	struct pfs_root root;
	uint64_t generation; /* for settle */
};
int pfs_workspace_seal(struct pfs_workspace *ws, const struct pfs_commit_id *mark,
		       struct pfs_sealed *out, struct pfs_error *err);
int pfs_workspace_settle(struct pfs_workspace *ws, const struct pfs_sealed *sealed,
			 struct pfs_error *err);

/*
 * The same for who asks what differs from the directory `against`, and does not
 * settle: a new file that is not there, or with another size, is not read, since
 * that it differs is known. Zeros stand for its bytes. All that is made for it goes
 * to `aside`, which lies beside the workspace's store (pfs_store_open_aside), and
 * is read from there: the store itself gets nothing.
 */
int pfs_workspace_preview(struct pfs_workspace *ws, const struct pfs_id *against,
			  struct pfs_store *aside, struct pfs_sealed *out, struct pfs_error *err);

/* Throw all changes away and stand on `base`. Nodes that are held stay usable but nameless where their name is gone. */
int pfs_workspace_reset(struct pfs_workspace *ws, const struct pfs_root *base,
			struct pfs_error *err);

/*
 * The same, and whoever holds a node is shut out: a directory, the root among
 * them, is as one that was removed, and a file has no name any more, so nothing
 * that is done to them shows. pfs_workspace_root gives another one from now on.
 */
int pfs_workspace_evict(struct pfs_workspace *ws, const struct pfs_root *base,
			struct pfs_error *err);

/*
 * This process is about to end, and the next one goes on with what is held now:
 * what has no name stays, until the next process has been here for a tick, and
 * so does the way to bytes whose descriptor was lent. Everything is journaled.
 * All that is left to do then is giving nodes back and closing.
 */
int pfs_workspace_hold(struct pfs_workspace *ws, struct pfs_error *err);

/* Whoever goes on with what was held has it by now, be it this process itself. */
void pfs_workspace_end_hold(struct pfs_workspace *ws);

/* What the last process held by this number without a name; PFS_E_NOTFOUND. */
int pfs_workspace_find_held(struct pfs_workspace *ws, uint64_t ino, struct pfs_node **out,
			    struct pfs_error *err);

/* What was just found by name has this number, which the last process knew it by; when it can be. */
void pfs_workspace_renumber(struct pfs_workspace *ws, struct pfs_node *n, uint64_t ino);

/* Whether it has a name, by which its directory (a new reference) can be asked for it; else false. */
bool pfs_node_name(struct pfs_node *n, struct pfs_node **out_dir, char name[PFS_NAME_SIZE_MAX + 1]);

/*
 * The disk is full: bytes of removed files go only after the journal no longer
 * names them; let that be now. True when trying again makes sense.
 */
bool pfs_workspace_make_room(struct pfs_workspace *ws);

/* Whether anything differs, or may differ, from the base. */
bool pfs_workspace_dirty(struct pfs_workspace *ws);

/* What the workspace stands on. */
void pfs_workspace_base(struct pfs_workspace *ws, struct pfs_root *out);

/*
 * What was changed, for whoever caches it, but for changes made by a thread
 * that called pfs_workspace_quiet(true). A change holds a node reference for
 * the receiver; `name` empty means attributes or content of the node itself,
 * otherwise that name in the directory. Bounded: when the receiver is too slow
 * `lost` is set once and everything cached may be stale. Noted from the first
 * call of watch or next_change on: without a reader no node is kept for one.
 */
struct pfs_node_change {
	struct pfs_node *node; /* owned by the receiver; NULL when `lost` */
	char name[PFS_NAME_SIZE_MAX + 1];
	bool lost;
};
/* 1 and a change, 0 when there is none. `wake` (may be NULL) is called after a change was noted; it must not call back. */
int pfs_workspace_next_change(struct pfs_workspace *ws, struct pfs_node_change *out);
void pfs_workspace_watch(struct pfs_workspace *ws, void (*wake)(void *arg), void *arg);
void pfs_workspace_quiet(bool quiet);

#endif
