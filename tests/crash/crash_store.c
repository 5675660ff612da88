/*
 * The story of a store, cut off at its n-th fault point for every n: by the
 * process ending there, by an I/O error, by a full disk. Whatever a sync
 * promised is whole afterwards, check finds nothing, and puts work again.
 *
 * What was promised is told through a pipe, which outlives the process.
 */
#include "store/adoption.h"
#include "store/packwriter.h"
#include "store/store.h"
#include "../cutoff.h"

#include <unistd.h>

#define ROUNDS      4
#define PER_ROUND   9
#define PIECES      4     /* of a file that is adopted in each round */
#define OBJECT_SIZE 90000 /* a round is more than a small commit, so both packs are used */

static char adoptee[300]; /* outside of the store, on the same file system */

static size_t fill(unsigned char *data, unsigned round, unsigned i)
{
	size_t len = i == 0 ? 100 : i % 3 == 0 ? 5000 : OBJECT_SIZE;

	scratch_fill(data, len, round * 100 + i + 1);
	if (i % 4 == 1)
		memset(data + 10, 'x', len / 2);
	return len;
}

static enum pfs_kind kind_of(unsigned i)
{
	return i < PER_ROUND && i % 3 == 0 ? PFS_KIND_DIRNODE : PFS_KIND_CHUNK;
}

/* The chunk of the first round that others resemble, edited. */
static size_t fill_edited(unsigned char *data, unsigned round)
{
	size_t len = fill(data, 0, 1);

	memcpy(data + 500 + round, "edited", 6);
	return len;
}

/* Kept as a delta, once there is a durable base. */
static int put_edited(struct pfs_store *st, unsigned round, struct pfs_error *err)
{
	unsigned char data[OBJECT_SIZE];
	struct pfs_store_item item = { .data = data };
	struct pfs_id near;

	item.len = fill(data, 0, 1);
	pfs_store_id(st, kind_of(1), data, item.len, &near);
	fill_edited(data, round);
	item.near = &near;
	return pfs_store_put_batch(st, kind_of(1), &item, 1, err);
}

/* Pieces of a file that is adopted; they have numbers behind those of the other objects. */
static int adopt(struct pfs_store *st, unsigned round, struct pfs_error *err)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = NULL;
	unsigned char data[OBJECT_SIZE];
	int fd, rc;

	fd = open(adoptee, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0, "%s", adoptee);
	rc = pfs_adoption_begin(st, &a, err);
	for (unsigned i = 0; i < PIECES && rc == 0; i++) {
		struct pfs_store_item item = { .data = data };

		item.len = fill(data, round, PER_ROUND + i);
		CHECK(pwrite(fd, data, item.len, (off_t)i * OBJECT_SIZE) == (ssize_t)item.len,
		      "write");
		rc = pfs_adoption_add(a, (uint64_t)i * OBJECT_SIZE, &item, 1, err);
	}
	close(fd);
	if (rc == 0)
		rc = pfs_adoption_commit(&a, AT_FDCWD, adoptee, err);
	CHECK(unlink(adoptee) == 0, "its name is ours");
	return rc;
}

/* One commit: some objects and a file, then a sync. Done when the sync said so. */
static int play_round(struct pfs_store *st, unsigned round, struct pfs_error *err)
{
	unsigned char data[OBJECT_SIZE];
	struct pfs_id id;
	int rc = round % 2 ? 0 : adopt(st, round, err);

	for (unsigned i = 0; i < PER_ROUND && rc == 0; i++)
		rc = pfs_store_put(st, kind_of(i), data, fill(data, round, i), &id, err);
	if (rc == 0)
		rc = put_edited(st, round, err);
	return rc < 0 ? rc : pfs_store_sync(st, err);
}

static void promise(int fd, unsigned round)
{
	unsigned char byte = (unsigned char)round;

	CHECK(write(fd, &byte, 1) == 1, "pipe");
}

/* In the child. A failure is met as a user would meet it: say so, try again. */
static void tell(void *path, int fd)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct pfs_store *st = NULL;
		struct pfs_error err = { 0 };
		unsigned tries = 0;

		while (pfs_store_open(path, &st, &err) < 0)
			CHECK(++tries < 3, "does not open again: %s", err.text);
		tries = 0;
		while (play_round(st, round, &err) < 0)
			CHECK(++tries < 3, "does not work again: %s", err.text);
		promise(fd, round);
		if (round % 2)
			CHECK(play_round(st, 100 + round, NULL) <= 0, "a second one");
		pfs_store_close(&st);
	}
}

static void complain(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

static void expect(struct pfs_store *st, enum pfs_kind kind, const unsigned char *data, size_t len,
		   unsigned round, unsigned i)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_error err = { 0 };
	struct pfs_id id;

	pfs_store_id(st, kind, data, len, &id);
	CHECK(pfs_store_get(st, kind, &id, &o, &err) == 0, "round %u object %u: %s", round, i,
	      err.text);
	CHECK(o->len == len && memcmp(o->data, data, len) == 0, "other bytes");
}

static void expect_round(struct pfs_store *st, unsigned round)
{
	unsigned char data[OBJECT_SIZE];
	unsigned n = PER_ROUND + (round % 2 ? 0 : PIECES);

	for (unsigned i = 0; i < n; i++)
		expect(st, kind_of(i), data, fill(data, round, i), round, i);
	expect(st, kind_of(1), data, fill_edited(data, round), round, n);
}

static void check_after(const char *path, const unsigned char *promised, size_t n)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };

	CHECK(pfs_store_open(path, &st, &err) == 0, "open: %s", err.text);
	CHECK(pfs_store_check(st, complain, NULL, &err) == 0, "check: %s", err.text);
	for (size_t i = 0; i < n; i++)
		expect_round(st, promised[i]);
	CHECK(play_round(st, 200, &err) == 0, "put again: %s", err.text);
	expect_round(st, 200);
	CHECK(pfs_store_check(st, complain, NULL, &err) == 0, "check: %s", err.text);
	if (n == ROUNDS) {
		struct pfs_store_stats stats;

		pfs_store_stats(st, &stats);
		CHECK(stats.deltas >= ROUNDS - 1 && stats.adopted_files > 0,
		      "%llu deltas, %llu adopted files", (unsigned long long)stats.deltas,
		      (unsigned long long)stats.adopted_files);
	}
	pfs_store_close(&st);
}

/* True while the story did reach fault point `at`. */
static int story(enum pfs_fault_mode mode, unsigned at)
{
	struct scratch dir = scratch_new();
	unsigned char promised[ROUNDS];
	char store[300];
	struct cutoff_heard heard = { promised, sizeof(promised), 0 };
	bool reached;

	snprintf(store, sizeof(store), "%s/store", dir.path);
	snprintf(adoptee, sizeof(adoptee), "%s/adoptee", dir.path);
	reached = cutoff(mode, at, tell, store, &heard);
	if (mode != PFS_FAULT_STOP)
		CHECK(heard.len == ROUNDS, "point %u: only %zu of %d rounds", at, heard.len,
		      ROUNDS);
	unlink(adoptee);
	check_after(store, promised, heard.len);
	scratch_fini(&dir);
	return reached;
}

int main(void)
{
#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	/* Packs of every round or two are sealed: that has to be cut off as well. */
	pfs_packwriter_set_targets(500000, 400000);
	for (size_t m = 0; m < CUTOFF_MODES; m++) {
		unsigned at = 1;

		while (story(cutoff_modes[m].mode, at))
			at++;
		printf("%s: %u points, all whole\n", cutoff_modes[m].name, at - 1);
		CHECK(at > 20, "the story has hardly any fault points");
	}
	return 0;
}
