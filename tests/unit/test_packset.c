#include "store/packset.h"
#include "store/locality.h"
#include "../footpack.h"

#include <criterion/criterion.h>
#include <unistd.h>

static struct pfs_id id_of(unsigned i)
{
	struct pfs_id id;

	scratch_fill(&id, sizeof(id), i + 1);
	return id;
}

struct world {
	struct scratch dir;
	int fd;
	struct pfs_packset *set;
};

static struct world world_new(void)
{
	static const unsigned char uuid[PFS_UUID_SIZE] = "a store";
	struct world w = { .dir = scratch_new() };

	w.fd = pfs_io_open(AT_FDCWD, w.dir.path, O_RDONLY | O_DIRECTORY, 0, NULL);
	cr_assert_eq(pfs_packset_new(w.fd, uuid, &w.set, NULL), 0);
	return w;
}

static void world_fini(struct world *w)
{
	pfs_packset_free(&w->set);
	pfs_fd_close(&w->fd);
	scratch_fini(&w->dir);
}

/* A sealed pack whose file is there, with nothing in it: what is in it is only said. */
static struct pfs_pack *add_pack(struct world *w, unsigned i)
{
	char path[PFS_PACK_PATH_SIZE], folder[PFS_PACK_PATH_SIZE];
	unsigned char uuid[PFS_UUID_SIZE];
	struct pfs_pack *pack;
	int fd;

	scratch_fill(uuid, sizeof(uuid), i + 1000);
	pfs_pack_path(uuid, PFS_PACK_DATA, true, path);
	snprintf(folder, sizeof(folder), "%.10s", path);
	cr_assert_eq(pfs_io_mkdir_all(w->fd, folder, NULL), 0);
	fd = pfs_io_open(w->fd, path, O_RDWR | O_CREAT, 0600, NULL);
	cr_assert_geq(fd, 0);
	pfs_fd_close(&fd);
	cr_assert_eq(pfs_packset_add_pack(w->set, uuid, PFS_PACK_DATA, true, 1000, -1, &pack, NULL),
		     0);
	return pack;
}

static void set(struct world *w, unsigned i, const struct pfs_pack *pack)
{
	struct pfs_place place = {
		.pack = pack->number, .off = 64, .clen = 10, .ulen = 10, .type = 1
	};
	struct pfs_id id = id_of(i);

	cr_assert_eq(pfs_packset_reserve(w->set, 1, NULL), 0);
	pfs_packset_set(w->set, &id, &place);
}

static bool has(struct world *w, unsigned i)
{
	struct pfs_id id = id_of(i);

	return pfs_packset_has(w->set, &id);
}

static bool lies_in(struct world *w, unsigned i, const struct pfs_pack *pack)
{
	struct pfs_id id = id_of(i);
	struct pfs_place place;

	return pfs_packset_find(w->set, &id, &place) && place.pack == pack->number;
}

Test(packset, does_not_offer_to_puts_what_lies_in_a_condemned_pack)
{
	struct world w = world_new();
	struct pfs_pack *a = add_pack(&w, 1), *b = add_pack(&w, 2);

	set(&w, 1, a);
	set(&w, 2, a);
	set(&w, 3, b);
	pfs_packset_condemn(w.set, a, true);
	cr_expect(!has(&w, 1) && lies_in(&w, 1, a));
	cr_expect(has(&w, 3));
	set(&w, 2, b);
	cr_expect(has(&w, 2) && lies_in(&w, 2, b));
	pfs_packset_condemn(w.set, a, false);
	cr_expect(has(&w, 1));
	world_fini(&w);
}

