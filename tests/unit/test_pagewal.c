/*
 * What a log can have become, and what is made of it. The log is SQLite's own: of
 * a database that was copied while it was open.
 */
#include "page/pagedb.h"
#include "page/pagewal.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSACTIONS 4

static struct pfs_error err;

struct log {
	struct scratch dir;
	char path[300];
	unsigned char *bytes; /* as SQLite left them */
	size_t size;
	uint32_t frames;
	uint32_t committed[TRANSACTIONS + 1]; /* frames after so many transactions */
	int fd;                               /* a copy, for damaging */
};

static void run(sqlite3 *db, const char *sql)
{
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql,
		     sqlite3_errmsg(db));
}

static size_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void load(struct log *l)
{
	FILE *f = fopen(l->path, "rb");

	l->size = size_of(l->path);
	l->bytes = malloc(l->size);
	cr_assert(f && l->bytes && fread(l->bytes, 1, l->size, f) == l->size);
	fclose(f);
	l->fd = memfd_create("log", MFD_CLOEXEC);
	cr_assert(l->fd >= 0);
}

static void make(struct log *l)
{
	char name[300];
	sqlite3 *db;

	memset(l, 0, sizeof(*l));
	l->dir = scratch_new();
	snprintf(name, sizeof(name), "%s/db", l->dir.path);
	snprintf(l->path, sizeof(l->path), "%s/db-wal", l->dir.path);
	cr_assert_eq(pfs_pagedb_open(name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db, &err),
		     0, "%s", err.text);
	run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(a, b)");
	run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	for (unsigned i = 1; i <= TRANSACTIONS; i++) {
		run(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
			"60) INSERT INTO t SELECT random(), randomblob(100) FROM n");
		l->committed[i] = (uint32_t)((size_of(l->path) - PFS_PAGEWAL_HEADER_SIZE) /
					     PFS_PAGEWAL_FRAME_SIZE);
	}
	load(l);
	sqlite3_close(db);
	l->frames = l->committed[TRANSACTIONS];
	cr_assert(l->committed[1] >= 2 && l->frames >= 2 * TRANSACTIONS, "%u frames", l->frames);
}

static void drop(struct log *l)
{
	free(l->bytes);
	close(l->fd);
	scratch_fini(&l->dir);
}

static void restore(const struct log *l)
{
	cr_assert_eq(ftruncate(l->fd, (off_t)l->size), 0);
	cr_assert_eq(pwrite(l->fd, l->bytes, l->size, 0), (ssize_t)l->size);
}

static size_t frame_at(uint32_t number)
{
	return PFS_PAGEWAL_HEADER_SIZE + (size_t)(number - 1) * PFS_PAGEWAL_FRAME_SIZE;
}

/* Overwrite with what nobody wrote there. */
static void spoil(const struct log *l, size_t at, size_t len)
{
	unsigned char noise[PFS_PAGE_SIZE];

	scratch_fill(noise, len, at + 1);
	cr_assert_eq(pwrite(l->fd, noise, len, (off_t)at), (ssize_t)len);
}

static bool is_as_written(const struct log *l)
{
	unsigned char *now = malloc(l->size);
	bool same = pread(l->fd, now, l->size, 0) == (ssize_t)l->size &&
		    memcmp(now, l->bytes, l->size) == 0;

	free(now);
	return same;
}

Test(pagewal, finds_nothing_in_a_log_that_is_whole)
{
	struct pfs_pagewal_report report;
	struct log l;

	make(&l);
	restore(&l);
	cr_assert_eq(pfs_pagewal_check(l.fd, false, &report, &err), 0, "%s", err.text);
	cr_expect_eq(report.frames, l.frames);
	cr_expect_eq(report.committed, l.frames);
	cr_expect_eq(report.mended, 0u);
	drop(&l);
}

