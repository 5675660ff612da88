/*
 * Inodes: the kernel's number for a handle, which is our address.
 *
 *	lookup, create, readdirplus: +1      forget: -n      0: gone
 *
 * Every entry that is answered counts one lookup; an answer that did not reach
 * the kernel is taken back. Opens of an inode are either all cached by the
 * kernel or all passed through to one backing file: it refuses a mixture.
 *
 * Threads: any.
 */
#ifndef PFS_FUSE_INODE_H
#define PFS_FUSE_INODE_H

#include "fuse/mount.h"

#include <sys/stat.h>

struct inode {
	uint32_t magic;            /* INODE_MAGIC */
	struct pfs_handle *handle; /* counted; NULL: it stands for nothing */
	uint64_t n_lookups;        /* protected by mount->lock, as all below */
	struct inode *prev, *next;
	unsigned n_cached;  /* opens whose bytes go through us */
	unsigned n_through; /* opens whose bytes do not */
	int backing_id;     /* the kernel's, while n_through > 0 */
	dev_t backing_dev;
	ino_t backing_ino;
	/* From the last attributes seen. */
	_Atomic bool immutable, volatile_, watched;
};

#define INODE_MAGIC 0x70667369u /* "isfp" */

/* The inode the kernel means; NULL when it is none of ours. */
struct inode *pfs_inode_find(struct pfs_mount *m, fuse_ino_t ino);

/* Fill an entry for a handle and count the lookup. Takes `h`, also when it fails. */
int pfs_inode_enter(struct pfs_mount *m, struct pfs_handle *h, const struct pfs_attr *a,
		    struct fuse_entry_param *out, struct pfs_error *err);

/* A symlink that is told once and stands for nothing. */
int pfs_inode_enter_passing(struct pfs_mount *m, const struct pfs_attr *a,
			    struct fuse_entry_param *out, struct pfs_error *err);

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

/* The number the kernel knows a handle by, 0 when it does not. */
fuse_ino_t pfs_inode_number(struct pfs_mount *m, struct pfs_handle *h);

/* The root; once, before the session starts, and after it has ended: all inodes. */
int pfs_inodes_init(struct pfs_mount *m, struct pfs_error *err);
void pfs_inodes_fini(struct pfs_mount *m);

#endif
