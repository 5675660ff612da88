/*
 * The inside of the view.
 *
 *	place (ops)     where                              in the table by
 *	root            /                                  is always there
 *	sys, datums     /.pfs, /.pfs/datum                 parent, name
 *	datum, in       /.pfs/datum/<name>, .../in         parent, name, serial number
 *	repo            /<repo>                            parent, name, when it was made
 *	head            /<repo>/<branch> of a pipeline     parent, name, when it was made
 *	commit          /<repo>/<rev>; what a head shows   parent, name, commit id
 *	entry           below a commit                     parent, name
 *	node            a branch, and all below it         the tag of the workspace's node
 *	control dir     .pfs of a branch or commit         parent, name
 *	control         one file in it                     parent, name
 *
 * A handle keeps its parent; a node of a workspace has none but for the root
 * of a branch, whose parent is the repo. What is stale (deleted, made anew
 * under the same name) leaves the table and lives on unfindable.
 */
#ifndef PFS_VIEW_VIEW_I_H
#define PFS_VIEW_VIEW_I_H

#include "view/view.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/path.h"
#include "history/history.h"
#include "tree/content.h"
#include "tree/linkgroups.h"
#include "tree/tree.h"
#include "tree/xattrs.h"
#include "workspace/workspace.h"

#define CONTROL_NAME ".pfs"

struct place_ops;
struct control;

/* A borrowed workspace, shared by the handles of its nodes. */
struct tenant {
	struct pfs_workspace *ws;
	unsigned refs; /* protected by view->lock */
	uint64_t salt; /* makes node numbers unique across workspaces */
	char repo[PFS_NAME_TEXT_SIZE], branch[PFS_NAME_TEXT_SIZE]; /* when it was borrowed */
	struct tenant *next;                                       /* protected by view->lock */
};

/*
 * A committed entry, compact, since there are as many as names were looked up.
 * Behind the handle's key stands what few have, see entry_tail:
 *
 *	inline bytes or symlink target, id of xattrs, link
 */
struct entry {
	struct pfs_attrs attrs;
	struct pfs_id id; /* of the content or the directory */
	union {
		uint64_t size;    /* FILE */
		uint64_t rdev;    /* CHR, BLK */
		uint64_t entries; /* DIR: below it */
	};
	uint64_t dir_bytes;     /* DIR: below it */
	_Atomic uint32_t nlink; /* 0: nobody has asked yet */
	uint16_t data_len;      /* of the inline bytes or the target */
	uint8_t type;           /* pfs_entry_type */
	uint8_t form : 6;       /* pfs_content_form */
	bool has_xattrs : 1, has_link : 1;
};

/* That a name is one of several of its file. */
struct entry_link {
	uint64_t number;
	struct pfs_links_file file;
};

struct pfs_handle {
	struct pfs_view *view;
	const struct place_ops *ops;
	struct pfs_handle *parent;              /* counted; NULL: see above */
	struct pfs_handle *child, *prev, *next; /* protected by view->lock */
	void *tag;
	uint64_t ino;
	unsigned refs;    /* protected by view->lock */
	uint16_t key_len; /* never changes */
	bool hashed;      /* in the table; protected by view->lock */
	bool linked;      /* among its parent's children; likewise */
	union {
		struct {
			int64_t created_ns;
		} repo;
		struct {
			int64_t created_ns;
			struct pfs_commit_id
				id; /* the last one a change was told for; protected by lock */
		} head;
		struct {
			struct pfs_commit_id id;
			struct pfs_root root;
			bool canonical; /* found by its full id: the name means this for ever */
		} commit;
		struct entry entry;
		struct {
			struct tenant *tenant;
			struct pfs_node *node;
			int64_t created_ns; /* of the branch, at its root */
			bool top;           /* the root of a workspace */
			bool branch;        /* ... found as /<repo>/<branch> */
		} node;
		const struct control *control;
		struct datum *datum;
	} u;
	unsigned char key[]; /* address of the parent, name, NUL, stamp */
};

