#include "tree/merge.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pfs_store *st;
static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

static void setup(void)
{
	seed = 4242;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&st);
}

TestSuite(merge, .init = setup, .fini = teardown, .timeout = 300);

/* --- directories in memory, names sorted -------------------------------- */

struct item {
	char name[40];
	bool dir;
	uint32_t content, mode, uid, mtime, xattrs;
	struct item *below;
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

static void free_items(struct item *d)
{
	for (size_t i = 0; i < d->n; i++)
		free_items(&d->below[i]);
	free(d->below);
	d->below = NULL;
	d->n = 0;
}

static void add_item(struct item *d, struct item it)
{
	if ((d->n & (d->n - 1)) == 0) /* room for the next power of two */
		d->below = realloc(d->below, (d->n ? 2 * d->n : 1) * sizeof(*d->below));
	d->below[d->n++] = it;
}

static struct item copy_item(const struct item *from)
{
	struct item to = *from;

	to.below = NULL;
	to.n = 0;
	for (size_t i = 0; i < from->n; i++)
		add_item(&to, copy_item(&from->below[i]));
	return to;
}

static void sort_items(struct item *d)
{
	if (d->n)
		qsort(d->below, d->n, sizeof(*d->below), by_name);
}

static struct item make_item(size_t i, int depth, size_t n)
{
	struct item it = { .mode = 0644, .mtime = 1000 + (uint32_t)roll(3) };

	snprintf(it.name, sizeof(it.name), "%s%04zu", i % 3 ? "name." : "name-", i);
	it.dir = depth > 0 && roll(3) == 0;
	it.content = (uint32_t)roll(3);
	for (size_t k = 0; it.dir && k < n; k++)
		if (roll(4))
			add_item(&it, make_item(k, depth - 1, n / 4 + 1));
	sort_items(&it);
	return it;
}

static void change_one(struct item *it)
{
	switch (roll(6)) {
	case 0:
		it->content = (uint32_t)roll(4);
		break;
	case 1:
		it->mode = 0600 + (uint32_t)roll(3);
		break;
	case 2:
		it->uid = (uint32_t)roll(3);
		break;
	case 3:
		it->xattrs = (uint32_t)roll(3);
		break;
	case 4:
		free_items(it);
		it->dir = !it->dir;
		it->content = 0;
		break;
	default:
		break;
	}
	if (roll(2))
		it->mtime = 1000 + (uint32_t)roll(6);
}

/* About one in `one_in` names changes, goes or comes. */
static void change_items(struct item *d, size_t one_in, size_t n)
{
	for (size_t i = 0; i < d->n; i++) {
		if (roll(one_in) == 0)
			change_one(&d->below[i]);
		if (d->below[i].dir)
			change_items(&d->below[i], one_in, n / 4 + 1);
	}
	for (size_t i = 0; i < d->n; i++) {
		if (roll(one_in) > 0)
			continue;
		free_items(&d->below[i]);
		d->below[i--] = d->below[--d->n];
	}
	sort_items(d);
	for (size_t i = 0, were = d->n; i < n; i++) {
		struct item fresh;

		if (roll(one_in) > 0)
			continue;
		fresh = make_item(i, 1, 3);
		if (were && bsearch(&fresh, d->below, were, sizeof(fresh), by_name))
			free_items(&fresh);
		else
			add_item(d, fresh);
	}
	sort_items(d);
}

static struct pfs_entry entry_of(const struct item *it, const struct pfs_id *dir)
{
	struct pfs_entry e = {
		.type = it->dir ? PFS_ENTRY_DIR : PFS_ENTRY_FILE,
		.attrs = { .mode = (uint16_t)it->mode, .uid = it->uid, .mtime_sec = it->mtime }
	};
	struct pfs_tree_totals t;

