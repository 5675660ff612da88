#include "store/sweep.h"
#include "store/marks.h"
#include "store/mover.h"
#include "format/bundle.h"
#include "store/packscan.h"
#include "base/fault.h"
#include "base/idset.h"
#include "base/limits.h"
#include "base/vec.h"

#include <stdlib.h>
#include <string.h>

#define GARBAGE_PERCENT 30u        /* of a pack, from which on rewriting it pays */
#define OPEN_GARBAGE    (4u << 20) /* and in a pack that would have to be sealed for it */
#define SMALL_PACKS     8u         /* so many packs, each less than a quarter full, become one */

/* A delta in a pack: its unit and what it leans on. */
struct leaning {
	uint32_t unit;
	struct pfs_id base;
};

struct leanings PFS_VEC(struct leaning);
PFS_VEC_DEFINE(push_leaning, struct leanings, struct leaning, "the marks of a collection")

/* One pack of this part. */
struct swept {
	struct pfs_pack *pack;
	uint32_t first, n; /* units */
	bool was_open;     /* when it was listed: it may have got more since */
	bool chosen, condemned;
	bool stays; /* it could not be taken whole */
	bool gone;
	uint64_t bytes, garbage;
	uint64_t leaned_on; /* times that deltas of other condemned packs lean on garbage of it */
	struct leanings leanings;
};

struct swept_packs PFS_VEC(struct swept);
PFS_VEC_DEFINE(push_swept, struct swept_packs, struct swept, "the packs of a collection")

struct pfs_sweep {
	struct pfs_store *st;
	struct pfs_store_parts parts; /* zero without packs */
	struct pfs_sweep_options options;
	struct swept_packs packs;
	struct pfs_marks marks;
	struct pfs_idset
		nodes; /* what was walked: exact, since what is below is not looked at again */
	uint64_t damaged;
};

bool pfs_sweep_has_more(const struct pfs_sweep_part *part)
{
	return !part->begun || part->pos < part->end;
}

/* --- what packs hold ---------------------------------------------------- */

static uint64_t bytes_of(const struct pfs_pack *pack, const struct pfs_place *place, size_t members)
{
	if (pack->kind == PFS_PACK_ADOPTED)
		return place->clen + PFS_PACKENTRY_SIZE;
	return pfs_packrec_extent(place->clen) + PFS_PACKENTRY_SIZE +
	       (place->codec == PFS_CODEC_DELTA ? PFS_PACKDELTA_SIZE : 0) +
	       (place->codec == PFS_CODEC_BUNDLED
			? PFS_PACKBUNDLE_SIZE + members * PFS_BUNDLE_MEMBER_SIZE
			: 0);
}

static int list_open(struct pfs_sweep *sw, struct pfs_pack *pack, struct pfs_packlist *out,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f;
	uint64_t size = __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE), torn_at;
	int fd = -1;
	int rc;

	pfs_packfooter_init(&f, pack->kind);
	if (size < PFS_PACKHDR_SIZE)
		return 0;
	rc = pfs_packset_lend(sw->parts.set, pack, &fd, err);
	if (rc < 0)
		return rc;
	rc = pfs_packscan_all(fd, size, 0, &f, &torn_at, err);
	pfs_packset_return(sw->parts.set, pack);
	return rc < 0 ? rc : pfs_packlist_make(pack, &f, size, out, err);
}

/* What a pack holds, sealed or not; *out_open is which. */
static int list_pack(struct pfs_sweep *sw, struct pfs_pack *pack, struct pfs_packlist *out,
		     bool *out_open, struct pfs_error *err)
{
	*out_open = !__atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE);
	if (!*out_open)
		return pfs_packlist_load(sw->parts.dir, pack, out, err);
	/* All that was put is to be found in the file. */
	pfs_packlog_write(sw->parts.log, NULL);
	return list_open(sw, pack, out, err);
}

/* Found twice: the copy that reads go to counts. */
static void settle_double(struct pfs_sweep *sw, const struct pfs_packlist_item *item, uint32_t unit)
{
	struct pfs_place now;

	if (!pfs_packset_find(sw->parts.set, &item->id, &now) ||
	    !pfs_packset_is_place(sw->parts.set, &item->id, &now, &item->place))
		return;
	pfs_marks_move(&sw->marks, &item->id, unit);
	sw->marks.list[unit].newest = 1;
}

static int add_object(struct pfs_sweep *sw, const struct pfs_packlist_item *item, uint32_t unit,
		      struct pfs_error *err)
{
	uint32_t other;
	int rc = pfs_marks_add(&sw->marks, &item->id, unit, &other, err);

