/*
 * The packset against a shadow: packs are filled, sealed, condemned and dropped,
 * objects are lost, doubted and moved, runs are written and merged, the store is
 * left as by a crash and opened again, index files are damaged and removed.
 * Whatever lies in a pack that is there is found, and counted.
 */
#include "store/packset.h"
#include "store/recover.h"
#include "../footpack.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDS      1500u
#define PACKS    4000u
#define OPEN     2
#define PER_PACK 120u
#define STEPS    4000u
#define BATCH    300u

static const unsigned char store_uuid[PFS_UUID_SIZE] = "model of a store";

enum pack_state { NONE, BEING_WRITTEN, SEALED, GONE };

struct copy {
	unsigned pack; /* of ours */
	uint64_t off;
	bool old; /* its object was given up after it was put here */
};

struct object {
	struct copy copies[64]; /* wherever it lies, or lay */
	unsigned n;
	bool set;      /* its place is `now` */
	bool lost;     /* not found until it is set again */
	bool given_up; /* its pack was dropped without it: an older copy may be found or not */
	bool doubted;
	struct copy now;
};

struct model {
	struct scratch dir;
	int fd;
	struct pfs_packset *set;
	uint64_t random;
	struct pfs_id ids[IDS];
	struct object objects[IDS];
	struct {
		enum pack_state state;
		bool condemned;
		struct pfs_pack *pack;
		struct pfs_packfooter footer;
		unsigned char uuid[PFS_UUID_SIZE];
		uint32_t seq;
	} packs[PACKS];
	unsigned n_packs;
	unsigned open[OPEN];
	uint64_t rebuilds;
	bool moved; /* places may have changed to other copies since we looked */
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random % below;
}

static void start_pack(struct model *m, int slot)
{
	unsigned p = m->n_packs++;

	cr_assert_lt(p, PACKS);
	m->packs[p].state = BEING_WRITTEN;
	m->packs[p].seq = p + 1;
	scratch_fill(m->packs[p].uuid, PFS_UUID_SIZE, p + 77);
	pfs_packfooter_init(&m->packs[p].footer, PFS_PACK_DATA);
	cr_assert_eq(pfs_packset_add_pack(m->set, m->packs[p].uuid, PFS_PACK_DATA, false, 0, -1,
					  &m->packs[p].pack, NULL),
		     0);
	m->packs[p].pack->seq = m->packs[p].seq;
	m->open[slot] = p;
}

static void seal_pack(struct model *m, int slot)
{
	unsigned p = m->open[slot];
	struct pfs_pack *pack = m->packs[p].pack;
	uint64_t size = footpack_write(m->fd, m->packs[p].uuid, store_uuid, m->packs[p].seq,
				       &m->packs[p].footer);

	pfs_packfooter_fini(&m->packs[p].footer);
	m->packs[p].state = SEALED;
	pack->size = size;
	pack->sealed = 1;
	pfs_packset_complete(m->set, pack);
	start_pack(m, slot);
}

static void put(struct model *m, unsigned i)
{
	int slot = draw(m, 4) ? 0 : 1;
	unsigned p = m->open[slot];
	struct object *o = &m->objects[i];
	struct pfs_packfooter *f = &m->packs[p].footer;
	struct pfs_place place = {
		.pack = m->packs[p].pack->number,
		.off = footpack_off(pfs_packfooter_records(f)),
		.clen = FOOTPACK_CLEN,
		.ulen = FOOTPACK_CLEN,
		.type = 1,
	};

	if (o->n == sizeof(o->copies) / sizeof(*o->copies))
		return;
	footpack_add(f, &m->ids[i]);
	cr_assert_eq(pfs_packset_reserve(m->set, 1, NULL), 0);
	pfs_packset_set(m->set, &m->ids[i], &place);
	o->now = o->copies[o->n++] = (struct copy){ .pack = p, .off = place.off };
	o->set = true;
	o->lost = o->given_up = o->doubted = false;
	if (pfs_packfooter_records(f) >= PER_PACK)
		seal_pack(m, slot);
}

static struct copy *find_copy(struct model *m, struct object *o, const struct pfs_place *place)
{
	for (unsigned c = 0; c < o->n; c++) {
		const struct pfs_pack *pack = m->packs[o->copies[c].pack].pack;

		if (m->packs[o->copies[c].pack].state != GONE && pack->number == place->pack &&
		    o->copies[c].off == place->off)
			return &o->copies[c];
	}
	return NULL;
}

