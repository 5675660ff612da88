/*
 * The whole instance as one tree of handles, as a driver needs it.
 *
 *	/                       one directory per repo
 *	/.pfs/datum/<name>/     what one running job sees: in/<x>, out
 *	/<repo>/                one directory per branch
 *	/<repo>/<branch>/...    the workspace, writable; of a pipeline's branch: its head, read-only
 *	/<repo>/<rev>/...       a commit, read-only: id, unique prefix, branch^, branch^2, branch.3
 *	.../.pfs/               control files of a branch or commit: looked up, not listed
 *
 * No path is walked twice: a handle is a place, found once by name in its
 * parent. Handles are counted; what a handle stands for may be renamed or
 * removed meanwhile, as with a descriptor.
 *
 * Threads: any.
 */
#ifndef PFS_VIEW_H
#define PFS_VIEW_H

#include <pfs/commit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_view;   /* pfs_instance_view() */
struct pfs_handle; /* one file, directory or symlink */
struct pfs_file;   /* one open file */

enum pfs_type {
	PFS_TYPE_FILE = 1,
	PFS_TYPE_DIR,
	PFS_TYPE_SYMLINK,
	PFS_TYPE_FIFO,
	PFS_TYPE_SOCKET,
	PFS_TYPE_CHR,
	PFS_TYPE_BLK,
};

struct pfs_attr {
	uint64_t ino; /* stable while the instance runs; not zero */
	enum pfs_type type;
	uint16_t mode; /* 12 permission bits */
	uint32_t uid, gid;
	uint32_t nlink;
	uint64_t size_bytes;
	uint64_t blocks; /* of 512 bytes */
	uint64_t rdev;
	int64_t atime_ns, mtime_ns, ctime_ns;
	/* How long this may be remembered without asking. */
	bool immutable; /* for ever: committed content */
	bool volatile_; /* not at all: control files */
	bool watched;   /* of a directory: names that appear in it by others are told as changes,
	                         so that also a name's absence may be remembered */
};

/* Who asks: owner of what is created. */
struct pfs_who {
	uint32_t uid, gid;
};

PFS_API struct pfs_handle *pfs_handle_ref(struct pfs_handle *h);
PFS_API void pfs_handle_unref(struct pfs_handle **h); /* stores NULL; NULL inside is fine */

/* The root; the caller owns the reference. */
PFS_API struct pfs_handle *pfs_view_root(struct pfs_view *v);

/* Find `name` in a directory. *out is owned by the caller; the same thing found twice is the same handle. */
PFS_API int pfs_view_lookup(struct pfs_view *v, struct pfs_handle *dir, const char *name,
			    struct pfs_handle **out, struct pfs_attr *out_attr,
			    struct pfs_error *err);

/* From the root along a path "/repo/rev/a/b"; does not follow symlinks. */
PFS_API int pfs_view_walk(struct pfs_view *v, const char *path, struct pfs_handle **out,
			  struct pfs_attr *out_attr, struct pfs_error *err);

PFS_API int pfs_view_getattr(struct pfs_view *v, struct pfs_handle *h, struct pfs_attr *out,
			     struct pfs_error *err);

enum pfs_setattr {
	PFS_SET_MODE = 1,
	PFS_SET_UID = 2,
	PFS_SET_GID = 4,
	PFS_SET_SIZE = 8,
	PFS_SET_MTIME = 16,
	PFS_SET_ATIME = 32, /* told while the file is in memory; in no commit */
};
PFS_API int pfs_view_setattr(struct pfs_view *v, struct pfs_handle *h, unsigned which,
			     const struct pfs_attr *set, struct pfs_attr *out,
			     struct pfs_error *err);

/* The target is appended, terminated, to buf[size]; PFS_E_NAMETOOLONG when it does not fit. */
PFS_API int pfs_view_readlink(struct pfs_view *v, struct pfs_handle *h, char *buf, size_t size,
			      struct pfs_error *err);

/*
 * List a directory as it is now: a listing is a snapshot of names, in byte
 * order, without "." and "..". Each `next` gives 1 and an item, 0 at the end. One
 * that fails goes on failing until another place is sought, the start for one.
 */
struct pfs_listing;
struct pfs_list_item {
	const char *name; /* borrowed until the next call */
	enum pfs_type type;
	uint64_t ino;
};
PFS_API int pfs_view_list(struct pfs_view *v, struct pfs_handle *dir, struct pfs_listing **out,
			  struct pfs_error *err);