	if (rc < 0)
		return rc;
	if (other == PFS_MARKS_NONE)
		sw->marks.list[unit].newest = 1;
	else if (other != unit)
		settle_double(sw, item, unit);
	return 0;
}

static int add_units(struct pfs_sweep *sw, struct swept *s, const struct pfs_packlist *list,
		     struct pfs_error *err)
{
	int rc = 0;

	for (size_t at = 0, next; rc == 0 && at < list->n; at = next) {
		uint32_t unit = sw->marks.n_list;

		next = pfs_mover_next_record(list, at);
		rc = pfs_marks_add_unit(&sw->marks,
					bytes_of(s->pack, &list->items[at].place, next - at), err);
		for (size_t i = at; rc == 0 && i < next; i++)
			rc = add_object(sw, &list->items[i], unit, err);
		s->n += rc == 0;
	}
	return rc;
}

static int add_leanings(struct pfs_sweep *sw, struct swept *s, const struct pfs_packlist *list,
			struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->n_deltas; i++) {
		struct leaning l = { pfs_marks_find(&sw->marks, &list->deltas[i].id),
				     list->deltas[i].base };

		/* An older copy: what reads go to lies elsewhere, this one only stays or goes. */
		if (l.unit < s->first || l.unit >= s->first + s->n)
			l.unit = PFS_MARKS_NONE;
		rc = push_leaning(&s->leanings, l, err);
	}
	return rc;
}

static int add_pack(struct pfs_sweep *sw, struct pfs_pack *pack, struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	struct swept s = { .pack = pack, .first = sw->marks.n_list };
	int rc = list_pack(sw, pack, &list, &s.was_open, err);

	/* What cannot be listed whole is for repair, not for us. */
	if (rc == PFS_E_NOTFOUND || rc == PFS_E_CORRUPT || (rc == 0 && list.damaged)) {
		sw->damaged++;
		return 0;
	}
	if (rc == 0)
		rc = add_units(sw, &s, &list, err);
	if (rc == 0)
		rc = add_leanings(sw, &s, &list, err);
	if (rc == 0)
		rc = push_swept(&sw->packs, s, err);
	if (rc < 0)
		free(s.leanings.items);
	return rc;
}

static bool told_to_stop(const struct pfs_sweep *sw)
{
	return sw->options.stop && sw->options.stop(sw->options.stop_arg);
}

static int add_packs(struct pfs_sweep *sw, struct pfs_sweep_part *part, struct pfs_error *err)
{
	struct pfs_pack *pack;
	int rc = 0;

	/* Packs that come while we go are those that we make. */
	if (!part->begun)
		while (pfs_packset_next(sw->parts.set, &part->end))
			;
	part->begun = true;
	while (rc == 0 && part->pos < part->end && sw->marks.n_list < PFS_SWEEP_OBJECTS_MAX &&
	       !told_to_stop(sw)) {
		pack = pfs_packset_next(sw->parts.set, &part->pos);
		if (!pack || part->pos > part->end)
			part->pos = part->end;
		else
			rc = add_pack(sw, pack, err);
	}
	return rc;
}

int pfs_sweep_new(struct pfs_store *st, const struct pfs_sweep_options *options,
		  struct pfs_sweep_part *part, struct pfs_sweep **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_sweep_free) struct pfs_sweep *sw = calloc(1, sizeof(*sw));
	int rc = 0;

	if (!sw)
		return pfs_fail_nomem(err, "a collection");
	sw->st = st;
	sw->options = *options;
	if (pfs_store_parts(st, &sw->parts))
		rc = add_packs(sw, part, err);
	part->begun = true;
	if (rc < 0)
		return pfs_wrap(err, rc, "list what packs hold");
	*out = sw;
	sw = NULL;
	return 0;
}

void pfs_sweep_free(struct pfs_sweep **p)
{
	struct pfs_sweep *sw = *p;

	if (!sw)
		return;
	for (size_t i = 0; i < sw->packs.n; i++) {
		if (sw->packs.items[i].condemned)
			pfs_packset_condemn(sw->parts.set, sw->packs.items[i].pack, false);
		free(sw->packs.items[i].leanings.items);
	}
	pfs_session_forbid_links(sw->st, false);
	free(sw->packs.items);
	pfs_marks_fini(&sw->marks);
	pfs_idset_fini(&sw->nodes);
	free(sw);
	*p = NULL;
}

/* --- what is wanted ------------------------------------------------------ */