Test(packset, finds_nothing_in_a_dropped_pack)
{
	struct world w = world_new();
	struct pfs_pack *a = add_pack(&w, 1), *b = add_pack(&w, 2);
	struct pfs_packset_totals totals;
	size_t pos = 0;
	int fd;

	for (unsigned i = 0; i < 10; i++)
		set(&w, i, a);
	set(&w, 20, b);
	set(&w, 3, b); /* moved */
	cr_assert_eq(pfs_packset_lend(w.set, a, &fd, NULL), 0);
	cr_assert_eq(pfs_packset_drop_pack(w.set, a, NULL), 0);
	cr_expect(fcntl(fd, F_GETFD) >= 0, "closed under a reader's hands");
	pfs_packset_return(w.set, a);
	cr_expect(fcntl(fd, F_GETFD) < 0, "kept open for nobody");
	cr_expect_eq(pfs_packset_lend(w.set, a, &fd, NULL), PFS_E_NOTFOUND);
	for (unsigned i = 0; i < 10; i++)
		cr_expect_eq(lies_in(&w, i, b), i == 3, "%u", i);
	pfs_packset_count(w.set, &totals);
	cr_expect(totals.objects == 2 && totals.object_bytes == 20 && totals.packs == 1);
	cr_expect_eq(pfs_packset_lost(w.set), 0);
	cr_expect_eq(pfs_packset_next(w.set, &pos), b);
	cr_expect_null(pfs_packset_next(w.set, &pos));
	set(&w, 4, b);
	cr_expect(has(&w, 4), "put again");
	pfs_packset_count(w.set, &totals);
	cr_expect_eq(totals.objects, 3);
	world_fini(&w);
}

/* A pack of `n` objects that says what it holds; then what is due is done. */
static void fill_pack(struct world *w, unsigned p, unsigned from, unsigned n)
{
	static const unsigned char store_uuid[PFS_UUID_SIZE] = "a store";
	struct pfs_pack *pack = add_pack(w, p);
	struct pfs_packfooter f;

	pfs_packfooter_init(&f, PFS_PACK_DATA);
	for (unsigned i = 0; i < n; i++) {
		struct pfs_id id = id_of(from + i);
		struct pfs_place place = { .pack = pack->number,
					   .off = footpack_off(i),
					   .clen = FOOTPACK_CLEN,
					   .ulen = FOOTPACK_CLEN,
					   .type = 1 };

		footpack_add(&f, &id);
		cr_assert_eq(pfs_packset_reserve(w->set, 1, NULL), 0);
		pfs_packset_set(w->set, &id, &place);
	}
	pack->seq = p + 1;
	pack->size = footpack_write(w->fd, pack->uuid, store_uuid, p + 1, &f);
	pfs_packfooter_fini(&f);
	pfs_packset_complete(w->set, pack);
	while (pfs_packset_tidy(w->set, NULL) == 1)
		;
}

static void fill_index(struct world *w, unsigned n)
{
	for (unsigned p = 0; p * 40 < n; p++)
		fill_pack(w, p, p * 40, 40);
}

Test(packset, writes_a_large_pack_into_several_runs)
{
	struct pfs_packset_totals totals;
	struct world w;

	pfs_packset_set_batch(100);
	w = world_new();
	fill_pack(&w, 1, 0, 50);
	fill_pack(&w, 2, 30, 1000); /* twenty of the first again */
	pfs_packset_count(w.set, &totals);
	cr_expect(totals.objects == 1030 && totals.object_bytes == 10300 && totals.in_memory == 0);
	cr_expect_eq(totals.index_runs, 6, "%llu", (unsigned long long)totals.index_runs);
	for (unsigned i = 0; i < 1030; i++)
		cr_assert(lies_in(&w, i, pfs_packset_pack(w.set, i < 30 ? 0 : 1)), "%u", i);
	cr_expect(pfs_packset_pack(w.set, 0)->run_objects == 30 &&
		  pfs_packset_pack(w.set, 1)->run_objects == 1000);
	world_fini(&w);
}

Test(packset, keeps_in_memory_what_is_not_in_runs)
{
	struct pfs_packset_totals totals;
	struct world w;

	pfs_packset_set_batch(200);
	w = world_new();
	fill_index(&w, 1120);
	pfs_packset_count(w.set, &totals);
	cr_expect_eq(totals.objects, 1120);
	cr_expect_eq(totals.in_memory, 120, "%llu", (unsigned long long)totals.in_memory);
	cr_expect_eq(totals.index_runs, 5);
	world_fini(&w);
}

