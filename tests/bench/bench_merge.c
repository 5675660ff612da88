/*
 * What a three-way merge costs: directories of a million names, a few changes
 * on each side. Prints figures; asserts none. bench_merge [NAMES [CHANGES]]
 */
#include "tree/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int rc, const struct pfs_error *err)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_merge: %s\n", err->text);
	exit(1);
}

static struct pfs_entry file_of(size_t content)
{
	struct pfs_entry e = { .type = PFS_ENTRY_FILE,
			       .attrs = { .mode = 0644, .mtime_sec = 1700000000 } };

	e.content.size = 100000;
	e.content.form = PFS_CONTENT_CHUNK;
	memcpy(e.content.id.bytes, &content, sizeof(content));
	e.content.id.bytes[31] = 1;
	return e;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct pfs_edit *)a)->name, ((const struct pfs_edit *)b)->name);
}

/* Names 0, step, 2 step ... below `n` become files of this content, in edits of up to 10000. */
static struct pfs_id put_names(struct pfs_store *st, struct pfs_id root, size_t first, size_t n,
			       size_t step, size_t content)
{
	struct pfs_edit *edits = calloc(10000, sizeof(*edits));
	char(*names)[32] = calloc(10000, sizeof(*names));
	struct pfs_entry e = file_of(content);
	struct pfs_error err = { 0 };

	if (!edits || !names)
		exit(1);
	for (size_t i = first; i < n;) {
		size_t k = 0;

		for (; k < 10000 && i < n; k++, i += step) {
			snprintf(names[k], sizeof(names[k]), "file-%09zu.bin", i);
			edits[k] = (struct pfs_edit){ names[k], strlen(names[k]), &e };
		}
		qsort(edits, k, sizeof(*edits), by_name);
		must(pfs_tree_edit(st, &root, edits, k, &root, &err), &err);
	}
	free(edits);
	free(names);
	return root;
}

/* A directory of `dirs` directories of which each is `below`, or for some `other`. */
static struct pfs_id put_dirs(struct pfs_store *st, size_t dirs, const struct pfs_id *below,
			      const struct pfs_id *other, size_t first, size_t step)
{
	struct pfs_id root = { 0 };
	struct pfs_tree_totals t, u;
	struct pfs_error err = { 0 };

	must(pfs_tree_totals(st, below, &t, &err), &err);
	must(pfs_tree_totals(st, other, &u, &err), &err);
	for (size_t i = 0; i < dirs; i++) {
		bool changed = i >= first && (i - first) % step == 0;
		struct pfs_entry e = { .type = PFS_ENTRY_DIR,
				       .dir = changed ? *other : *below,
				       .dir_entries = changed ? u.entries : t.entries,
				       .dir_bytes = changed ? u.bytes : t.bytes };
		char name[32];
		struct pfs_edit edit = { name, (size_t)sprintf(name, "dir-%06zu", i), &e };

		must(pfs_tree_edit(st, &root, &edit, 1, &root, &err), &err);
	}
	return root;
}

static void measure(struct pfs_store *st, const char *what, const struct pfs_id *base,
		    const struct pfs_id *ours, const struct pfs_id *theirs)
{
	const struct pfs_merge_how how = { .policy = PFS_MERGE_BOTH };
	struct pfs_conflicts c = { .max = 100 };
	struct pfs_error err = { 0 };
	double first = 0, best = 1e9;
	struct pfs_id out;

	for (int round = 0; round < 10; round++) {
		double t = now();

		pfs_conflicts_fini(&c);
		must(pfs_merge_trees(st, base, ours, theirs, &how, &c, &out, &err), &err);
		t = now() - t;
		first = round ? first : t;
		best = t < best ? t : best;
	}
	printf("merge %-26s %8.2f ms first, %8.2f ms best, %llu conflicts\n", what, first * 1e3,
	       best * 1e3, (unsigned long long)c.total);
	pfs_conflicts_fini(&c);
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? (size_t)atol(argv[1]) : 1000000;
	size_t changes = argc > 2 ? (size_t)atol(argv[2]) : 10;
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	struct pfs_id zero = { 0 }, base, ours, theirs, far, small, a, b;

	must(pfs_store_open_mem(&st, &err), &err);
	base = put_names(st, zero, 0, n, 1, 1);
	ours = put_names(st, base, 7, n, n / changes, 2);
	theirs = put_names(st, base, n / changes / 2, n, n / changes, 3);
	measure(st, "one directory, apart", &base, &ours, &theirs);
	theirs = put_names(st, base, 7, n, n / changes, 3);
	measure(st, "one directory, conflicts", &base, &ours, &theirs);
	far = put_names(st, base, 3, n, 10, 4);
	measure(st, "a tenth changed in ours", &base, &far, &theirs);
	measure(st, "a tenth changed in theirs", &base, &ours, &far);
	small = put_names(st, zero, 0, 1000, 1, 1);
	a = put_names(st, small, 3, 4, 1, 2);
	b = put_names(st, small, 500, 501, 1, 3);
	base = put_dirs(st, n / 1000, &small, &small, 0, 1);
	ours = put_dirs(st, n / 1000, &small, &a, 5, n / 1000 / changes);
	theirs = put_dirs(st, n / 1000, &small, &b, 5, n / 1000 / changes);
	measure(st, "folders of 1000", &base, &ours, &theirs);
	pfs_store_close(&st);
	return 0;
}
