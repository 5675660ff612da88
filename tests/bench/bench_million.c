/*
 * What a million small files cost a commit, a comparison and a merge: in
 * folders of a thousand, or all in one.
 *
 *	bench_million DATA FILES PER_DIR [only]    makes the folder DATA, which pfsd can open then
 *
 * With "only", the folder is all that is wanted.
 * The files come in through the tree rather than through the workspace, which
 * takes seconds where writing them takes minutes. Prints lines "name value
 * unit", medians; asserts nothing.
 */
#include "../world.h"
#include "tree/merge.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define BATCH   512
#define SIZE    400 /* more than fits into an entry, so that every file is an object */
#define ROUNDS  101
#define CHANGES 10

struct names {
	unsigned files, per_dir;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int rc, const struct pfs_error *err)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_million: %s\n", err->text);
	exit(1);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_median(const char *what, double *ms, size_t n)
{
	qsort(ms, n, sizeof(*ms), by_size);
	printf("%s %.3f ms\n", what, ms[n / 2]);
	printf("# %s: fastest %.3f, slowest %.3f ms of %zu\n", what, ms[0], ms[n - 1], n);
	fflush(stdout);
}

static void print_memory(const char *what)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	printf("%s %.1f MB\n", what, (double)use.ru_maxrss / 1024);
}

/* Text of its own for every file. */
static void file_text(unsigned i, unsigned version, char out[SIZE])
{
	size_t len = 0;

	for (unsigned line = 0; len < SIZE; line++)
		len += (size_t)snprintf(out + len, SIZE - len, "file %u of version %u, line %u\n",
					i, version, line * i);
}

static void dir_name(unsigned i, char out[32])
{
	snprintf(out, 32, "d%04u", i);
}

static void file_name(unsigned i, char out[32])
{
	snprintf(out, 32, "file-%08u.txt", i);
}

static void put_batch(struct pfs_store *st, unsigned first, size_t n, struct pfs_entry *entries)
{
	static char texts[BATCH][SIZE];
	struct pfs_store_item items[BATCH] = { 0 };
	struct pfs_error err = { 0 };

	for (size_t i = 0; i < n; i++) {
		file_text(first + (unsigned)i, 0, texts[i]);
		items[i].data = texts[i];
		items[i].len = SIZE;
	}
	must(pfs_store_put_batch(st, PFS_KIND_CHUNK, items, n, &err), &err);
	for (size_t i = 0; i < n; i++) {
		entries[i].type = PFS_ENTRY_FILE;
		entries[i].attrs = (struct pfs_attrs){ .mode = 0644, .mtime_sec = 1700000000 };
		entries[i].content.size = SIZE;
		entries[i].content.form = PFS_CONTENT_CHUNK;
		entries[i].content.id = items[i].id;
	}
}

/* Files [first, first + n) as one directory. */
static struct pfs_id make_dir(struct pfs_store *st, unsigned first, unsigned n)
{
	struct pfs_entry *entries = calloc(n, sizeof(*entries));
	struct pfs_edit *edits = calloc(n, sizeof(*edits));
	char(*names)[32] = calloc(n, sizeof(*names));
	struct pfs_id zero = { 0 }, out;
	struct pfs_error err = { 0 };

	CHECK(entries && edits && names, "memory");
	for (unsigned i = 0; i < n; i += BATCH)
		put_batch(st, first + i, n - i < BATCH ? n - i : BATCH, entries + i);
	for (unsigned i = 0; i < n; i++) {
		file_name(first + i, names[i]);
		edits[i] = (struct pfs_edit){ names[i], strlen(names[i]), &entries[i] };
	}
	must(pfs_tree_edit(st, &zero, edits, n, &out, &err), &err);
	free(entries);
	free(edits);
	free(names);
	return out;
}

static struct pfs_id make_dirs(struct pfs_store *st, const struct names *all)
{
	unsigned n = (all->files + all->per_dir - 1) / all->per_dir;
	struct pfs_entry *entries = calloc(n, sizeof(*entries));
	struct pfs_edit *edits = calloc(n, sizeof(*edits));
	char(*names)[32] = calloc(n, sizeof(*names));
	struct pfs_id zero = { 0 }, out;
	struct pfs_error err = { 0 };

