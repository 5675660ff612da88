/*
 * A bundle: the payload of a record that holds many small objects, pfs-pack(5).
 *
 *	| members, 0 | id len type | id len type | ... | bytes of all, one behind the other |
 *	  8            40            40                   raw, or one zstd frame
 *
 * The table stands in front as it is: ids do not compress, and whoever looks
 * for an object need not unpack the others to see whether it is here.
 *
 * Decoders trust nothing and write `out` on success only. Threads: any.
 */
#ifndef PFS_FORMAT_BUNDLE_H
#define PFS_FORMAT_BUNDLE_H

#include "format/room.h"
#include "base/error.h"
#include "base/id.h"
#include "base/limits.h"

#define PFS_BUNDLE_HEAD_SIZE   8u
#define PFS_BUNDLE_MEMBER_SIZE 40u
#define PFS_BUNDLE_TABLE_MAX \
	(PFS_BUNDLE_HEAD_SIZE + PFS_BUNDLE_MEMBERS_MAX * PFS_BUNDLE_MEMBER_SIZE)

struct pfs_bundle_member {
	struct pfs_id id;
	uint32_t len;
	uint8_t type; /* as of a record, never a bundle */
};

void pfs_bundle_encode_member(const struct pfs_bundle_member *m,
			      unsigned char out[PFS_BUNDLE_MEMBER_SIZE]);
int pfs_bundle_decode_member(const unsigned char in[PFS_BUNDLE_MEMBER_SIZE],
			     struct pfs_bundle_member *out, struct pfs_error *err);

/* The head of a table of `n` members. */
void pfs_bundle_encode_head(uint32_t n, unsigned char out[PFS_BUNDLE_HEAD_SIZE]);

/*
 * Check the table in front of a payload: each member, and that they come to
 * `ulen` bytes together. Bytes follow at *out_table bytes of the payload.
 */
int pfs_bundle_decode(const unsigned char *payload, uint32_t clen, uint32_t ulen, uint32_t *out_n,
		      uint32_t *out_table, struct pfs_error *err);

#endif
