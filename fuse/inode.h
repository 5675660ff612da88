/*
 * Inodes: the kernel's number for a handle, which is that of a slot.
 *
 *	lookup, create, readdirplus: +1      forget: -n      0: gone
 *
 * Every entry that is answered counts one lookup; an answer that did not reach
 * the kernel is taken back. Opens of an inode are either all cached by the
 * kernel or all passed through to one backing file: it refuses a mixture.
 *
 * A slot that is used again gets another generation, so that who kept a number
 * without a look-up (name_to_handle_at) does not find another file. There may be
 * a million of them: what only open files need is apart.
 *
 * Threads: any.
 */
#ifndef PFS_FUSE_INODE_H
#define PFS_FUSE_INODE_H

#include "fuse/mount.h"

#include <sys/stat.h>

/* While an inode is open. */
struct inode_opens {
	unsigned n_cached;  /* opens whose bytes go through us */
	unsigned n_through; /* opens whose bytes do not */
	int backing_id;     /* the kernel's, while n_through > 0 */
	dev_t backing_dev;
	ino_t backing_ino;
};

struct inode {
	struct pfs_handle *handle; /* counted; NULL: it stands for nothing */
	uint64_t n_lookups;        /* protected by mount->lock */
	struct inode_opens *opens; /* owned, NULL: none; it and what is in it likewise */
	uint32_t number;           /* of its slot */
	uint32_t generation;       /* 0: nobody has the slot */
	/* From the last attributes seen. */
	_Atomic bool immutable, volatile_, watched;
	/*
	 * Of a directory: the kernel may keep a listing that has names only, and drops it
	 * when so many of them have been asked for. 0: it has none.
	 */
	_Atomic uint8_t bare;
};

/* For who looks at one or two of them the names are kept. */
#define BARE_LOOKUPS 250u

/* The inode the kernel means; NULL when it is none of ours. */
struct inode *pfs_inode_find(struct pfs_mount *m, fuse_ino_t ino);

/* Fill an entry for a handle and count the lookup. Takes `h`, also when it fails. */
int pfs_inode_enter(struct pfs_mount *m, struct pfs_handle *h, const struct pfs_attr *a,
		    struct fuse_entry_param *out, struct pfs_error *err);

/* A symlink that is told once and stands for nothing. */
int pfs_inode_enter_passing(struct pfs_mount *m, const struct pfs_attr *a,
			    struct fuse_entry_param *out, struct pfs_error *err);

/*
 * Have a place for counts of opens, false without memory; and have none when they
 * are all zero. With the mount's lock held.
 */
bool pfs_inode_open(struct inode *i);
void pfs_inode_close(struct inode *i);

/* `n` lookups less. */
void pfs_inode_forget(struct pfs_mount *m, fuse_ino_t ino, uint64_t n);

/* Find a name and fill the entry. */
int pfs_inode_lookup(struct pfs_mount *m, struct inode *dir, const char *name,
		     struct fuse_entry_param *out, struct pfs_error *err);

void pfs_inode_stat(const struct pfs_attr *a, struct stat *out);
double pfs_inode_attr_timeout(struct pfs_mount *m, struct inode *i, const struct pfs_attr *a);

/* Answer getattr and setattr. */
void pfs_inode_reply_attr(fuse_req_t req, struct inode *i, const struct pfs_attr *a);

/* How long the kernel may remember that a name is not there. */
double pfs_inode_miss_timeout(struct pfs_mount *m, const struct inode *dir);

/* What the kernel calls it. */
fuse_ino_t pfs_inode_number_of(const struct inode *i);

/* The number the kernel knows a handle by, 0 when it does not. */
fuse_ino_t pfs_inode_number(struct pfs_mount *m, struct pfs_handle *h);

/* The root; once, before the session starts, and after it has ended: all inodes. */
int pfs_inodes_init(struct pfs_mount *m, struct pfs_error *err);
void pfs_inodes_fini(struct pfs_mount *m);

#endif
