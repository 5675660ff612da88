/*
 * A store that forgets everything: a map from id to object, and a lock. Alone,
 * or beside another one, which what was not put here is read from.
 */
#include "store/store_i.h"
#include "base/lock.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define ASIDE_CACHE_BYTES (4u << 20) /* the other one has a cache of its own */

struct mem {
	struct pfs_store *other; /* borrowed; NULL: alone */
	struct pfs_lock lock;    /* PFS_RANK_STORE */
	struct pfs_map objects;  /* id -> object, one reference each; protected by lock */
	uint64_t bytes;          /* protected by lock */
};

static void mem_close(void *self)
{
	struct mem *m = self;
	const struct pfs_object *o;
	size_t pos = 0;

	while ((o = pfs_map_next(&m->objects, &pos)))
		pfs_object_unref(&o);
	pfs_map_fini(&m->objects);
	pfs_lock_fini(&m->lock);
	free(m);
}

static struct pfs_counted_object *look_up(struct mem *m, enum pfs_kind kind,
					  const struct pfs_id *id)
{
	struct pfs_counted_object *o = pfs_map_find(&m->objects, id->bytes, sizeof(id->bytes));

	return o && o->kind == kind ? o : NULL;
}

static struct pfs_counted_object *copy_of(enum pfs_kind kind, const struct pfs_id *id,
					  const void *data, size_t len, struct pfs_error *err)
{
	struct pfs_counted_object *o = pfs_object_new(kind, id, len);

	if (!o)
		pfs_fail_nomem(err, "an object");
	else if (len)
		memcpy(o->bytes, data, len);
	return o;
}

static int mem_put(void *self, const struct pfs_draft *d, struct pfs_error *err)
{
	struct mem *m = self;
	struct pfs_counted_object *o = copy_of(d->kind, &d->id, d->data, d->len, err);
	int rc;

	if (!o)
		return PFS_E_NOMEM;
	pfs_lock(&m->lock);
	rc = look_up(m, d->kind, &d->id) ? 1 : 0;
	if (rc == 0)
		rc = pfs_map_set(&m->objects, o->id.bytes, sizeof(o->id.bytes), o, err);
	if (rc == 0)
		m->bytes += d->len;
	pfs_unlock(&m->lock);
	if (rc != 0)
		free(o);
	return rc;
}

/* A copy: the caller's may enter the cache, whose links an object has only once. */
static int mem_get(void *self, enum pfs_kind kind, const struct pfs_id *id,
		   struct pfs_counted_object **out, struct pfs_error *err)
{
	struct mem *m = self;
	struct pfs_counted_object *o;
	char text[PFS_ID_HEX_SIZE];

	pfs_lock(&m->lock);
	o = look_up(m, kind, id);
	pfs_unlock(&m->lock);
	if (!o)
		return pfs_fail(err, PFS_E_NOTFOUND, "no object %s", pfs_id_format(id, text));
	*out = copy_of(kind, id, o->bytes, o->object.len, err);
	return *out ? 0 : PFS_E_NOMEM;
}

static bool mem_has(void *self, enum pfs_kind kind, const struct pfs_id *id)
{
	struct mem *m = self;
	bool has;

	pfs_lock(&m->lock);
	has = look_up(m, kind, id);
	pfs_unlock(&m->lock);
	return has;
}

static void mem_stats(void *self, struct pfs_store_stats *out)
{
	struct mem *m = self;

	pfs_lock(&m->lock);
	out->objects = m->objects.len;
	out->object_bytes = m->bytes;
	pfs_unlock(&m->lock);
}

static int mem_check(void *self, const struct pfs_hasher *hasher, const struct pfs_examination *x,
		     uint32_t *after, uint64_t budget, struct pfs_error *err)
{
	struct mem *m = self;
	struct pfs_counted_object *o;
	int rc = 0, damaged = 0;
	size_t pos = 0;

	pfs_lock(&m->lock);
	while (rc == 0 && (o = pfs_map_next(&m->objects, &pos))) {
		struct pfs_id got;
		char text[PFS_ID_HEX_SIZE];

		rc = pfs_hasher_id(hasher, o->kind, o->bytes, o->object.len, &got, err);
		if (rc == 0 && !pfs_id_equal(&got, &o->id)) {
			if (x->report)
				x->report(x->arg, pfs_id_format(&o->id, text));
			if (x->lost)
				x->lost(x->arg, o->kind, &o->id);
			damaged = 1;
		}
	}
	pfs_unlock(&m->lock);
	*after = 0;
	return rc < 0 ? rc : damaged;
}

static const struct pfs_store_ops mem_ops = {
	.name = "mem",
	.close = mem_close,
	.put = mem_put,
	.get = mem_get,
	.has = mem_has,
	.stats = mem_stats,
	.check = mem_check,
	/* no .sync: memory is as durable as it will ever be */
};

/* ---- beside another one ---- */

/*
 * That the other one has it is not looked for: what nobody names there may go at
 * any moment. Of a file's bytes only the id was asked for.
 */
static int aside_put(void *self, const struct pfs_draft *d, struct pfs_error *err)
{
	return d->kind == PFS_KIND_CHUNK ? 0 : mem_put(self, d, err);
}

static int aside_get(void *self, enum pfs_kind kind, const struct pfs_id *id,
		     struct pfs_counted_object **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *theirs = NULL;
	struct mem *m = self;
	int rc;

	if (mem_has(m, kind, id))
		return mem_get(m, kind, id, out, err);
	rc = pfs_store_get(m->other, kind, id, &theirs, err);
	if (rc < 0)
		return rc;
	*out = copy_of(kind, id, theirs->data, theirs->len, err);
	return *out ? 0 : PFS_E_NOMEM;
}

static bool aside_has(void *self, enum pfs_kind kind, const struct pfs_id *id)
{
	struct mem *m = self;

	return mem_has(m, kind, id) || pfs_store_has(m->other, kind, id);
}

static const struct pfs_store_ops aside_ops = {
	.name = "aside",
	.close = mem_close,
	.put = aside_put,
	.get = aside_get,
	.has = aside_has,
	.stats = mem_stats,
	.check = mem_check, /* the other one is checked by itself */
};

/* ---- opening ---- */

static struct mem *new_mem(struct pfs_store *other, struct pfs_error *err)
{
	struct mem *m = calloc(1, sizeof(*m));

	if (!m) {
		pfs_fail_nomem(err, "a store");
		return NULL;
	}
	m->other = other;
	pfs_lock_init(&m->lock, PFS_RANK_STORE);
	pfs_map_init(&m->objects);
	return m;
}

int pfs_store_open_mem(struct pfs_store **out, struct pfs_error *err)
{
	/* The zero secret: ids and cuts of a test are the same in every run. */
	static const unsigned char secret[PFS_KEY_SECRET_SIZE];
	struct mem *m = new_mem(NULL, err);

	return m ? pfs_store_new(&mem_ops, m, secret, out, err) : PFS_E_NOMEM;
}

int pfs_store_open_aside(struct pfs_store *st, struct pfs_store **out, struct pfs_error *err)
{
	struct mem *m = new_mem(st, err);

	return m ? pfs_store_face(&aside_ops, m, &st->keys, ASIDE_CACHE_BYTES, out, err)
		 : PFS_E_NOMEM;
}
