/*
 * Room that a database has on the disk before it needs it: behind the end of its log,
 * and behind its own for what the log has. Where the disk is really full crash_fullspool
 * and the story fulldisk look.
 */
#include "page/pagedb.h"
#include "page/pageroom.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pfs_error err;

struct base {
	struct scratch dir;
	char path[300], log[320];
	sqlite3 *db;
	int fd;
};

static struct stat look(const char *path)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0, "%s", path);
	return st;
}

static uint64_t held(const char *path)
{
	return (uint64_t)look(path).st_blocks * 512;
}

static int64_t run(struct base *b, const char *sql)
{
	sqlite3_stmt *s;
	int64_t n = 0;
	int rc;

	cr_assert_eq(sqlite3_prepare_v2(b->db, sql, -1, &s, NULL), SQLITE_OK, "%s", sql);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		n = sqlite3_column_int64(s, 0);
	cr_assert_eq(rc, SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(b->db));
	sqlite3_finalize(s);
	return n;
}

/* What is written stays in the log. */
static void begin(struct base *b)
{
	b->dir = scratch_new();
	snprintf(b->path, sizeof(b->path), "%s/db", b->dir.path);
	snprintf(b->log, sizeof(b->log), "%s-wal", b->path);
	cr_assert_eq(
		pfs_pagedb_open(b->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &b->db, &err),
		0, "%s", err.text);
	run(b, "PRAGMA journal_mode=WAL");
	run(b, "PRAGMA wal_autocheckpoint=0");
	run(b, "CREATE TABLE t(x)");
	b->fd = open(b->path, O_RDWR | O_CLOEXEC);
	cr_assert(b->fd >= 0);
	if (fallocate(b->fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 4096) < 0)
		cr_skip_test("this file system keeps no room behind the end of a file");
}

static void end(struct base *b)
{
	sqlite3_close(b->db);
	close(b->fd);
	scratch_fini(&b->dir);
}

static void fill(struct base *b, unsigned kib)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
		 " INSERT INTO t SELECT randomblob(1000) FROM n",
		 kib);
	run(b, sql);
}

Test(pageroom, a_database_has_ground_for_all_that_its_log_has)
{
	struct base b;
	uint64_t n;

	begin(&b);
	run(&b, "BEGIN");
	fill(&b, 2000);
	n = (uint64_t)run(&b, "PRAGMA page_count");
	cr_expect(n > 400);
	cr_expect_eq(pfs_pageroom_ground(b.fd, n, &err), 0, "%s", err.text);
	run(&b, "COMMIT");
	cr_expect((uint64_t)look(b.path).st_size < n * 4096 / 2, "it was not moved");
	cr_expect(held(b.path) >= n * 4096, "%llu pages, and %llu bytes", (unsigned long long)n,
		  (unsigned long long)held(b.path));
	/* Nobody sees it. */
	pfs_pagedb_rest(b.db);
	cr_expect_eq((uint64_t)look(b.path).st_size, n * 4096);
	cr_expect_eq(run(&b, "SELECT count(*) FROM t"), 2000);
	end(&b);
}

Test(pageroom, ground_that_is_there_is_not_asked_for)
{
	struct base b;
	uint64_t had;

	begin(&b);
	fill(&b, 500);
	pfs_pagedb_rest(b.db);
	had = held(b.path);
	cr_expect_eq(pfs_pageroom_ground(b.fd, (uint64_t)run(&b, "PRAGMA page_count"), &err), 0);
	cr_expect_eq(held(b.path), had);
	cr_expect_eq(pfs_pageroom_ground(-1, 1000, &err), 0, "of one that is in memory");
	end(&b);
}

Test(pageroom, a_log_has_room_behind_its_end)
{
	struct pfs_pageroom room = PFS_PAGEROOM_INIT;
	struct base b;
	uint64_t size;

	begin(&b);
	fill(&b, 10);
	pfs_pageroom_open(&room, b.db);
	size = (uint64_t)look(b.log).st_size;
	cr_expect(held(b.log) >= size + (512u << 10));
	fill(&b, 900);
	cr_expect(held(b.log) < (uint64_t)look(b.log).st_size + (512u << 10));
	pfs_pageroom_keep(&room);
	cr_expect(held(b.log) >= (uint64_t)look(b.log).st_size + (512u << 10));
	/* Cutting it off takes the room along. */
	pfs_pagedb_rest(b.db);
	fill(&b, 1);
	pfs_pageroom_keep(&room);
	cr_expect(held(b.log) >= (uint64_t)look(b.log).st_size + (512u << 10));
	pfs_pageroom_close(&room);
	pfs_pageroom_close(&room);
	pfs_pageroom_keep(&room);
	end(&b);
}
