#include "store/store.h"

#include <criterion/criterion.h>
#include <string.h>

static struct pfs_store *st, *aside;

static void setup(void)
{
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	cr_assert_eq(pfs_store_open_aside(st, &aside, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&aside);
	pfs_store_close(&st);
}

TestSuite(aside, .init = setup, .fini = teardown);

static struct pfs_id put(struct pfs_store *in, enum pfs_kind kind, const char *text)
{
	struct pfs_id id = { 0 };

	cr_assert_eq(pfs_store_put(in, kind, text, strlen(text), &id, NULL), 0);
	return id;
}

static void expect_text(struct pfs_store *in, enum pfs_kind kind, const struct pfs_id *id,
			const char *text)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_get(in, kind, id, &o, &err), 0, "%s: %s", text, err.text);
	cr_expect_eq(o->len, strlen(text), "%s", text);
	cr_expect_eq(memcmp(o->data, text, o->len), 0, "%s", text);
	cr_expect(pfs_store_has(in, kind, id), "%s", text);
}

Test(aside, keeps_nodes_for_itself_under_the_ids_they_would_get)
{
	static const enum pfs_kind kinds[] = { PFS_KIND_SEQNODE, PFS_KIND_DIRNODE, PFS_KIND_COMMIT,
					       PFS_KIND_XATTRS };
	struct pfs_store_stats theirs, ours;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct pfs_id id = put(aside, kinds[i], "a node"), same;
		const struct pfs_object *o = NULL;

		put(aside, kinds[i], "a node");
		pfs_store_id(st, kinds[i], "a node", 6, &same);
		cr_expect(pfs_id_equal(&id, &same));
		expect_text(aside, kinds[i], &id, "a node");
		cr_expect_eq(pfs_store_get(st, kinds[i], &id, &o, NULL), PFS_E_NOTFOUND);
	}
	pfs_store_stats(st, &theirs);
	pfs_store_stats(aside, &ours);
	cr_expect_eq(theirs.put_objects + theirs.put_duplicates, 0);
	cr_expect_eq(ours.objects, 4);
	cr_expect_eq(ours.object_bytes, 24);
	cr_expect_eq(ours.put_duplicates, 4);
}

Test(aside, reads_what_the_other_one_has)
{
	struct pfs_id node = put(st, PFS_KIND_DIRNODE, "a node"),
		      chunk = put(st, PFS_KIND_CHUNK, "bytes"), none = { { 1 } };
	const struct pfs_object *o = NULL;

	expect_text(aside, PFS_KIND_DIRNODE, &node, "a node");
	expect_text(aside, PFS_KIND_CHUNK, &chunk, "bytes");
	cr_expect_eq(pfs_store_get(aside, PFS_KIND_CHUNK, &node, &o, NULL), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_store_get(aside, PFS_KIND_DIRNODE, &none, &o, NULL), PFS_E_NOTFOUND);
	cr_expect_not(pfs_store_has(aside, PFS_KIND_DIRNODE, &none));
}

/* Who reads here does not need it there any more. */
Test(aside, keeps_a_node_that_the_other_one_has_as_well)
{
	struct pfs_store_stats ours;

	put(st, PFS_KIND_DIRNODE, "a node");
	put(aside, PFS_KIND_DIRNODE, "a node");
	pfs_store_stats(aside, &ours);
	cr_expect_eq(ours.objects, 1);
}

Test(aside, gives_bytes_of_files_an_id_and_forgets_them)
{
	struct pfs_id id = put(aside, PFS_KIND_CHUNK, "bytes"), same;
	struct pfs_store_item items[3] = { { "one", 3, NULL, { { 0 } } },
					   { "two", 3, NULL, { { 0 } } },
					   { "one", 3, NULL, { { 0 } } } };
	const struct pfs_object *o = NULL;
	struct pfs_store_stats ours;

	pfs_store_id(st, PFS_KIND_CHUNK, "bytes", 5, &same);
	cr_expect(pfs_id_equal(&id, &same));
	cr_expect_eq(pfs_store_get(aside, PFS_KIND_CHUNK, &id, &o, NULL), PFS_E_NOTFOUND);
	cr_assert_eq(pfs_store_put_batch(aside, PFS_KIND_CHUNK, items, 3, NULL), 0);
	pfs_store_id(st, PFS_KIND_CHUNK, "two", 3, &same);
	cr_expect(pfs_id_equal(&items[1].id, &same));
	cr_expect(pfs_id_equal(&items[0].id, &items[2].id));
	pfs_store_stats(aside, &ours);
	cr_expect_eq(ours.objects, 0);
	pfs_store_stats(st, &ours);
	cr_expect_eq(ours.objects, 0);
}