	CHECK(entries && edits && names, "memory");
	for (unsigned i = 0; i < n; i++) {
		unsigned first = i * all->per_dir, left = all->files - first;
		struct pfs_tree_totals totals;

		dir_name(i, names[i]);
		entries[i].type = PFS_ENTRY_DIR;
		entries[i].attrs.mode = 0755;
		entries[i].dir = make_dir(st, first, left < all->per_dir ? left : all->per_dir);
		must(pfs_tree_totals(st, &entries[i].dir, &totals, &err), &err);
		entries[i].dir_entries = totals.entries;
		entries[i].dir_bytes = totals.bytes;
		edits[i] = (struct pfs_edit){ names[i], strlen(names[i]), &entries[i] };
	}
	must(pfs_tree_edit(st, &zero, edits, n, &out, &err), &err);
	free(entries);
	free(edits);
	free(names);
	return out;
}

/* A branch whose workspace stands on `dir` before anybody opens it. */
static void place_branch(struct world *w, const struct pfs_id *dir)
{
	const struct pfs_root root = { .dir = *dir, .attrs.mode = 0755 };
	struct pfs_workspace *ws = NULL;
	struct pfs_repo_row repo = { 0 };
	struct pfs_branch_row branch = { 0 };
	struct pfs_error err = { 0 };
	char folder[600];

	must(pfs_repo_create(w->h, "million", &err), &err);
	must(pfs_branch_create(w->h, "million", "master", NULL, &err), &err);
	must(pfs_meta_find_repo(w->meta, "million", &repo, &err), &err);
	must(pfs_meta_find_branch(w->meta, repo.id, "master", &branch, &err), &err);
	snprintf(folder, sizeof(folder), "%s/workspaces/%s", w->data, branch.folder);
	must(pfs_workspace_open(folder, w->store, &root, &ws, &err), &err);
	pfs_workspace_close(&ws);
}

static void write_file(struct world *w, const struct names *all, unsigned i, unsigned version)
{
	struct pfs_error err = { 0 };
	char dir[32], file[32], path[80], text[SIZE];

	dir_name(i / all->per_dir, dir);
	file_name(i, file);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	file_text(i, version, text);
	must(world_write(w, "million", "master", path, text, &err), &err);
}

static struct pfs_commit_id commit(struct world *w)
{
	struct pfs_commit_id id;
	struct pfs_error err = { 0 };

	must(pfs_commit_branch(w->h, "million", "master", NULL, &id, &err), &err);
	return id;
}

static unsigned somewhere(const struct names *all, unsigned i)
{
	return (unsigned)((uint64_t)i * 2654435761u % all->files);
}

static void bench_commits(struct world *w, const struct names *all)
{
	static double ms[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		double start;

		write_file(w, all, somewhere(all, i), i + 1);
		start = now();
		commit(w);
		ms[i] = (now() - start) * 1e3;
	}
	print_median("commit of 1 changed file", ms, ROUNDS);
}

static struct pfs_root commit_changes(struct world *w, const struct names *all, unsigned round)
{
	struct pfs_commit_id id;
	struct pfs_root root;
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < CHANGES; i++)
		write_file(w, all, somewhere(all, 1000 + round * CHANGES + i), round + 1000);
	id = commit(w);
	must(pfs_history_commit_root(w->h, "million", &id, &root, &err), &err);
	return root;
}

static size_t compare(struct pfs_store *st, const struct pfs_root *a, const struct pfs_root *b)
{
	struct pfs_compare *c = NULL;
	struct pfs_difference d;
	struct pfs_error err = { 0 };
	size_t n = 0;
	int rc;

	must(pfs_compare_open(st, &a->dir, &b->dir, false, &c, &err), &err);
	while ((rc = pfs_compare_next(c, &d, &err)) > 0)
		n++;
	must(rc, &err);
	pfs_compare_close(&c);
	return n;
}

