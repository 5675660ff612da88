/*
 * A store beside another one: what is put is kept in memory until it is closed,
 * and what is not there is read from the other.
 */
#include "store/store_i.h"
#include "base/lock.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES (4u << 20) /* the other one has a cache of its own */

struct aside {
	struct pfs_store *other; /* borrowed */
	struct pfs_lock lock;    /* PFS_RANK_STORE */
	struct pfs_map objects;  /* id -> object, one reference each; protected by lock */
	uint64_t bytes;          /* protected by lock */
};

static void aside_close(void *self)
{
	struct aside *a = self;
	const struct pfs_object *o;
	size_t pos = 0;

	while ((o = pfs_map_next(&a->objects, &pos)))
		pfs_object_unref(&o);
	pfs_map_fini(&a->objects);
	pfs_lock_fini(&a->lock);
	free(a);
}

static struct pfs_counted_object *look_up(struct aside *a, enum pfs_kind kind,
					  const struct pfs_id *id)
{
	struct pfs_counted_object *o;

	pfs_lock(&a->lock);
	o = pfs_map_find(&a->objects, id->bytes, sizeof(id->bytes));
	pfs_unlock(&a->lock);
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

/*
 * That the other one has it is not looked for: what nobody names there may go at
 * any moment. Of a file's bytes only the id was asked for.
 */
static int aside_put(void *self, const struct pfs_draft *d, struct pfs_error *err)
{
	struct aside *a = self;
	struct pfs_counted_object *o;
	int rc;

	if (d->kind == PFS_KIND_CHUNK)
		return 0;
	o = copy_of(d->kind, &d->id, d->data, d->len, err);
	if (!o)
		return PFS_E_NOMEM;
	pfs_lock(&a->lock);
	rc = pfs_map_find(&a->objects, o->id.bytes, sizeof(o->id.bytes)) ? 1 : 0;
	if (rc == 0)
		rc = pfs_map_set(&a->objects, o->id.bytes, sizeof(o->id.bytes), o, err);
	if (rc == 0)
		a->bytes += d->len;
	pfs_unlock(&a->lock);
	if (rc != 0)
		free(o);
	return rc;
}

static int aside_get(void *self, enum pfs_kind kind, const struct pfs_id *id,
		     struct pfs_counted_object **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *theirs = NULL;
	struct aside *a = self;
	const struct pfs_counted_object *ours = look_up(a, kind, id);
	const struct pfs_object *o = ours ? &ours->object : NULL;
	int rc = ours ? 0 : pfs_store_get(a->other, kind, id, &theirs, err);

	if (rc < 0)
		return rc;
	if (!o)
		o = theirs;
	*out = copy_of(kind, id, o->data, o->len, err);
	return *out ? 0 : PFS_E_NOMEM;
}

static bool aside_has(void *self, enum pfs_kind kind, const struct pfs_id *id)
{
	struct aside *a = self;

	return look_up(a, kind, id) || pfs_store_has(a->other, kind, id);
}

static void aside_stats(void *self, struct pfs_store_stats *out)
{
	struct aside *a = self;

	pfs_lock(&a->lock);
	out->objects = a->objects.len;
	out->object_bytes = a->bytes;
	pfs_unlock(&a->lock);
}

/* What it has was never anywhere but in memory; the other one is checked by itself. */
static int aside_check(void *self, const struct pfs_hasher *hasher, const struct pfs_examination *x,
		       uint32_t *after, uint64_t budget, struct pfs_error *err)
{
	(void)self;
	(void)hasher;
	(void)x;
	(void)budget;
	(void)err;
	*after = 0;
	return 0;
}

static const struct pfs_store_ops aside_ops = {
	.name = "aside",
	.close = aside_close,
	.put = aside_put,
	.get = aside_get,
	.has = aside_has,
	.stats = aside_stats,
	.check = aside_check,
	/* no .sync: nothing of it is kept */
};

int pfs_store_open_aside(struct pfs_store *st, struct pfs_store **out, struct pfs_error *err)
{
	struct aside *a = calloc(1, sizeof(*a));

	if (!a)
		return pfs_fail_nomem(err, "a store");
	a->other = st;
	pfs_lock_init(&a->lock, PFS_RANK_STORE);
	pfs_map_init(&a->objects);
	return pfs_store_face(&aside_ops, a, &st->keys, CACHE_BYTES, out, err);
}
