/*
 * What differs from the base, asked before a commit: a preview says the same as
 * the seal that comes after it, and reads no more than it has to.
 */
#include "workspace_fixture.h"
#include "base/buf.h"
#include "workspace/reach.h"

#include <stdlib.h>

#define LARGE (8u << 20)

/* What happened: "m" when all that it holds is the same. */
static char letter(const struct pfs_difference *d)
{
	if (d->kind != PFS_CHANGED)
		return d->kind == PFS_ADDED ? '+' : '-';
	return pfs_entry_same_content(d->was, d->is) ? 'm' : 'M';
}

/* "+path -path Mpath mpath " */
static char *differences(struct pfs_store *in, const struct pfs_root *base,
			 const struct pfs_sealed *now)
{
	PFS_AUTO(pfs_compare_close) struct pfs_compare *cmp = NULL;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf out = PFS_BUF_INIT(1 << 20);
	struct pfs_difference d;
	int rc;

	OK(pfs_compare_open(in, &base->dir, &now->root.dir, true, &cmp, &err));
	while ((rc = pfs_compare_next(cmp, &d, &err)) == 1)
		OK(pfs_buf_printf(&out, &err, "%c%s ", letter(&d), d.path));
	OK(rc);
	OK(pfs_buf_add(&out, "", 1, &err));
	return strdup((const char *)out.data);
}

/* A preview, of which nothing is left in the store. */
static struct pfs_sealed preview(struct fixture *f, const struct pfs_root *base,
				 struct pfs_store **out_aside)
{
	struct pfs_store_stats before, after;
	struct pfs_sealed s;

	OK(pfs_store_open_aside(f->st, out_aside, &err));
	pfs_store_stats(f->st, &before);
	OK(pfs_workspace_preview(f->ws, &base->dir, *out_aside, &s, &err));
	pfs_store_stats(f->st, &after);
	cr_expect_eq(after.objects, before.objects);
	cr_expect_eq(after.object_bytes, before.object_bytes);
	cr_expect_eq(after.pack_bytes, before.pack_bytes);
	cr_expect_eq(after.put_objects, before.put_objects);
	cr_expect_eq(after.put_duplicates, before.put_duplicates);
	return s;
}

/* The preview, which has to say what the seal says and is expected. */
static void expect(struct fixture *f, const struct pfs_root *base, const char *want)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *aside = NULL;
	struct pfs_sealed early, late;
	char *before, *after;

	early = preview(f, base, &aside);
	before = differences(aside, base, &early);
	late = seal(f);
	after = differences(f->st, base, &late);
	cr_expect_str_eq(before, after);
	cr_expect_str_eq(before, want);
	free(before);
	free(after);
}

static void replace(struct fixture *f, const char *name, const char *text)
{
	OK(pfs_workspace_remove_name(f->ws, f->root, NAME(name), false, &err));
	put_only(f, f->root, name, text);
}

static struct pfs_node *make_dir(struct fixture *f, const char *name)
{
	return make(f, f->root, PFS_ENTRY_DIR, name);
}

static void move(struct fixture *f, const char *from, const char *to)
{
	OK(pfs_workspace_rename(f->ws, f->root, NAME(from), f->root, NAME(to), false, false, &err));
}

Test(preview, says_of_files_what_the_seal_says)
{
	struct fixture f = begin();
	struct pfs_root base;

	put_only(&f, f.root, "gone", "1");
	put_only(&f, f.root, "longer", "2");
	put_only(&f, f.root, "other", "3");
	put_only(&f, f.root, "same", "4");
	base = commit(&f).root;
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("gone"), false, &err));
	replace(&f, "longer", "22");
	replace(&f, "other", "5");
	put_only(&f, f.root, "new", "6");
	put_only(&f, f.root, "empty", "");
	expect(&f, &base, "+empty -gone Mlonger +new Mother ");
	end(&f);
}

/* The same bytes at the same path are the same file, whichever way they came there: but for the time. */
static void keep_time(struct fixture *f, struct pfs_node *dir, const char *name)
{
	const struct pfs_node_attr then = { .attrs.mtime_sec = 1000 };
	struct pfs_node *n = find(f, dir, name);

	OK(pfs_workspace_setattr(f->ws, n, PFS_NODE_MTIME, &then, &err));
	pfs_node_unref(&n);
}

static void fill(struct fixture *f, struct pfs_node *dir, const char *name)
{
	put_only(f, dir, name, "bytes");
	keep_time(f, dir, name);
}

