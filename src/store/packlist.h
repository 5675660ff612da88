/*
 * What a sealed pack says it holds: from its footer, or, when that is damaged,
 * from the records that are whole.
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

struct pfs_packlist {
	struct pfs_packlist_item *items; /* owned; in the order of the pack */
	size_t n;
};
void pfs_packlist_fini(struct pfs_packlist *l);

/* `dir` is the store's folder. PFS_E_NOTFOUND when the file has gone. */
int pfs_packlist_load(int dir, const struct pfs_pack *pack, struct pfs_packlist *out,
		      struct pfs_error *err);

/* The same of entries as a footer has them, past which the records end at `end`: what makes no
 * sense is left out. */
int pfs_packlist_decode(const struct pfs_pack *pack, const void *entries, size_t len, uint64_t end,
			struct pfs_packlist *out, struct pfs_error *err);

#endif
