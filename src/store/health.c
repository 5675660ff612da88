#include "store/health.h"
#include "store/packset.h"
#include "store/store_i.h"

#include <stdlib.h>

bool pfs_store_is_whole(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id)
{
	return st->ops->whole ? st->ops->whole(st->self, kind, id)
			      : st->ops->has(st->self, kind, id);
}

bool pfs_store_knows_damage(struct pfs_store *st)
{
	struct pfs_store_parts parts;

	return pfs_store_parts(st, &parts) && pfs_packset_has_doubts(parts.set);
}

bool pfs_store_has_damaged_packs(struct pfs_store *st)
{
	struct pfs_store_parts parts;
	struct pfs_pack *pack;
	size_t pos = 0;

	if (!pfs_store_parts(st, &parts))
		return false;
	while ((pack = pfs_packset_next(parts.set, &pos)))
		if (pfs_packset_knows_damage_of(parts.set, pack))
			return true;
	return false;
}

static int examine(struct pfs_store *st, const struct pfs_examination *x, uint32_t *after,
		   uint64_t budget, struct pfs_error *err)
{
	int rc = st->ops->check(st->self, st->hasher, x, after, budget, err);

	return rc < 0 ? pfs_wrap(err, rc, "%s store: check", st->ops->name) : rc;
}

int pfs_store_examine(struct pfs_store *st, const struct pfs_examination *x, struct pfs_error *err)
{
	uint32_t after = 0;

	return examine(st, x, &after, UINT64_MAX, err);
}

int pfs_store_examine_some(struct pfs_store *st, const struct pfs_examination *x, uint32_t *after,
			   uint64_t budget, struct pfs_error *err)
{
	return examine(st, x, after, budget, err);
}

int pfs_store_check(struct pfs_store *st, void (*report)(void *arg, const char *damage), void *arg,
		    struct pfs_error *err)
{
	const struct pfs_examination x = { .thorough = true, .report = report, .arg = arg };

	return pfs_store_examine(st, &x, err);
}

/* --- objects, wherever they are ------------------------------------------ */

struct listing {
	enum pfs_kind kind;
	int (*each)(void *arg, const struct pfs_id *id, struct pfs_error *err);
	void *arg;
};

static bool is_of_kind(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	return kind == ((const struct listing *)arg)->kind;
}

static int tell_id(void *arg, enum pfs_kind kind, const struct pfs_id *id,
		   struct pfs_counted_object *o, struct pfs_error *err)
{
	const struct listing *l = arg;

	return l->each(l->arg, id, err);
}

int pfs_store_list(struct pfs_store *st, enum pfs_kind kind,
		   int (*each)(void *arg, const struct pfs_id *id, struct pfs_error *err),
		   void *arg, struct pfs_error *err)
{
	struct listing l = { kind, each, arg };
	const struct pfs_copies c = { .want = is_of_kind, .each = tell_id, .arg = &l };

	return st->ops->copies ? st->ops->copies(st->self, &c, err) : 0;
}

struct mending {
	struct pfs_store *st;
	const struct pfs_idset *wanted;
	void (*mended)(void *arg, enum pfs_kind kind, const struct pfs_id *id);
	void *arg;
};

static bool is_wanted(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	const struct mending *m = arg;

	return pfs_idset_has(m->wanted, id) && !pfs_store_is_whole(m->st, kind, id);
}

/* Putting checks nothing: that these are the bytes is checked here. */
static int put_copy(void *arg, enum pfs_kind kind, const struct pfs_id *id,
		    struct pfs_counted_object *o, struct pfs_error *err)
{
	const struct mending *m = arg;
	struct pfs_id got;
	int rc = 0;

	if (!o)
		return 0;
	rc = pfs_hasher_id(m->st->hasher, kind, o->bytes, o->object.len, &got, err);
	if (rc == 0 && pfs_id_equal(&got, id)) {
		rc = pfs_store_put(m->st, kind, o->bytes, o->object.len, &got, err);
		if (rc == 0 && m->mended)
			m->mended(m->arg, kind, id);
	}
	free(o);
	return rc;
}

int pfs_store_mend(struct pfs_store *st, const struct pfs_idset *wanted,
		   void (*mended)(void *arg, enum pfs_kind kind, const struct pfs_id *id),
		   void *arg, struct pfs_error *err)
{
	struct mending m = { st, wanted, mended, arg };
	const struct pfs_copies c = {
		.want = is_wanted, .each = put_copy, .bytes = true, .arg = &m
	};

	if (!st->ops->copies || wanted->len == 0)
		return 0;
	return st->ops->copies(st->self, &c, err);
}