/* What a place does; what is missing is refused by the facade in view.c. */
struct place_ops {
	const char *what; /* "a repo", for messages */
	bool writable;    /* else changes are PFS_E_READONLY */
	int (*lookup)(struct pfs_handle *dir, const char *name, size_t len, struct pfs_handle **out,
		      struct pfs_error *err);
	int (*getattr)(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err);
	int (*setattr)(struct pfs_handle *h, unsigned which, const struct pfs_attr *set,
		       struct pfs_error *err);
	int (*readlink)(struct pfs_handle *h, struct pfs_buf *out, struct pfs_error *err);
	int (*list)(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err);
	int (*mkdir)(struct pfs_handle *dir, const char *name, uint16_t mode,
		     const struct pfs_who *who, struct pfs_handle **out, struct pfs_error *err);
	int (*rmdir)(struct pfs_handle *dir, const char *name, struct pfs_error *err);
	int (*symlink)(struct pfs_handle *dir, const char *name, const char *target,
		       const struct pfs_who *who, struct pfs_handle **out, struct pfs_error *err);
	int (*unlink)(struct pfs_handle *dir, const char *name, struct pfs_error *err);
	/* Both directories have these ops. */
	int (*rename)(struct pfs_handle *from, const char *name, struct pfs_handle *to,
		      const char *new_name, unsigned flags, struct pfs_error *err);
	int (*create)(struct pfs_handle *dir, const char *name, unsigned flags, uint16_t mode,
		      const struct pfs_who *who, struct pfs_handle **out,
		      struct pfs_file **out_file, struct pfs_error *err);
	int (*open)(struct pfs_handle *h, unsigned flags, struct pfs_file **out,
		    struct pfs_error *err);
	/* user.pfs.*: hexadecimal id, bytes and files of what is below. */
	int (*facts)(struct pfs_handle *h, struct pfs_id *hash, uint64_t *size, uint64_t *files,
		     struct pfs_error *err);
	/* Attributes that are kept, appended. A value of NULL removes one. */
	int (*getxattr)(struct pfs_handle *h, const char *name, struct pfs_buf *out,
			struct pfs_error *err);
	int (*listxattr)(struct pfs_handle *h, struct pfs_buf *out, struct pfs_error *err);
	int (*setxattr)(struct pfs_handle *h, const char *name, const void *value, size_t len,
			unsigned flags, struct pfs_error *err);
	void (*fini)(struct pfs_handle *h); /* the last reference went; no lock is held */
};

extern const struct place_ops place_root, place_sys, place_datums, place_datum, place_datum_in,
	place_repo, place_head, place_commit, place_entry, place_node, place_control_dir,
	place_control;

struct change_item {
	struct pfs_view_change c;
	struct change_item *next;
};

struct pfs_view {
	struct pfs_history *history;
	struct pfs_store *store;
	char *data_dir;
	uint32_t uid, gid; /* whose the places are that nobody made */
	int64_t opened_ns;
	struct pfs_handle *root;
	struct pfs_linkgroups *groups; /* of committed directories */

	struct pfs_lock lock;                        /* PFS_RANK_VIEW */
	struct pfs_map table;                        /* protected by lock */
	struct tenant *tenants;                      /* protected by lock */
	struct datum *datums;                        /* protected by lock */
	struct refused *refused;                     /* newest first; protected by lock */
	uint64_t datum_serial;                       /* protected by lock */
	struct change_item *changes, **changes_tail; /* protected by lock */
	_Atomic bool holding; /* everything is about to be given to another process */
	bool lost;            /* a change could not be queued; protected by lock */
	uint64_t cursor;      /* the last event dealt with; of the one reader */

	/* Below all others, since workspaces call with their locks held. */
	struct pfs_lock news_lock; /* PFS_RANK_BASE */
	pthread_cond_t news_cond;
	bool news, woken;  /* protected by news_lock */
	unsigned watchers; /* protected by news_lock */
};

