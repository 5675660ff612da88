/*
 * Many threads put, get, sync, tidy and check one store at once, long enough that
 * packs fill up, are sealed, and go into the index meanwhile. For ThreadSanitizer.
 */
#include "store/packset.h"
#include "store/packwriter.h"
#include "store/store.h"
#include "../scratch.h"

#include <pthread.h>

#define WORKERS 4
#define ROUNDS  500
#define SIZE    60000

struct worker {
	struct pfs_store *st;
	unsigned number;
	pthread_t thread;
};

static size_t fill(unsigned char *data, unsigned number, unsigned i)
{
	/* Every third object is everybody's. */
	uint64_t seed = i % 3 == 0 ? i + 1 : (uint64_t)(number + 1) * 1000000 + i;
	size_t len = 100 + seed * 7919 % (SIZE - 100);

	scratch_fill(data, len, seed);
	return len;
}

static enum pfs_kind kind_of(unsigned i)
{
	return i % 2 ? PFS_KIND_CHUNK : PFS_KIND_DIRNODE;
}

static void read_again(struct worker *w, unsigned i)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	static _Thread_local unsigned char data[SIZE];
	struct pfs_error err = { 0 };
	size_t len = fill(data, w->number, i);
	struct pfs_id id;

	pfs_store_id(w->st, kind_of(i), data, len, &id);
	CHECK(pfs_store_get(w->st, kind_of(i), &id, &o, &err) == 0, "%s", err.text);
	CHECK(o->len == len && memcmp(o->data, data, len) == 0, "other bytes");
}

static void complain(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

static void *work(void *arg)
{
	static _Thread_local unsigned char data[SIZE];
	struct pfs_store_stats stats;
	struct worker *w = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct pfs_error err = { 0 };
		struct pfs_id id;
		size_t len = fill(data, w->number, i);

		CHECK(pfs_store_put(w->st, kind_of(i), data, len, &id, &err) == 0, "%s", err.text);
		read_again(w, i / 2);
		if (i % 20 == w->number)
			CHECK(pfs_store_sync(w->st, &err) == 0, "%s", err.text);
		if (i % 100 == 50 + w->number)
			CHECK(pfs_store_check(w->st, complain, NULL, &err) == 0, "%s", err.text);
		if (i % 10 == w->number)
			CHECK(pfs_store_tidy(w->st, &err) >= 0, "%s", err.text);
		if (i % 200 == 75 + w->number)
			CHECK(pfs_store_rebuild_index(w->st, &err) == 0, "%s", err.text);
		pfs_store_stats(w->st, &stats);
	}
	return NULL;
}

int main(void)
{
	struct scratch dir = scratch_new();
	struct worker workers[WORKERS];
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };

	pfs_packwriter_set_targets(1 << 20, 1 << 20);
	pfs_packset_set_batch(50);
	CHECK(pfs_store_open(dir.path, &st, &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .st = st, .number = i };
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread");
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	CHECK(pfs_store_check(st, complain, NULL, &err) == 0, "%s", err.text);
	pfs_store_close(&st);
	scratch_fini(&dir);
	return 0;
}
