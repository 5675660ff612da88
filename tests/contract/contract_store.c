/*
 * What every backend of the store promises. Each claim is a function over a
 * store; a new backend is one line in `backends`.
 */
#include "store/adoption.h"
#include "store/batch.h"
#include "base/limits.h"
#include "base/pool.h"
#include "../scratch.h"

#include <pthread.h>
#include <unistd.h>

struct fixture {
	struct scratch dir;
	struct pfs_store *st;
};

static int open_pack(struct fixture *f, struct pfs_error *err)
{
	return pfs_store_open(f->dir.path, &f->st, err);
}

static int open_mem(struct fixture *f, struct pfs_error *err)
{
	return pfs_store_open_mem(&f->st, err);
}

static void put(struct pfs_store *st, enum pfs_kind kind, const void *data, size_t len,
		struct pfs_id *id)
{
	struct pfs_error err = { 0 };
	int rc = pfs_store_put(st, kind, data, len, id, &err);

	CHECK(rc == 0, "put %zu bytes: %s", len, err.text);
}

static void expect_bytes(struct pfs_store *st, enum pfs_kind kind, const struct pfs_id *id,
			 const void *data, size_t len)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_error err = { 0 };
	int rc = pfs_store_get(st, kind, id, &o, &err);

	CHECK(rc == 0, "get %zu bytes: %s", len, err.text);
	CHECK(o->len == len && (len == 0 || memcmp(o->data, data, len) == 0), "other bytes of %zu",
	      len);
}

static void gives_back_what_was_put_of_every_size_and_kind(struct pfs_store *st)
{
	static const size_t sizes[] = { 0,  1,  7,    8,     55,     56,
					64, 65, 4095, 65536, 262144, PFS_OBJECT_SIZE_MAX };
	static const enum pfs_kind kinds[] = { PFS_KIND_CHUNK, PFS_KIND_SEQNODE, PFS_KIND_DIRNODE,
					       PFS_KIND_COMMIT, PFS_KIND_XATTRS };
	unsigned char *data = malloc(PFS_OBJECT_SIZE_MAX);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
			for (int text = 0; text < 2; text++) {
				struct pfs_id id, computed;

				if (text)
					memset(data, 'a' + (int)i, sizes[i]);
				else
					scratch_fill(data, sizes[i], i + 1);
				put(st, kinds[k], data, sizes[i], &id);
				pfs_store_id(st, kinds[k], data, sizes[i], &computed);
				CHECK(pfs_id_equal(&id, &computed), "put and id disagree");
				CHECK(pfs_store_has(st, kinds[k], &id), "has denies it");
				expect_bytes(st, kinds[k], &id, data, sizes[i]);
			}
	free(data);
}

static void names_the_same_bytes_of_another_kind_differently(struct pfs_store *st)
{
	const struct pfs_object *o = NULL;
	struct pfs_id chunk, dir;

	put(st, PFS_KIND_CHUNK, "same", 4, &chunk);
	pfs_store_id(st, PFS_KIND_DIRNODE, "same", 4, &dir);
	CHECK(!pfs_id_equal(&chunk, &dir), "a file's bytes could be taken for a node");
	CHECK(!pfs_store_has(st, PFS_KIND_DIRNODE, &chunk), "has ignores the kind");
	CHECK(pfs_store_get(st, PFS_KIND_DIRNODE, &chunk, &o, NULL) == PFS_E_NOTFOUND,
	      "get ignores the kind");
	expect_bytes(st, PFS_KIND_CHUNK, &chunk, "same", 4);
	CHECK(pfs_store_get(st, PFS_KIND_DIRNODE, &chunk, &o, NULL) == PFS_E_NOTFOUND,
	      "the cache ignores the kind");
}

static void stores_the_same_bytes_once(struct pfs_store *st)
{
	struct pfs_store_stats before, after;
	struct pfs_id a, b;

	put(st, PFS_KIND_CHUNK, "once only", 9, &a);
	pfs_store_stats(st, &before);
	put(st, PFS_KIND_CHUNK, "once only", 9, &b);
	pfs_store_stats(st, &after);
	CHECK(pfs_id_equal(&a, &b), "two ids");
	CHECK(after.objects == before.objects, "two objects");
	CHECK(after.put_duplicates == before.put_duplicates + 1, "not counted as a duplicate");
}

