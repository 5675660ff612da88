#include "store/idtable.h"
#include "base/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_ENTRIES (1u << 12)
#define SLOTS_MIN       1024u

struct pfs_identry {
	struct pfs_id id;
	uint32_t pack;
	uint32_t off_low;
	uint64_t off_high : 8, clen : 21, ulen : 21, type : 4, codec : 4, lost : 1, doubted : 1,
		older : 1;
};

_Static_assert(sizeof(struct pfs_identry) == 48, "an entry is 48 bytes");
_Static_assert(PFS_OBJECT_SIZE_MAX < 1u << 21, "lengths fit into their bits");

static uint64_t off_of(const struct pfs_identry *e)
{
	return (uint64_t)e->off_high << 32 | e->off_low;
}

void pfs_idtable_fini(struct pfs_idtable *t)
{
	for (size_t i = 0; i < t->n_segments; i++)
		free(t->segments[i]);
	free(t->segments);
	free(t->slots);
	*t = (struct pfs_idtable){ 0 };
}

static struct pfs_identry *entry(const struct pfs_idtable *t, size_t i)
{
	return &t->segments[i / SEGMENT_ENTRIES][i % SEGMENT_ENTRIES];
}

/* The slot of `id`, or the free one where it would go. */
static uint32_t *slot_of(const struct pfs_idtable *t, const struct pfs_id *id)
{
	size_t i = pfs_id_hash(id) & (t->n_slots - 1);

	while (t->slots[i] && !pfs_id_equal(&entry(t, t->slots[i] - 1)->id, id))
		i = (i + 1) & (t->n_slots - 1);
	return &t->slots[i];
}

static struct pfs_identry *look_up(const struct pfs_idtable *t, const struct pfs_id *id)
{
	uint32_t *slot = t->n_slots ? slot_of(t, id) : NULL;

	return slot && *slot ? entry(t, *slot - 1) : NULL;
}

static struct pfs_place place_of(const struct pfs_identry *e)
{
	return (struct pfs_place){
		.pack = e->pack,
		.off = off_of(e),
		.clen = e->clen,
		.ulen = e->ulen,
		.type = e->type,
		.codec = e->codec,
		.doubted = e->doubted,
	};
}

enum pfs_idtable_answer pfs_idtable_find(const struct pfs_idtable *t, const struct pfs_id *id,
					 struct pfs_place *out)
{
	const struct pfs_identry *e = look_up(t, id);

	if (!e)
		return PFS_IDTABLE_ABSENT;
	if (e->lost)
		return PFS_IDTABLE_LOST;
	if (out)
		*out = place_of(e);
	return PFS_IDTABLE_FOUND;
}

static int add_segments(struct pfs_idtable *t, size_t want, struct pfs_error *err)
{
	struct pfs_identry **wider;

	if (want <= t->n_segments)
		return 0;
	wider = realloc(t->segments, want * sizeof(*wider));
	if (!wider)
		return pfs_fail_nomem(err, "the table of objects");
	t->segments = wider;
	while (t->n_segments < want) {
		wider[t->n_segments] = malloc(SEGMENT_ENTRIES * sizeof(**wider));
		if (!wider[t->n_segments])
			return pfs_fail_nomem(err, "the table of objects");
		t->n_segments++;
	}
	return 0;
}

static int widen_slots(struct pfs_idtable *t, size_t want, struct pfs_error *err)
{
	size_t n = t->n_slots ? t->n_slots : SLOTS_MIN;
	uint32_t *wider;

	while (n - n / 4 < want)
		n *= 2;
	if (n == t->n_slots)
		return 0;
	wider = calloc(n, sizeof(*wider));
	if (!wider)
		return pfs_fail_nomem(err, "the table of objects");
	free(t->slots);
	t->slots = wider;
	t->n_slots = n;
	for (size_t i = 0; i < t->n; i++)
		if (!entry(t, i)->older)
			*slot_of(t, &entry(t, i)->id) = (uint32_t)(i + 1);
	return 0;
}