	e.xattrs.bytes[0] = (unsigned char)it->xattrs;
	if (it->dir) {
		cr_assert_eq(pfs_tree_totals(st, dir, &t, NULL), 0);
		e.dir = *dir;
		e.dir_entries = t.entries;
		e.dir_bytes = t.bytes;
	} else {
		e.content.size = 4;
		memcpy(e.content.bytes, &it->content, 4);
	}
	return e;
}

static struct pfs_id build(const struct item *d)
{
	struct pfs_edit *edits = calloc(d->n + 1, sizeof(*edits));
	struct pfs_entry *entries = calloc(d->n + 1, sizeof(*entries));
	struct pfs_id root = { 0 };
	struct pfs_error err = { 0 };

	for (size_t i = 0; i < d->n; i++) {
		const struct item *it = &d->below[i];
		struct pfs_id below = { 0 };

		if (it->dir)
			below = build(it);
		entries[i] = entry_of(it, &below);
		edits[i] = (struct pfs_edit){ it->name, strlen(it->name), &entries[i] };
	}
	cr_assert_eq(pfs_tree_edit(st, &root, edits, d->n, &root, &err), 0, "%s", err.text);
	free(edits);
	free(entries);
	return root;
}

/* --- the same merge, the obviously right way ----------------------------- */

struct text {
	char *p;
	size_t len, cap;
};

static void say(struct text *t, int kind, const char *path)
{
	size_t need = strlen(path) + 8;

	if (t->len + need > t->cap) {
		t->cap = 2 * t->cap + need;
		t->p = realloc(t->p, t->cap);
	}
	t->len += (size_t)sprintf(t->p + t->len, "%d %s\n", kind, path);
}

static bool same_items(const struct item *a, const struct item *b)
{
	if (!a || !b)
		return a == b;
	if (a->dir != b->dir || a->mode != b->mode || a->uid != b->uid || a->mtime != b->mtime ||
	    a->xattrs != b->xattrs || (!a->dir && a->content != b->content) || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->below[i].name, b->below[i].name) != 0 ||
		    !same_items(&a->below[i], &b->below[i]))
			return false;
	return true;
}

/* One attribute, with the times of the two sides to break a tie; equal times: `otherwise`. */
static uint32_t one_attr(bool known, uint32_t b, uint32_t o, uint32_t t, bool theirs_win)
{
	if (o == t || (known && t == b))
		return o;
	if (known && o == b)
		return t;
	return theirs_win ? t : o;
}

static bool theirs_win(const struct item *o, const struct item *t)
{
	if (o->mtime != t->mtime)
		return t->mtime > o->mtime;
	if (o->mode != t->mode)
		return t->mode > o->mode;
	if (o->uid != t->uid)
		return t->uid > o->uid;
	return t->xattrs > o->xattrs;
}

static struct item *find(const struct item *d, const char *name)
{
	struct item key;

	snprintf(key.name, sizeof(key.name), "%s", name);
	return d && d->n ? bsearch(&key, d->below, d->n, sizeof(key), by_name) : NULL;
}

static void naive(const struct item *b, const struct item *o, const struct item *t,
		  enum pfs_merge_policy policy, const char *path, struct item *out,
		  struct text *conflicts);

static void free_name(const struct item *o, const struct item *t, const char *name,
		      const char *label, char out[40])
{
	snprintf(out, 40, "%s.%s", name, label);
	for (int i = 2; find(o, out) || find(t, out); i++)
		snprintf(out, 40, "%s.%s.%d", name, label, i);
}

static void naive_conflict(const struct item *in_o, const struct item *in_t, const struct item *o,
			   const struct item *t, enum pfs_merge_policy policy, struct item *out)
{
	if (policy == PFS_MERGE_OURS || (policy == PFS_MERGE_BOTH && !t)) {
		if (o)
			add_item(out, copy_item(o));
	} else if (policy == PFS_MERGE_THEIRS || (policy == PFS_MERGE_BOTH && !o)) {
		if (t)
			add_item(out, copy_item(t));
	} else if (policy == PFS_MERGE_BOTH) {
		struct item x = copy_item(o), y = copy_item(t);

		free_name(in_o, in_t, o->name, "ours", x.name);
		free_name(in_o, in_t, t->name, "theirs", y.name);
		add_item(out, x);
		add_item(out, y);
	}
}