/* Continue behind item number `pos` (0: the start). */
PFS_API int pfs_listing_seek(struct pfs_listing *l, uint64_t pos, struct pfs_error *err);
PFS_API int pfs_listing_next(struct pfs_listing *l, struct pfs_list_item *out,
			     struct pfs_error *err);
/*
 * What the item of the last `next` names in `dir`, the directory listed: as
 * pfs_view_lookup, without looking for it again where the listing knows it.
 */
PFS_API int pfs_listing_lookup(struct pfs_listing *l, struct pfs_handle *dir,
			       const struct pfs_list_item *item, struct pfs_handle **out,
			       struct pfs_attr *out_attr, struct pfs_error *err);
PFS_API void pfs_listing_close(struct pfs_listing **l);

/*
 * Make a directory. In the root it makes a repo, in a repo an empty branch.
 * PFS_E_EXISTS, PFS_E_READONLY, PFS_E_INVALID (name).
 */
PFS_API int pfs_view_mkdir(struct pfs_view *v, struct pfs_handle *dir, const char *name,
			   uint16_t mode, const struct pfs_who *who, struct pfs_handle **out,
			   struct pfs_attr *out_attr, struct pfs_error *err);
PFS_API int pfs_view_rmdir(struct pfs_view *v, struct pfs_handle *dir, const char *name,
			   struct pfs_error *err);

/* A symlink; in a repo's directory it makes branch `name` from revision `target`. */
PFS_API int pfs_view_symlink(struct pfs_view *v, struct pfs_handle *dir, const char *name,
			     const char *target, const struct pfs_who *who, struct pfs_handle **out,
			     struct pfs_attr *out_attr, struct pfs_error *err);

/* A fifo, socket or device. */
PFS_API int pfs_view_mknod(struct pfs_view *v, struct pfs_handle *dir, const char *name,
			   enum pfs_type type, uint16_t mode, uint64_t rdev,
			   const struct pfs_who *who, struct pfs_handle **out,
			   struct pfs_attr *out_attr, struct pfs_error *err);

PFS_API int pfs_view_unlink(struct pfs_view *v, struct pfs_handle *dir, const char *name,
			    struct pfs_error *err);

enum pfs_rename_flags {
	PFS_RENAME_NOREPLACE = 1,
	PFS_RENAME_EXCHANGE = 2,
	PFS_RENAME_WHITEOUT = 4, /* a device 0/0 takes the old name; not with EXCHANGE */
};
PFS_API int pfs_view_rename(struct pfs_view *v, struct pfs_handle *from, const char *name,
			    struct pfs_handle *to, const char *new_name, unsigned flags,
			    struct pfs_error *err);

enum pfs_open_flags {
	PFS_OPEN_READ = 1,
	PFS_OPEN_WRITE = 2,
	PFS_OPEN_TRUNCATE = 4,
	PFS_OPEN_EXCLUSIVE = 8, /* create only: PFS_E_EXISTS when it is there */
};

/* Create and open; an existing file is opened unless EXCLUSIVE. */
PFS_API int pfs_view_create(struct pfs_view *v, struct pfs_handle *dir, const char *name,
			    unsigned flags, uint16_t mode, const struct pfs_who *who,
			    struct pfs_handle **out, struct pfs_attr *out_attr,
			    struct pfs_file **out_file, struct pfs_error *err);
PFS_API int pfs_view_open(struct pfs_view *v, struct pfs_handle *h, unsigned flags,
			  struct pfs_file **out, struct pfs_error *err);

/* Act now on what was written to a control file, as its close would: for close(2) to return the failure. */
PFS_API int pfs_file_flush(struct pfs_file *f, struct pfs_error *err);

/* Done with the file. For a control file that was written this is where it acts: its failure is returned. */
PFS_API int pfs_file_close(struct pfs_file **f, struct pfs_error *err);

/* As pread: *out_len is short at the end of the file only. */
PFS_API int pfs_file_read(struct pfs_file *f, uint64_t off, void *data, size_t len, size_t *out_len,
			  struct pfs_error *err);
PFS_API int pfs_file_write(struct pfs_file *f, uint64_t off, const void *data, size_t len,
			   struct pfs_error *err);
/* At the end, whatever others write meanwhile. */
PFS_API int pfs_file_append(struct pfs_file *f, const void *data, size_t len,
			    struct pfs_error *err);
/* As fallocate(2). */
PFS_API int pfs_file_allocate(struct pfs_file *f, int mode, uint64_t off, uint64_t len,
			      struct pfs_error *err);
