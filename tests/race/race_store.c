/*
 * Many threads put, get, sync, tidy and check one store at once, alone and in
 * batches, with hints, and adopt files, long enough that packs fill up, are
 * sealed, and go into the index meanwhile. For ThreadSanitizer.
 */
#include "store/adoption.h"
#include "store/packset.h"
#include "store/packwriter.h"
#include "base/pool.h"
#include "../scratch.h"

#include <pthread.h>
#include <unistd.h>

#define WORKERS 4
#define ROUNDS  500
#define SIZE    60000
#define BATCH   12

struct worker {
	struct pfs_store *st;
	const char *folder;
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

/* Large enough for helpers; each resembles one that was put long ago, which another may put now. */
static void put_batch(struct worker *w, unsigned i)
{
	static _Thread_local unsigned char data[BATCH][SIZE];
	struct pfs_store_item items[BATCH];
	struct pfs_error err = { 0 };
	struct pfs_id near[BATCH];

	for (unsigned k = 0; k < BATCH; k++) {
		unsigned other = (i + k) / 6 * 3; /* everybody's, a node */
		size_t len = fill(data[k], w->number, other);

		pfs_store_id(w->st, kind_of(other), data[k], len, &near[k]);
		memcpy(data[k] + len / 2, &i, sizeof(i));
		items[k] = (struct pfs_store_item){ data[k], len, &near[k] };
	}
	CHECK(pfs_store_put_batch(w->st, kind_of(0), items, BATCH, &err) == 0, "%s", err.text);
	for (unsigned k = 0; k < BATCH; k++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;

		CHECK(pfs_store_get(w->st, kind_of(0), &items[k].id, &o, &err) == 0, "%s",
		      err.text);
		CHECK(o->len == items[k].len && memcmp(o->data, data[k], o->len) == 0,
		      "other bytes");
	}
}

/* Half of the pieces are everybody's. */
static void adopt(struct worker *w, unsigned i)
{
	static _Thread_local unsigned char data[SIZE];
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	uint64_t off = 0;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/incoming-%u", w->folder, w->number);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && pfs_adoption_begin(w->st, &a, NULL) == 0, "%s", path);
	for (unsigned k = 0; k < BATCH; k++) {
		struct pfs_store_item item = { .data = data, .len = 1000 + k * 4000 };

		scratch_fill(data, item.len, 5000000 + (k % 2 ? w->number * 1000 + i : i) + k);
		CHECK(pwrite(fd, data, item.len, (off_t)off) == (ssize_t)item.len, "write");
		CHECK(pfs_adoption_add(a, off, &item, 1, &err) == 0, "%s", err.text);
		off += item.len;
	}
	close(fd);
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == 0, "%s", err.text);
	CHECK(unlink(path) == 0, "%s", path);
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
		if (i % 25 == 3)
			put_batch(w, i);
		if (i % 50 == 7)
			adopt(w, i);
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
	char path[300];

	pfs_packwriter_set_targets(1 << 20, 1 << 20);
	pfs_packset_set_batch(50);
	pfs_pool_set_processors(4);
	snprintf(path, sizeof(path), "%s/store", dir.path);
	CHECK(pfs_store_open(path, &st, &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .st = st, .folder = dir.path, .number = i };
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread");
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	CHECK(pfs_store_check(st, complain, NULL, &err) == 0, "%s", err.text);
	pfs_store_close(&st);
	scratch_fini(&dir);
	return 0;
}