static void naive_name(const struct item *in_o, const struct item *in_t, const struct item *b,
		       const struct item *o, const struct item *t, enum pfs_merge_policy policy,
		       const char *path, struct item *out, struct text *conflicts)
{
	bool known = b && o && b->dir == o->dir, win;
	struct item x;

	if (same_items(o, t) || same_items(b, t) || same_items(b, o)) {
		const struct item *take = same_items(o, t) || same_items(b, t) ? o : t;

		if (take)
			add_item(out, copy_item(take));
		return;
	}
	if (!o || !t || o->dir != t->dir ||
	    (!o->dir && o->content != t->content && !(known && b->content == o->content) &&
	     !(known && b->content == t->content))) {
		say(conflicts,
		    !o || !t           ? PFS_CONFLICT_GONE
		    : o->dir != t->dir ? PFS_CONFLICT_TYPE
				       : PFS_CONFLICT_CONTENT,
		    path);
		naive_conflict(in_o, in_t, o, t, policy, out);
		return;
	}
	win = theirs_win(o, t);
	x = *o;
	x.below = NULL;
	x.n = 0;
	x.content = known && b->content == o->content ? t->content : o->content;
	x.mode = one_attr(known, b ? b->mode : 0, o->mode, t->mode, win);
	x.uid = one_attr(known, b ? b->uid : 0, o->uid, t->uid, win);
	x.mtime = one_attr(known, b ? b->mtime : 0, o->mtime, t->mtime, win);
	x.xattrs = one_attr(known, b ? b->xattrs : 0, o->xattrs, t->xattrs, win);
	if (x.dir)
		naive(b && b->dir ? b : NULL, o, t, policy, path, &x, conflicts);
	add_item(out, x);
}

static void naive(const struct item *b, const struct item *o, const struct item *t,
		  enum pfs_merge_policy policy, const char *path, struct item *out,
		  struct text *conflicts)
{
	for (size_t i = 0, j = 0; i < o->n || j < t->n;) {
		const struct item *x = i < o->n ? &o->below[i] : NULL;
		const struct item *y = j < t->n ? &t->below[j] : NULL;
		int c = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);
		const char *name = c <= 0 ? x->name : y->name;
		char below[300];

		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", name);
		naive_name(o, t, find(b, name), c <= 0 ? x : NULL, c >= 0 ? y : NULL, policy, below,
			   out, conflicts);
		i += c <= 0;
		j += c >= 0;
	}
	sort_items(out);
}

/* --- the properties ------------------------------------------------------ */

static int merge(const struct pfs_id *b, const struct pfs_id *o, const struct pfs_id *t,
		 enum pfs_merge_policy policy, struct text *conflicts, struct pfs_id *out)
{
	const struct pfs_merge_how how = { .policy = policy };
	struct pfs_conflicts found = { .max = SIZE_MAX };
	struct pfs_error err = { 0 };
	int rc = pfs_merge_trees(st, b, o, t, &how, &found, out, &err);

	for (size_t i = 0; i < found.n; i++)
		say(conflicts, (int)found.list[i].kind, found.list[i].path);
	cr_expect_eq(found.n, found.total);
	cr_expect(rc == 0 || rc == PFS_E_CONFLICT, "%s", err.text);
	pfs_conflicts_fini(&found);
	return rc;
}

static void check_policy(const struct item *b, const struct item *o, const struct item *t,
			 enum pfs_merge_policy policy, const char *which)
{
	struct pfs_id rb = build(b), ro = build(o), rt = build(t), want, got = { { 77 } },
		      back = { { 77 } };
	struct item out = { .dir = true };
	struct text expected = { 0 }, found = { 0 }, mirrored = { 0 };
	enum pfs_merge_policy mirror = policy == PFS_MERGE_OURS     ? PFS_MERGE_THEIRS
				       : policy == PFS_MERGE_THEIRS ? PFS_MERGE_OURS
								    : policy;
	int rc;

