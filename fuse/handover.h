/*
 * What one process of a mount leaves to the next, as bytes: pfs-handover(5).
 *
 * The kernel knows us by numbers: of inodes, of open files, of backing files. It
 * says hello once. All of that is here; what the numbers stand for the view says
 * in `places` and in what open files have of their own.
 *
 * Threads: any.
 */
#ifndef PFS_FUSE_HANDOVER_H
#define PFS_FUSE_HANDOVER_H

#include "base/buf.h"

#define PFS_HANDOVER_VERSION   2u
#define PFS_HANDOVER_SIZE_MAX  ((size_t)4 << 30)
#define PFS_HANDOVER_HELLO_MAX 4096u /* the kernel's first request has some 100 bytes */

/* An inode; the n-th is the n-th handle of `places`. */
struct pfs_handover_inode {
	uint32_t number, generation;
	uint64_t n_lookups;
	bool immutable, volatile_, watched;
	bool through; /* the kernel has a backing file for it: */
	uint32_t backing_id;
	uint64_t backing_dev, backing_ino;
};

enum pfs_handover_kind { PFS_HANDOVER_FILE = 1, PFS_HANDOVER_DIR = 2 };

struct pfs_handover_open {
	uint32_t number, inode;
	enum pfs_handover_kind kind;
	uint8_t mode;              /* FILE: where its bytes go */
	uint32_t flags;            /* FILE: pfs_open_flags */
	uint64_t ino;              /* DIR: what "." has */
	const unsigned char *data; /* of the view; borrowed */
	size_t len;
};

struct pfs_handover {
	const unsigned char *mountpoint, *hello, *places; /* borrowed */
	size_t mountpoint_len, hello_len, places_len;
	uint64_t device;                   /* number of what is mounted; 0: not known */
	uint32_t features;                 /* that were asked for, a bit each */
	uint32_t generation;               /* of the newest inode */
	struct pfs_handover_inode *inodes; /* owned, as the next */
	struct pfs_handover_open *opens;
	size_t n_inodes, n_opens;
};

void pfs_handover_fini(struct pfs_handover *h);

/* Appended, whole. PFS_E_LIMIT past the limit of `out`. */
int pfs_handover_encode(const struct pfs_handover *h, struct pfs_buf *out, struct pfs_error *err);

/*
 * `data` is what the result borrows from. PFS_E_UNSUPPORTED: another version;
 * PFS_E_CORRUPT: damaged.
 */
int pfs_handover_decode(const void *data, size_t len, struct pfs_handover *out,
			struct pfs_error *err);

#endif
