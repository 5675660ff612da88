/*
 * A file that is a pack: linked into the store, its table not written yet.
 *
 *	link ──▶ <uuid>.new ──publish──▶ file flushed, <uuid>.pt written, <uuid>.pk
 *
 * A table is only ever written behind the bytes it tells of, and the file gets
 * its name behind the table. A crash leaves <uuid>.new: without a table the next
 * open removes it, with one it gives it its name.
 *
 * Threads: one at a time; packlog's lock, or its flusher.
 */
#ifndef PFS_STORE_ADOPTED_H
#define PFS_STORE_ADOPTED_H

#include "store/pack.h"

struct pfs_adopted {
	struct pfs_pack *pack; /* borrowed from the packset; NULL until it is there */
	int dir;               /* the store's folder; borrowed */
	struct pfs_packhdr header;
	struct pfs_packfooter table; /* owned: the pieces */
	bool flushed;                /* the file's bytes are durable */
	/* The log's, protected by its lock: */
	bool durable, gone; /* so is the table; the bytes were in doubt */
	bool told;          /* all pieces are found */
	unsigned users;     /* the log, and who still tells of the pieces */
	struct pfs_adopted *next;
};

/*
 * Link file `name` of `from` as a pack; `table` is taken on success. 1 when it
 * is there, 0 when it cannot be linked and has to be copied. PFS_E_CONFLICT
 * when the file is shorter than its pieces.
 */
int pfs_adopted_link(int dir, const struct pfs_packhdr *h, int from, const char *name,
		     struct pfs_packfooter *table, struct pfs_adopted **out, struct pfs_error *err);

/*
 * Flush the file, whose descriptor is `fd`, and write the table: durable from
 * now on. When it failed before a->flushed, the bytes are in doubt; behind
 * that it can be tried again.
 */
int pfs_adopted_publish(struct pfs_adopted *a, int fd, struct pfs_error *err);

/* Remove the file from the store: nothing tells of it. */
void pfs_adopted_unlink(const struct pfs_adopted *a);

void pfs_adopted_free(struct pfs_adopted **a);

#endif