Test(packset, reads_the_list_of_a_pack_no_more_often_than_look_ups_pay_for)
{
	enum { PACKS = PFS_LOCALITY_PACKS + 4, EACH = 320, PAYS = EACH / PFS_LOCALITY_PER_LOOKUP };
	struct pfs_packset_totals totals;
	unsigned asked = 0;
	struct world w;

	pfs_packset_set_batch(EACH);
	w = world_new();
	for (unsigned p = 0; p < PACKS; p++)
		fill_pack(&w, p, p * EACH, EACH);
	for (unsigned i = 0; i < PACKS * EACH; i++)
		cr_assert(has(&w, i));
	pfs_packset_count(w.set, &totals);
	cr_expect_eq(totals.lists_read, PACKS, "in the order of the packs: each list once");

	/* Two of each in turn: whenever a pack is asked again, its list had to make room. */
	for (unsigned i = 0; i + 1 < EACH; i += 2)
		for (unsigned p = 0; p < PACKS; p++, asked += 2)
			cr_assert(has(&w, p * EACH + i) && has(&w, p * EACH + i + 1));
	pfs_packset_count(w.set, &totals);
	cr_expect_leq(totals.lists_read, PACKS + asked / PAYS, "%llu lists for %u look-ups",
		      (unsigned long long)totals.lists_read, asked);
	cr_expect_geq(totals.lists_read, 2 * PACKS, "they are missed at last");
	world_fini(&w);
}

Test(packset, doubts_what_it_tells_from_a_run_or_from_the_neighbours)
{
	struct pfs_pack *elsewhere;
	struct pfs_place place;
	struct pfs_id id;
	struct world w;

	pfs_packset_set_batch(200);
	w = world_new();
	fill_index(&w, 400);
	elsewhere = add_pack(&w, 100);
	for (unsigned i = 0; i < 40; i++) {
		id = id_of(i);
		cr_assert(has(&w, i)); /* from the second on out of the list of the pack */
		cr_assert(pfs_packset_find(w.set, &id, &place));
		pfs_packset_doubt(w.set, &id, &place);
		cr_assert(!has(&w, i) && pfs_packset_find(w.set, &id, NULL));
		if (i % 2)
			set(&w, i, elsewhere);
	}
	for (unsigned i = 0; i < 40; i++)
		cr_expect_eq(has(&w, i), i % 2 == 1, "%u", i);
	cr_assert_eq(pfs_packset_rebuild(w.set, NULL), 0);
	for (unsigned i = 0; i < 40; i++)
		cr_expect_eq(has(&w, i), i % 2 == 1, "%u: a new index made it whole", i);
	world_fini(&w);
}

Test(packset, doubts_a_copy_that_is_found_again_when_the_whole_one_goes)
{
	struct pfs_pack *whole;
	struct pfs_place place;
	struct pfs_id id = id_of(0);
	struct world w;

	pfs_packset_set_batch(40);
	w = world_new();
	fill_pack(&w, 1, 0, 40);
	cr_assert(pfs_packset_find(w.set, &id, &place));
	pfs_packset_doubt(w.set, &id, &place);
	fill_pack(&w, 2, 0, 40);
	whole = pfs_packset_pack(w.set, 1);
	cr_assert(has(&w, 0) && has(&w, 1) && lies_in(&w, 0, whole));
	cr_expect_not(pfs_packset_has_doubts(w.set));
	cr_assert_eq(pfs_packset_drop_pack(w.set, whole, NULL), 0);
	cr_expect(!has(&w, 0) && has(&w, 1));
	cr_expect(pfs_packset_has_doubts(w.set));
	world_fini(&w);
}

Test(packset, keeps_the_room_that_was_reserved_while_the_table_is_emptied)
{
	struct pfs_pack *late;
	struct world w;

	pfs_packset_set_batch(40);
	w = world_new();
	late = add_pack(&w, 100);
	cr_assert_eq(pfs_packset_reserve(w.set, 9000, NULL), 0);
	fill_index(&w, 400);
	for (unsigned i = 0; i < 9000; i++) {
		struct pfs_place place = {
			.pack = late->number, .off = 64, .clen = 1, .ulen = 1, .type = 1
		};
		struct pfs_id id = id_of(i);

		pfs_packset_set(w.set, &id, &place);
	}
	for (unsigned i = 0; i < 9000; i++)
		cr_assert(lies_in(&w, i, late), "%u", i);
	world_fini(&w);
}