	say(&expected, 0, "");
	say(&found, 0, "");
	say(&mirrored, 0, "");
	naive(b, o, t, policy, "", &out, &expected);
	rc = merge(&rb, &ro, &rt, policy, &found, &got);
	cr_assert_str_eq(found.p, expected.p, "%s", which);
	cr_assert_eq(merge(&rb, &rt, &ro, mirror, &mirrored, &back), rc);
	cr_assert_str_eq(mirrored.p, expected.p, "%s, from the other side", which);
	want = build(&out);
	if (policy == PFS_MERGE_REFUSE && expected.len > 3) {
		cr_assert_eq(rc, PFS_E_CONFLICT, "%s", which);
		cr_assert_eq(got.bytes[0], 77, "%s: wrote to out", which);
	} else {
		cr_assert_eq(rc, 0, "%s", which);
		cr_assert(pfs_id_equal(&got, &want), "%s, policy %d", which, policy);
		if (policy != PFS_MERGE_BOTH)
			cr_assert(pfs_id_equal(&got, &back), "%s: the other way round", which);
	}
	free(expected.p);
	free(found.p);
	free(mirrored.p);
	free_items(&out);
}

static void check_case(size_t n, int depth, size_t one_in, const char *which)
{
	struct item b = { .dir = true }, o, t;
	struct pfs_id rb, ro, got;
	struct text none = { 0 };

	for (size_t i = 0; i < n; i++)
		if (roll(4))
			add_item(&b, make_item(i, depth, n));
	sort_items(&b);
	o = copy_item(&b);
	t = copy_item(&b);
	change_items(&o, one_in, n);
	change_items(&t, one_in, n);
	for (unsigned policy = PFS_MERGE_REFUSE; policy <= PFS_MERGE_BOTH; policy++)
		check_policy(&b, &o, &t, (enum pfs_merge_policy)policy, which);
	rb = build(&b);
	ro = build(&o);
	cr_assert_eq(merge(&rb, &rb, &ro, PFS_MERGE_REFUSE, &none, &got), 0);
	cr_assert(pfs_id_equal(&got, &ro), "%s: only theirs changed", which);
	cr_assert_eq(merge(&rb, &ro, &rb, PFS_MERGE_REFUSE, &none, &got), 0);
	cr_assert(pfs_id_equal(&got, &ro), "%s: only ours changed", which);
	cr_assert_eq(merge(&rb, &ro, &ro, PFS_MERGE_REFUSE, &none, &got), 0);
	cr_assert(pfs_id_equal(&got, &ro), "%s: both did the same", which);
	free_items(&b);
	free_items(&o);
	free_items(&t);
}

Test(merge, gives_what_a_walk_over_everything_gives)
{
	static const struct {
		size_t n, one_in;
		int depth, cases;
	} rows[] = {
		{ 2, 2, 1, 1500 },   { 4, 3, 2, 1000 }, { 12, 8, 1, 200 },  { 30, 20, 2, 5 },
		{ 3000, 300, 0, 4 }, { 3000, 2, 0, 1 }, { 500, 200, 1, 1 },
	};

	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		for (int i = 0; i < rows[r].cases; i++) {
			char which[64];

			snprintf(which, sizeof(which), "row %zu, case %d", r, i);
			check_case(rows[r].n, rows[r].depth, rows[r].one_in, which);
		}
	}
}

/* More changes than a merge keeps at a time, in both sides, few or many more on one of them. */
Test(merge, many_changes_are_applied_bit_by_bit)
{
	static const size_t one_in[][2] = { { 2, 2 }, { 2, 2000 }, { 2000, 2 } };

	for (size_t r = 0; r < sizeof(one_in) / sizeof(*one_in); r++) {
		struct item b = { .dir = true }, o, t;

		for (size_t i = 0; i < 3 * PFS_MERGE_PENDING_MAX; i++)
			add_item(&b, make_item(i, r == 0 && i % 512 == 0, 40));
		sort_items(&b);
		o = copy_item(&b);
		t = copy_item(&b);
		change_items(&o, one_in[r][0], 0);
		change_items(&t, one_in[r][1], 0);
		check_policy(&b, &o, &t, PFS_MERGE_OURS, "many");
		check_policy(&b, &o, &t, PFS_MERGE_BOTH, "many");
		free_items(&b);
		free_items(&o);
		free_items(&t);
	}
}

