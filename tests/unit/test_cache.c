#include "store/cache.h"

#include <criterion/criterion.h>
#include <string.h>

#define COST (sizeof(struct pfs_counted_object) + 1000)

static struct pfs_id id_of(unsigned i)
{
	struct pfs_id id = { { 0 } };

	memcpy(id.bytes, &i, sizeof(i));
	memcpy(id.bytes + 8, &i, sizeof(i));
	return id;
}

static void add(struct pfs_cache *c, unsigned i)
{
	struct pfs_id id = id_of(i);
	struct pfs_counted_object *o = pfs_object_new(PFS_KIND_CHUNK, &id, 1000);
	const struct pfs_object *mine = &o->object;

	memset(o->bytes, (int)i, 1000);
	pfs_cache_add(c, o);
	pfs_object_unref(&mine);
}

static bool has(struct pfs_cache *c, unsigned i)
{
	struct pfs_id id = id_of(i);
	PFS_AUTO(pfs_object_unref)
	const struct pfs_object *o = pfs_cache_find(c, PFS_KIND_CHUNK, &id);

	cr_assert(!o || o->data[999] == (unsigned char)i);
	return o;
}

Test(cache, drops_what_was_not_used_for_longest)
{
	struct pfs_cache *c = NULL;

	cr_assert_eq(pfs_cache_new(3 * COST, &c, NULL), 0);
	add(c, 1);
	add(c, 2);
	add(c, 3);
	cr_expect(has(c, 1));
	add(c, 4);
	cr_expect(has(c, 1), "used a moment ago");
	cr_expect_not(has(c, 2), "the oldest");
	cr_expect(has(c, 3) && has(c, 4));
	pfs_cache_free(&c);
	pfs_cache_free(&c);
}

Test(cache, stays_within_its_bytes_and_finds_all_it_holds)
{
	struct pfs_cache *c = NULL;

	cr_assert_eq(pfs_cache_new(500 * COST, &c, NULL), 0);
	for (unsigned i = 0; i < 2000; i++) {
		add(c, i);
		cr_assert_leq(pfs_cache_bytes(c), 500 * COST);
	}
	for (unsigned i = 0; i < 1500; i++)
		cr_assert_not(has(c, i));
	for (unsigned i = 1500; i < 2000; i++)
		cr_assert(has(c, i), "%u", i);
	pfs_cache_free(&c);
}

Test(cache, leaves_an_object_to_its_reader_when_it_drops_it)
{
	struct pfs_id id = id_of(1);
	const struct pfs_object *held;
	struct pfs_cache *c = NULL;

	cr_assert_eq(pfs_cache_new(COST, &c, NULL), 0);
	add(c, 1);
	held = pfs_cache_find(c, PFS_KIND_CHUNK, &id);
	cr_assert(held);
	add(c, 2);
	cr_expect_not(has(c, 1));
	pfs_cache_free(&c);
	cr_expect_eq(held->data[0], 1);
	pfs_object_unref(&held);
}

Test(cache, lets_be_what_is_larger_than_itself_and_what_it_has)
{
	struct pfs_cache *c = NULL;

	cr_assert_eq(pfs_cache_new(COST - 1, &c, NULL), 0);
	add(c, 1);
	cr_expect_eq(pfs_cache_bytes(c), 0);
	pfs_cache_free(&c);
	cr_assert_eq(pfs_cache_new(2 * COST, &c, NULL), 0);
	add(c, 1);
	add(c, 1);
	cr_expect_eq(pfs_cache_bytes(c), COST);
	pfs_cache_free(&c);
}
