/*
 * Walk the records of a pack from its bytes alone, whole ones only.
 *
 *	while ((rc = pfs_packscan_next(&scan, &rec, err)) == 1)
 *		... rec at scan.at, payload at scan.payload ...
 *	rc == 0: the end; PFS_E_CORRUPT: no whole record at scan.off
 *
 * Threads: one at a time per scan.
 */
#ifndef PFS_STORE_PACKSCAN_H
#define PFS_STORE_PACKSCAN_H

#include "store/room.h"
#include "format/packfooter.h"

struct pfs_packscan {
	int fd;                       /* borrowed */
	uint64_t off, end;            /* where the next record would start; where records end */
	uint64_t at;                  /* the record that next answered */
	const unsigned char *payload; /* of that record; until the next call */
	unsigned char *window;        /* a piece of the file */
	uint64_t window_off;
	size_t window_len;
};

int pfs_packscan_init(struct pfs_packscan *s, int fd, uint64_t off, uint64_t end,
		      struct pfs_error *err);
void pfs_packscan_fini(struct pfs_packscan *s);

int pfs_packscan_next(struct pfs_packscan *s, struct pfs_packrec *out, struct pfs_error *err);

/*
 * After PFS_E_CORRUPT: move to the next place that holds a whole record, or to
 * the end. 1 when there is one, 0 when not.
 */
int pfs_packscan_skip(struct pfs_packscan *s, struct pfs_error *err);

/*
 * All whole records of the first `size` bytes of a pack, added to `out`, which
 * is initialized. *out_torn_at is the first place that is no whole record,
 * the end when there is none; what is behind it is looked for only when it lies
 * below `trusted`.
 */
int pfs_packscan_all(int fd, uint64_t size, uint64_t trusted, struct pfs_packfooter *out,
		     uint64_t *out_torn_at, struct pfs_error *err);

#endif
