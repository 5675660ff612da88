/*
 * Adopted files whose table is damaged or lost are adopted once more: their
 * bytes are all there, and who cuts them anew finds the same pieces.
 *
 * Threads: one at a time, and not while packs are rewritten.
 */
#ifndef PFS_STORE_READOPT_H
#define PFS_STORE_READOPT_H

#include "store/adoption.h"

struct pfs_readoption {
	/* Name all pieces of the file, as pfs_content_survey_fd() does. */
	int (*survey)(void *arg, int fd, uint64_t size, struct pfs_adoption *a,
		      struct pfs_error *err);
	void (*mended)(void *arg, const char *what); /* a pack, and what came of it; one line */
	void (*kept)(void *arg, const char *what);   /* likewise */
	void *arg;
};

/*
 * Of the packs that who looked at them last found damaged. A file that cannot be
 * read or linked is kept as it is, and told; a failure is one of memory or room.
 */
int pfs_store_readopt(struct pfs_store *st, const struct pfs_readoption *how,
		      struct pfs_error *err);

#endif
