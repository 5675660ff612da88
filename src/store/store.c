#include "store/batch.h"
#include "store/store_i.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

int pfs_store_face(const struct pfs_store_ops *ops, void *self, const struct pfs_store_keys *keys,
		   size_t cache_bytes, struct pfs_store **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = calloc(1, sizeof(*st));
	int rc;

	if (!st) {
		ops->close(self);
		return pfs_fail_nomem(err, "a store");
	}
	st->ops = ops;
	st->self = self;
	st->keys = *keys;
	rc = pfs_hasher_new(st->keys.id_key, &st->hasher, err);
	if (rc == 0)
		rc = pfs_cache_new(cache_bytes, &st->cache, err);
	if (rc == 0)
		rc = pfs_sessions_new(&st->sessions, err);
	/* Whoever puts takes part, so one processor needs no helper. */
	if (rc == 0)
		rc = pfs_pool_new(pfs_pool_processors() - 1, &st->pool, err);
	if (rc < 0)
		return rc;
	if (ops->attach)
		ops->attach(self, st->cache);
	*out = st;
	st = NULL;
	return 0;
}

int pfs_store_new(const struct pfs_store_ops *ops, void *self,
		  const unsigned char secret[PFS_KEY_SECRET_SIZE], struct pfs_store **out,
		  struct pfs_error *err)
{
	struct pfs_store_keys keys;
	int rc = pfs_hasher_derive(secret, &keys, err);

	if (rc < 0) {
		ops->close(self);
		return rc;
	}
	return pfs_store_face(ops, self, &keys, PFS_STORE_CACHE_BYTES, out, err);
}

void pfs_store_close(struct pfs_store **st)
{
	if (!*st)
		return;
	pfs_pool_free(&(*st)->pool);
	(*st)->ops->close((*st)->self);
	pfs_cache_free(&(*st)->cache);
	pfs_sessions_free(&(*st)->sessions);
	pfs_hasher_free(&(*st)->hasher);
	free(*st);
	*st = NULL;
}

struct pfs_sessions *pfs_store_sessions(struct pfs_store *st)
{
	return st->sessions;
}

bool pfs_store_parts(struct pfs_store *st, struct pfs_store_parts *out)
{
	if (!st->ops->parts)
		return false;
	st->ops->parts(st->self, out);
	return true;
}

const struct pfs_store_keys *pfs_store_keys(const struct pfs_store *st)
{
	return &st->keys;
}

void pfs_store_id(const struct pfs_store *st, enum pfs_kind kind, const void *data, size_t len,
		  struct pfs_id *out)
{
	/* No error to return here: the id that names no object says it as well. */
	if (pfs_hasher_id(st->hasher, kind, data, len, out, NULL) < 0)
		memset(out, 0, sizeof(*out));
}

static int check_size(size_t len, struct pfs_error *err)
{
	if (len <= PFS_OBJECT_SIZE_MAX)
		return 0;
	return pfs_fail(err, PFS_E_LIMIT, "an object of %zu bytes, at most %u can be stored", len,
			PFS_OBJECT_SIZE_MAX);
}

void pfs_draft_fini(struct pfs_draft *d)
{
	free(d->packed);
	d->packed = NULL;
}

int pfs_store_name(struct pfs_store *st, struct pfs_draft *d, struct pfs_error *err)
{
	int rc = check_size(d->len, err);

	return rc < 0 ? rc : pfs_hasher_id(st->hasher, d->kind, d->data, d->len, &d->id, err);
}

int pfs_store_prepare(struct pfs_store *st, struct pfs_draft *d, struct pfs_error *err)
{
	int rc = pfs_store_name(st, d, err);

	if (rc < 0 || !st->ops->prepare)
		return rc;
	rc = st->ops->prepare(st->self, d, err);
	return rc < 0 ? pfs_wrap(err, rc, "%s store: put %zu bytes", st->ops->name, d->len) : rc;
}

int pfs_store_put_draft(struct pfs_store *st, const struct pfs_draft *d, bool there,
			struct pfs_error *err)
{
	int rc = there ? 1 : st->ops->put(st->self, d, err);

	if (rc < 0)
		return pfs_wrap(err, rc, "%s store: put %zu bytes", st->ops->name, d->len);
	count(rc == 1 ? &st->put_duplicates : &st->put_objects);
	return 0;
}

static int put_item(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *item,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_draft_fini)
	struct pfs_draft d = {
		.kind = kind,
		.data = item->data,
		.len = item->len,
		.near = item->near,
	};
	int rc = pfs_store_prepare(st, &d, err);

	if (rc >= 0)
		rc = pfs_store_put_draft(st, &d, rc == 1, err);
	if (rc == 0)
		item->id = d.id;
	return rc;
}