/* `whence` is SEEK_DATA or SEEK_HOLE; PFS_E_NOTFOUND: none from there on. */
PFS_API int pfs_file_seek(struct pfs_file *f, uint64_t off, int whence, uint64_t *out,
			  struct pfs_error *err);
/*
 * Let `to` have the bytes that `from` has, all of them, without one being read:
 * *out_size tells how many. PFS_E_UNSUPPORTED when that cannot be just now, and
 * they have to be copied: they are more than `max`, `from` has changes that are
 * not committed, `to` is longer, has its descriptor lent out (pfs_file_local) or
 * is written by others, or a collection is under way.
 */
PFS_API int pfs_file_share(struct pfs_file *from, struct pfs_file *to, uint64_t max,
			   uint64_t *out_size, struct pfs_error *err);

/* Whether sharing from it saves something, as things are: it is large, and all of it committed. */
PFS_API bool pfs_file_shareable(struct pfs_file *f);

PFS_API int pfs_file_sync(struct pfs_file *f, struct pfs_error *err);

/* Names of a directory durable, as fsync on it. */
PFS_API int pfs_view_sync(struct pfs_view *v, struct pfs_handle *dir, struct pfs_error *err);

/*
 * A descriptor of a local file that holds exactly this file's bytes, now and
 * while the file stays open, reads and writes alike; -1 when there is none.
 * Borrowed: it closes with the file.
 */
PFS_API int pfs_file_local(struct pfs_file *f);

/* Bytes that are the same at every read of this handle while it is open (committed content). */
PFS_API bool pfs_file_immutable(const struct pfs_file *f);

/*
 * A new file without a name, open for writing, and giving it one later,
 * atomically replacing what is there. Closed without a name it is gone.
 */
PFS_API int pfs_view_create_unnamed(struct pfs_view *v, struct pfs_handle *dir, uint16_t mode,
				    const struct pfs_who *who, struct pfs_handle **out,
				    struct pfs_file **out_file, struct pfs_error *err);
PFS_API int pfs_view_place(struct pfs_view *v, struct pfs_handle *unnamed, struct pfs_handle *dir,
			   const char *name, struct pfs_error *err);

/*
 * Another name for a file, symlink or special file of a branch, or the first of
 * one made without. PFS_E_EXISTS; PFS_E_DENIED for a directory; PFS_E_UNSUPPORTED
 * into another branch; PFS_E_NOTFOUND when it was removed; PFS_E_LIMIT past
 * 65,000 names.
 */
PFS_API int pfs_view_link(struct pfs_view *v, struct pfs_handle *h, struct pfs_handle *dir,
			  const char *name, struct pfs_error *err);

/*
 * Extended attributes, by their whole names. user.pfs.hash, user.pfs.size and
 * user.pfs.files are computed: found, not listed (whoever copies a tree with its
 * attributes must not meet them), and PFS_E_DENIED to who would change them. All
 * others are kept in branches and their commits. PFS_E_NOTFOUND: there is no such
 * attribute; PFS_E_LIMIT: it does not fit. With size 0 only the length is told.
 */
PFS_API int pfs_view_getxattr(struct pfs_view *v, struct pfs_handle *h, const char *name,
			      void *value, size_t size, size_t *out_len, struct pfs_error *err);
PFS_API int pfs_view_listxattr(struct pfs_view *v, struct pfs_handle *h, char *names, size_t size,
			       size_t *out_len, struct pfs_error *err);

enum pfs_setxattr_flags {
	PFS_SETXATTR_CREATE = 1,  /* PFS_E_EXISTS when it is there */
	PFS_SETXATTR_REPLACE = 2, /* PFS_E_NOTFOUND when it is not */
};
PFS_API int pfs_view_setxattr(struct pfs_view *v, struct pfs_handle *h, const char *name,
			      const void *value, size_t len, unsigned flags, struct pfs_error *err);
PFS_API int pfs_view_removexattr(struct pfs_view *v, struct pfs_handle *h, const char *name,
				 struct pfs_error *err);

/* For statfs: the file system that keeps the instance. */
PFS_API const char *pfs_view_data_dir(struct pfs_view *v);

/*
 * What changed behind the back of whoever caches: by HTTP, by a pipeline, by a
 * branch that moved. A change names a handle that is or was alive; `name` not
 * empty: that name in the directory must be looked up anew; empty: attributes
 * and content of the handle.
 *
 * Changes made with a pfs_view_quiet() thread are not told: a driver calls it
 * on its own threads, whose kernel knows already.
 */
