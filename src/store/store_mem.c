/* A store that forgets everything: a map from id to object, and a lock. */
#include "store/store_i.h"
#include "base/lock.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

struct mem {
	struct pfs_lock lock;   /* PFS_RANK_STORE */
	struct pfs_map objects; /* id -> object, one reference each; protected by lock */
	uint64_t bytes;         /* protected by lock */
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

static int mem_put(void *self, const struct pfs_draft *d, struct pfs_error *err)
{
	struct mem *m = self;
	struct pfs_counted_object *o = pfs_object_new(d->kind, &d->id, d->len);
	int rc;

	if (!o)
		return pfs_fail_nomem(err, "an object");
	if (d->len)
		memcpy(o->bytes, d->data, d->len);
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
	struct pfs_counted_object *o, *copy = NULL;
	char text[PFS_ID_HEX_SIZE];

	pfs_lock(&m->lock);
	o = look_up(m, kind, id);
	pfs_unlock(&m->lock);
	if (!o)
		return pfs_fail(err, PFS_E_NOTFOUND, "no object %s", pfs_id_format(id, text));
	copy = pfs_object_new(kind, id, o->object.len);
	if (!copy)
		return pfs_fail_nomem(err, "an object");
	memcpy(copy->bytes, o->bytes, o->object.len);
	*out = copy;
	return 0;
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

int pfs_store_open_mem(struct pfs_store **out, struct pfs_error *err)
{
	/* The zero secret: ids and cuts of a test are the same in every run. */
	static const unsigned char secret[PFS_KEY_SECRET_SIZE];
	struct mem *m = calloc(1, sizeof(*m));

	if (!m)
		return pfs_fail_nomem(err, "a store");
	pfs_lock_init(&m->lock, PFS_RANK_STORE);
	pfs_map_init(&m->objects);
	return pfs_store_new(&mem_ops, m, secret, out, err);
}
