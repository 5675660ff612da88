/*
 * Room on the disk for a database and its log, taken before it is needed: on a full
 * disk a transaction that lets go of something has to be written, too.
 *
 * It lies behind the end of the file, which does not become longer by it. Where a
 * file system cannot do that nothing is taken, and where there is less room that is.
 *
 * Threads: those of the connection that writes.
 */
#ifndef PFS_PAGE_PAGEROOM_H
#define PFS_PAGE_PAGEROOM_H

#include "page/room.h"
#include "base/error.h"
#include <sqlite3.h>
#include <stdint.h>

struct pfs_pageroom {
	int fd;         /* of the log; -1: none */
	uint64_t size;  /* of the log when it was looked at last */
	uint64_t end;   /* so far there is room */
	uint64_t again; /* when it is so long, it is tried again */
};
#define PFS_PAGEROOM_INIT \
	{                 \
		.fd = -1  \
	}

/* For the log of `db`, which must not be removed when the last connection is closed. */
void pfs_pageroom_open(struct pfs_pageroom *r, sqlite3 *db);

/* After each transaction, or many: half a megabyte at least is kept. */
void pfs_pageroom_keep(struct pfs_pageroom *r);

/* Safe when it was not opened, and twice. */
void pfs_pageroom_close(struct pfs_pageroom *r);

/*
 * Room in the database itself, the file `fd`, for as many pages as it has: those that are in
 * its log as yet lie behind its end. Taken in the transaction that made them, what is in
 * the log can be moved on a full disk, too; after it, as far as there was room. `fd` is kept open as long as the
 * connection is, or closing it would drop locks. PFS_E_NOSPACE; 0 also where a file system
 * cannot do so.
 */
int pfs_pageroom_ground(int fd, uint64_t n_pages, struct pfs_error *err);

#endif
