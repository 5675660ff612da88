/*
 * What it costs to know where ten million chunks are: memory, time to open,
 * time to find. The chunks are tiny, the index does not care.
 *
 *	bench_index [quick]    works in $TMPDIR and leaves nothing there
 *
 * The store is opened again in a process of its own, so that what filling it
 * took is not counted. Prints lines "name value unit"; asserts nothing.
 */
#include "../scratch.h"
#include "store/store.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH   1024
#define LOOKUPS 100000

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
	fprintf(stderr, "bench_index: %s\n", err->text);
	exit(1);
}

/* A line of /proc/self/status, in MB. */
static double status_mb(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = 0;

	CHECK(f, "/proc/self/status");
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			sscanf(line + strlen(field), ": %ld", &kb);
	fclose(f);
	return (double)kb / 1024;
}

/* Object `i`; those from the number of objects on are not stored. */
static void object_bytes(uint64_t i, unsigned char out[16])
{
	scratch_fill(out, 16, i + 1);
}

static void fill(const char *dir, uint64_t n)
{
	static unsigned char bytes[BATCH][16];
	struct pfs_store_item items[BATCH];
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	double start = now();

	must(pfs_store_open(dir, &st, &err), &err);
	for (uint64_t i = 0; i < n; i += BATCH) {
		size_t k = n - i < BATCH ? (size_t)(n - i) : BATCH;

		for (size_t j = 0; j < k; j++) {
			object_bytes(i + j, bytes[j]);
			items[j] = (struct pfs_store_item){ .data = bytes[j], .len = 16 };
		}
		must(pfs_store_put_batch(st, PFS_KIND_CHUNK, items, k, &err), &err);
		if (i / BATCH % 256 == 255)
			must(pfs_store_sync(st, &err), &err);
	}
	must(pfs_store_sync(st, &err), &err);
	printf("fill with %llu chunks %.2f s\n", (unsigned long long)n, now() - start);
	pfs_store_close(&st);
	printf("peak memory while %llu chunks came in %.1f MB\n", (unsigned long long)n,
	       status_mb("VmHWM"));
}

static double lookups(struct pfs_store *st, uint64_t from, uint64_t n, bool want)
{
	static struct pfs_id ids[LOOKUPS];
	unsigned char bytes[16];
	double start;

	for (unsigned i = 0; i < LOOKUPS; i++) {
		object_bytes(from + (i * 2654435761u) % n, bytes);
		pfs_store_id(st, PFS_KIND_CHUNK, bytes, sizeof(bytes), &ids[i]);
	}
	start = now();
	for (unsigned i = 0; i < LOOKUPS; i++)
		CHECK(pfs_store_has(st, PFS_KIND_CHUNK, &ids[i]) == want, "object %u", i);
	return (now() - start) / LOOKUPS * 1e6;
}

static void measure(const char *dir, uint64_t n)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	double anon = status_mb("RssAnon"), file = status_mb("RssFile"), start = now();
	double hit, miss;

	must(pfs_store_open(dir, &st, &err), &err);
	printf("open a store of %llu chunks %.1f ms\n", (unsigned long long)n,
	       (now() - start) * 1e3);
	miss = lookups(st, n, n, false);
	hit = lookups(st, 0, n, true);
	printf("memory of an index of %llu chunks %.1f MB\n", (unsigned long long)n,
	       status_mb("RssAnon") - anon);
	printf("of the page cache mapped after %d lookups %.1f MB\n", 2 * LOOKUPS,
	       status_mb("RssFile") - file);
	printf("find a chunk that is there %.2f us\n", hit);
	printf("find a chunk that is not there %.2f us\n", miss);
	pfs_store_close(&st);
}

static void in_child(void (*work)(const char *dir, uint64_t n), const char *dir, uint64_t n)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		work(dir, n);
		fflush(stdout);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the measuring process");
}

int main(int argc, char **argv)
{
	bool quick = argc == 2 && strcmp(argv[1], "quick") == 0;
	struct scratch dir;
	char store[300];

	if (argc > 1 && !quick) {
		fprintf(stderr, "usage: bench_index [quick]\n");
		return 2;
	}
	dir = scratch_new();
	snprintf(store, sizeof(store), "%s/store", dir.path);
	in_child(fill, store, quick ? 200000 : 10000000);
	in_child(measure, store, quick ? 200000 : 10000000);
	scratch_fini(&dir);
	return 0;
}