int pfs_store_put(struct pfs_store *st, enum pfs_kind kind, const void *data, size_t len,
		  struct pfs_id *out, struct pfs_error *err)
{
	struct pfs_store_item item = { .data = data, .len = len };
	int rc = put_item(st, kind, &item, err);

	if (rc == 0)
		*out = item.id;
	return rc;
}

int pfs_store_put_batch(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items,
			size_t n, struct pfs_error *err)
{
	struct pfs_batch *batch;
	int rc;

	if (n == 1)
		return put_item(st, kind, items, err);
	rc = n ? pfs_batch_begin(st, kind, items, n, &batch, err) : 0;
	return rc < 0 || n == 0 ? rc : pfs_batch_end(&batch, err);
}

static int check_id(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id,
		    const struct pfs_object *o, struct pfs_error *err)
{
	char place[PFS_STORE_PLACE_SIZE] = "memory";
	struct pfs_id got;
	int rc = pfs_hasher_id(st->hasher, kind, o->data, o->len, &got, err);

	if (rc < 0 || pfs_id_equal(&got, id))
		return rc;
	if (st->ops->place)
		st->ops->place(st->self, id, place);
	if (st->ops->doubt)
		st->ops->doubt(st->self, id);
	return pfs_fail(err, PFS_E_CORRUPT, "%s store: %zu bytes at %s do not match their id",
			st->ops->name, o->len, place);
}

static int get_uncached(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id,
			const struct pfs_object **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_counted_object *fresh;
	int rc = st->ops->get(st->self, kind, id, &fresh, err);

	if (rc < 0)
		return pfs_wrap(err, rc, "%s store: get", st->ops->name);
	o = &fresh->object;
	rc = check_id(st, kind, id, o, err);
	if (rc < 0)
		return rc;
	pfs_cache_add(st->cache, fresh);
	*out = o;
	o = NULL;
	return 0;
}

int pfs_store_get(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id,
		  const struct pfs_object **out, struct pfs_error *err)
{
	const struct pfs_object *cached;

	if (!pfs_hasher_knows(kind))
		return pfs_fail(err, PFS_E_INVALID, "get an object of kind %d", (int)kind);
	cached = pfs_cache_find(st->cache, kind, id);
	count(cached ? &st->cache_hits : &st->cache_misses);
	if (!cached)
		return get_uncached(st, kind, id, out, err);
	*out = cached;
	return 0;
}

int pfs_store_need(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id,
		   const struct pfs_object **out, struct pfs_error *err)
{
	int rc = pfs_store_get(st, kind, id, out, err);
	char hex[PFS_ID_HEX_SIZE];

	if (rc != PFS_E_NOTFOUND)
		return rc;
	return pfs_fail(err, PFS_E_CORRUPT, "object %s is lost: run pfs fsck to see what needs it",
			pfs_id_format(id, hex));
}

bool pfs_store_has(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id)
{
	return pfs_hasher_knows(kind) && st->ops->has(st->self, kind, id);
}

int pfs_store_sync(struct pfs_store *st, struct pfs_error *err)
{
	int rc = st->ops->sync ? st->ops->sync(st->self, err) : 0;

	return rc < 0 ? pfs_wrap(err, rc, "%s store: sync", st->ops->name) : 0;
}

void pfs_store_stats(struct pfs_store *st, struct pfs_store_stats *out)
{
	memset(out, 0, sizeof(*out));
	st->ops->stats(st->self, out);
	out->put_objects = __atomic_load_n(&st->put_objects, __ATOMIC_RELAXED);
	out->put_duplicates = __atomic_load_n(&st->put_duplicates, __ATOMIC_RELAXED);
	out->cache_hits = __atomic_load_n(&st->cache_hits, __ATOMIC_RELAXED);
	out->cache_misses = __atomic_load_n(&st->cache_misses, __ATOMIC_RELAXED);
}
int pfs_store_tidy(struct pfs_store *st, struct pfs_error *err)
{
	int rc = st->ops->tidy ? st->ops->tidy(st->self, err) : 0;

	return rc < 0 ? pfs_wrap(err, rc, "%s store: tidy", st->ops->name) : rc;
}

int pfs_store_rebuild_index(struct pfs_store *st, struct pfs_error *err)
{
	int rc = st->ops->rebuild_index ? st->ops->rebuild_index(st->self, err) : 0;

	return rc < 0 ? pfs_wrap(err, rc, "%s store", st->ops->name) : 0;
}
