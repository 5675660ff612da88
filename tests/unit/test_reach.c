#include "tree/reach.h"
#include "base/idset.h"
#include "tree/content.h"
#include "tree/tree.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 700u
#define BIG_SIZE  (20u << 20) /* a sequence tree of more than one level */

/* What the walk was told, in order, and where it shall see damage. */
struct told {
	struct pfs_store *st;
	struct pfs_idset seen;
	unsigned told, nodes;
	enum pfs_kind kinds[2000];
	struct pfs_id ids[2000];
	unsigned broken;
};

static int visit(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	struct told *t = arg;
	int rc = pfs_idset_add(&t->seen, id, err);

	if (rc == 1) {
		cr_assert_lt(t->told, 2000u);
		t->kinds[t->told] = kind;
		t->ids[t->told++] = *id;
	}
	return rc;
}

static unsigned char bytes[BIG_SIZE];

static void make_content(struct pfs_store *st, size_t len, unsigned seed, struct pfs_content *out)
{
	scratch_fill(bytes, len, seed);
	cr_assert_eq(pfs_content_from_bytes(st, bytes, len, out, NULL), 0);
}

/* A directory of `n` files, a fifth of them with attribute sets, and the directories given. */
static struct pfs_id make_dir(struct pfs_store *st, unsigned n, unsigned seed,
			      const struct pfs_id *below, unsigned n_below)
{
	static struct pfs_entry entries[NAMES_MAX];
	static struct pfs_edit edits[NAMES_MAX];
	static char names[NAMES_MAX][16];
	struct pfs_id dir = { 0 }, out;

	for (unsigned i = 0; i < n + n_below; i++) {
		struct pfs_entry *e = &entries[i];

		memset(e, 0, sizeof(*e));
		snprintf(names[i], sizeof(names[i]), "%05u", i);
		e->attrs.mode = 0644;
		if (i < n) {
			e->type = PFS_ENTRY_FILE;
			make_content(st, i % 7 ? 20 + i : 3000, seed + i, &e->content);
			if (i % 5 == 0)
				cr_assert_eq(pfs_store_put(st, PFS_KIND_XATTRS, names[i], 3,
							   &e->xattrs, NULL),
					     0);
		} else {
			struct pfs_tree_totals t;

			e->type = PFS_ENTRY_DIR;
			e->dir = below[i - n];
			cr_assert_eq(pfs_tree_totals(st, &e->dir, &t, NULL), 0);
			e->dir_entries = t.entries;
			e->dir_bytes = t.bytes;
		}
		edits[i] = (struct pfs_edit){ names[i], strlen(names[i]), e };
	}
	cr_assert_eq(pfs_tree_edit(st, &dir, edits, n + n_below, &out, NULL), 0);
	return out;
}

/* A large directory, a small one and one that holds both, with a large file in it. */
static struct pfs_id make_tree(struct pfs_store *st)
{
	struct pfs_id below[3], top;
	struct pfs_entry big = { .type = PFS_ENTRY_FILE, .attrs.mode = 0600 };
	struct pfs_edit edit = { "zz", 2, &big };

	below[0] = make_dir(st, 600, 1, NULL, 0);
	below[1] = below[0];
	below[2] = make_dir(st, 3, 9000, NULL, 0);
	top = make_dir(st, 10, 500, below, 3);
	make_content(st, BIG_SIZE, 77, &big.content);
	cr_assert_eq(pfs_tree_edit(st, &top, &edit, 1, &top, NULL), 0);
	return top;
}

/* Read everything below a directory; the sums have to be what it says. */
static void read_all(struct pfs_store *st, const struct pfs_id *dir)
{
	PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
	const struct pfs_object *o = NULL;
	const struct pfs_entry *e;
	struct pfs_error err = { 0 };
	uint64_t off;
	size_t got;
	int rc;

	cr_assert_eq(pfs_cursor_open(st, dir, &c, &err), 0, "%s", err.text);
	while ((rc = pfs_cursor_next(c, &e, &err)) == 1) {
		PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;

		if (!pfs_id_is_zero(&e->xattrs)) {
			cr_assert_eq(pfs_store_get(st, PFS_KIND_XATTRS, &e->xattrs, &o, &err), 0);
			pfs_object_unref(&o);
		}
		if (e->type == PFS_ENTRY_DIR) {
			read_all(st, &e->dir);
			continue;
		}
		cr_assert_eq(pfs_content_reader_open(st, &e->content, &r, &err), 0);
		for (off = 0; off < e->content.size; off += got)
			cr_assert_eq(pfs_content_read(r, off, bytes, sizeof(bytes), &got, &err), 0,
				     "%s", err.text);
	}
	cr_assert_eq(rc, 0, "%s", err.text);
}