struct pfs_view_change {
	struct pfs_handle *handle; /* owned by the receiver: pfs_handle_unref */
	char name[256];
	bool lost; /* too many to tell: whatever is cached may be stale; handle is NULL */
};
/* 1 and a change, 0 after `timeout_ms` or pfs_view_wake. One reader. */
PFS_API int pfs_view_next_change(struct pfs_view *v, int64_t timeout_ms,
				 struct pfs_view_change *out);
PFS_API void pfs_view_wake(struct pfs_view *v);

/*
 * Block until something happens to repos and branches, or `timeout_ms` passed,
 * and let the reader of changes know. Called in a loop by a second thread, it
 * saves the reader from polling for such news (it looks every half second).
 */
PFS_API void pfs_view_watch(struct pfs_view *v, int64_t timeout_ms);
PFS_API void pfs_view_quiet(bool quiet);

/*
 * From now on long work that this thread asks for, commits above all, is given
 * up with PFS_E_CANCELLED when `unwanted` says so; it is asked often, by this
 * thread alone. NULL: never.
 */
PFS_API void pfs_view_give_up_when(bool (*unwanted)(void *arg), void *arg);

/* A place for whoever caches to keep its own number for a handle (a driver's inode); NULL at first. */
PFS_API void *pfs_handle_tag(struct pfs_handle *h);
PFS_API void pfs_handle_set_tag(struct pfs_handle *h, void *tag);

/* What one running job sees, as /.pfs/datum/<name>/: inputs read-only, `out` the workspace of a pipeline's branch. */
struct pfs_datum_input {
	const char *name;
	const char *repo;
	struct pfs_commit_id commit;
	const char *path; /* "" for the root */
};
PFS_API int pfs_view_add_datum(struct pfs_view *v, const char *name,
			       const struct pfs_datum_input *inputs, size_t n_inputs,
			       const char *out_repo, const char *out_branch, struct pfs_error *err);
PFS_API void pfs_view_remove_datum(struct pfs_view *v, const char *name);

/*
 * Handing over: another process goes on with the handles, files and listings of
 * this one.
 *
 *	begin_hold ─▶ hold (files, listings, handles) ─▶ give all back, close the instance
 *	                                          └─▶ end_hold: it could not be given away
 *	the next one: open the instance ─▶ take (handles, files, listings)
 *
 * What is held comes as bytes, which only take understands; free() them. Nobody
 * else uses the view meanwhile. After begin_hold a message that was written to a
 * control file is not acted on: it is held too, and flushing is PFS_E_CANCELLED.
 */
PFS_API void pfs_view_begin_hold(struct pfs_view *v);

/* All is as it was before, and messages are acted on. */
PFS_API void pfs_view_end_hold(struct pfs_view *v);

/*
 * All of these handles, NULL inside is fine, and what is nowhere else: datums, and
 * files without a name. Workspaces are durable after it.
 */
PFS_API int pfs_view_hold(struct pfs_view *v, struct pfs_handle *const *handles, size_t n,
			  void **out, size_t *out_len, struct pfs_error *err);

/*
 * The same handles, in their order, references of the caller; NULL for what cannot be
 * found any more. PFS_E_CORRUPT: not what hold made of `n` handles.
 */
PFS_API int pfs_view_take(struct pfs_view *v, const void *data, size_t len,
			  struct pfs_handle **handles, size_t n, struct pfs_error *err);

/* What an open file has that its handle and its flags do not tell: 0 bytes, but for control files. */
PFS_API int pfs_file_hold(struct pfs_file *f, void **out, size_t *out_len, struct pfs_error *err);
PFS_API int pfs_file_take(struct pfs_view *v, struct pfs_handle *h, unsigned flags,
			  const void *data, size_t len, struct pfs_file **out,
			  struct pfs_error *err);
/* pfs_open_flags. */
PFS_API unsigned pfs_file_flags(const struct pfs_file *f);

/* Names as they were when the listing was opened. */
PFS_API int pfs_listing_hold(struct pfs_listing *l, void **out, size_t *out_len,
			     struct pfs_error *err);
PFS_API int pfs_listing_take(struct pfs_view *v, struct pfs_handle *dir, const void *data,
			     size_t len, struct pfs_listing **out, struct pfs_error *err);

#ifdef __cplusplus
}
#endif
#endif