static void refuses_what_is_too_large_or_of_no_kind(struct pfs_store *st)
{
	unsigned char *data = calloc(1, PFS_OBJECT_SIZE_MAX + 1);
	struct pfs_id id = { { 42 } }, before = id;
	struct pfs_error err = { 0 };
	struct pfs_store_item items[2] = { { data, 10 }, { data, PFS_OBJECT_SIZE_MAX + 1 } };

	CHECK(pfs_store_put(st, PFS_KIND_CHUNK, data, PFS_OBJECT_SIZE_MAX + 1, &id, &err) ==
		      PFS_E_LIMIT,
	      "too large: %s", err.text);
	CHECK(strstr(err.text, "1048577") && strstr(err.text, "1048576"), "without numbers: %s",
	      err.text);
	CHECK(pfs_store_put(st, (enum pfs_kind)5, data, 1, &id, NULL) == PFS_E_INVALID, "kind 5");
	CHECK(pfs_store_put(st, (enum pfs_kind)99, data, 1, &id, NULL) == PFS_E_INVALID, "kind 99");
	CHECK(pfs_id_equal(&id, &before), "a failed put wrote to out");
	CHECK(pfs_store_put_batch(st, PFS_KIND_CHUNK, items, 2, NULL) == PFS_E_LIMIT, "batch");
	CHECK(pfs_id_is_zero(&items[0].id), "a failed batch set an id");
	free(data);
}

static void says_notfound_for_what_was_never_put(struct pfs_store *st)
{
	const struct pfs_object *o = (const void *)st;
	struct pfs_id id;

	memset(&id, 0xee, sizeof(id));
	CHECK(!pfs_store_has(st, PFS_KIND_CHUNK, &id), "has");
	CHECK(pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, NULL) == PFS_E_NOTFOUND, "get");
	CHECK(pfs_store_need(st, PFS_KIND_CHUNK, &id, &o, NULL) == PFS_E_CORRUPT, "need");
	CHECK(o == (const void *)st, "a failed get wrote to out");
}

static void puts_a_batch_as_if_one_by_one(struct pfs_store *st)
{
	enum { N = 300 };
	static unsigned char data[N][100];
	struct pfs_store_item items[N];
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < N; i++) {
		scratch_fill(data[i], sizeof(data[i]), 1000 + i / 2); /* every one twice */
		items[i] = (struct pfs_store_item){ .data = data[i], .len = i % 100 };
	}
	CHECK(pfs_store_put_batch(st, PFS_KIND_CHUNK, items, N, &err) == 0, "%s", err.text);
	CHECK(pfs_store_put_batch(st, PFS_KIND_CHUNK, items, 0, NULL) == 0, "an empty batch");
	for (unsigned i = 0; i < N; i++) {
		struct pfs_id one;

		pfs_store_id(st, PFS_KIND_CHUNK, data[i], i % 100, &one);
		CHECK(pfs_id_equal(&one, &items[i].id), "id %u differs", i);
		expect_bytes(st, PFS_KIND_CHUNK, &items[i].id, data[i], i % 100);
	}
}

/* Enough of every size for helpers, and several batches on their way at once. */
static void puts_large_batches_on_all_processors(struct pfs_store *st)
{
	enum { N = 150, BATCHES = 3 };
	static struct pfs_store_item items[BATCHES][N];
	static unsigned char data[BATCHES][N][40000];
	struct pfs_batch *batches[BATCHES], *given_up;
	struct pfs_error err = { 0 };

	for (unsigned b = 0; b < BATCHES; b++) {
		for (unsigned i = 0; i < N; i++) {
			size_t len = (i * 7919u + b) % sizeof(data[b][i]);

			scratch_fill(data[b][i], len, 70000 + b * 50 + i); /* some in two batches */
			items[b][i] = (struct pfs_store_item){ .data = data[b][i], .len = len };
		}
		CHECK(pfs_batch_begin(st, PFS_KIND_CHUNK, items[b], N, &batches[b], &err) == 0,
		      "%s", err.text);
	}
	CHECK(pfs_batch_begin(st, PFS_KIND_CHUNK, items[0], N, &given_up, NULL) == 0, "begin");
	pfs_batch_abort(&given_up);
	CHECK(given_up == NULL, "abort left the pointer");
	for (unsigned b = 0; b < BATCHES; b++) {
		CHECK(pfs_batch_end(&batches[b], &err) == 0, "%s", err.text);
		for (unsigned i = 0; i < N; i++)
			expect_bytes(st, PFS_KIND_CHUNK, &items[b][i].id, data[b][i],
				     items[b][i].len);
	}
}

