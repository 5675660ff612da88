/*
 * Content that is a local file: one that was adopted, is there still, and holds
 * this content from its first byte to its last. Who reads much of it reads the
 * file, without us.
 *
 * Bytes that are read so are not checked against their ids. Therefore a file is
 * given out only when each of its pieces was read and checked since the store
 * was opened, by whomever, and no damage of it is known: what was adopted in
 * this life of the store was read then, all else is read through the store once. Of
 * what a file has several times that reads one place; the others are read by who
 * asks for the file, PFS_LOCAL_READ_MAX bytes at a time.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_LOCAL_H
#define PFS_STORE_LOCAL_H

#include "store/store.h"

/* The content that is asked for. */
struct pfs_local {
	const struct pfs_id
		*content; /* a name for all that follows: the same id, the same pieces */
	uint64_t size;

	/* The next piece of data, from the first one on; what lies between them is zeros. 1, or 0
	 * behind the last, or negative. */
	int (*next)(void *arg, struct pfs_id *out_id, uint64_t *out_off, struct pfs_error *err);
	void *arg;
};

/* A descriptor to read from, the caller's, or -1: there is no such file, or nobody can tell. */
int pfs_store_local(struct pfs_store *st, const struct pfs_local *local);

#endif
