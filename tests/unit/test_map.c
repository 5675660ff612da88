#include "base/map.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct item {
	char key[16];
	int present;
};

/* A shadow array against the map, under random adds and removals: removal has to close the run. */
Test(map, agrees_with_a_shadow_under_random_changes)
{
	static struct item items[500];
	struct pfs_map m;
	unsigned seed = 12345;
	size_t count = 0;

	pfs_map_init(&m);
	for (size_t i = 0; i < 500; i++)
		snprintf(items[i].key, sizeof(items[i].key), "key-%zu", i);
	for (int step = 0; step < 100000; step++) {
		struct item *it;

		seed = seed * 1103515245 + 12345;
		it = &items[(seed >> 8) % 500];
		if (seed >> 31) {
			cr_assert_eq(pfs_map_set(&m, it->key, strlen(it->key), it, NULL), 0);
			count += !it->present;
			it->present = 1;
		} else {
			void *was = pfs_map_remove(&m, it->key, strlen(it->key));

			cr_assert_eq(was, it->present ? it : NULL);
			count -= (size_t)it->present;
			it->present = 0;
		}
		cr_assert_eq(m.len, count);
	}
	for (size_t i = 0; i < 500; i++)
		cr_expect_eq(pfs_map_find(&m, items[i].key, strlen(items[i].key)),
			     items[i].present ? &items[i] : NULL);
	pfs_map_fini(&m);
}

Test(map, adds_only_what_is_not_there)
{
	static unsigned keys[1000], others[1000];
	struct pfs_map m;
	void *there;

	pfs_map_init(&m);
	for (unsigned i = 0; i < 1000; i++) {
		keys[i] = others[i] = i;
		there = &m;
		cr_assert_eq(pfs_map_add(&m, &keys[i], sizeof(*keys), &keys[i], &there, NULL), 0);
		cr_assert_null(there);
	}
	for (unsigned i = 0; i < 1000; i++) {
		cr_assert_eq(pfs_map_add(&m, &others[i], sizeof(*keys), &others[i], &there, NULL),
			     0);
		cr_expect_eq(there, &keys[i]);
		cr_expect_eq(pfs_map_find(&m, &others[i], sizeof(*keys)), &keys[i]);
	}
	cr_expect_eq(m.len, 1000);
	pfs_map_fini(&m);
}

Test(map, gives_back_the_room_of_what_was_removed)
{
	static unsigned keys[20000];
	size_t n = sizeof(keys) / sizeof(*keys), largest;
	struct pfs_map m;

	pfs_map_init(&m);
	for (unsigned i = 0; i < n; i++) {
		keys[i] = i;
		cr_assert_eq(pfs_map_set(&m, &keys[i], sizeof(*keys), &keys[i], NULL), 0);
	}
	largest = m.cap;
	for (unsigned i = 100; i < n; i++)
		cr_assert_eq(pfs_map_remove(&m, &keys[i], sizeof(*keys)), &keys[i]);
	cr_expect_lt(m.cap, largest / 4);
	for (unsigned i = 0; i < n; i++)
		cr_expect_eq(pfs_map_find(&m, &keys[i], sizeof(*keys)), i < 100 ? &keys[i] : NULL);
	pfs_map_fini(&m);
}

Test(map, walks_every_value_once)
{
	int values[100];
	char keys[100];
	struct pfs_map m;
	size_t pos = 0, n = 0;

	pfs_map_init(&m);
	for (int i = 0; i < 100; i++) {
		keys[i] = (char)i;
		values[i] = 0;
		pfs_map_set(&m, &keys[i], 1, &values[i], NULL);
	}
	for (int *v; (v = pfs_map_next(&m, &pos)); n++)
		cr_expect_eq(++*v, 1);
	cr_expect_eq(n, 100);
	pfs_map_fini(&m);
}
