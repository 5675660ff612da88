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
#include "store/health.h"
#include "store/object.h"
#include "store/session.h"
#include "base/pool.h"
#include "format/packfooter.h"

#define PFS_STORE_CACHE_BYTES (64u << 20)
#define PFS_STORE_PLACE_SIZE  96

/* An object on its way into a backend. */
struct pfs_draft {
	enum pfs_kind kind;
	struct pfs_id id;
	const void *data; /* borrowed until it is put */
	size_t len;
	const struct pfs_id *near; /* borrowed; may be NULL */
	/* What a backend made of it; freed by pfs_draft_fini(). */
	struct pfs_packrec rec;
	void *packed; /* the payload; NULL: it is `data` */
};

/* Every copy of every object, as the packs tell. */
struct pfs_copies {
	bool (*want)(void *arg, enum pfs_kind kind, const struct pfs_id *id);

	/* With `bytes` also the object, taken and not checked against its id; NULL when it cannot be read. */
	int (*each)(void *arg, enum pfs_kind kind, const struct pfs_id *id,
		    struct pfs_counted_object *o, struct pfs_error *err);
	bool bytes;
	void *arg;
};

/* Safe on zeroes and twice. */
void pfs_draft_fini(struct pfs_draft *d);

struct pfs_packset;
struct pfs_packlog;

/* What a store of packs is made of, for who rewrites them; borrowed. */
struct pfs_store_parts {
	int dir;
	const unsigned char *uuid; /* the store's */
	struct pfs_packset *set;
	struct pfs_packlog *log;
};

struct pfs_store_ops {
	const char *name;

	/* The facade's cache, for what is read along. Called once, before all else. May be NULL. */
	void (*attach)(void *self, struct pfs_cache *cache);

	/* Frees the backend and everything it holds. */
	void (*close)(void *self);

	/*
	 * What of a put needs no turn: look whether it is stored, compress. Of
	 * many objects at once. 1 when it was stored already. NULL: there is no
	 * such work.
	 */
	int (*prepare)(void *self, struct pfs_draft *d, struct pfs_error *err);

	/* 1 when it was stored already, 0 when it is now; on failure it is as if never asked. */
	int (*put)(void *self, const struct pfs_draft *d, struct pfs_error *err);

	/*
	 * Take in file `name` of folder `dir`, which holds these pieces; the table
	 * is taken on success. 1 when they are stored now, 0 when they have to be
	 * copied. May be NULL.
	 */
	int (*adopt)(void *self, int dir, const char *name, struct pfs_packfooter *table,
		     struct pfs_error *err);

	/* One new object, not yet checked against the id. */
	int (*get)(void *self, enum pfs_kind kind, const struct pfs_id *id,
		   struct pfs_counted_object **out, struct pfs_error *err);

	bool (*has)(void *self, enum pfs_kind kind, const struct pfs_id *id);

	/* Whether it is found and not doubted, wherever it lies. NULL: as `has`. */
	bool (*whole)(void *self, enum pfs_kind kind, const struct pfs_id *id);

	/* Where the object lies, for a message. NULL: the backend has no places. */
	void (*place)(void *self, const struct pfs_id *id, char out[PFS_STORE_PLACE_SIZE]);

	/* The bytes that get gave do not match their id: a put of it must store it anew. May be NULL. */
	void (*doubt)(void *self, const struct pfs_id *id);

	/* NULL: as durable as it will ever be. */
	int (*sync)(void *self, struct pfs_error *err);

	/* Objects, packs and bytes; what counts from open is the facade's. */
	void (*stats)(void *self, struct pfs_store_stats *out);

	/* NULL: it has no packs. */
	void (*parts)(void *self, struct pfs_store_parts *out);

	/* As pfs_store_tidy() and pfs_store_rebuild_index(). NULL: nothing to tidy, no index. */
	int (*tidy)(void *self, struct pfs_error *err);
	int (*rebuild_index)(void *self, struct pfs_error *err);

	/* As pfs_store_examine_some(); the superblock comes before the first pack. */
	int (*check)(void *self, const struct pfs_hasher *hasher, const struct pfs_examination *x,
		     uint32_t *after, uint64_t budget, struct pfs_error *err);

	/* NULL: there is one copy of each object, and whoever has it reads it. */
	int (*copies)(void *self, const struct pfs_copies *c, struct pfs_error *err);
};

struct pfs_store {
	const struct pfs_store_ops *ops;
	void *self;
	struct pfs_store_keys keys;
	struct pfs_hasher *hasher;
	struct pfs_cache *cache;
	struct pfs_sessions *sessions;
	struct pfs_pool *pool;                /* helps with batches */
	uint64_t put_objects, put_duplicates; /* these four: atomic */
	uint64_t cache_hits, cache_misses;
};

/* Check the size and give a draft its id. */
int pfs_store_name(struct pfs_store *st, struct pfs_draft *d, struct pfs_error *err);

/* The two halves of a put: the first of many at once, the second in turn. */
int pfs_store_prepare(struct pfs_store *st, struct pfs_draft *d, struct pfs_error *err);
int pfs_store_put_draft(struct pfs_store *st, const struct pfs_draft *d, bool there,
			struct pfs_error *err);

/* Take a backend and give it its facade; `self` is closed when that fails. */
int pfs_store_new(const struct pfs_store_ops *ops, void *self,
		  const unsigned char secret[PFS_KEY_SECRET_SIZE], struct pfs_store **out,
		  struct pfs_error *err);

/* The same where the keys are known. */
int pfs_store_face(const struct pfs_store_ops *ops, void *self, const struct pfs_store_keys *keys,
		   size_t cache_bytes, struct pfs_store **out, struct pfs_error *err);

struct pfs_sessions *pfs_store_sessions(struct pfs_store *st);

/* False for a store without packs. */
bool pfs_store_parts(struct pfs_store *st, struct pfs_store_parts *out);

#endif
