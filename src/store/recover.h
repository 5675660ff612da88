/*
 * What opening a store finds: sealed packs by their footers, packs that were
 * being written by their records.
 *
 *	packs/   footer whole?  yes: its entries        no: its records, all that are whole
 *	open/    torn tail?     cut off, then go on     damage in what was durable: keep, read only
 *
 * Nothing that was durable is ever cut off: the note of the durable length
 * tells a tail that was never flushed from damage.
 */
#ifndef PFS_STORE_RECOVER_H
#define PFS_STORE_RECOVER_H

#include "store/packlog.h"

/* Load packs/ into the set; *out_seq is past every number used. */
int pfs_recover_sealed(int dir, struct pfs_packset *set,
		       const unsigned char store_uuid[PFS_UUID_SIZE], uint32_t *out_seq,
		       struct pfs_error *err);

/* Load open/ into the set and hand what can be gone on with to the log. */
int pfs_recover_open(int dir, struct pfs_packset *set,
		     const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_packlog *log,
		     struct pfs_error *err);

#endif