Test(pagewal, turns_back_any_single_bit, .timeout = 100)
{
	struct pfs_pagewal_report report;
	struct log l;
	size_t bits;

	make(&l);
	restore(&l);
	bits = l.size * 8;
	/* All bits of the header and of the first and last frame's head, and every 301st. */
	for (size_t bit = 0; bit < bits; bit++) {
		size_t byte = bit / 8;
		unsigned char c = l.bytes[byte] ^ (unsigned char)(1u << bit % 8);
		bool head = byte < frame_at(1) + PFS_PAGEWAL_FRAME_HEAD ||
			    (byte >= frame_at(l.frames) &&
			     byte < frame_at(l.frames) + PFS_PAGEWAL_FRAME_HEAD);

		if (!head && bit % 301)
			continue;
		cr_assert_eq(pwrite(l.fd, &c, 1, (off_t)byte), 1);
		cr_assert_eq(pfs_pagewal_check(l.fd, false, &report, &err), PFS_E_CORRUPT,
			     "bit %zu: unnoticed", bit);
		cr_assert_eq(pfs_pagewal_check(l.fd, true, &report, &err), 0, "bit %zu: %s", bit,
			     err.text);
		cr_assert(report.mended == 1 && report.committed == l.frames, "bit %zu", bit);
		cr_assert_eq(pwrite(l.fd, &l.bytes[byte], 0, (off_t)byte), 0);
	}
	cr_expect(is_as_written(&l));
	drop(&l);
}

Test(pagewal, turns_back_a_bit_in_each_frame_at_once)
{
	struct pfs_pagewal_report report;
	struct log l;

	make(&l);
	restore(&l);
	for (uint32_t i = 1; i <= l.frames; i++) {
		size_t at = frame_at(i) + 100 * i % PFS_PAGEWAL_FRAME_SIZE;
		unsigned char c = l.bytes[at] ^ 16;

		cr_assert_eq(pwrite(l.fd, &c, 1, (off_t)at), 1);
	}
	cr_assert_eq(pfs_pagewal_check(l.fd, true, &report, &err), 0, "%s", err.text);
	cr_expect_eq(report.mended, l.frames);
	cr_expect(is_as_written(&l));
	drop(&l);
}

Test(pagewal, tells_damage_from_a_torn_tail)
{
	struct pfs_pagewal_report report;
	struct log l;

	make(&l);
	for (uint32_t i = 1; i <= l.frames; i++) {
		bool last = i > l.committed[TRANSACTIONS - 1];
		/* Is something left that proves it? The end of its own transaction does not. */
		bool proved = i <= l.committed[TRANSACTIONS - 1] &&
			      (i != l.committed[TRANSACTIONS - 1] ||
			       l.frames - l.committed[TRANSACTIONS - 1] < 1);
		int rc;

		restore(&l);
		spoil(&l, frame_at(i) + PFS_PAGEWAL_FRAME_HEAD + 512, 512);
		rc = pfs_pagewal_check(l.fd, true, &report, &err);
		if (last) {
			cr_expect_eq(rc, 0, "frame %u: %s", i, err.text);
			cr_expect_eq(report.committed, l.committed[TRANSACTIONS - 1], "frame %u",
				     i);
		} else if (proved) {
			cr_expect_eq(rc, PFS_E_CORRUPT, "frame %u", i);
		}
	}
	drop(&l);
}

Test(pagewal, takes_any_cut_for_a_torn_tail)
{
	struct pfs_pagewal_report report;
	struct log l;

	make(&l);
	for (size_t size = 0; size < l.size; size += 512) {
		uint32_t want = 0;

		restore(&l);
		cr_assert_eq(ftruncate(l.fd, (off_t)size), 0);
		for (unsigned i = 1; i <= TRANSACTIONS; i++)
			if (frame_at(l.committed[i] + 1) <= size)
				want = l.committed[i];
		cr_assert_eq(pfs_pagewal_check(l.fd, true, &report, &err), 0, "%zu: %s", size,
			     err.text);
		cr_expect_eq(report.committed, want, "%zu", size);
	}
	drop(&l);
}

Test(pagewal, refuses_a_log_whose_header_is_gone)
{
	struct pfs_pagewal_report report;
	struct log l;

	make(&l);
	restore(&l);
	spoil(&l, 0, PFS_PAGEWAL_HEADER_SIZE);
	cr_expect_eq(pfs_pagewal_check(l.fd, true, &report, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "header"), "%s", err.text);
	drop(&l);
}
