#include "page/pagedb.h"
#include "page/pagesum.h"
#include "page/pagewal.h"
#include "base/fault.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX)
#define ROWS  400

static struct pfs_error err;

struct fixture {
	struct scratch dir;
	char path[280], log[290];
};

static struct fixture begin(void)
{
	struct fixture f = { .dir = scratch_new() };

	snprintf(f.path, sizeof(f.path), "%s/a.db", f.dir.path);
	snprintf(f.log, sizeof(f.log), "%s-wal", f.path);
	return f;
}

static void run(sqlite3 *db, const char *sql)
{
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql,
		     sqlite3_errmsg(db));
}

static sqlite3 *must_open(const char *path)
{
	sqlite3 *db = NULL;

	cr_assert_eq(pfs_pagedb_open(path, FLAGS, &db, &err), 0, "%s", err.text);
	run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
	return db;
}

static void fill(sqlite3 *db)
{
	char sql[300];

	run(db, "PRAGMA user_version=7; CREATE TABLE t(id INTEGER PRIMARY KEY, a, b);"
		"CREATE INDEX i ON t(a)");
	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		 " INSERT INTO t SELECT i, i * 7919 %% 1000, printf('%%0*d', iif(i %% 9 = 0, 5000, "
		 "50), i) "
		 "FROM n",
		 ROWS);
	run(db, sql);
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s = NULL;
	int64_t v = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		v = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return v;
}

/* All rows with what they must hold, read by both ways. */
static bool is_whole(sqlite3 *db)
{
	return number(db, "SELECT count(*) FROM t WHERE a = id * 7919 % 1000 AND b = printf('%0*d',"
			  " iif(id % 9 = 0, 5000, 50), id)") == ROWS &&
	       number(db, "SELECT count(*) FROM t INDEXED BY i WHERE a >= 0") == ROWS;
}

static void count(void *arg, const char *text)
{
	++*(unsigned *)arg;
}

static unsigned complaints(sqlite3 *db)
{
	unsigned n = 0;

	cr_expect_eq(pfs_pagedb_check(db, count, &n), (int64_t)n);
	return n;
}

static size_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void copy(const char *from, const char *to)
{
	struct pfs_buf b = PFS_BUF_INIT(64u << 20);
	int fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_eq(pfs_io_load(AT_FDCWD, from, &b, &err), 0, "%s", err.text);
	cr_assert(fd >= 0 && write(fd, pfs_buf_str(&b), b.len) == (ssize_t)b.len);
	close(fd);
	pfs_buf_fini(&b);
}

static void flip(const char *path, size_t bit)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char c;

	cr_assert(fd >= 0 && pread(fd, &c, 1, (off_t)(bit / 8)) == 1);
	c ^= (unsigned char)(1u << bit % 8);
	cr_assert_eq(pwrite(fd, &c, 1, (off_t)(bit / 8)), 1);
	close(fd);
}

Test(pagedb, puts_a_checksum_on_every_page_and_leaves_no_log_at_rest)
{
	struct fixture f = begin();
	unsigned char page[PFS_PAGE_SIZE];
	sqlite3 *db = must_open(f.path);
	uint32_t n = 0;
	int fd;

	fill(db);
	cr_expect(is_whole(db));
	cr_expect_eq(complaints(db), 0u);
	sqlite3_close(db);
	cr_expect_eq(access(f.log, F_OK), -1);
	fd = open(f.path, O_RDONLY | O_CLOEXEC);
	while (read(fd, page, sizeof(page)) == (ssize_t)sizeof(page))
		cr_expect_eq(pfs_pagesum_check(page, ++n, &err), 0, "%s", err.text);
	cr_expect(n > 50, "%u pages", n);
	close(fd);
	db = must_open(f.path);
	cr_expect(is_whole(db));
	sqlite3_close(db);
	scratch_fini(&f.dir);
}