/* Whether that is new, as far as this part knows. */
static bool mark_unit(struct pfs_sweep *sw, const struct pfs_id *id)
{
	uint32_t unit = pfs_marks_find(&sw->marks, id);
	bool fresh;

	if (unit == PFS_MARKS_NONE)
		return false;
	fresh = !sw->marks.list[unit].live;
	sw->marks.list[unit].live = 1;
	return fresh;
}

int pfs_sweep_mark(struct pfs_sweep *sw, enum pfs_kind kind, const struct pfs_id *id,
		   struct pfs_error *err)
{
	int rc = 0;

	if (kind == PFS_KIND_DIRNODE || kind == PFS_KIND_SEQNODE)
		rc = pfs_idset_add(&sw->nodes, id, err);
	if (rc >= 0)
		mark_unit(sw, id);
	return rc;
}

static void mark_bases(struct pfs_sweep *sw, const struct swept *s, bool all)
{
	for (size_t i = 0; i < s->leanings.n; i++) {
		const struct leaning *l = &s->leanings.items[i];

		if (all || (l->unit != PFS_MARKS_NONE && sw->marks.list[l->unit].live))
			mark_unit(sw, &l->base);
	}
}

void pfs_sweep_wanted(struct pfs_sweep *sw, uint64_t *out_objects, uint64_t *out_bytes)
{
	const struct pfs_marks *m = &sw->marks;

	for (size_t i = 0; i < sw->packs.n; i++)
		mark_bases(sw, &sw->packs.items[i], false);
	*out_objects = *out_bytes = 0;
	for (size_t i = 0; i < m->cap; i++)
		*out_objects += m->units[i] && m->list[m->units[i] - 1].live;
	for (uint32_t i = 0; i < m->n_list; i++)
		*out_bytes += m->list[i].live ? m->list[i].bytes : 0;
}

/* --- which packs --------------------------------------------------------- */

static void weigh(struct pfs_sweep *sw, struct swept *s, struct pfs_sweep_figures *f)
{
	s->bytes = s->garbage = 0;
	for (uint32_t i = s->first; i < s->first + s->n; i++) {
		const struct pfs_mark *u = &sw->marks.list[i];

		s->bytes += u->bytes;
		s->garbage += u->live ? 0 : u->bytes;
		if (!u->newest) {
			f->double_objects++;
			f->double_bytes += u->bytes;
		} else if (!u->live) {
			f->dead_bytes += u->bytes;
		}
	}
	f->packs++;
}

static bool has_too_much(const struct pfs_sweep *sw, const struct swept *s)
{
	if (s->garbage == 0 || sw->options.thorough)
		return s->garbage > 0;
	return s->garbage * 100 >= s->bytes * GARBAGE_PERCENT &&
	       (!s->was_open || s->garbage >= OPEN_GARBAGE);
}

static bool is_small(const struct swept *s)
{
	return !s->was_open && s->n > 0 && s->pack->kind != PFS_PACK_ADOPTED &&
	       s->bytes < pfs_packwriter_target(s->pack->kind) / 4;
}

/* Many packs with little in them are one with much. */
static void choose_small(struct pfs_sweep *sw, uint8_t kind)
{
	unsigned small = 0;

	for (size_t i = 0; i < sw->packs.n; i++)
		small += sw->packs.items[i].pack->kind == kind && is_small(&sw->packs.items[i]);
	for (size_t i = 0; i < sw->packs.n && small >= SMALL_PACKS; i++)
		if (sw->packs.items[i].pack->kind == kind && is_small(&sw->packs.items[i]))
			sw->packs.items[i].chosen = true;
}

int pfs_sweep_choose(struct pfs_sweep *sw, struct pfs_sweep_figures *out, struct pfs_error *err)
{
	struct pfs_sweep_figures f = { .packs_damaged = sw->damaged };

	pfs_sweep_wanted(sw, &f.live_objects, &f.live_bytes);
	for (size_t i = 0; i < sw->packs.n; i++) {
		struct swept *s = &sw->packs.items[i];

		weigh(sw, s, &f);
		s->chosen = has_too_much(sw, s);
	}
	choose_small(sw, PFS_PACK_DATA);
	choose_small(sw, PFS_PACK_META);
	for (size_t i = 0; i < sw->packs.n; i++) {
		const struct swept *s = &sw->packs.items[i];

		f.packs_chosen += s->chosen;
		f.copy_bytes += s->chosen ? s->bytes - s->garbage : 0;
		f.garbage_bytes += s->chosen ? s->garbage : 0;
		f.left_bytes += s->chosen ? 0 : s->garbage;
	}
	f.dead_objects = sw->marks.n - f.live_objects;
	*out = f;
	return 0;
}

/*
 * A pack that is still written to has to be finished first: 1 when it is. One that
 * was given up, since writing to it failed, stays until the store is opened again.
 */
