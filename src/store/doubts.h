/*
 * Damage that is known: which objects lie where their bytes are not what was
 * written, kept in the file `damaged`, pfs-pack(5).
 *
 *	read, scrub, fsck ──add──▶ rows in memory ──save──▶ damaged
 *	open ──load──▶ rows ──▶ of each object that still lies there a put is stored anew
 *
 * The file holds no facts: who reads all packs finds the same. Without it a
 * damage is known until the store is closed, and then forgotten. So whatever
 * fails here fails nobody else.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_DOUBTS_H
#define PFS_STORE_DOUBTS_H

#include "store/room.h"
#include "base/error.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/map.h"
#include "format/packhdr.h"

/* A row: the pack, the place in it, and the object that is found there; both zero: somewhere in it. */
struct pfs_doubt {
	unsigned char pack[PFS_UUID_SIZE];
	uint64_t off;
	struct pfs_id id;
};

struct pfs_doubts {
	struct pfs_lock file; /* PFS_RANK_DOUBTS_FILE: one at a time reads or writes it */
	bool there;           /* it was read or written, so it has to be there; protected by file */
	char trouble[PFS_ERROR_TEXT_SIZE]; /* why it was not believed, until told; by file */

	struct pfs_lock lock; /* PFS_RANK_DOUBTS; protects the rows */
	struct pfs_map rows;  /* owned; key and value are the row */
	uint64_t left_out;    /* came when there were PFS_DOUBTS_MAX */
	size_t n;             /* rows; atomic to look at */
	int changed;          /* since it was written; atomic */
};

/* Of zeroes. */
void pfs_doubts_init(struct pfs_doubts *d);
void pfs_doubts_fini(struct pfs_doubts *d);

/* How many rows; costs nothing. */
size_t pfs_doubts_count(const struct pfs_doubts *d);
bool pfs_doubts_has(struct pfs_doubts *d, const struct pfs_doubt *row);

/* Whether there are rows of this pack. */
bool pfs_doubts_tell_of(struct pfs_doubts *d, const unsigned char *pack);

/* Without memory, or with PFS_DOUBTS_MAX rows, it is not remembered. */
void pfs_doubts_add(struct pfs_doubts *d, const struct pfs_doubt *row);
void pfs_doubts_remove(struct pfs_doubts *d, const struct pfs_doubt *row);

/* Copies of all rows, or of those of one pack; owned by the caller. */
int pfs_doubts_list(struct pfs_doubts *d, const unsigned char *pack, struct pfs_doubt **out,
		    size_t *out_n, struct pfs_error *err);

/* Add the rows of the file; one that cannot be believed is told of by the next check. */
void pfs_doubts_load(struct pfs_doubts *d, int dir, const unsigned char store_uuid[PFS_UUID_SIZE]);

/* Make rows durable that changed since; what failed is tried again the next time. */
int pfs_doubts_save(struct pfs_doubts *d, int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		    struct pfs_error *err);

/* Tell what is wrong with the file, and write it anew. */
void pfs_doubts_check(struct pfs_doubts *d, int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		      void (*tell)(void *arg, const char *what, const char *text), void *arg);

#endif
