/*
 * A store that is made smaller, cut off at its n-th fault point for every n: by
 * the process ending there, by an I/O error, by a full disk, while somebody goes
 * on putting. Everything that was synced is whole afterwards, check finds
 * nothing, and the next one who repacks comes to the same end.
 *
 *	crash_repack [all]    without `all` only some of the I/O errors and full disks
 *
 * The store has adopted files that compress and one that does not, small chunks
 * that go into bundles, and deltas whose bases are among them.
 */
#include "store/adoption.h"
#include "store/packwriter.h"
#include "store/repack.h"
#include "store/store.h"
#include "../cutoff.h"

#include <unistd.h>

#define SMALL  160u
#define FILES  3u /* adopted; the last is random */
#define PIECES 5u
#define PIECE  30000u
#define DELTAS 5u
#define LATE   1000u /* numbers of what is put meanwhile */
#define BUDGET 40000u

static size_t fill_small(unsigned char *out, unsigned i)
{
	return (size_t)snprintf((char *)out, 1000,
				"/* part %u of %u: all parts are much alike */\n"
				"#include <stdio.h>\n\nint part_%u(int argc, char **argv)\n{\n"
				"\tprintf(\"part %%d of %%s\\n\", argc, argv[%u]);\n"
				"\treturn %u * argc;\n}\n",
				i, i * 7919, i, i % 10, i * 31);
}

static void fill_piece(unsigned char out[PIECE], unsigned file, unsigned i)
{
	size_t n = 0;

	if (file + 1 == FILES) {
		scratch_fill(out, PIECE, 500 + i);
		return;
	}
	while (n + 64 < PIECE)
		n += (size_t)snprintf((char *)out + n, 64, "%u.%u: line at %zu\n", file, i, n);
	memset(out + n, '.', PIECE - n);
}

static size_t fill_base(unsigned char out[6000], unsigned i, bool edited)
{
	scratch_fill(out, 6000, 9000 + i);
	if (edited)
		memcpy(out + 2000, "edited", 6);
	return 6000;
}

static int put(struct pfs_store *st, const void *data, size_t len, const struct pfs_id *near,
	       struct pfs_id *out, struct pfs_error *err)
{
	struct pfs_store_item item = { .data = data, .len = len, .near = near };
	int rc = pfs_store_put_batch(st, PFS_KIND_CHUNK, &item, 1, err);

	if (rc == 0 && out)
		*out = item.id;
	return rc;
}

static void adopt(struct pfs_store *st, const char *path, unsigned file)
{
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	unsigned char data[PIECE];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && pfs_adoption_begin(st, &a, &err) == 0, "%s", path);
	for (unsigned i = 0; i < PIECES; i++) {
		struct pfs_store_item item = { .data = data, .len = PIECE };

		fill_piece(data, file, i);
		CHECK(write(fd, data, PIECE) == PIECE, "write");
		CHECK(pfs_adoption_add(a, i * PIECE, &item, 1, &err) == 0, "%s", err.text);
	}
	close(fd);
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == 0, "%s", err.text);
	CHECK(unlink(path) == 0, "its name is ours");
}

static void make_store(const char *store, const char *adoptee)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	unsigned char data[PIECE];
	struct pfs_id ids[DELTAS];

	CHECK(pfs_store_open(store, &st, &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < FILES; i++)
		adopt(st, adoptee, i);
	for (unsigned i = 0; i < DELTAS; i++)
		CHECK(put(st, data, fill_base(data, i, false), NULL, &ids[i], &err) == 0, "%s",
		      err.text);
	CHECK(pfs_store_sync(st, &err) == 0, "%s",
	      err.text); /* nothing leans on what is not durable */
	for (unsigned i = 0; i < DELTAS; i++)
		CHECK(put(st, data, fill_base(data, i, true), &ids[i], NULL, &err) == 0, "%s",
		      err.text);
	for (unsigned i = 0; i < SMALL; i++)
		CHECK(put(st, data, fill_small(data, i), NULL, NULL, &err) == 0, "%s", err.text);
	CHECK(pfs_store_sync(st, &err) == 0, "%s", err.text);
	pfs_store_close(&st);
}