Test(preview, goes_by_paths_where_directories_moved)
{
	struct fixture f = begin();
	struct pfs_node *a = make_dir(&f, "a"), *b = make_dir(&f, "b");
	struct pfs_root base;

	fill(&f, a, "of a");
	fill(&f, b, "x");
	fill(&f, b, "y");
	keep_time(&f, f.root, "a");
	keep_time(&f, f.root, "b");
	base = commit(&f).root;

	/* What was a becomes b, and gets one of the files that b had. */
	OK(pfs_workspace_remove_name(f.ws, b, NAME("x"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, b, NAME("y"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("b"), true, &err));
	move(&f, "a", "b");
	fill(&f, a, "x");
	keep_time(&f, f.root, "b");
	expect(&f, &base, "-a -a/of a +b/of a -b/y ");
	pfs_node_unref(&a);
	pfs_node_unref(&b);
	end(&f);
}

Test(preview, goes_by_paths_where_directories_were_made_anew)
{
	struct fixture f = begin();
	struct pfs_node *d = make_dir(&f, "d");
	struct pfs_root base;

	fill(&f, d, "x");
	keep_time(&f, f.root, "d");
	base = commit(&f).root;
	OK(pfs_workspace_remove_name(f.ws, d, NAME("x"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("d"), true, &err));
	pfs_node_unref(&d);
	d = make_dir(&f, "d");
	fill(&f, d, "x");
	fill(&f, d, "y");
	keep_time(&f, f.root, "d");
	expect(&f, &base, "+d/y ");
	pfs_node_unref(&d);
	end(&f);
}

Test(preview, looks_at_all_names_of_a_file)
{
	struct fixture f = begin();
	struct pfs_node *n;
	struct pfs_root base;

	fill(&f, f.root, "old");
	base = commit(&f).root;
	n = find(&f, f.root, "old");
	write_at(&f, n, 0, "bytes");
	OK(pfs_workspace_link(f.ws, n, f.root, NAME("another"), &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("old"), false, &err));
	OK(pfs_workspace_link(f.ws, n, f.root, NAME("old"), &err));
	keep_time(&f, f.root, "old");
	pfs_node_unref(&n);
	expect(&f, &base, "+another mold ");
	end(&f);
}

/* A crash may come between a commit and the workspace's hearing of it: then the head is not its base. */
Test(preview, compares_with_what_it_is_asked_about)
{
	struct fixture f = begin();
	struct pfs_sealed made;

	put_only(&f, f.root, "x", "bytes");
	put_only(&f, f.root, "y", "more bytes");
	made = seal(&f);
	expect(&f, &made.root, "");
	put_only(&f, f.root, "z", "later");
	expect(&f, &made.root, "+z ");
	end(&f);
}

static void put_large(struct fixture *f, uint64_t seed)
{
	struct pfs_node *n = make(f, f->root, PFS_ENTRY_FILE, "large");
	unsigned char *bytes = malloc(LARGE);
	struct pfs_open *o;

	scratch_fill(bytes, LARGE, seed);
	OK(pfs_workspace_open_file(f->ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, 0, bytes, LARGE, &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	free(bytes);
}

/* Bytes that need not be known are not read; and nobody can commit that. */
Test(preview, leaves_bytes_alone)
{
	struct pfs_root base = { .attrs.mode = 0755 };
	struct fixture f = begin_on_disk();
	PFS_AUTO(pfs_store_close) struct pfs_store *aside = NULL;
	struct pfs_store_stats made;
	struct pfs_sealed s;

	put_large(&f, 7);
	s = preview(&f, &base, &aside);
	pfs_store_stats(aside, &made);
	cr_expect_lt(made.object_bytes, 65536);
	FAILS(PFS_E_CONFLICT, pfs_workspace_settle(f.ws, &s, &err));
	expect(&f, &base, "+large ");
	end(&f);
}

static int is_stored(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *e)
{
	struct fixture *f = arg;

	cr_expect(pfs_store_has(f->st, kind, id), "an object of kind %d", (int)kind);
	return 0;
}

/* What a preview made of a file is known to the workspace, but not to who collects what it needs. */
Test(preview, is_nothing_that_a_collection_keeps)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *aside = NULL;
	struct fixture f = begin_on_disk();
	struct pfs_root base;

	put_large(&f, 7);
	base = commit(&f).root;
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("large"), false, &err));
	put_large(&f, 8);
	preview(&f, &base, &aside);
	OK(pfs_workspace_reach(f.ws, is_stored, &f, &err));
	expect(&f, &base, "Mlarge ");
	OK(pfs_workspace_reach(f.ws, is_stored, &f, &err));
	end(&f);
}
