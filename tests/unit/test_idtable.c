#include "store/idtable.h"
#include "../scratch.h"

#include <criterion/criterion.h>

#define N 49000u

static struct pfs_id id_of(unsigned i)
{
	struct pfs_id id;

	scratch_fill(&id, sizeof(id), i + 1);
	return id;
}

static struct pfs_place place_of(unsigned i)
{
	return (struct pfs_place){ .pack = i % 100,
				   .off = 8ull * i,
				   .clen = i,
				   .ulen = i % (1u << 20),
				   .type = 1 + i % 4,
				   .codec = i % 2 };
}

Test(idtable, finds_what_was_set_among_many)
{
	struct pfs_idtable t = { 0 };
	struct pfs_place got, want;

	for (unsigned i = 0; i < N; i++) {
		struct pfs_id id = id_of(i);

		want = place_of(i);
		cr_assert_eq(pfs_idtable_reserve(&t, 1, NULL), 0);
		pfs_idtable_set(&t, &id, &want, false);
	}
	for (unsigned i = 0; i < N; i++) {
		struct pfs_id id = id_of(i);

		want = place_of(i);
		cr_assert_eq(pfs_idtable_find(&t, &id, &got), PFS_IDTABLE_FOUND);
		cr_assert(got.pack == want.pack && got.off == want.off && got.clen == want.clen &&
			  got.ulen == want.ulen && got.type == want.type &&
			  got.codec == want.codec);
		id = id_of(i + N);
		cr_assert_eq(pfs_idtable_find(&t, &id, NULL), PFS_IDTABLE_ABSENT);
	}
	cr_expect_eq(t.n, N);
	cr_expect_lt(t.n_segments * 4096 * 48 + t.n_slots * 4, N * 64, "memory an object");
	pfs_idtable_fini(&t);
	pfs_idtable_fini(&t);
}

Test(idtable, keeps_offsets_up_to_the_largest_pack_and_objects_up_to_the_largest)
{
	struct pfs_place place = { .off = (1ull << 40) - 1,
				   .clen = 1u << 20,
				   .ulen = 1u << 20,
				   .type = 6,
				   .codec = 1 },
			 got;
	struct pfs_idtable t = { 0 };
	struct pfs_id id = id_of(1);

	cr_assert_eq(pfs_idtable_reserve(&t, 1, NULL), 0);
	pfs_idtable_set(&t, &id, &place, false);
	cr_assert_eq(pfs_idtable_find(&t, &id, &got), PFS_IDTABLE_FOUND);
	cr_expect(got.off == place.off && got.ulen == place.ulen && got.type == 6);
	pfs_idtable_fini(&t);
}

Test(idtable, does_not_find_the_lost_until_they_are_set_again)
{
	struct pfs_place place = place_of(1000), got;
	struct pfs_idtable t = { 0 };
	struct pfs_id id = id_of(1);

	cr_expect_eq(pfs_idtable_find(&t, &id, NULL), PFS_IDTABLE_ABSENT, "empty");
	pfs_idtable_lose(&t, &id);
	cr_assert_eq(pfs_idtable_reserve(&t, 2, NULL), 0);
	pfs_idtable_set(&t, &id, &place, false);
	pfs_idtable_lose(&t, &id);
	pfs_idtable_lose(&t, &id);
	cr_expect_eq(pfs_idtable_find(&t, &id, NULL), PFS_IDTABLE_LOST);
	cr_expect_eq(t.lost, 1);
	place.pack = 7;
	pfs_idtable_set(&t, &id, &place, false);
	cr_expect(pfs_idtable_find(&t, &id, &got) == PFS_IDTABLE_FOUND && got.pack == 7);
	cr_expect_eq(t.lost, 0);
	pfs_idtable_fini(&t);
}

static bool not_in_pack(void *arg, const struct pfs_idtable_entry *e,
			const struct pfs_idtable_entry *newest)
{
	return e->place.pack != *(const uint32_t *)arg;
}

Test(idtable, finds_the_newest_of_what_is_kept)
{
	struct pfs_idtable t = { 0 };
	struct pfs_place got;
	uint32_t gone = 3;

	cr_assert_eq(pfs_idtable_reserve(&t, 3000, NULL), 0);
	for (unsigned i = 0; i < 1000; i++)
		for (uint32_t pack = 1; pack <= 3; pack++) {
			struct pfs_place place = { .pack = pack, .off = i };
			struct pfs_id id = id_of(i);

			if (i % pack == 0)
				pfs_idtable_set(&t, &id, &place, i % 5 > 0);
		}
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 1000; i++) {
			struct pfs_id id = id_of(i);
			uint32_t newest = i % 3 == 0 && !round ? 3 : i % 2 == 0 ? 2 : 1;
			bool there = !round || i % 3 || i % 5;

			cr_assert_eq(pfs_idtable_find(&t, &id, &got),
				     there ? PFS_IDTABLE_FOUND : PFS_IDTABLE_ABSENT, "%u", i);
			cr_assert(!there || got.pack == newest, "%u is in %u, not in %u", i,
				  got.pack, newest);
		}
		cr_assert_eq(pfs_idtable_keep(&t, not_in_pack, &gone, 0, NULL), 0);
	}
	pfs_idtable_fini(&t);
}
