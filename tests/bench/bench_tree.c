/*
 * What trees cost over a store in memory: cuts, contents, one directory of a
 * million names. Prints figures; asserts none. bench_tree [NAMES [MIB]]
 */
#include "tree/chunker.h"
#include "tree/content.h"
#include "tree/splice.h"
#include "tree/tree.h"
#include "store/adoption.h"

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
	fprintf(stderr, "bench_tree: %s\n", err->text);
	exit(1);
}

static uint64_t seed = 88172645463325252;

static uint64_t roll(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static unsigned char *noise(size_t n)
{
	uint64_t *d = malloc(n);

	for (size_t i = 0; d && i < n / 8; i++)
		d[i] = roll();
	return (unsigned char *)d;
}

/* Rows of a table: what most data is. */
static unsigned char *rows(size_t n)
{
	char *d = malloc(n + 100);

	for (size_t at = 0, row = 0; d && at < n; row++)
		at += (size_t)sprintf(
			d + at, "%zu,%llu.%02llu,name-%llu,2026-%02llu-%02llu\n", row,
			(unsigned long long)roll() % 100000, (unsigned long long)roll() % 100,
			(unsigned long long)roll() % 5000, (unsigned long long)roll() % 12 + 1,
			(unsigned long long)roll() % 28 + 1);
	return (unsigned char *)d;
}

static void bench_chunker(const unsigned char *d, size_t n, const char *what)
{
	static const unsigned char key[32];
	static struct pfs_gear gear;
	struct pfs_error err = { 0 };
	struct pfs_chunker c;
	struct pfs_cut cut;
	double best = 1e9;
	size_t cuts = 0;

	must(pfs_gear_init(&gear, key, &err), &err);
	for (int round = 0; round < 5; round++) {
		double t = now();

		must(pfs_chunker_init(&c, &gear, &err), &err);
		cuts = 0;
		for (size_t off = 0; off < n; off += 1 << 20) {
			must(pfs_chunker_feed(&c, d + off, 1 << 20, &err), &err);
			while (pfs_chunker_next(&c, &cut))
				cuts++;
		}
		pfs_chunker_fini(&c);
		t = now() - t;
		best = t < best ? t : best;
	}
	printf("chunker              %8.2f GB/s   %s, mean chunk %zu\n", (double)n / best / 1e9,
	       what, n / (cuts ? cuts : 1));
}

static double wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double all_threads(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What a file that is adopted costs before it is linked. */
static void bench_survey(const unsigned char *d, size_t n)
{
	struct pfs_store *st = NULL;
	struct pfs_content c;
	struct pfs_error err = { 0 };
	FILE *f = tmpfile();

	if (!f || fwrite(d, 1, n, f) != n || fflush(f) != 0)
		exit(1);
	must(pfs_store_open_mem(&st, &err), &err);
	for (int round = 0; round < 5; round++) {
		struct pfs_adoption *a = NULL;
		double t = wall(), cpu = all_threads();

		must(pfs_adoption_begin(st, &a, &err), &err);
		must(pfs_content_survey_fd(st, fileno(f), n, NULL, a, &c, &err), &err);
		t = wall() - t;
		cpu = all_threads() - cpu;
		printf("content_survey_fd    %8.2f GB/s   by the clock, %.2f of CPU time\n",
		       (double)n / t / 1e9, (double)n / cpu / 1e9);
		pfs_adoption_abort(&a);
	}
	pfs_store_close(&st);
	fclose(f);
}

struct changed {
	const unsigned char *d;
	uint64_t at, asked;
};

static int read_changed(void *arg, uint64_t off, void *data, size_t len, struct pfs_error *err)
{
	struct changed *c = arg;
	unsigned char *p = data;

	(void)err;
	memcpy(p, c->d + off, len);
	if (c->at >= off && c->at < off + len)
		p[c->at - off] ^= 1;
	c->asked += len;
	return 0;
}

/* One byte of a file changes. */
static void bench_splice(const unsigned char *d, size_t n)
{
	struct pfs_store *st = NULL;
	struct pfs_content base, c;
	struct pfs_store_stats before, after;
	struct pfs_error err = { 0 };
	struct changed is = { .d = d };
	const int rounds = 200;
	double t;

	must(pfs_store_open_mem(&st, &err), &err);
	must(pfs_content_from_bytes(st, d, n, &base, &err), &err);
	pfs_store_stats(st, &before);
	t = now();
	for (int i = 0; i < rounds; i++) {
		struct pfs_splice x = { .off = roll() % n, .old_len = 1, .new_len = 1 };

		is.at = x.off;
		must(pfs_content_splice(st, &base, &x, 1, read_changed, &is, &c, &err), &err);
	}
	t = now() - t;
	pfs_store_stats(st, &after);
	printf("splice of one byte   %8.1f us     %.0f KB scanned, %.2f new objects, %.1f KB, "
	       "%.1f nodes read\n",
	       t / rounds * 1e6, (double)is.asked / rounds / 1e3,
	       (double)(after.objects - before.objects) / rounds,
	       (double)(after.object_bytes - before.object_bytes) / rounds / 1e3,
	       (double)(after.cache_hits + after.cache_misses - before.cache_hits -
			before.cache_misses) /
		       rounds);
	pfs_store_close(&st);
}

static void bench_content(const unsigned char *d, size_t n, const char *what)
{
	struct pfs_store *st = NULL;
	struct pfs_content_reader *r = NULL;
	struct pfs_content c;
	struct pfs_error err = { 0 };
	unsigned char *got = malloc(1 << 20);
	FILE *f = tmpfile();
	size_t len, sum = 0;
	double t;

	if (!f || !got || fwrite(d, 1, n, f) != n || fflush(f) != 0)
		exit(1);
	must(pfs_store_open_mem(&st, &err), &err);
	for (int round = 0; round < 3; round++) {
		t = now();
		must(pfs_content_from_fd(st, fileno(f), n, NULL, &c, &err), &err);
		t = now() - t;
		printf("content_from_fd      %8.2f GB/s   %s%s\n", (double)n / t / 1e9, what,
		       round ? ", stored already" : "");
	}
	must(pfs_content_reader_open(st, &c, &r, &err), &err);
	t = now();
	for (uint64_t off = 0; off < n; off += len, sum += len)
		must(pfs_content_read(r, off, got, 131072, &len, &err), &err);
	t = now() - t;
	printf("content_read         %8.2f GB/s   %s, 128 KiB at a time\n", (double)sum / t / 1e9,
	       what);
	pfs_content_reader_close(&r);
	pfs_store_close(&st);
	fclose(f);
	free(got);
}

static struct pfs_edit *make_edits(size_t n)
{
	struct pfs_edit *edits = calloc(n, sizeof(*edits));
	struct pfs_entry *e = calloc(1, sizeof(*e));

	if (!edits || !e)
		exit(1);
	e->type = PFS_ENTRY_FILE;
	e->attrs = (struct pfs_attrs){ .mode = 0644,
				       .mtime_sec = 1700000000,
				       .mtime_nsec = 123456789 };
	e->content.size = 100000;
	e->content.form = PFS_CONTENT_CHUNK;
	e->content.id.bytes[0] = 1;
	for (size_t i = 0; i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "file-%09zu.bin", 2 * i);
		edits[i] = (struct pfs_edit){ strdup(name), strlen(name), e };
	}
	return edits;
}

/* Edit `n` names spread over the directory; the new root. */
static struct pfs_id edit_spread(struct pfs_store *st, const struct pfs_id *root,
				 const struct pfs_edit *all, size_t total, size_t n, bool insert)
{
	struct pfs_edit edits[100];
	static char names[100][32];
	struct pfs_entry e = *all[0].entry;
	struct pfs_error err = { 0 };
	struct pfs_id out;

	e.content.id.bytes[1] = (unsigned char)roll();
	e.content.id.bytes[2] = (unsigned char)roll();
	for (size_t i = 0; i < n; i++) {
		size_t at = total / n * i + (size_t)(roll() % (total / n));

		snprintf(names[i], sizeof(names[i]), "file-%09zu.bin", 2 * at + insert);
		edits[i] = (struct pfs_edit){ names[i], strlen(names[i]), &e };
	}
	must(pfs_tree_edit(st, root, edits, n, &out, &err), &err);
	return out;
}

static void bench_edits(struct pfs_store *st, const struct pfs_id *root, const struct pfs_edit *all,
			size_t total, bool insert)
{
	struct pfs_store_stats before, after;
	double t = now();
	const int rounds = 200;

	pfs_store_stats(st, &before);
	for (int i = 0; i < rounds; i++)
		edit_spread(st, root, all, total, 1, insert);
	t = now() - t;
	pfs_store_stats(st, &after);
	printf("one %-16s %8.1f us     %.2f new nodes, %.1f KB, %.2f nodes read\n",
	       insert ? "insert" : "change", t / rounds * 1e6,
	       (double)(after.objects - before.objects) / rounds,
	       (double)(after.object_bytes - before.object_bytes) / rounds / 1e3,
	       (double)(after.cache_hits + after.cache_misses - before.cache_hits -
			before.cache_misses) /
		       rounds);
}

static void bench_compare(struct pfs_store *st, const struct pfs_id *root,
			  const struct pfs_edit *all, size_t total)
{
	struct pfs_id other = edit_spread(st, root, all, total, 10, true);
	double first = 0, best = 1e9;
	size_t found = 0;

	for (int round = 0; round < 10; round++) {
		struct pfs_compare *c = NULL;
		struct pfs_difference d;
		struct pfs_error err = { 0 };
		double t = now();

		must(pfs_compare_open(st, root, &other, false, &c, &err), &err);
		for (found = 0; pfs_compare_next(c, &d, &err) > 0;)
			found++;
		pfs_compare_close(&c);
		t = now() - t;
		first = round ? first : t;
		best = t < best ? t : best;
	}
	printf("compare              %8.1f us     %zu differences (first time %.1f us)\n",
	       best * 1e6, found, first * 1e6);
}

static void bench_directory(size_t n)
{
	struct pfs_edit *edits = make_edits(n);
	struct pfs_store *st = NULL;
	struct pfs_store_stats stats;
	struct pfs_error err = { 0 };
	struct pfs_id zero = { 0 }, root;
	struct pfs_found found = { 0 };
	struct pfs_cursor *cur = NULL;
	const struct pfs_entry *e;
	double t;

	must(pfs_store_open_mem(&st, &err), &err);
	t = now();
	must(pfs_tree_edit(st, &zero, edits, n, &root, &err), &err);
	t = now() - t;
	pfs_store_stats(st, &stats);
	printf("build                %8.3f s      %zu names, %llu nodes, %.1f bytes a name\n", t, n,
	       (unsigned long long)stats.objects, (double)stats.object_bytes / (double)n);
	bench_edits(st, &root, edits, n, false);
	bench_edits(st, &root, edits, n, true);
	t = now();
	for (int i = 0; i < 20000; i++) {
		const struct pfs_edit *x = &edits[roll() % n];

		must(pfs_tree_find(st, &root, x->name, x->name_len, &found, &err), &err);
	}
	printf("find                 %8.2f us\n", (now() - t) / 20000 * 1e6);
	pfs_found_fini(&found);
	t = now();
	must(pfs_cursor_open(st, &root, &cur, &err), &err);
	while (pfs_cursor_next(cur, &e, &err) > 0)
		;
	pfs_cursor_close(&cur);
	printf("walk                 %8.3f us a name\n", (now() - t) / (double)n * 1e6);
	bench_compare(st, &root, edits, n);
	for (size_t i = 0; i < n; i++)
		free((char *)edits[i].name);
	free((void *)edits[0].entry);
	free(edits);
	pfs_store_close(&st);
}

/* A thousand folders of `each` names: one file changes, up to the root. */
static void bench_folders(size_t each)
{
	struct pfs_edit *edits = make_edits(each), *folders = calloc(1000, sizeof(*folders));
	struct pfs_entry dirs[1000] = { 0 }, *shared = (void *)edits[0].entry, file = *shared;
	struct pfs_store_stats before, after;
	struct pfs_id zero = { 0 }, root;
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	const int rounds = 200;
	double t;

	if (!folders)
		exit(1);
	must(pfs_store_open_mem(&st, &err), &err);
	for (size_t i = 0; i < 1000; i++) {
		struct pfs_tree_totals sums;
		char name[32];

		file.attrs.mtime_sec++; /* no two folders are equal */
		must(pfs_tree_edit(st, &zero, edits, each, &dirs[i].dir, &err), &err);
		edits[0].entry = &file;
		must(pfs_tree_edit(st, &dirs[i].dir, edits, 1, &dirs[i].dir, &err), &err);
		must(pfs_tree_totals(st, &dirs[i].dir, &sums, &err), &err);
		dirs[i].type = PFS_ENTRY_DIR;
		dirs[i].attrs.mode = 0755;
		dirs[i].dir_entries = sums.entries;
		dirs[i].dir_bytes = sums.bytes;
		snprintf(name, sizeof(name), "folder-%04zu", i);
		folders[i] = (struct pfs_edit){ strdup(name), strlen(name), &dirs[i] };
	}
	must(pfs_tree_edit(st, &zero, folders, 1000, &root, &err), &err);
	pfs_store_stats(st, &before);
	t = now();
	for (int i = 0; i < rounds; i++) {
		struct pfs_edit *folder = &folders[roll() % 1000], edit = edits[roll() % each];

		file.attrs.mtime_sec++;
		edit.entry = &file;
		must(pfs_tree_edit(st, &folder->entry->dir, &edit, 1, &dirs[folder - folders].dir,
				   &err),
		     &err);
		must(pfs_tree_edit(st, &root, folder, 1, &root, &err), &err);
	}
	t = now() - t;
	pfs_store_stats(st, &after);
	printf("one in 1000 folders  %8.1f us     %.2f new nodes, %.1f KB, %.2f nodes read\n",
	       t / rounds * 1e6, (double)(after.objects - before.objects) / rounds,
	       (double)(after.object_bytes - before.object_bytes) / rounds / 1e3,
	       (double)(after.cache_hits + after.cache_misses - before.cache_hits -
			before.cache_misses) /
		       rounds);
	for (size_t i = 0; i < 1000; i++)
		free((char *)folders[i].name);
	for (size_t i = 0; i < each; i++)
		free((char *)edits[i].name);
	free(shared);
	free(edits);
	free(folders);
	pfs_store_close(&st);
}

int main(int argc, char **argv)
{
	size_t n = (size_t)(argc > 2 ? atol(argv[2]) : 256) << 20;
	unsigned char *d = noise(n), *text = rows(n);

	if (!d || !text)
		return 1;
	bench_chunker(d, n, "noise");
	bench_chunker(text, n, "rows of text");
	bench_content(d, n, "noise");
	bench_survey(d, n);
	bench_splice(d, n);
	for (size_t i = 0; i < n; i++)
		text[i] = i < 1000 ? (unsigned char)roll() : text[i - 1000];
	bench_chunker(text, n, "a period of 1000");
	memset(text, 0, n);
	bench_chunker(text, n, "zeros");
	free(text);
	free(d);
	bench_directory(argc > 1 ? (size_t)atol(argv[1]) : 1000000);
	bench_folders((argc > 1 ? (size_t)atol(argv[1]) : 1000000) / 1000);
	return 0;
}