Test(pagedb, notices_any_bit_of_any_page, .timeout = 100)
{
	struct fixture f = begin();
	sqlite3 *db = must_open(f.path);
	size_t bits;

	fill(db);
	sqlite3_close(db);
	bits = size_of(f.path) * 8;
	for (size_t i = 0; i < 3000; i++) {
		size_t bit = i < 800 ? i : i * 2654435761u % bits;
		int rc;

		flip(f.path, bit);
		db = NULL;
		rc = pfs_pagedb_open(f.path, FLAGS, &db, &err);
		if (rc == 0) {
			cr_assert_eq(complaints(db), 1u, "bit %zu", bit);
			if (number(db, "SELECT count(*) + total(length(b)) FROM t") < 0)
				cr_assert_eq(pfs_pagedb_fail(db, &err), PFS_E_CORRUPT, "bit %zu",
					     bit);
			sqlite3_close(db);
		} else {
			cr_assert_eq(rc, PFS_E_CORRUPT, "bit %zu", bit);
			cr_assert(strstr(err.text, f.path), "%s", err.text);
		}
		flip(f.path, bit);
	}
	db = must_open(f.path);
	cr_expect(is_whole(db));
	sqlite3_close(db);
	scratch_fini(&f.dir);
}

Test(pagedb, notices_a_page_in_the_place_of_another)
{
	struct fixture f = begin();
	unsigned char page[PFS_PAGE_SIZE];
	sqlite3 *db = must_open(f.path);
	unsigned n = 0;
	int fd;

	fill(db);
	sqlite3_close(db);
	fd = open(f.path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pread(fd, page, sizeof(page), 8 * sizeof(page)), (ssize_t)sizeof(page));
	cr_assert_eq(pwrite(fd, page, sizeof(page), 9 * sizeof(page)), (ssize_t)sizeof(page));
	close(fd);
	db = must_open(f.path);
	cr_expect_eq(pfs_pagedb_check(db, count, &n), 1);
	sqlite3_close(db);
	scratch_fini(&f.dir);
}

/* A crash: the files as they lie there while somebody has them open. */
static void crash(const struct fixture *f, const struct fixture *to)
{
	copy(f->path, to->path);
	copy(f->log, to->log);
}

Test(pagedb, recovers_from_a_log_with_a_wrong_bit, .timeout = 100)
{
	struct fixture f = begin(), g = begin();
	sqlite3 *db = must_open(f.path), *again;
	size_t bits;

	fill(db);
	bits = size_of(f.log) * 8;
	cr_assert(bits > 50 * 8 * PFS_PAGE_SIZE);
	for (size_t i = 0; i < 250; i++) {
		crash(&f, &g);
		flip(g.log, i * 2654435761u % bits);
		again = must_open(g.path);
		cr_assert(is_whole(again), "bit %zu", (size_t)(i * 2654435761u % bits));
		sqlite3_close(again);
	}
	sqlite3_close(db);
	scratch_fini(&f.dir);
	scratch_fini(&g.dir);
}

Test(pagedb, refuses_a_log_that_lost_more_than_a_bit)
{
	struct fixture f = begin(), g = begin();
	sqlite3 *db = must_open(f.path), *again = NULL;

	fill(db);
	run(db, "INSERT INTO t VALUES(1000, 1, 2)");
	crash(&f, &g);
	flip(g.log, 8 * (PFS_PAGEWAL_HEADER_SIZE + 5 * PFS_PAGEWAL_FRAME_SIZE + 1000));
	flip(g.log, 8 * (PFS_PAGEWAL_HEADER_SIZE + 5 * PFS_PAGEWAL_FRAME_SIZE + 1003));
	cr_expect_eq(pfs_pagedb_open(g.path, FLAGS, &again, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, g.log) && strstr(err.text, "frame 6"), "%s", err.text);
	sqlite3_close(db);
	scratch_fini(&f.dir);
	scratch_fini(&g.dir);
}

Test(pagedb, does_not_move_damage_from_the_log_into_the_database)
{
	struct fixture f = begin();
	sqlite3 *db = must_open(f.path), *reader;

	fill(db);
	reader = must_open(f.path);
	for (size_t i = 20; i < 50; i++)
		flip(f.log, 8 * (PFS_PAGEWAL_HEADER_SIZE + i * PFS_PAGEWAL_FRAME_SIZE + 1000));
	cr_expect_eq(number(reader, "SELECT count(*) + total(length(b)) FROM t"), -1);
	cr_expect_eq(pfs_pagedb_fail(reader, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "of the log: page"), "%s", err.text);
	cr_expect_neq(sqlite3_exec(db, "PRAGMA wal_checkpoint(FULL)", NULL, NULL, NULL), SQLITE_OK);
	cr_expect_eq(pfs_pagedb_fail(db, &err), PFS_E_CORRUPT);
	cr_expect(size_of(f.log) > 0);
	sqlite3_close(reader);
	sqlite3_close(db);
	/* The bits are turned back when it is opened next time. */
	db = must_open(f.path);
	cr_expect(is_whole(db));
	sqlite3_close(db);
	scratch_fini(&f.dir);
}

