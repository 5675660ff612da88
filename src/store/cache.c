#include "store/cache.h"
#include "base/lock.h"

#include <stdlib.h>

#define BUCKETS_MIN 64

struct pfs_cache {
	struct pfs_lock lock; /* PFS_RANK_CACHE; protects all below */
	size_t bytes, bytes_max, objects;
	struct pfs_counted_object **buckets;
	size_t n_buckets; /* a power of two */
	struct pfs_counted_object *newest, *oldest;
};

static size_t cost(const struct pfs_counted_object *o)
{
	return sizeof(*o) + o->object.len;
}

int pfs_cache_new(size_t bytes_max, struct pfs_cache **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_cache_free) struct pfs_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return pfs_fail_nomem(err, "the object cache");
	pfs_lock_init(&c->lock, PFS_RANK_CACHE);
	c->bytes_max = bytes_max;
	c->n_buckets = BUCKETS_MIN;
	c->buckets = calloc(c->n_buckets, sizeof(*c->buckets));
	if (!c->buckets)
		return pfs_fail_nomem(err, "the object cache");
	*out = c;
	c = NULL;
	return 0;
}

static struct pfs_counted_object **bucket_of(const struct pfs_cache *c, const struct pfs_id *id)
{
	return &c->buckets[pfs_id_hash(id) & (c->n_buckets - 1)];
}

static struct pfs_counted_object *look_up(const struct pfs_cache *c, const struct pfs_id *id)
{
	struct pfs_counted_object *o = *bucket_of(c, id);

	while (o && !pfs_id_equal(&o->id, id))
		o = o->next_in_bucket;
	return o;
}

static void unlink_age(struct pfs_cache *c, struct pfs_counted_object *o)
{
	*(o->newer ? &o->newer->older : &c->newest) = o->older;
	*(o->older ? &o->older->newer : &c->oldest) = o->newer;
}

static void link_newest(struct pfs_cache *c, struct pfs_counted_object *o)
{
	o->newer = NULL;
	o->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = o;
	c->newest = o;
}

static void drop(struct pfs_cache *c, struct pfs_counted_object *o)
{
	struct pfs_counted_object **link = bucket_of(c, &o->id);
	const struct pfs_object *held = &o->object;

	while (*link != o)
		link = &(*link)->next_in_bucket;
	*link = o->next_in_bucket;
	unlink_age(c, o);
	c->bytes -= cost(o);
	c->objects--;
	pfs_object_unref(&held);
}

/* More buckets when chains grow; without memory they stay long, which is only slower. */
static void widen(struct pfs_cache *c)
{
	size_t n = c->n_buckets * 2;
	struct pfs_counted_object **wider = calloc(n, sizeof(*wider));

	if (!wider)
		return;
	free(c->buckets);
	c->buckets = wider;
	c->n_buckets = n;
	for (struct pfs_counted_object *o = c->newest; o; o = o->older) {
		struct pfs_counted_object **bucket = bucket_of(c, &o->id);

		o->next_in_bucket = *bucket;
		*bucket = o;
	}
}

void pfs_cache_free(struct pfs_cache **c)
{
	if (!*c)
		return;
	while ((*c)->oldest)
		drop(*c, (*c)->oldest);
	pfs_lock_fini(&(*c)->lock);
	free((*c)->buckets);
	free(*c);
	*c = NULL;
}

const struct pfs_object *pfs_cache_find(struct pfs_cache *c, enum pfs_kind kind,
					const struct pfs_id *id)
{
	struct pfs_counted_object *o;

	pfs_lock(&c->lock);
	o = look_up(c, id);
	if (o && o->kind != kind)
		o = NULL;
	if (o) {
		unlink_age(c, o);
		link_newest(c, o);
		pfs_object_ref(&o->object);
	}
	pfs_unlock(&c->lock);
	return o ? &o->object : NULL;
}

void pfs_cache_add(struct pfs_cache *c, struct pfs_counted_object *o)
{
	struct pfs_counted_object **bucket;

	if (cost(o) > c->bytes_max)
		return;
	pfs_lock(&c->lock);
	if (!look_up(c, &o->id)) {
		while (c->bytes + cost(o) > c->bytes_max)
			drop(c, c->oldest);
		if (c->objects >= c->n_buckets)
			widen(c);
		bucket = bucket_of(c, &o->id);
		o->next_in_bucket = *bucket;
		*bucket = o;
		link_newest(c, o);
		pfs_object_ref(&o->object);
		c->bytes += cost(o);
		c->objects++;
	}
	pfs_unlock(&c->lock);
}

size_t pfs_cache_bytes(struct pfs_cache *c)
{
	size_t bytes;

	pfs_lock(&c->lock);
	bytes = c->bytes;
	pfs_unlock(&c->lock);
	return bytes;
}
