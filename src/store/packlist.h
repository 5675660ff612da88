/*
 * What a sealed pack says it holds: from its footer, or, when that is damaged,
 * from the records that are whole. Of an adopted one from the table beside it.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_PACKLIST_H
#define PFS_STORE_PACKLIST_H

#include "store/idtable.h"
#include "store/pack.h"

struct pfs_packlist_item {
	struct pfs_id id;
	struct pfs_place place; /* in this pack */
};

/* An object kept as a delta, and the one without which it cannot be read. */
struct pfs_packlist_delta {
	struct pfs_id id, base;
};

/*
 * Members of bundles are items like all others, with PFS_CODEC_BUNDLED and the
 * place of their bundle; bundles themselves are none.
 *
 * The base of a delta has to stay for as long as this pack does, whether the
 * object itself is wanted or not: as long as it is found, a put of the same
 * bytes is answered "stored already".
 */
struct pfs_packlist {
	struct pfs_packlist_item *items; /* owned; in the order of the pack */
	size_t n;
	struct pfs_packlist_delta *deltas; /* owned */
	size_t n_deltas;
	bool damaged; /* the footer was, or the table is not there: there may have been more */
};
void pfs_packlist_fini(struct pfs_packlist *l);

/* `dir` is the store's folder. PFS_E_NOTFOUND when the file has gone. */
int pfs_packlist_load(int dir, const struct pfs_pack *pack, struct pfs_packlist *out,
		      struct pfs_error *err);

/* The same of a footer, past which the records end at `end`: what reaches further is left out. */
int pfs_packlist_make(const struct pfs_pack *pack, const struct pfs_packfooter *f, uint64_t end,
		      struct pfs_packlist *out, struct pfs_error *err);

#endif