/* A transaction that does not fit into the cache writes pages to the log more than once. */
Test(pagedb, holds_large_transactions_to_be_whole)
{
	struct fixture f = begin(), g = begin();
	sqlite3 *db = must_open(f.path), *again;

	fill(db);
	run(db, "PRAGMA cache_size=5");
	for (unsigned i = 0; i < 20; i++) {
		run(db, "BEGIN; UPDATE t SET a = a + 1; UPDATE t SET b = b || 'x';"
			"UPDATE t SET a = a - 1 WHERE id % 3 = 0; UPDATE t SET b = b || 'y' WHERE "
			"id % 5 = 1; SELECT count(*), total(length(b)), total(a) FROM t");
		run(db, i % 2 ? "ROLLBACK" : "COMMIT");
		cr_expect_eq(number(db, "PRAGMA integrity_check"), 0);
		run(db, "INSERT INTO t VALUES(NULL, 5, 6)");
		crash(&f, &g);
		again = must_open(g.path);
		cr_expect_eq(number(again, "SELECT count(*) FROM t"), ROWS + 1 + (int)i);
		cr_expect_eq(number(again, "SELECT total(a) + total(length(b)) FROM t"),
			     number(db, "SELECT total(a) + total(length(b)) FROM t"));
		sqlite3_close(again);
	}
	cr_expect_eq(complaints(db), 0u);
	sqlite3_close(db);
	scratch_fini(&f.dir);
	scratch_fini(&g.dir);
}

/* A database as older programs left it after a crash: no checksums, and a log. */
static void make_older(const struct fixture *f)
{
	struct fixture g = begin();
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(g.path, &db), SQLITE_OK);
	run(db, "PRAGMA journal_mode=WAL");
	fill(db);
	crash(&g, f);
	sqlite3_close(db);
	scratch_fini(&g.dir);
}

static void check_converted(const struct fixture *f)
{
	sqlite3 *db = must_open(f->path);

	cr_expect(is_whole(db));
	cr_expect_eq(number(db, "PRAGMA user_version"), 7);
	cr_expect_eq(complaints(db), 0u);
	run(db, "INSERT INTO t VALUES(NULL, 5, 6)");
	sqlite3_close(db);
	db = must_open(f->path);
	cr_expect_eq(number(db, "SELECT count(*) FROM t"), ROWS + 1);
	cr_expect_eq(complaints(db), 0u);
	sqlite3_close(db);
}

Test(pagedb, gives_checksums_to_older_databases)
{
	struct fixture f = begin();
	struct stat before, after;

	make_older(&f);
	cr_assert_eq(stat(f.path, &before), 0);
	check_converted(&f);
	cr_assert_eq(stat(f.path, &after), 0);
	cr_expect_eq(before.st_mode, after.st_mode);
	scratch_fini(&f.dir);
}

Test(pagedb, gives_checksums_whole_or_not_at_all)
{
	for (unsigned stop = 1; stop < 50; stop++) {
		struct fixture f = begin();
		int status;
		pid_t pid;

		make_older(&f);
		pid = fork();
		if (pid == 0) {
			sqlite3 *db;

			pfs_fault_arm(PFS_FAULT_STOP, stop);
			_exit(pfs_pagedb_open(f.path, FLAGS, &db, NULL) == 0 ? 0 : 1);
		}
		cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		check_converted(&f);
		scratch_fini(&f.dir);
		if (WEXITSTATUS(status) == 0) {
			cr_expect(stop > 4, "%u points", stop);
			return;
		}
		cr_assert_eq(WEXITSTATUS(status), PFS_FAULT_EXIT);
	}
	cr_assert_fail("never ran through");
}

Test(pagedb, says_what_it_cannot_open)
{
	struct fixture f = begin();
	sqlite3 *db = must_open(f.path);
	int fd;

	fill(db);
	sqlite3_close(db);
	cr_assert_eq(truncate(f.path, 1000), 0);
	cr_expect_eq(pfs_pagedb_open(f.path, FLAGS, &db, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, f.path) && strstr(err.text, "cut short"), "%s", err.text);
	cr_assert_eq(truncate(f.path, 0), 0);
	fd = open(f.log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && ftruncate(fd, 5000) == 0);
	close(fd);
	cr_expect_eq(pfs_pagedb_open(f.path, FLAGS, &db, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "is empty"), "%s", err.text);
	scratch_fini(&f.dir);
}