/* handle.c */
struct pfs_handle *pfs_handle_new(struct pfs_view *v, const struct place_ops *ops,
				  struct pfs_handle *parent, const char *name, size_t len,
				  const void *stamp, size_t stamp_len, size_t spare,
				  struct pfs_error *err);
/* The handle in the table, a new reference, or NULL. */
struct pfs_handle *pfs_handle_find(struct pfs_view *v, struct pfs_handle *parent, const char *name,
				   size_t len, const void *stamp, size_t stamp_len);
/* Takes `fresh` and gives it, or the one that was quicker. */
int pfs_handle_enter(struct pfs_handle *fresh, struct pfs_handle **out, struct pfs_error *err);
void pfs_handle_free_unused(struct pfs_handle *fresh); /* one that was never entered */
/* No longer findable; view->lock is held. */
void pfs_handle_forget_place(struct pfs_handle *h);
const char *pfs_handle_name(const struct pfs_handle *h);
uint64_t pfs_handle_mix(uint64_t a, uint64_t b);
uint64_t pfs_handle_child_ino(const struct pfs_handle *dir, const char *name, size_t len);
/* For who holds view->lock. */
struct pfs_handle *pfs_handle_ref_locked(struct pfs_handle *h);
/* Among its parent's children; view->lock is held. */
void pfs_handle_link(struct pfs_handle *h);

/* What every place without attributes of its own shows. */
void pfs_view_plain_attr(const struct pfs_handle *h, enum pfs_type type, uint16_t mode,
			 int64_t time_ns, struct pfs_attr *out);
enum pfs_type pfs_view_type(enum pfs_entry_type t);
int pfs_view_readonly(const struct pfs_handle *h, struct pfs_error *err);

/* refused.c: the commit through a control file of `b` failed, until something else is known. */
void pfs_refused_note(struct pfs_view *v, const struct pfs_branch *b, const struct pfs_error *why);
void pfs_refused_clear(struct pfs_view *v, const struct pfs_branch *b);
/* Fails as that commit did when `b` still has the head it had then. */
int pfs_refused_check(struct pfs_view *v, const struct pfs_branch *b, struct pfs_error *err);
void pfs_refused_free(struct pfs_view *v);

/* tenant.c */
int pfs_tenant_get(struct pfs_view *v, const char *repo, const char *branch, struct tenant **out,
		   struct pfs_error *err);
struct tenant *pfs_tenant_ref(struct pfs_view *v, struct tenant *t);
void pfs_tenant_put(struct pfs_view *v, struct tenant *t);

/* view_workspace.c: the handle of a node; takes the node, keeps a reference to `t`. */
int pfs_node_handle(struct pfs_view *v, struct tenant *t, struct pfs_node *node,
		    struct pfs_handle **out, struct pfs_error *err);
/* The root of a workspace, as branch `name` of `repo` (NULL: as an output). */
int pfs_branch_handle(struct pfs_handle *repo, const struct pfs_branch *b, struct pfs_handle **out,
		      struct pfs_error *err);
int pfs_output_handle(struct pfs_view *v, const char *repo, const char *branch,
		      struct pfs_handle **out, struct pfs_error *err);
/* The branch moved within its repo. */
void pfs_branch_handle_rename(struct pfs_handle *repo, const char *from, const char *to);

/* view_commit.c */
int pfs_commit_handle(struct pfs_handle *parent, const char *repo, const char *name, size_t len,
		      const struct pfs_commit_id *id, bool canonical, struct pfs_handle **out,
		      struct pfs_error *err);
/* The number of an entry of a committed directory: names of one file have the same, and *out_file then. */
uint64_t pfs_entry_ino(struct pfs_handle *dir, const char *name, size_t len,
		       const struct pfs_entry *e, struct pfs_links_file *out_file);

