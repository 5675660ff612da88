/*
 * What a backend of the store fills in.
 *
 * The facade computes and checks ids, keeps the cache and counts; a backend
 * only keeps bytes by id. Every operation may be called from any thread.
 */
#ifndef PFS_STORE_STORE_I_H
#define PFS_STORE_STORE_I_H

#include "store/cache.h"
#include "store/hasher.h"
#include "store/object.h"
#include "store/session.h"

#define PFS_STORE_CACHE_BYTES (64u << 20)
#define PFS_STORE_PLACE_SIZE  96

struct pfs_store_ops {
	const char *name;

	/* Frees the backend and everything it holds. */
	void (*close)(void *self);

	/* 1 when it was stored already, 0 when it is now; on failure it is as if never asked. */
	int (*put)(void *self, enum pfs_kind kind, const struct pfs_id *id, const void *data,
		   size_t len, struct pfs_error *err);

	/* One new object, not yet checked against the id. */
	int (*get)(void *self, enum pfs_kind kind, const struct pfs_id *id,
		   struct pfs_counted_object **out, struct pfs_error *err);

	bool (*has)(void *self, enum pfs_kind kind, const struct pfs_id *id);

	/* Where the object lies, for a message. NULL: the backend has no places. */
	void (*place)(void *self, const struct pfs_id *id, char out[PFS_STORE_PLACE_SIZE]);

	/* The bytes that get gave do not match their id: a put of it must store it anew. May be NULL. */
	void (*doubt)(void *self, const struct pfs_id *id);

	/* NULL: as durable as it will ever be. */
	int (*sync)(void *self, struct pfs_error *err);

	/* Objects, packs and bytes; what counts from open is the facade's. */
	void (*stats)(void *self, struct pfs_store_stats *out);

	/* As pfs_store_check(). */
	int (*check)(void *self, const struct pfs_hasher *hasher,
		     void (*report)(void *arg, const char *damage), void *arg,
		     struct pfs_error *err);
};

/* Take a backend and give it its facade; `self` is closed when that fails. */
int pfs_store_new(const struct pfs_store_ops *ops, void *self,
		  const unsigned char secret[PFS_KEY_SECRET_SIZE], struct pfs_store **out,
		  struct pfs_error *err);

struct pfs_sessions *pfs_store_sessions(struct pfs_store *st);

#endif