int pfs_idtable_reserve(struct pfs_idtable *t, size_t more, struct pfs_error *err)
{
	int rc;

	if (more > UINT32_MAX - 1 - t->n)
		return pfs_fail(err, PFS_E_LIMIT, "%zu objects and %zu more, at most %u fit", t->n,
				more, UINT32_MAX - 1);
	rc = add_segments(t, (t->n + more + SEGMENT_ENTRIES - 1) / SEGMENT_ENTRIES, err);
	return rc < 0 ? rc : widen_slots(t, t->n + more, err);
}

void pfs_idtable_set(struct pfs_idtable *t, const struct pfs_id *id, const struct pfs_place *place,
		     bool keep_older)
{
	uint32_t *slot = slot_of(t, id);
	struct pfs_identry *e = *slot ? entry(t, *slot - 1) : NULL;

	if (e && e->lost)
		t->lost--;
	else if (e && keep_older)
		e->older = 1;
	if (!e || e->older) {
		assert(t->n < t->n_segments * SEGMENT_ENTRIES);
		e = entry(t, t->n);
		*slot = (uint32_t)++t->n;
	}
	*e = (struct pfs_identry){
		.id = *id,
		.pack = place->pack,
		.off_low = (uint32_t)place->off,
		.off_high = (uint8_t)(place->off >> 32),
		.clen = place->clen,
		.ulen = place->ulen,
		.type = place->type,
		.codec = place->codec,
		.doubted = place->doubted,
	};
}

void pfs_idtable_doubt(struct pfs_idtable *t, const struct pfs_id *id,
		       const struct pfs_place *place)
{
	struct pfs_identry *e = look_up(t, id);

	if (e && !e->lost && e->pack == place->pack && off_of(e) == place->off)
		e->doubted = 1;
}

void pfs_idtable_lose(struct pfs_idtable *t, const struct pfs_id *id)
{
	struct pfs_identry *e = look_up(t, id);

	if (!e || e->lost)
		return;
	e->lost = 1;
	t->lost++;
}

static struct pfs_idtable_entry tell(const struct pfs_identry *e)
{
	return (struct pfs_idtable_entry){
		.id = e->id,
		.place = place_of(e),
		.lost = e->lost,
		.older = e->older,
	};
}

uint64_t pfs_idtable_bytes(const struct pfs_idtable *t)
{
	return (uint64_t)t->n_segments *
		       (SEGMENT_ENTRIES * sizeof(struct pfs_identry) + sizeof(*t->segments)) +
	       (uint64_t)t->n_slots * sizeof(*t->slots);
}

bool pfs_idtable_next(const struct pfs_idtable *t, size_t *pos, struct pfs_idtable_entry *out)
{
	if (*pos >= t->n)
		return false;
	*out = tell(entry(t, (*pos)++));
	return true;
}

static bool wanted(const struct pfs_idtable *t, const struct pfs_identry *e,
		   pfs_idtable_keep_fn keep, void *arg)
{
	struct pfs_idtable_entry told = tell(e), newest;

	if (!e->older)
		return keep(arg, &told, &told);
	newest = tell(look_up(t, &e->id));
	return keep(arg, &told, &newest);
}

/* Append an entry, in front of what is there of its id. */
static void append(struct pfs_idtable *t, const struct pfs_identry *e)
{
	uint32_t *slot = slot_of(t, &e->id);
	struct pfs_identry *to = entry(t, t->n++);

	if (*slot)
		entry(t, *slot - 1)->older = 1;
	*to = *e;
	to->older = 0;
	t->lost += e->lost;
	*slot = (uint32_t)t->n;
}

int pfs_idtable_keep(struct pfs_idtable *t, pfs_idtable_keep_fn keep, void *arg, size_t more,
		     struct pfs_error *err)
{
	struct pfs_idtable fresh = { 0 };
	size_t n = more;
	int rc;

	for (size_t i = 0; i < t->n; i++)
		n += wanted(t, entry(t, i), keep, arg);
	rc = n ? pfs_idtable_reserve(&fresh, n, err) : 0;
	for (size_t i = 0; i < t->n && rc == 0; i++)
		if (wanted(t, entry(t, i), keep, arg))
			append(&fresh, entry(t, i));
	if (rc < 0) {
		pfs_idtable_fini(&fresh);
		return rc;
	}
	pfs_idtable_fini(t);
	*t = fresh;
	return 0;
}
