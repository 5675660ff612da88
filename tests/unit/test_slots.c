#include "fuse/slots.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define N (3 * PFS_SLOTS_PAGE + 7)

struct item {
	uint64_t a;
	uint32_t b;
};

static void fill(struct pfs_slots *s, uint32_t n)
{
	uint32_t number;

	cr_assert_eq(pfs_slots_init(s, sizeof(struct item), NULL), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct item *item = pfs_slots_take(s, &number);

		cr_assert_eq(number, i, "numbers are given from the lowest on");
		cr_assert_eq(item->a, 0);
		item->a = i + 1;
	}
}

Test(slots, items_stay_where_they_are_and_are_found_by_number)
{
	struct pfs_slots s;
	struct item *first;

	fill(&s, 1);
	first = pfs_slots_find(&s, 0);
	pfs_slots_fini(&s);
	fill(&s, N);
	first = pfs_slots_find(&s, 0);
	for (uint32_t i = 0; i < N; i++)
		cr_assert_eq(((struct item *)pfs_slots_find(&s, i))->a, i + 1);
	cr_expect_eq(first->a, 1);
	cr_expect_eq(s.n, N);
	cr_expect_null(pfs_slots_find(&s, 4 * PFS_SLOTS_PAGE), "a page that is not there");
	cr_expect_null(pfs_slots_find(&s, PFS_SLOTS_MAX));
	cr_expect_null(pfs_slots_find(&s, UINT64_MAX));
	cr_expect_eq(((struct item *)pfs_slots_find(&s, N))->a, 0, "nobody has it");
	pfs_slots_fini(&s);
}

Test(slots, what_was_given_back_is_zero_and_taken_first)
{
	struct pfs_slots s;
	struct item *item;
	uint32_t number;

	fill(&s, N);
	pfs_slots_give(&s, 1234);
	cr_expect_eq(((struct item *)pfs_slots_find(&s, 1234))->a, 0);
	item = pfs_slots_take(&s, &number);
	cr_expect_eq(number, 1234);
	cr_expect_eq(item->a, 0);
	cr_expect_eq(s.n, N);
	pfs_slots_fini(&s);
}

Test(slots, a_number_is_taken_once)
{
	struct pfs_slots s;
	uint32_t number;

	fill(&s, 3);
	cr_expect_null(pfs_slots_take_at(&s, 2));
	cr_expect_not_null(pfs_slots_take_at(&s, 3));
	cr_expect_not_null(pfs_slots_take_at(&s, 5 * PFS_SLOTS_PAGE), "pages between are missing");
	cr_expect_null(pfs_slots_take_at(&s, 5 * PFS_SLOTS_PAGE));
	cr_expect_null(pfs_slots_take_at(&s, PFS_SLOTS_MAX));
	cr_expect_null(pfs_slots_take_at(&s, UINT32_MAX));
	cr_expect_not_null(pfs_slots_take(&s, &number));
	cr_expect_neq(number, 3);
	cr_expect_neq(number, 5 * PFS_SLOTS_PAGE);
	cr_expect_eq(s.n, 6);
	pfs_slots_fini(&s);
}

Test(slots, pages_that_nobody_uses_are_freed)
{
	struct pfs_slots s;

	fill(&s, N);
	for (uint32_t i = PFS_SLOTS_PAGE; i < N; i++)
		pfs_slots_give(&s, i);
	cr_expect_null(pfs_slots_find(&s, PFS_SLOTS_PAGE));
	cr_expect_null(pfs_slots_find(&s, 2 * PFS_SLOTS_PAGE));
	cr_expect_not_null(pfs_slots_find(&s, 3 * PFS_SLOTS_PAGE), "one with room is kept");
	cr_expect_eq(((struct item *)pfs_slots_find(&s, 5))->a, 6);
	pfs_slots_fini(&s);
}

#define MANY (4 * PFS_SLOTS_PAGE)

Test(slots, any_order_of_taking_and_giving_keeps_count)
{
	static bool used[MANY];
	struct pfs_slots s;
	uint32_t n = 0, seen = 0, number;

	srand(1);
	cr_assert_eq(pfs_slots_init(&s, sizeof(struct item), NULL), 0);
	for (int step = 0; step < 200000; step++) {
		uint32_t at = (uint32_t)rand() % MANY;
		struct item *item;

		if (used[at]) {
			item = pfs_slots_find(&s, at);
			cr_assert_eq(item->a, at + 1);
			pfs_slots_give(&s, at);
			used[at] = false;
			n--;
		} else if (rand() % 2) {
			item = pfs_slots_take_at(&s, at);
			cr_assert_not_null(item);
			item->a = at + 1;
			used[at] = true;
			n++;
		} else if (n < MANY / 2) {
			item = pfs_slots_take(&s, &number);
			cr_assert(number < MANY && !used[number]);
			item->a = number + 1;
			used[number] = true;
			n++;
		}
		cr_assert_eq(s.n, n);
	}
	for (number = 0; pfs_slots_next(&s, &number); number++, seen++)
		cr_assert(used[number]);
	cr_expect_eq(seen, n);
	pfs_slots_fini(&s);
	cr_expect_null(s.pages);
	pfs_slots_fini(&s);
}