/* Each pair is met for the first time. */
static void bench_compare(struct world *w, const struct names *all)
{
	static double ms[ROUNDS];
	struct pfs_root was = commit_changes(w, all, 0);

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct pfs_root is = commit_changes(w, all, i + 1);
		double start = now();
		size_t n = compare(w->store, &was, &is);

		ms[i] = (now() - start) * 1e3;
		CHECK(n == CHANGES, "%zu differences", n);
		was = is;
	}
	print_median("compare, 10 changes", ms, ROUNDS);
}

/* The directory `dir` with one name changed to `e`. */
static struct pfs_id with_entry(struct pfs_store *st, const struct pfs_id *dir, const char *name,
				const struct pfs_entry *e)
{
	const struct pfs_edit edit = { name, strlen(name), e };
	struct pfs_id out;
	struct pfs_error err = { 0 };

	must(pfs_tree_edit(st, dir, &edit, 1, &out, &err), &err);
	return out;
}

/* The tree `root` with file `i` changed, straight through the tree. */
static struct pfs_id with_file(struct pfs_store *st, const struct names *all,
			       const struct pfs_id *root, unsigned i, unsigned version)
{
	struct pfs_found found = { 0 };
	struct pfs_entry dir, file = { .type = PFS_ENTRY_FILE, .attrs.mode = 0644 };
	struct pfs_error err = { 0 };
	char folder[32], leaf[32], text[SIZE];

	dir_name(i / all->per_dir, folder);
	file_name(i, leaf);
	file_text(i, version, text);
	must(pfs_content_from_bytes(st, text, SIZE, &file.content, &err), &err);
	must(pfs_tree_find(st, root, folder, strlen(folder), &found, &err), &err);
	dir = found.e;
	dir.dir = with_entry(st, &dir.dir, leaf, &file);
	pfs_found_fini(&found);
	return with_entry(st, root, folder, &dir);
}

static struct pfs_id with_changes(struct pfs_store *st, const struct names *all,
				  const struct pfs_id *root, unsigned round)
{
	struct pfs_id at = *root;

	for (unsigned i = 0; i < CHANGES; i++)
		at = with_file(st, all, &at, somewhere(all, 5000 + round * CHANGES + i),
			       5000 + round);
	return at;
}

/* Ten files changed on each side, new ones in every round. */
static void bench_merge(struct world *w, const struct names *all, const struct pfs_id *base)
{
	const struct pfs_merge_how how = { .policy = PFS_MERGE_BOTH };
	static double ms[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct pfs_id ours = with_changes(w->store, all, base, 2 * i);
		struct pfs_id theirs = with_changes(w->store, all, base, 2 * i + 1);
		struct pfs_error err = { 0 };
		struct pfs_id out;
		double start = now();

		must(pfs_merge_trees(w->store, base, &ours, &theirs, &how, NULL, &out, &err), &err);
		ms[i] = (now() - start) * 1e3;
	}
	print_median("merge, 10 changes on each side", ms, ROUNDS);
}

static void bench_all(struct world *w, const struct names *all, const struct pfs_id *base)
{
	bench_commits(w, all);
	bench_compare(w, all);
	bench_merge(w, all, base);
	print_memory("peak memory at the end");
}

int main(int argc, char **argv)
{
	struct names all;
	struct world w;
	struct pfs_error err = { 0 };
	struct pfs_id root;
	double start;

	bool only = argc == 5 && strcmp(argv[4], "only") == 0;

	if (argc != 4 + only || atol(argv[2]) < 1 || atol(argv[3]) < 1) {
		fprintf(stderr, "usage: bench_million DATA FILES PER_DIR [only]\n");
		return 2;
	}
	all = (struct names){ (unsigned)atol(argv[2]), (unsigned)atol(argv[3]) };
	CHECK(mkdir(argv[1], 0755) == 0, "%s", argv[1]);
	must(world_open(&w, argv[1], &err), &err);
	start = now();
	root = make_dirs(w.store, &all);
	must(pfs_store_sync(w.store, &err), &err);
	printf("bulk import %.2f s\n", now() - start);
	place_branch(&w, &root);
	commit(&w);
	print_memory("peak memory of the import");
	if (!only)
		bench_all(&w, &all, &root);
	world_close(&w);
	return 0;
}