static int close_chosen(struct pfs_sweep *sw, const struct swept *s, struct pfs_error *err)
{
	return s->was_open ? pfs_packlog_seal(sw->parts.log, s->pack, err) : 1;
}

int pfs_sweep_condemn(struct pfs_sweep *sw, struct pfs_error *err)
{
	int rc = pfs_fault("sweep.condemn", err);

	pfs_session_forbid_links(sw->st, true);
	for (size_t i = 0; rc >= 0 && i < sw->packs.n; i++) {
		struct swept *s = &sw->packs.items[i];

		rc = s->chosen ? close_chosen(sw, s, err) : 0;
		if (rc != 1)
			continue;
		s->condemned = true;
		pfs_packset_condemn(sw->parts.set, s->pack, true);
	}
	if (rc < 0)
		return rc;
	return pfs_session_barrier(sw->st, sw->options.stop, sw->options.stop_arg);
}

/* --- the end of packs ---------------------------------------------------- */

static const struct swept *find_swept(const struct pfs_sweep *sw, const struct pfs_pack *pack)
{
	for (size_t i = 0; i < sw->packs.n; i++)
		if (sw->packs.items[i].pack == pack)
			return &sw->packs.items[i];
	return NULL;
}

/* Whether it was listed with the pack, so that its base is among the leanings. */
static bool is_listed(const struct pfs_sweep *sw, const struct swept *s, const struct pfs_id *id)
{
	uint32_t unit = pfs_marks_find(&sw->marks, id);

	return s && s->condemned && unit >= s->first && unit - s->first < s->n;
}

static void keep_base(struct pfs_sweep *sw, const struct pfs_id *base, struct pfs_sweep_done *done)
{
	uint32_t unit = pfs_marks_find(&sw->marks, base);

	if (unit == PFS_MARKS_NONE || sw->marks.list[unit].live)
		return;
	sw->marks.list[unit].live = 1;
	done->kept_bytes += sw->marks.list[unit].bytes;
}

/* Of packs that we did not list, and of what came into listed ones since. */
static int mark_bases_elsewhere(struct pfs_sweep *sw, struct pfs_sweep_done *done,
				struct pfs_error *err)
{
	struct pfs_pack *pack;
	size_t pos = 0;
	int rc = 0;

	while (rc == 0 && (pack = pfs_packset_next(sw->parts.set, &pos))) {
		PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
		const struct swept *s = find_swept(sw, pack);
		bool open;

		if (s && !s->was_open)
			continue;
		rc = list_pack(sw, pack, &list, &open, err);
		if (rc == PFS_E_NOTFOUND || rc == PFS_E_CORRUPT)
			rc = 0; /* nothing can be read from it, deltas neither */
		for (size_t i = 0; rc == 0 && i < list.n_deltas; i++)
			if (!is_listed(sw, s, &list.deltas[i].id))
				keep_base(sw, &list.deltas[i].base, done);
	}
	return rc;
}

static int mark_all_bases(struct pfs_sweep *sw, struct pfs_sweep_done *done, struct pfs_error *err)
{
	for (size_t i = 0; i < sw->packs.n; i++)
		mark_bases(sw, &sw->packs.items[i], !sw->packs.items[i].condemned);
	return mark_bases_elsewhere(sw, done, err);
}

struct asking {
	const struct pfs_sweep *sw;
	const struct swept *s;
};

/* What came into the pack after it was listed was never weighed: it stays. */
static bool is_wanted(void *arg, uint32_t record)
{
	const struct asking *a = arg;

	return record >= a->s->n || a->sw->marks.list[a->s->first + record].live;
}

/* 0: it is elsewhere; 1: it stays. */
static int take_pack(struct pfs_sweep *sw, struct pfs_mover *m, struct swept *s,
		     struct pfs_sweep_done *done, struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	struct asking asking = { sw, s };
	bool damaged = false;
	int rc = pfs_packlist_load(sw->parts.dir, s->pack, &list, err);

	if (rc == 0 && list.damaged)
		damaged = true;
	else if (rc == 0)
		rc = pfs_mover_take(m, s->pack, &list, is_wanted, &asking, &damaged, err);
	if (rc < 0)
		return rc;
	done->packs_damaged += damaged;
	return rc || damaged;
}

static int is_unit_before(const void *key, const void *item)
{
	uint32_t unit = *(const uint32_t *)key;
	const struct swept *s = item;

	return unit < s->first ? -1 : unit - s->first >= s->n;
}