/* --- what the header says, case by case ---------------------------------- */

static struct pfs_id dir_of(const struct pfs_entry *e, size_t n)
{
	struct pfs_edit edits[8];
	struct pfs_id root = { 0 };
	struct pfs_error err = { 0 };

	for (size_t i = 0; i < n; i++)
		edits[i] = (struct pfs_edit){ e[i].name, e[i].name_len, &e[i] };
	cr_assert_eq(pfs_tree_edit(st, &root, edits, n, &root, &err), 0, "%s", err.text);
	return root;
}

static struct pfs_entry file(const char *name, const char *text)
{
	struct pfs_entry e = { .name = name, .name_len = strlen(name), .type = PFS_ENTRY_FILE };

	e.content.size = strlen(text);
	memcpy(e.content.bytes, text, e.content.size);
	return e;
}

static void expect_name(const struct pfs_id *root, const char *name, const char *text)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found f = { 0 };
	int rc = pfs_tree_find(st, root, name, strlen(name), &f, NULL);

	cr_expect_eq(rc, text ? 0 : PFS_E_NOTFOUND, "%s", name);
	if (rc == 0 && text)
		cr_expect(f.e.content.size == strlen(text) &&
				  memcmp(f.e.content.bytes, text, strlen(text)) == 0,
			  "%s", name);
}

Test(merge, both_sides_are_kept_under_names_that_nobody_has)
{
	char longest[PFS_NAME_SIZE_MAX + 1], cut[PFS_NAME_SIZE_MAX + 1];
	struct pfs_entry b[2] = { file("f", "base") }, o[3], t[3];
	const struct pfs_merge_how how = { PFS_MERGE_BOTH, "main", "fix" };
	struct pfs_conflicts c = { .max = 1 };
	struct pfs_id rb, ro, rt, out;
	struct pfs_cursor *cur = NULL;
	const struct pfs_entry *e;
	size_t n = 0;

	memset(longest, 'l', PFS_NAME_SIZE_MAX);
	longest[PFS_NAME_SIZE_MAX] = 0;
	b[1] = file(longest, "base");
	o[0] = file("f", "ours");
	o[1] = file("f.fix", "in the way");
	o[2] = file(longest, "ours");
	t[0] = file("f", "theirs");
	t[1] = file("f.fix.2", "too");
	t[2] = file(longest, "theirs");
	rb = dir_of(b, 2);
	ro = dir_of(o, 3);
	rt = dir_of(t, 3);
	cr_assert_eq(pfs_merge_trees(st, &rb, &ro, &rt, &how, &c, &out, NULL), 0);
	cr_expect_eq(c.n, 1);
	cr_expect_eq(c.total, 2);
	cr_expect_str_eq(c.list[0].path, "f");
	cr_expect_eq(memcmp(c.list[0].base.content.bytes, "base", 4), 0);
	cr_expect_eq(memcmp(c.list[0].theirs.content.bytes, "theirs", 6), 0);
	expect_name(&out, "f", NULL);
	expect_name(&out, "f.main", "ours");
	expect_name(&out, "f.fix", "in the way");
	expect_name(&out, "f.fix.2", "too");
	expect_name(&out, "f.fix.3", "theirs");
	expect_name(&out, longest, NULL);
	cr_assert_eq(pfs_cursor_open(st, &out, &cur, NULL), 0);
	while (pfs_cursor_next(cur, &e, NULL) > 0)
		n++;
	pfs_cursor_close(&cur);
	cr_expect_eq(n, 6);
	pfs_conflicts_fini(&c);

	/* Cut names of two long ones do not meet. */
	memcpy(cut, longest, sizeof(cut));
	cut[PFS_NAME_SIZE_MAX - 1] = 'm';
	o[0] = file(longest, "1");
	o[1] = file(cut, "2");
	t[0] = file(longest, "3");
	t[1] = file(cut, "4");
	b[0] = file(longest, "base");
	b[1] = file(cut, "base");
	rb = dir_of(b, 2);
	ro = dir_of(o, 2);
	rt = dir_of(t, 2);
	cr_assert_eq(pfs_merge_trees(st, &rb, &ro, &rt, &how, NULL, &out, NULL), 0);
	cr_assert_eq(pfs_cursor_open(st, &out, &cur, NULL), 0);
	for (n = 0; pfs_cursor_next(cur, &e, NULL) > 0; n++)
		cr_expect_leq(e->name_len, PFS_NAME_SIZE_MAX);
	pfs_cursor_close(&cur);
	cr_expect_eq(n, 4);
}

