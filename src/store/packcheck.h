/*
 * Is every byte of a pack what was written? Reads all of it, believes nothing;
 * or, when the examination is not thorough, only what tells of the rest.
 *
 * Threads: any; the pack may be in use.
 */
#ifndef PFS_STORE_PACKCHECK_H
#define PFS_STORE_PACKCHECK_H

#include "store/hasher.h"
#include "store/health.h"
#include "store/packread.h"

struct pfs_packcheck {
	int dir; /* the store's folder */
	struct pfs_packset *set;
	const struct pfs_packread *read;
	const struct pfs_hasher *hasher;
	unsigned char store_uuid[PFS_UUID_SIZE];
	const struct pfs_examination *x;
	uint64_t damages;
	uint64_t misplaced; /* of these: what is wrong with the index */
	bool stopped;       /* within the pack that was looked at last */
};

/*
 * Report each damage of one pack, and doubt the objects that it takes; whether
 * there was any the pack tells from then on. Negative only when checking itself
 * failed.
 */
int pfs_packcheck_run(struct pfs_packcheck *c, struct pfs_pack *pack, struct pfs_error *err);

/* Tell one damage: "<what>: <text>". */
void pfs_packcheck_tell(struct pfs_packcheck *c, const char *what, const char *text);

#endif
