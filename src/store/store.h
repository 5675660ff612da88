/*
 * The store: immutable objects by the hash of their bytes.
 *
 * An object is a chunk of a file or a node of a tree. Its id is the SHA-256 of
 * a domain block (what kind of object, which store key) and its bytes, so a
 * user's file can never be taken for a tree node. Putting the same bytes twice
 * stores them once.
 *
 *	put ──▶ [packs being written] ──sync──▶ durable
 *	get ◀── cache ◀── packs, checked against the id
 *
 * What was put is readable at once, and survives a power cut after the next
 * pfs_store_sync() that began after the put returned. Nothing here knows which
 * objects are still wanted.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_STORE_H
#define PFS_STORE_STORE_H

#include "store/room.h"
#include "base/buf.h"
#include "base/id.h"

struct pfs_store;

/* What an object is; a part of its id. Numbers are those of pfs-pack(5). */
enum pfs_kind {
	PFS_KIND_CHUNK = 1,   /* bytes of a file */
	PFS_KIND_SEQNODE = 2, /* node of a file's sequence tree */
	PFS_KIND_DIRNODE = 3, /* node of a directory's tree */
	PFS_KIND_COMMIT = 4,  /* commit record */
	PFS_KIND_XATTRS = 6,  /* a set of extended attributes */
};

/* Open the store in folder `path`, made when it is not there. */
int pfs_store_open(const char *path, struct pfs_store **out, struct pfs_error *err);

/* A store that forgets everything: for tests, and the shortest description of a backend. */
int pfs_store_open_mem(struct pfs_store **out, struct pfs_error *err);

/*
 * A store beside another, for who wants to know what would become of something and
 * keeps none of it. It has the keys of the other, so ids are the same. What is put
 * stays in memory until the close, but for the bytes of files: those get an id and
 * are forgotten. Whatever else is asked for is read from the other one, which has
 * to outlive it and gets nothing.
 */
int pfs_store_open_aside(struct pfs_store *st, struct pfs_store **out, struct pfs_error *err);

/* Syncs nothing. NULL inside is fine. */
void pfs_store_close(struct pfs_store **st);

/*
 * Keys of this store, derived from its secret; they live as long as it does.
 * Part of the format: the same secret gives the same cuts and the same ids.
 */
struct pfs_store_keys {
	unsigned char id_key[32];   /* in the domain block of every id */
	unsigned char tree_key[16]; /* SipHash key of node boundaries, pfs-tree(5) */
	unsigned char gear_key[32]; /* seeds the chunker's table, pfs-tree(5) */
};
const struct pfs_store_keys *pfs_store_keys(const struct pfs_store *st);

/* The id that `data` would get, without storing it; all zero when memory is out. */
void pfs_store_id(const struct pfs_store *st, enum pfs_kind kind, const void *data, size_t len,
		  struct pfs_id *out);

/*
 * Store bytes, at most PFS_OBJECT_SIZE_MAX. On failure nothing half is left
 * that a later read could return.
 */
int pfs_store_put(struct pfs_store *st, enum pfs_kind kind, const void *data, size_t len,
		  struct pfs_id *out, struct pfs_error *err);

/*
 * One of a batch: `data, len` and perhaps `near` in, `id` out.
 *
 * `near` is an object of the same kind that these bytes resemble, what the file
 * held there before: kept as a delta against it when that pays. A hint only,
 * NULL is fine, and so is an id that is not stored.
 */
struct pfs_store_item {
	const void *data;
	size_t len;
	const struct pfs_id *near; /* borrowed for the call */
	struct pfs_id id;
};

/*
 * The same for many at once, on all processors, stored in their order; ids are
 * set when all of them are. 128 items or 8 MiB are a good batch. For work that
 * goes on meanwhile see store/batch.h.
 */
int pfs_store_put_batch(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items,
			size_t n, struct pfs_error *err);

/* An object in memory: counted, immutable, checked against its id once. */
struct pfs_object {
	const unsigned char *data;
	size_t len;
};

/*
 * The bytes of an object; the caller owns one reference. PFS_E_NOTFOUND, or
 * PFS_E_CORRUPT naming the pack and the place when they do not hash to `id`;
 * putting the right bytes then repairs it.
 */
int pfs_store_get(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id,
		  const struct pfs_object **out, struct pfs_error *err);

/*
 * The same for an object that something stored names: when it is not there it was
 * lost, which is PFS_E_CORRUPT, and no way to say that a file does not exist.
 */
int pfs_store_need(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id,
		   const struct pfs_object **out, struct pfs_error *err);

const struct pfs_object *pfs_object_ref(const struct pfs_object *o);
void pfs_object_unref(const struct pfs_object **o); /* stores NULL; NULL inside is fine */

/* Whether the object is stored; no bytes are read. Not one that a get found damaged: put it again. */
bool pfs_store_has(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id);

/*
 * Make everything that was put before this call durable. On failure what was
 * put since the last success may be lost in a power cut; when the disk lost
 * some of it already, those objects are not found any more, and sync fails
 * until they were put again.
 */
int pfs_store_sync(struct pfs_store *st, struct pfs_error *err);

struct pfs_store_stats {
	uint64_t objects;
	uint64_t packs;
	uint64_t pack_bytes;                  /* on disk */
	uint64_t object_bytes;                /* before compression */
	uint64_t deltas;                      /* kept as what they have beyond another object */
	uint64_t bundled;                     /* kept with others in one record */
	uint64_t adopted_files;               /* packs that are files as they were */
	uint64_t adopted_bytes;               /* the size of those */
	uint64_t put_objects, put_duplicates; /* since open */
	uint64_t cache_hits, cache_misses;
	uint64_t index_runs, index_bytes; /* on disk; what is not there is in memory */
	uint64_t index_memory;            /* bytes, for both */
	uint64_t index_rebuilds;          /* since open */
	uint64_t known_damages;           /* places in packs, found by reading or looking */
	bool superblock_damaged;          /* one of its two copies was, when the store was opened */
};
void pfs_store_stats(struct pfs_store *st, struct pfs_store_stats *out);

/*
 * One bounded step of upkeep, for a thread that has nothing better to do: 1 when
 * there is more, 0 when there is not. Puts take such steps themselves when they
 * have to; nothing is lost without them.
 */
int pfs_store_tidy(struct pfs_store *st, struct pfs_error *err);

/* Put the index away and make it anew from the packs alone. Others go on meanwhile. */
int pfs_store_rebuild_index(struct pfs_store *st, struct pfs_error *err);

/*
 * Read and check every record of every pack, and the index. Each damage is told to `report`
 * (pack, offset, what); returns 1 when there was any, 0 when all is whole.
 */
int pfs_store_check(struct pfs_store *st, void (*report)(void *arg, const char *damage), void *arg,
		    struct pfs_error *err);

#endif