Test(merge, labels_that_cannot_end_names_are_refused)
{
	static const char *const rows[][2] = {
		{ "a", "a" }, { "a/b", "c" }, { "", "c" }, { "theirs", NULL }
	};
	struct pfs_id a = { { 1 } }, out = { { 5 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct pfs_merge_how how = { PFS_MERGE_BOTH, rows[i][0], rows[i][1] };

		cr_expect_eq(pfs_merge_trees(st, &a, &a, &a, &how, NULL, &out, NULL), PFS_E_INVALID,
			     "row %zu", i);
		cr_expect_eq(out.bytes[0], 5);
	}
}

Test(merge, what_one_side_left_alone_is_not_read)
{
	const struct pfs_merge_how how = { .policy = PFS_MERGE_REFUSE };
	struct pfs_entry b[3], o[3], t[3];
	struct pfs_id nowhere = { { 9 } }, elsewhere = { { 8 } }, rb, ro, rt, out;
	struct pfs_error err = { 0 };
	PFS_AUTO(pfs_found_fini) struct pfs_found f = { 0 };

	/* Directories whose nodes are not in the store: whoever looks into them fails. */
	for (int i = 0; i < 3; i++)
		b[i] = (struct pfs_entry){ .name = &"abc"[i],
					   .name_len = 1,
					   .type = PFS_ENTRY_DIR,
					   .dir = nowhere,
					   .dir_entries = 1 };
	memcpy(o, b, sizeof(b));
	memcpy(t, b, sizeof(b));
	o[0].dir = elsewhere;
	t[1].dir = elsewhere;
	o[2].attrs.mode = 0700;
	t[2].dir = elsewhere;
	rb = dir_of(b, 3);
	ro = dir_of(o, 3);
	rt = dir_of(t, 3);
	cr_assert_eq(pfs_merge_trees(st, &rb, &ro, &rt, &how, NULL, &out, &err), 0, "%s", err.text);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(pfs_tree_find(st, &out, &"abc"[i], 1, &f, NULL), 0);
		cr_expect(pfs_id_equal(&f.e.dir, &elsewhere), "%c", "abc"[i]);
	}
	cr_expect_eq(f.e.attrs.mode, 0700, "attributes of one side, names of the other");
}

Test(merge, a_missing_node_is_an_error_that_names_the_path)
{
	const struct pfs_merge_how how = { .policy = PFS_MERGE_OURS };
	struct pfs_entry b = {
		.name = "d", .name_len = 1, .type = PFS_ENTRY_DIR, .dir_entries = 1
	};
	struct pfs_entry o = b, t = b;
	struct pfs_id rb, ro, rt, out = { { 5 } };
	struct pfs_error err = { 0 };

	b.dir.bytes[0] = 1;
	o.dir.bytes[0] = 2;
	t.dir.bytes[0] = 3;
	rb = dir_of(&b, 1);
	ro = dir_of(&o, 1);
	rt = dir_of(&t, 1);
	cr_expect_eq(pfs_merge_trees(st, &rb, &ro, &rt, &how, NULL, &out, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "merge \"d"), "%s", err.text);
	cr_expect_eq(out.bytes[0], 5);
}