/* The handle of an entry that was found below `parent`. */
int pfs_entry_handle(struct pfs_handle *parent, const char *name, size_t len,
		     const struct pfs_entry *e, struct pfs_handle **out, struct pfs_error *err);
int pfs_head_handle(struct pfs_handle *repo, const struct pfs_branch *b, struct pfs_handle **out,
		    struct pfs_error *err);

/* control.c: NOTFOUND unless `name` is the control folder's. */
bool pfs_control_is(const char *name, size_t len);
int pfs_control_dir(struct pfs_handle *place, struct pfs_handle **out, struct pfs_error *err);
int pfs_control_refuse(const char *name, struct pfs_error *err);

/* datumview.c */
/* Appends the table of pfs-handover(5). */
int pfs_datums_hold(struct pfs_view *v, struct pfs_buf *out, struct pfs_error *err);
struct pfs_place_datum;
int pfs_datum_take(struct pfs_view *v, const struct pfs_place_datum *d, struct pfs_error *err);
void pfs_datums_free(struct pfs_view *v);

/* change.c */
void pfs_change_wake(void *view);

/*
 * listing.c: a snapshot of names, or a cursor over a committed directory.
 */
struct listing_name {
	size_t off, len;
	enum pfs_type type;
	uint64_t ino;
};
struct pfs_listing {
	struct pfs_handle *dir;
	struct pfs_buf text;
	struct listing_name *names; /* owned */
	size_t n, cap;
	uint64_t pos;
	struct pfs_id tree;            /* of a committed directory */
	struct pfs_cursor *cursor;     /* NULL: the names above */
	const struct pfs_entry *entry; /* of its last item, borrowed from the cursor; NULL: none */
	char name[PFS_NAME_SIZE_MAX + 1]; /* what that item borrows */
};
int pfs_listing_add(struct pfs_listing *l, const char *name, size_t len, enum pfs_type type,
		    uint64_t ino, struct pfs_error *err);
int pfs_listing_of_tree(struct pfs_listing *l, const struct pfs_id *dir, struct pfs_error *err);

/* file.c */
struct file_ops {
	int (*read)(struct pfs_file *f, uint64_t off, void *data, size_t len, size_t *out_len,
		    struct pfs_error *err);
	int (*write)(struct pfs_file *f, uint64_t off, const void *data, size_t len,
		     struct pfs_error *err);
	int (*append)(struct pfs_file *f, const void *data, size_t len, struct pfs_error *err);
	int (*allocate)(struct pfs_file *f, int mode, uint64_t off, uint64_t len,
			struct pfs_error *err);
	int (*seek)(struct pfs_file *f, uint64_t off, int whence, uint64_t *out,
		    struct pfs_error *err);
	int (*sync)(struct pfs_file *f, struct pfs_error *err);
	/*
	 * What it holds by reference, while something names that; false: nothing
	 * just now, or less than `least` bytes.
	 */
	bool (*content)(struct pfs_file *f, uint64_t least, struct pfs_content *out);
	/* 1: it holds that now; 0: it cannot. */
	int (*become)(struct pfs_file *f, const struct pfs_content *content, struct pfs_error *err);
	int (*flush)(struct pfs_file *f, struct pfs_error *err);
	/* What is nowhere else, appended; and a file, just opened, gets it. */
	int (*hold)(struct pfs_file *f, struct pfs_buf *out, struct pfs_error *err);
	int (*take)(struct pfs_file *f, const void *data, size_t len, struct pfs_error *err);
	int (*local)(struct pfs_file *f);
	void (*close)(struct pfs_file *f); /* frees it, not its handle */
};
struct pfs_file {
	const struct file_ops *ops;
	struct pfs_handle *handle; /* counted */
	unsigned flags;            /* pfs_open_flags */
};
/* The size of a file that all readers see, and its data and holes as one run. */
int pfs_file_seek_plain(uint64_t size, uint64_t off, int whence, uint64_t *out,
			struct pfs_error *err);

#endif
