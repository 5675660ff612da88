#include "workspace/ranges.h"

#include <criterion/criterion.h>
#include <string.h>

#define SIZE 400u

static uint64_t seed = 1;

static unsigned roll(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed * 0x2545f4914f6cdd1d >> 33) % below);
}

static void add(struct pfs_ranges *r, bool *bytes, unsigned off, unsigned end)
{
	bool had = true;

	for (unsigned i = off; i < end; i++) {
		had = had && bytes[i];
		bytes[i] = true;
	}
	cr_assert_eq(pfs_ranges_reserve(r, 1, NULL), 0);
	cr_assert_eq(pfs_ranges_add(r, off, end), !had, "%u to %u", off, end);
}

static void check(const struct pfs_ranges *r, const bool *bytes)
{
	uint64_t end;

	for (size_t i = 0; i < r->n; i++) {
		cr_assert_lt(r->items[i].off, r->items[i].end);
		if (i)
			cr_assert_gt(r->items[i].off, r->items[i - 1].end, "ranges touch");
	}
	for (unsigned i = 0; i < SIZE; i++) {
		unsigned want = i;

		cr_assert_eq(pfs_ranges_find(r, i, &end), bytes[i], "byte %u", i);
		while (want < SIZE && bytes[want] == bytes[i])
			want++;
		if (want < SIZE || bytes[i])
			cr_assert_eq(end, want, "from %u", i);
		else
			cr_assert_eq(end, UINT64_MAX);
	}
}

Test(ranges, are_a_set_of_bytes)
{
	for (unsigned round = 0; round < 300; round++) {
		struct pfs_ranges r = { 0 };
		bool bytes[SIZE] = { 0 };

		for (unsigned step = 0; step < 60; step++) {
			unsigned off = roll(SIZE - 20);

			if (roll(10) == 0) {
				pfs_ranges_cut(&r, off);
				memset(bytes + off, 0, SIZE - off);
			} else {
				add(&r, bytes, off, off + 1 + roll(roll(4) ? 5 : 20));
			}
			check(&r, bytes);
		}
		pfs_ranges_fini(&r);
	}
}

Test(ranges, what_grew_is_fresh_and_a_copy_is_not)
{
	struct pfs_ranges r = { 0 }, copy = { 0 };
	bool bytes[SIZE] = { 0 };

	add(&r, bytes, 10, 20);
	add(&r, bytes, 40, 50);
	cr_assert_eq(pfs_ranges_copy(&r, &copy, NULL), 0);
	cr_expect_not(copy.items[0].fresh);
	r.items[0].fresh = r.items[1].fresh = false;
	add(&r, bytes, 12, 18);
	cr_expect_not(r.items[0].fresh, "nothing new");
	add(&r, bytes, 50, 51);
	cr_expect(r.items[1].fresh);
	pfs_ranges_refresh(&r);
	cr_expect(r.items[0].fresh);
	pfs_ranges_fini(&r);
	pfs_ranges_fini(&copy);
}

Test(ranges, widen_to_those_that_hold_them)
{
	struct pfs_ranges r = { 0 }, in = { 0 };
	bool few[SIZE] = { 0 }, many[SIZE] = { 0 };

	add(&in, many, 0, 100);
	add(&in, many, 150, 160);
	add(&in, many, 200, 300);
	add(&r, few, 5, 6);
	add(&r, few, 99, 100);
	add(&r, few, 210, 220);
	pfs_ranges_widen(&r, &in);
	memset(many + 150, 0, 10);
	check(&r, many);
	pfs_ranges_fini(&r);
	pfs_ranges_fini(&in);
}
