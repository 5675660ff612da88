/*
 * Ids: SHA-256 of a domain block and the bytes.
 *
 *	dom[64] = type tag, 16 bytes | 16 zero bytes | id key, 32 bytes
 *
 * The block is one full SHA-256 block, so it is hashed once for each kind and
 * copied from then on: even a tiny object pays for its own bytes only.
 *
 * Threads: any; each works in a context of its own.
 */
#ifndef PFS_STORE_HASHER_H
#define PFS_STORE_HASHER_H

#include "store/store.h"

#define PFS_KEY_SECRET_SIZE 32

struct pfs_hasher;

/* Keys of a store from its secret: HKDF-SHA256 without salt, labels "gear", "tree", "id". */
int pfs_hasher_derive(const unsigned char secret[PFS_KEY_SECRET_SIZE], struct pfs_store_keys *out,
		      struct pfs_error *err);

int pfs_hasher_new(const unsigned char id_key[32], struct pfs_hasher **out, struct pfs_error *err);
void pfs_hasher_free(struct pfs_hasher **h);

/* Whether `kind` is one that objects can have. */
bool pfs_hasher_knows(enum pfs_kind kind);

/* PFS_E_INVALID for a kind that does not exist, PFS_E_NOMEM. */
int pfs_hasher_id(const struct pfs_hasher *h, enum pfs_kind kind, const void *data, size_t len,
		  struct pfs_id *out, struct pfs_error *err);

/* Ids of `n` items at once, into out[0..n): the entry point for code that hashes several together. */
int pfs_hasher_batch(const struct pfs_hasher *h, enum pfs_kind kind,
		     const struct pfs_store_item *items, size_t n, struct pfs_id *out,
		     struct pfs_error *err);

/* The id of a bundle, from the rows of its table. */
int pfs_hasher_bundle(const struct pfs_hasher *h, const void *rows, size_t len, struct pfs_id *out,
		      struct pfs_error *err);

/* Plain SHA-256 of two pieces, for the digest of a pack. */
int pfs_hasher_digest(const void *a, size_t a_len, const void *b, size_t b_len,
		      unsigned char out[32], struct pfs_error *err);

#endif
