/*
 * Small objects on their way into one record, pfs-pack(5): together they
 * compress far better than each alone.
 *
 *	pfs_bundler_add() ... while pfs_bundler_fits()
 *	pfs_bundler_make()   a record for pfs_packlog_move()
 *
 * Putting never bundles: it is done to what lies in packs already.
 *
 * Threads: one at a time per bundler.
 */
#ifndef PFS_STORE_BUNDLER_H
#define PFS_STORE_BUNDLER_H

#include "store/hasher.h"
#include "format/packhdr.h"

#define PFS_BUNDLER_SMALL 8192u /* objects shorter than this gain from it */

struct pfs_bundler {
	struct pfs_buf rows, bytes; /* owned; zeroes are an empty one */
};

void pfs_bundler_init(struct pfs_bundler *b);
void pfs_bundler_fini(struct pfs_bundler *b);
void pfs_bundler_clear(struct pfs_bundler *b);

uint32_t pfs_bundler_members(const struct pfs_bundler *b);

/* Whether an object of `len` bytes has room. */
bool pfs_bundler_fits(const struct pfs_bundler *b, size_t len);

/* Bytes that hash to `id`; PFS_E_LIMIT when they do not fit. */
int pfs_bundler_add(struct pfs_bundler *b, enum pfs_kind kind, const struct pfs_id *id,
		    const void *data, size_t len, struct pfs_error *err);

/* The record of what was added, one object at least. *out_payload is owned by the caller. */
int pfs_bundler_make(const struct pfs_bundler *b, const struct pfs_hasher *h,
		     struct pfs_packrec *out, unsigned char **out_payload, struct pfs_error *err);

#endif