Test(reach, what_it_tells_is_enough_to_have_everything_elsewhere)
{
	struct told *t = calloc(1, sizeof(*t));
	struct pfs_store *from = NULL, *to = NULL;
	struct pfs_reach r = { .visit = visit, .arg = t };
	struct pfs_error err = { 0 };
	struct pfs_id top;

	cr_assert_eq(pfs_store_open_mem(&from, NULL), 0);
	cr_assert_eq(pfs_store_open_mem(&to, NULL), 0);
	top = make_tree(from);
	r.st = from;
	cr_assert_eq(pfs_reach_dir(&r, &top, &err), 0, "%s", err.text);
	for (unsigned i = 0; i < t->told; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		struct pfs_id id;

		cr_assert_eq(pfs_store_get(from, t->kinds[i], &t->ids[i], &o, &err), 0, "%s",
			     err.text);
		cr_assert_eq(pfs_store_put(to, t->kinds[i], o->data, o->len, &id, &err), 0);
		cr_assert(pfs_id_equal(&id, &t->ids[i]), "told as another kind");
	}
	read_all(to, &top);
	pfs_reach_fini(&r);
	pfs_idset_fini(&t->seen);
	pfs_store_close(&from);
	pfs_store_close(&to);
	free(t);
}

Test(reach, tells_nothing_that_is_not_there_for_the_root)
{
	struct told *t = calloc(1, sizeof(*t));
	struct pfs_store *st = NULL;
	struct pfs_store_stats stats;
	struct pfs_reach r = { .visit = visit, .arg = t };
	struct pfs_id dir;

	/* One edit of the empty directory stores nothing but its nodes and what they name. */
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	dir = make_dir(st, 600, 1, NULL, 0);
	pfs_store_stats(st, &stats);
	r.st = st;
	cr_assert_eq(pfs_reach_dir(&r, &dir, NULL), 0);
	cr_expect_eq(t->told, stats.objects);
	/* Again: the root alone is asked about. */
	cr_assert_eq(pfs_reach_dir(&r, &dir, NULL), 0);
	cr_expect_eq(t->told, stats.objects);
	pfs_reach_fini(&r);
	pfs_idset_fini(&t->seen);
	pfs_store_close(&st);
	free(t);
}

/* Says of everything that it is new: each way to a node is walked. */
static int always(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	struct told *t = arg;

	t->told++;
	if (kind == PFS_KIND_DIRNODE && ++t->nodes == 5)
		return pfs_fail(err, PFS_E_BUSY, "enough");
	return 1;
}

Test(reach, ends_when_visit_says_so)
{
	struct told t = { 0 };
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	struct pfs_reach r = { .visit = always, .arg = &t };
	struct pfs_id top, zero = { 0 };

	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	top = make_tree(st);
	r.st = st;
	cr_assert_eq(pfs_reach_dir(&r, &zero, &err), 0);
	cr_expect_eq(t.told, 0, "the empty directory has no node");
	cr_assert_eq(pfs_reach_dir(&r, &top, &err), PFS_E_BUSY);
	cr_expect_eq(t.nodes, 5);
	cr_expect_eq(strcmp(err.text, "enough"), 0, "%s", err.text);
	pfs_reach_fini(&r);
	pfs_store_close(&st);
}

static int go_on(void *arg, enum pfs_kind kind, const struct pfs_id *id,
		 const struct pfs_error *why, struct pfs_error *err)
{
	struct told *t = arg;

	cr_expect_eq(why->code, PFS_E_CORRUPT);
	t->broken++;
	return 0;
}

Test(reach, a_node_that_is_not_there_is_named_or_passed_over)
{
	struct told *t = calloc(1, sizeof(*t));
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	struct pfs_reach r = { .visit = visit, .arg = t };
	struct pfs_id below[2], top;
	struct pfs_store *other = NULL;
	char hex[PFS_ID_HEX_SIZE];

	/* The second directory stands in another store only. */
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	cr_assert_eq(pfs_store_open_mem(&other, NULL), 0);
	below[0] = make_dir(st, 3, 1, NULL, 0);
	below[1] = make_dir(other, 3, 50, NULL, 0);
	make_dir(other, 3, 1, NULL, 0);
	top = make_dir(other, 2, 100, below, 2);
	r.st = other;
	cr_assert_eq(pfs_reach_dir(&r, &top, NULL), 0);
	cr_expect_eq(t->told, 3 + 3 + 1, "nodes, chunks and an attribute set: %u", t->told);
	pfs_idset_fini(&t->seen);
	{
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		struct pfs_id id;

		cr_assert_eq(pfs_store_get(other, PFS_KIND_DIRNODE, &top, &o, NULL), 0);
		cr_assert_eq(pfs_store_put(st, PFS_KIND_DIRNODE, o->data, o->len, &id, NULL), 0);
	}
	r.st = st;
	cr_expect_eq(pfs_reach_dir(&r, &top, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, pfs_id_format(&below[1], hex)), "%s", err.text);
	pfs_idset_fini(&t->seen);
	r.broken = go_on;
	cr_expect_eq(pfs_reach_dir(&r, &top, &err), 0);
	cr_expect_eq(t->broken, 1);
	cr_expect(pfs_idset_has(&t->seen, &below[0]), "what stands beside it is walked");
	pfs_reach_fini(&r);
	pfs_idset_fini(&t->seen);
	pfs_store_close(&st);
	pfs_store_close(&other);
	free(t);
}