static bool look_at(struct model *m, unsigned i)
{
	struct object *o = &m->objects[i];
	struct pfs_place place;
	bool found = pfs_packset_find(m->set, &m->ids[i], &place);
	struct copy *c = found ? find_copy(m, o, &place) : NULL;

	cr_assert(!found || c, "object %u is found where it does not lie", i);
	cr_assert(!found || !o->lost, "object %u is lost", i);
	cr_assert(found || !o->set || o->lost || o->given_up, "object %u is not found", i);
	if (found && !o->given_up && !m->moved)
		cr_assert(c->pack == o->now.pack && c->off == o->now.off,
			  "object %u is found in pack %u, not in %u", i, c->pack, o->now.pack);
	if (found && !o->given_up)
		o->now = *c;
	if (found && !o->given_up && !m->moved)
		cr_assert_eq(pfs_packset_has(m->set, &m->ids[i]),
			     !o->doubted && !m->packs[o->now.pack].condemned, "object %u", i);
	return found;
}

static void look_at_all(struct model *m)
{
	struct pfs_packset_totals totals;
	uint64_t found = 0, packs = 0;

	for (int twice = 0; twice < 2; twice++) {
		pfs_packset_count(m->set, &totals);
		m->moved |= totals.index_rebuilds != m->rebuilds;
		m->rebuilds = totals.index_rebuilds;
		found = 0;
		for (unsigned i = 0; i < IDS; i++)
			found += look_at(m, i);
		pfs_packset_count(m->set, &totals);
		if (totals.index_rebuilds == m->rebuilds)
			break; /* nothing was damaged on the way */
	}
	m->moved = false;
	cr_assert_eq(totals.objects, found, "%llu objects are counted, %llu found",
		     (unsigned long long)totals.objects, (unsigned long long)found);
	cr_assert_eq(totals.object_bytes, found * FOOTPACK_CLEN);
	for (unsigned p = 0; p < m->n_packs; p++)
		packs += m->packs[p].state == SEALED || m->packs[p].state == BEING_WRITTEN;
	cr_assert_eq(totals.packs, packs);
}

static void condemn(struct model *m, unsigned p, bool yes)
{
	pfs_packset_condemn(m->set, m->packs[p].pack, yes);
	m->packs[p].condemned = yes;
}

static bool lies_in(const struct object *o, unsigned p)
{
	for (unsigned c = 0; c < o->n; c++)
		if (o->copies[c].pack == p)
			return true;
	return false;
}

static void give_up(struct object *o)
{
	o->given_up = true;
	for (unsigned c = 0; c < o->n; c++)
		o->copies[c].old = true;
}

/* As sweep does it: what is wanted is put elsewhere, then the pack goes. */
static void drop(struct model *m, unsigned p)
{
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_error err = { 0 };

	condemn(m, p, true);
	for (unsigned i = 0; i < IDS; i++) {
		struct object *o = &m->objects[i];

		if (!lies_in(o, p) || !look_at(m, i) || pfs_packset_has(m->set, &m->ids[i]))
			continue;
		if (draw(m, 2))
			put(m, i);
		else
			give_up(o);
	}
	for (int slot = 0; slot < OPEN; slot++)
		seal_pack(m, slot); /* what was put elsewhere is durable */
	cr_assert_eq(pfs_packset_drop_pack(m->set, m->packs[p].pack, &err), 0, "%s", err.text);
	m->packs[p].state = GONE;
	if (draw(m, 4))
		cr_assert_eq(pfs_packset_publish(m->set, &err), 0, "%s", err.text);
	pfs_pack_path(m->packs[p].uuid, PFS_PACK_DATA, true, path);
	cr_assert_eq(unlinkat(m->fd, path, 0), 0);
}

static void open_set(struct model *m)
{
	struct pfs_error err = { 0 };
	uint32_t seq;

	cr_assert_eq(pfs_packset_new(m->fd, store_uuid, &m->set, NULL), 0);
	cr_assert_eq(pfs_recover_sealed(m->fd, m->set, store_uuid, &seq, &err), 0, "%s", err.text);
}

/* What was not sealed is gone, as if the power had been cut. */
static void reopen(struct model *m)
{
	struct pfs_pack *pack;
	size_t pos = 0;

	pfs_packset_free(&m->set);
	open_set(m);
	for (unsigned p = 0; p < m->n_packs; p++) {
		if (m->packs[p].state == BEING_WRITTEN) {
			pfs_packfooter_fini(&m->packs[p].footer);
			m->packs[p].state = GONE;
		}
		m->packs[p].pack = NULL;
		m->packs[p].condemned = false;
	}
	while ((pack = pfs_packset_next(m->set, &pos)))
		for (unsigned p = 0; p < m->n_packs; p++)
			if (memcmp(pack->uuid, m->packs[p].uuid, PFS_UUID_SIZE) == 0)
				m->packs[p].pack = pack;
	for (unsigned i = 0; i < IDS; i++) {
		struct object *o = &m->objects[i];
		unsigned kept = 0;

		for (unsigned c = 0; c < o->n; c++)
			if (m->packs[o->copies[c].pack].state == SEALED)
				o->copies[kept++] = o->copies[c];
		o->n = kept;
		o->set = kept > 0;
		o->lost = o->doubted = false;
		o->given_up = true;
		for (unsigned c = 0; c < kept; c++)
			o->given_up &= o->copies[c].old;
	}
	for (int slot = 0; slot < OPEN; slot++)
		start_pack(m, slot);
	m->moved = true;
	m->rebuilds = 0;
}