static void fails_a_batch_as_a_whole(struct pfs_store *st)
{
	enum { N = 100 };
	static unsigned char data[N][5000];
	struct pfs_store_item items[N];
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < N; i++)
		items[i] = (struct pfs_store_item){ .data = data[i], .len = sizeof(data[i]) };
	items[N / 2].len = PFS_OBJECT_SIZE_MAX + 1;
	CHECK(pfs_store_put_batch(st, PFS_KIND_CHUNK, items, N, &err) == PFS_E_LIMIT, "%s",
	      err.text);
	CHECK(strstr(err.text, "1048577"), "without its number: %s", err.text);
	for (unsigned i = 0; i < N; i++)
		CHECK(pfs_id_is_zero(&items[i].id), "a failed batch set id %u", i);
}

#define FILE_CHUNK 50000u

/* A file of `n` chunks with a hole in its middle, surveyed. */
static void make_file(struct pfs_store *st, const char *path, unsigned n, unsigned seed,
		      struct pfs_adoption **a, struct pfs_store_item *items)
{
	static unsigned char data[64][FILE_CHUNK];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t off = 0;

	CHECK(fd >= 0 && n <= 64, "%s", path);
	for (unsigned i = 0; i < n; i++) {
		size_t len = FILE_CHUNK - i * 13;

		scratch_fill(data[i], len, seed + i);
		items[i] = (struct pfs_store_item){ .data = data[i], .len = len };
	}
	CHECK(pfs_adoption_begin(st, a, NULL) == 0, "begin");
	for (unsigned i = 0; i < n; i++) {
		if (i == n / 2)
			off += 100001; /* a hole, and no offset is a multiple of anything */
		CHECK(pwrite(fd, data[i], items[i].len, (off_t)off) == (ssize_t)items[i].len,
		      "write");
		CHECK(pfs_adoption_add(*a, off, &items[i], 1, NULL) == 0, "add");
		off += items[i].len;
	}
	close(fd);
}

static void expect_chunks(struct pfs_store *st, const struct pfs_store_item *items, unsigned n,
			  unsigned seed)
{
	unsigned char data[FILE_CHUNK];

	for (unsigned i = 0; i < n; i++) {
		scratch_fill(data, items[i].len, seed + i);
		CHECK(pfs_store_has(st, PFS_KIND_CHUNK, &items[i].id), "has denies chunk %u", i);
		expect_bytes(st, PFS_KIND_CHUNK, &items[i].id, data, items[i].len);
	}
}

static void adopts_a_file_that_its_owner_removes_then(struct pfs_store *st)
{
	struct scratch dir = scratch_new();
	struct pfs_store_item items[60];
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/file", dir.path);
	make_file(st, path, 40, 300000, &a, items);
	for (unsigned i = 0; i < 40; i++)
		CHECK(!pfs_store_has(st, PFS_KIND_CHUNK, &items[i].id), "stored before commit");
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == 0, "%s", err.text);
	CHECK(a == NULL, "commit left the pointer");
	expect_chunks(st, items, 40, 300000);
	CHECK(pfs_store_sync(st, &err) == 0, "%s", err.text);
	CHECK(unlink(path) == 0, "the name is the caller's");
	expect_chunks(st, items, 40, 300000);
	/* Half of it once more: those are not new, and the others are. */
	make_file(st, path, 60, 300020, &a, items);
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == 0, "%s", err.text);
	expect_chunks(st, items, 60, 300020);
	scratch_fini(&dir);
}