/* In the child: steps until there is nothing to do, and a put with each. A failure is met by going on. */
static void tidy(void *store, int promises)
{
	const struct pfs_repack_options o = { .budget = BUDGET };
	struct pfs_repack_done done = { 0 };
	struct pfs_repack *r = NULL;
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	unsigned char data[1000];
	unsigned tries = 0;
	int rc = 1;

	while (pfs_store_open(store, &st, &err) < 0)
		CHECK(++tries < 3, "does not open again: %s", err.text);
	CHECK(pfs_repack_new(st, 0, &r, &err) == 0, "%s", err.text);
	for (unsigned i = 0; rc != 0; i++) {
		rc = pfs_repack_step(r, &o, &done, &err);
		CHECK(rc >= 0 || ++tries < 4, "does not go on: %s", err.text);
		CHECK(i < 200, "no end");
		if (put(st, data, fill_small(data, LATE + i), NULL, NULL, &err) == 0 &&
		    pfs_store_sync(st, &err) == 0)
			CHECK(write(promises, &i, sizeof(i)) == sizeof(i), "pipe");
	}
	pfs_repack_free(&r);
	pfs_store_close(&st);
}

static void expect(struct pfs_store *st, const unsigned char *data, size_t len, const char *what,
		   unsigned i)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_error err = { 0 };
	struct pfs_id id;

	pfs_store_id(st, PFS_KIND_CHUNK, data, len, &id);
	CHECK(pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, &err) == 0, "%s %u: %s", what, i,
	      err.text);
	CHECK(o->len == len && memcmp(o->data, data, len) == 0, "%s %u: other bytes", what, i);
}

static void expect_all(struct pfs_store *st)
{
	unsigned char data[PIECE];

	for (unsigned i = 0; i < SMALL; i++)
		expect(st, data, fill_small(data, i), "small", i);
	for (unsigned i = 0; i < FILES * PIECES; i++) {
		fill_piece(data, i / PIECES, i % PIECES);
		expect(st, data, PIECE, "piece", i);
	}
	for (unsigned i = 0; i < DELTAS; i++) {
		expect(st, data, fill_base(data, i, false), "base", i);
		expect(st, data, fill_base(data, i, true), "delta", i);
	}
}

static void complain(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

static void expect_whole(struct pfs_store *st)
{
	struct pfs_error err = { 0 };

	CHECK(pfs_store_check(st, complain, NULL, &err) == 0, "check: %s", err.text);
	expect_all(st);
}

/* Once more, without trouble. */
static void check_after(const char *store, const unsigned *promised, size_t n)
{
	const struct pfs_repack_options o = { .budget = 1 << 20 };
	struct pfs_repack_done done = { 0 };
	struct pfs_store_stats stats;
	struct pfs_repack *r = NULL;
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	unsigned char data[1000];
	int rc = 1;

	CHECK(pfs_store_open(store, &st, &err) == 0, "open: %s", err.text);
	expect_whole(st);
	CHECK(pfs_repack_new(st, 0, &r, &err) == 0, "%s", err.text);
	while (rc == 1)
		rc = pfs_repack_step(r, &o, &done, &err);
	CHECK(rc == 0, "%s", err.text);
	expect_whole(st);
	for (size_t i = 0; i < n; i++)
		expect(st, data, fill_small(data, LATE + promised[i]), "late", promised[i]);
	pfs_store_stats(st, &stats);
	CHECK(stats.adopted_files == 1 && stats.deltas >= DELTAS && stats.bundled >= SMALL / 2,
	      "%llu adopted, %llu deltas, %llu bundled", (unsigned long long)stats.adopted_files,
	      (unsigned long long)stats.deltas, (unsigned long long)stats.bundled);
	pfs_repack_free(&r);
	pfs_store_close(&st);
}

/* True while the story did reach fault point `at`. */
static int story(enum pfs_fault_mode mode, unsigned at)
{
	struct scratch dir = scratch_new();
	char store[300], adoptee[300];
	unsigned promised[256];
	struct cutoff_heard heard = { promised, sizeof(promised), 0 };
	bool reached;

	snprintf(store, sizeof(store), "%s/store", dir.path);
	snprintf(adoptee, sizeof(adoptee), "%s/adoptee", dir.path);
	make_store(store, adoptee);
	reached = cutoff(mode, at, tidy, store, &heard);
	check_after(store, promised, heard.len / sizeof(*promised));
	scratch_fini(&dir);
	return reached;
}

int main(int argc, char **argv)
{
	bool all = argc > 1 && strcmp(argv[1], "all") == 0;

#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	/* So small that what is written anew fills several. */
	pfs_packwriter_set_targets(50000, 50000);
	for (size_t m = 0; m < CUTOFF_MODES; m++) {
		unsigned at = 1;

		/* Failures are many, and most of them are met by the log: see crash_store. */
		while (story(cutoff_modes[m].mode, at))
			at += all || m == 0 ? 1 : 4;
		printf("%s: %u points, all whole\n", cutoff_modes[m].name, at - 1);
		CHECK(at > 20, "the story has hardly any fault points");
	}
	return 0;
}