/* The other condemned pack in which the base lies and is garbage, or NULL. */
static struct swept *pack_of_base(const struct pfs_sweep *sw, const struct swept *s,
				  const struct leaning *l)
{
	uint32_t unit = pfs_marks_find(&sw->marks, &l->base);
	struct swept *found;

	if (unit == PFS_MARKS_NONE || sw->marks.list[unit].live)
		return NULL;
	found = bsearch(&unit, sw->packs.items, sw->packs.n, sizeof(*found), is_unit_before);
	return found && found != s && found->condemned ? found : NULL;
}

/* A delta that is garbage, too, is found and read until its pack goes: by then its base may. */
static void count_leanings(struct pfs_sweep *sw, const struct swept *s, int by)
{
	for (size_t i = 0; i < s->leanings.n; i++) {
		struct swept *of = pack_of_base(sw, s, &s->leanings.items[i]);

		if (of)
			of->leaned_on += (uint64_t)by;
	}
}

/* It goes though others lean on it, each on the other perhaps: what they need is kept this time. */
static void keep_bases(struct pfs_sweep *sw, const struct swept *going, struct pfs_sweep_done *done)
{
	for (size_t i = 0; i < sw->packs.n; i++) {
		const struct swept *s = &sw->packs.items[i];

		for (size_t k = 0; s->condemned && k < s->leanings.n; k++) {
			const struct leaning *l = &s->leanings.items[k];

			if (pack_of_base(sw, s, l) == going)
				keep_base(sw, &l->base, done);
		}
	}
}

static bool goes_before(const struct swept *a, const struct swept *b)
{
	if (!a->leaned_on != !b->leaned_on)
		return !a->leaned_on;
	return a->bytes - a->garbage < b->bytes - b->garbage;
}

/*
 * First those on which no delta leans that is still there. Of these the one with
 * the least to copy: on a full disk it makes the room for the others.
 */
static struct swept *next_pack(struct pfs_sweep *sw)
{
	struct swept *next = NULL;

	for (size_t i = 0; i < sw->packs.n; i++) {
		struct swept *s = &sw->packs.items[i];

		if (s->condemned && !s->stays && (!next || goes_before(s, next)))
			next = s;
	}
	return next;
}

static void order_packs(struct pfs_sweep *sw)
{
	struct pfs_sweep_figures ignored = { 0 };

	for (size_t i = 0; i < sw->packs.n; i++) {
		weigh(sw, &sw->packs.items[i], &ignored);
		if (sw->packs.items[i].condemned)
			count_leanings(sw, &sw->packs.items[i], 1);
	}
}

/* 0: it is gone; 1: it stays. */
static int finish_pack(struct pfs_sweep *sw, struct pfs_mover *m, struct swept *s,
		       struct pfs_sweep_done *done, struct pfs_error *err)
{
	struct pfs_sweep_figures ignored = { 0 };
	int rc;

	if (s->leaned_on) {
		keep_bases(sw, s, done);
		weigh(sw, s, &ignored);
	}
	rc = take_pack(sw, m, s, done, err);
	if (rc == 0)
		rc = pfs_mover_settle(m, err);
	s->stays = rc != 0;
	if (rc != 0)
		return rc;
	count_leanings(sw, s, -1);
	s->condemned = false;
	s->gone = true;
	done->freed_bytes += s->garbage;
	return 0;
}

static int finish_packs(struct pfs_sweep *sw, struct pfs_mover *m, struct pfs_sweep_done *done,
			struct pfs_error *err)
{
	struct swept *s;
	int rc = 0;

	while (rc >= 0 && (s = next_pack(sw))) {
		if (told_to_stop(sw))
			return 1;
		rc = finish_pack(sw, m, s, done, err);
	}
	return rc < 0 ? rc : 0;
}

int pfs_sweep_finish(struct pfs_sweep *sw, struct pfs_sweep_done *out, struct pfs_error *err)
{
	struct pfs_mover m = { .st = sw->st,
			       .parts = sw->parts,
			       .stop = sw->options.stop,
			       .stop_arg = sw->options.stop_arg };
	int rc;

	*out = (struct pfs_sweep_done){ 0 };
	rc = sw->parts.set ? mark_all_bases(sw, out, err) : 0;
	if (rc == 0) {
		order_packs(sw);
		rc = finish_packs(sw, &m, out, err);
	}
	for (size_t i = 0; i < sw->packs.n; i++)
		if (sw->packs.items[i].chosen && !sw->packs.items[i].gone)
			out->left_bytes += sw->packs.items[i].garbage;
	out->packs_removed = m.removed;
	out->copied_bytes = m.copied;
	pfs_mover_fini(&m);
	return rc;
}