static void adopts_nothing_from_a_file_that_is_not_as_it_was(struct pfs_store *st)
{
	struct scratch dir = scratch_new();
	struct pfs_store_item items[10];
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/file", dir.path);
	make_file(st, path, 10, 400000, &a, items);
	CHECK(truncate(path, 100000) == 0, "truncate");
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == PFS_E_CONFLICT, "%s", err.text);
	CHECK(strstr(err.text, path) && a == NULL, "unclear: %s", err.text);
	make_file(st, path, 10, 400000, &a, items);
	CHECK(unlink(path) == 0, "unlink");
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == PFS_E_NOTFOUND, "%s", err.text);
	make_file(st, path, 10, 400000, &a, items);
	CHECK(pfs_adoption_add(a, 5, items, 1, NULL) == PFS_E_INVALID, "backwards");
	pfs_adoption_abort(&a);
	pfs_adoption_abort(&a);
	for (unsigned i = 3; i < 10; i++)
		CHECK(!pfs_store_has(st, PFS_KIND_CHUNK, &items[i].id), "chunk %u is stored", i);
	scratch_fini(&dir);
}

static void keeps_objects_for_whoever_holds_them(struct pfs_store *st)
{
	const struct pfs_object *held = NULL, *again = NULL;
	unsigned char data[1000];
	struct pfs_id id;

	scratch_fill(data, sizeof(data), 77);
	put(st, PFS_KIND_CHUNK, data, sizeof(data), &id);
	CHECK(pfs_store_get(st, PFS_KIND_CHUNK, &id, &held, NULL) == 0, "get");
	again = pfs_object_ref(held);
	pfs_object_unref(&held);
	CHECK(held == NULL, "unref left the pointer");
	CHECK(memcmp(again->data, data, sizeof(data)) == 0, "other bytes");
	pfs_object_unref(&again);
	pfs_object_unref(&again);
}

struct worker {
	struct pfs_store *st;
	unsigned number;
	pthread_t thread;
};

/* Half of what a worker puts is its own, half every other worker puts too. */
static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned char data[3000];

	for (unsigned i = 0; i < 400; i++) {
		uint64_t seed = i % 2 ? 5000 + i : 100000 * (w->number + 1) + i;
		size_t len = seed * 7 % sizeof(data);
		struct pfs_id id;

		scratch_fill(data, len, seed);
		put(w->st, PFS_KIND_CHUNK, data, len, &id);
		expect_bytes(w->st, PFS_KIND_CHUNK, &id, data, len);
		if (i % 50 == 0)
			CHECK(pfs_store_sync(w->st, NULL) == 0, "sync");
	}
	return NULL;
}

static void serves_many_threads_at_once(struct pfs_store *st)
{
	struct worker workers[4];

	for (unsigned i = 0; i < 4; i++) {
		workers[i] = (struct worker){ .st = st, .number = i };
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread");
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(workers[i].thread, NULL);
}

static void no_damage(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

static void is_whole_after_all_that(struct pfs_store *st)
{
	struct pfs_error err = { 0 };

	CHECK(pfs_store_sync(st, &err) == 0, "sync: %s", err.text);
	CHECK(pfs_store_check(st, no_damage, NULL, &err) == 0, "check: %s", err.text);
}

static const struct {
	const char *name;
	int (*open)(struct fixture *f, struct pfs_error *err);
} backends[] = { { "mem", open_mem }, { "pack", open_pack } };

static void (*const claims[])(struct pfs_store *st) = {
	gives_back_what_was_put_of_every_size_and_kind,
	names_the_same_bytes_of_another_kind_differently,
	stores_the_same_bytes_once,
	refuses_what_is_too_large_or_of_no_kind,
	says_notfound_for_what_was_never_put,
	puts_a_batch_as_if_one_by_one,
	puts_large_batches_on_all_processors,
	fails_a_batch_as_a_whole,
	adopts_a_file_that_its_owner_removes_then,
	adopts_nothing_from_a_file_that_is_not_as_it_was,
	keeps_objects_for_whoever_holds_them,
	serves_many_threads_at_once,
	is_whole_after_all_that,
};

int main(void)
{
	pfs_pool_set_processors(4);
	for (size_t b = 0; b < sizeof(backends) / sizeof(*backends); b++) {
		struct fixture f = { .dir = scratch_new() };
		struct pfs_error err = { 0 };

		CHECK(backends[b].open(&f, &err) == 0, "%s: %s", backends[b].name, err.text);
		for (size_t i = 0; i < sizeof(claims) / sizeof(*claims); i++)
			claims[i](f.st);
		pfs_store_close(&f.st);
		pfs_store_close(&f.st);
		scratch_fini(&f.dir);
		printf("%s: %zu claims hold\n", backends[b].name, sizeof(claims) / sizeof(*claims));
	}
	return 0;
}
