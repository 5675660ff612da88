/*
 * Figures of the store by itself: put of chunks nobody can compress, put of
 * text, put of what is there already, get of small and of chunk-sized objects.
 * Beside them SHA-256 of the same bytes, which no put can beat.
 *
 *	bench_store [FOLDER [MEBIBYTES]]
 */
#include "store/hasher.h"
#include "../scratch.h"

#include <time.h>

#define CHUNK 65536u
#define SMALL 400u

/* By the wall and by our processor time: on a busy machine only the second says much. */
struct moment {
	double wall, cpu;
};

static double read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct moment now(void)
{
	return (struct moment){ read_clock(CLOCK_MONOTONIC), read_clock(CLOCK_PROCESS_CPUTIME_ID) };
}

static void rate(const char *name, double bytes, struct moment from)
{
	struct moment to = now();

	printf("%-36s %8.2f GB/s wall %8.2f GB/s cpu\n", name, bytes / (to.wall - from.wall) / 1e9,
	       bytes / (to.cpu - from.cpu) / 1e9);
}

static void each(const char *name, double n, struct moment from)
{
	struct moment to = now();

	printf("%-36s %8.2f us   wall %8.2f us   cpu\n", name, (to.wall - from.wall) / n * 1e6,
	       (to.cpu - from.cpu) / n * 1e6);
}

/* Each chunk its own: the counter makes it so, the rest is made once. */
static void put_all(struct pfs_store *st, unsigned char *data, unsigned n, unsigned salt)
{
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < n; i++) {
		unsigned stamp[2] = { i, salt };
		struct pfs_id id;

		memcpy(data, stamp, sizeof(stamp));
		CHECK(pfs_store_put(st, PFS_KIND_CHUNK, data, CHUNK, &id, &err) == 0, "%s",
		      err.text);
	}
	CHECK(pfs_store_sync(st, &err) == 0, "%s", err.text);
}

static void hash_all(const struct pfs_store_keys *keys, unsigned char *data, unsigned n)
{
	struct pfs_hasher *h = NULL;
	struct pfs_id id;

	CHECK(pfs_hasher_new(keys->id_key, &h, NULL) == 0, "hasher");
	for (unsigned i = 0; i < n; i++) {
		memcpy(data, &i, sizeof(i));
		CHECK(pfs_hasher_id(h, PFS_KIND_CHUNK, data, CHUNK, &id, NULL) == 0, "hash");
	}
	pfs_hasher_free(&h);
}

static void get_small(struct pfs_store *st, unsigned n)
{
	struct pfs_id *ids = calloc(n, sizeof(*ids));
	unsigned char data[SMALL];
	struct moment from;

	CHECK(ids, "memory");
	from = now();
	for (unsigned i = 0; i < n; i++) {
		scratch_fill(data, 40, i + 1);
		memset(data + 40, 'x', SMALL - 40);
		CHECK(pfs_store_put(st, PFS_KIND_DIRNODE, data, SMALL, &ids[i], NULL) == 0, "put");
	}
	CHECK(pfs_store_sync(st, NULL) == 0, "sync");
	each("put 400 bytes", n, from);
	for (int round = 0; round < 2; round++) {
		unsigned wanted = round ? 10000 : n;

		from = now();
		for (unsigned i = 0; i < n; i++) {
			PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;

			CHECK(pfs_store_get(st, PFS_KIND_DIRNODE, &ids[i * 7919ull % wanted], &o,
					    NULL) == 0,
			      "get");
		}
		each(round ? "get 400 bytes, cached" : "get 400 bytes, from the pack", n, from);
	}
	free(ids);
}

static void get_chunks(struct pfs_store *st, unsigned char *data, unsigned n, unsigned salt)
{
	struct moment from = now();

	for (unsigned i = 0; i < n; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		unsigned stamp[2] = { i, salt };
		struct pfs_id id;

		memcpy(data, stamp, sizeof(stamp));
		pfs_store_id(st, PFS_KIND_CHUNK, data, CHUNK, &id);
		CHECK(pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, NULL) == 0, "get");
	}
	rate("get 64 KiB (hashed twice)", (double)n * CHUNK, from);
}

static void small_commits(struct pfs_store *st, unsigned n)
{
	struct moment from = now();
	unsigned char data[24000];

	for (unsigned i = 0; i < n; i++) {
		struct pfs_id id;

		scratch_fill(data, sizeof(data), i + 1000000);
		CHECK(pfs_store_put(st, PFS_KIND_DIRNODE, data, sizeof(data), &id, NULL) == 0,
		      "put");
		CHECK(pfs_store_sync(st, NULL) == 0, "sync");
	}
	each("put 24 KB and sync", n, from);
}

int main(int argc, char **argv)
{
	struct scratch dir = { "" };
	static unsigned char noise[CHUNK], text[CHUNK];
	unsigned n = (argc > 2 ? (unsigned)atoi(argv[2]) : 1024) * 16;
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	struct moment from;

	if (argc < 2)
		dir = scratch_new();
	CHECK(pfs_store_open(argc > 1 ? argv[1] : dir.path, &st, &err) == 0, "%s", err.text);
	scratch_fill(noise, CHUNK, 1);
	for (unsigned i = 0; i + 64 < CHUNK; i += 31)
		snprintf((char *)text + i, 64, "%010u,%7u,row,%7u\n", i * 2654435761u, i % 8191,
			 i % 977);
	from = now();
	hash_all(pfs_store_keys(st), noise, n);
	rate("sha256 alone", (double)n * CHUNK, from);
	from = now();
	put_all(st, noise, n, 1);
	rate("put 64 KiB, noise, synced", (double)n * CHUNK, from);
	from = now();
	put_all(st, noise, n, 1);
	rate("put 64 KiB, all there already", (double)n * CHUNK, from);
	get_chunks(st, noise, n / 4, 1);
	from = now();
	put_all(st, text, n / 4, 2);
	rate("put 64 KiB, rows of text, synced", (double)(n / 4) * CHUNK, from);
	get_small(st, 100000);
	small_commits(st, 200);
	from = now();
	pfs_store_close(&st);
	CHECK(pfs_store_open(argc > 1 ? argv[1] : dir.path, &st, &err) == 0, "%s", err.text);
	each("open again", 1, from);
	from = now();
	CHECK(pfs_store_check(st, NULL, NULL, NULL) == 0, "check");
	rate("check", (double)n * CHUNK * 5 / 4, from);
	pfs_store_close(&st);
	scratch_fini(&dir);
	return 0;
}