static void damage_index(struct model *m)
{
	char pattern[300];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/index/*", m->dir.path);
	if (glob(pattern, 0, NULL, &found) == 0) {
		const char *path = found.gl_pathv[draw(m, found.gl_pathc)];
		int fd = open(path, O_RDWR | O_CLOEXEC);
		unsigned char byte;
		struct stat st;
		off_t at;

		cr_assert(fd >= 0 && fstat(fd, &st) == 0);
		at = (off_t)draw(m, (uint64_t)st.st_size);
		switch (draw(m, 3)) {
		case 0:
			cr_assert_eq(pread(fd, &byte, 1, at), 1);
			byte ^= (unsigned char)(1u << draw(m, 8));
			cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
			break;
		case 1:
			cr_assert_eq(ftruncate(fd, at), 0);
			break;
		default:
			cr_assert_eq(unlink(path), 0);
		}
		close(fd);
		globfree(&found);
	}
}

static unsigned sealed_pack(struct model *m)
{
	for (unsigned tries = 0; tries < 50; tries++) {
		unsigned p = (unsigned)draw(m, m->n_packs);

		if (m->packs[p].state == SEALED)
			return p;
	}
	return PACKS;
}

/* As rescue does it: only what lies in a pack that is being written. */
static void lose(struct model *m, unsigned i)
{
	struct object *o = &m->objects[i];

	look_at(m, i);
	if (!o->set || o->lost || o->given_up || m->packs[o->now.pack].state != BEING_WRITTEN)
		return;
	pfs_packset_lose(m->set, &m->ids[i]);
	o->lost = true;
	/* Nothing is written to a pack any more of which something was lost. */
	for (int slot = 0; slot < OPEN; slot++)
		if (m->open[slot] == o->now.pack)
			start_pack(m, slot);
}

static void doubt(struct model *m, unsigned i)
{
	struct object *o = &m->objects[i];
	struct pfs_place place;

	if (o->given_up || !look_at(m, i))
		return;
	cr_assert(pfs_packset_find(m->set, &m->ids[i], &place));
	pfs_packset_doubt(m->set, &m->ids[i], &place);
	o->doubted = true;
}

static void step(struct model *m)
{
	unsigned i = (unsigned)draw(m, IDS), p;
	unsigned what = (unsigned)draw(m, 1000);

	if (what < 800) {
		if (!pfs_packset_has(m->set, &m->ids[i]) || draw(m, 10) == 0)
			put(m, i);
		if (pfs_packset_is_due(m->set))
			pfs_packset_tidy(m->set, NULL);
	} else if (what < 850) {
		look_at(m, i);
	} else if (what < 870) {
		doubt(m, i);
	} else if (what < 880) {
		lose(m, i);
	} else if (what < 920) {
		pfs_packset_tidy(m->set, NULL);
	} else if (what < 950) {
		if ((p = sealed_pack(m)) < PACKS)
			condemn(m, p, draw(m, 3) == 0);
	} else if (what < 980) {
		if ((p = sealed_pack(m)) < PACKS)
			drop(m, p);
	} else if (what < 985) {
		cr_assert_eq(pfs_packset_rebuild(m->set, NULL), 0);
		m->moved = true;
	} else if (what < 990) {
		damage_index(m);
		m->moved = true;
	} else if (what < 998) {
		reopen(m);
	} else {
		seal_pack(m, (int)draw(m, OPEN));
	}
}

static void play(uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	cr_assert(m);
	m->dir = scratch_new();
	m->fd = pfs_io_open(AT_FDCWD, m->dir.path, O_RDONLY | O_DIRECTORY, 0, NULL);
	m->random = seed * 0x9e3779b97f4a7c15u + 1;
	for (unsigned i = 0; i < IDS; i++)
		scratch_fill(&m->ids[i], sizeof(m->ids[i]), i + 1);
	open_set(m);
	for (int slot = 0; slot < OPEN; slot++)
		start_pack(m, slot);
	for (unsigned s = 0; s < STEPS; s++) {
		step(m);
		if (s % 200 == 0)
			look_at_all(m);
	}
	for (int slot = 0; slot < OPEN; slot++)
		pfs_packfooter_fini(&m->packs[m->open[slot]].footer);
	pfs_packset_free(&m->set);
	pfs_fd_close(&m->fd);
	scratch_fini(&m->dir);
	free(m);
}

Test(packset_model, finds_and_counts_what_is_there_whatever_happens)
{
	footpack_in_memory();
	pfs_packset_set_batch(BATCH);
	for (uint64_t seed = 1; seed <= 5; seed++)
		play(seed);
}
