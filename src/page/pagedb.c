#include "page/pagedb.h"
#include "page/pagevfs.h"
#include "page/pagesum.h"
#include "page/pagewal.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC       "SQLite format 3"
#define SIZE_AT     16 /* of page 1: page size, big-endian */
#define RESERVED_AT 20

struct name {
	char text[PFS_PATH_SIZE_MAX + 1];
};

static int beside(const char *path, const char *suffix, struct name *out, struct pfs_error *err)
{
	if (snprintf(out->text, sizeof(out->text), "%s%s", path, suffix) < (int)sizeof(out->text))
		return 0;
	return pfs_fail(err, PFS_E_NAMETOOLONG, "a database with a name of %zu bytes",
			strlen(path));
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* A failure of SQLite where nothing better is known. */
static int fail(sqlite3 *db, int sqlite_rc, const char *what, struct pfs_error *err)
{
	int sys = db ? sqlite3_system_errno(db) : 0, code = PFS_E_IO;

	switch (sqlite_rc & 0xff) {
	case SQLITE_NOMEM:
		return pfs_fail_nomem(err, "a database");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = PFS_E_BUSY;
		break;
	case SQLITE_FULL:
		code = PFS_E_NOSPACE;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = PFS_E_CORRUPT;
		break;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (sys)
			return pfs_fail_errno(err, sys, "%s: %s", what, sqlite3_errmsg(db));
	}
	return pfs_fail(err, code, "%s: %s", what,
			db ? sqlite3_errmsg(db) : sqlite3_errstr(sqlite_rc));
}

/* A file as SQLite opens it: closing a descriptor of our own would drop the locks that other
 * connections of this process have on it. */
struct probe {
	sqlite3_file *file;
	char *name;
	bool locked;
};

static void probe_close(struct probe *p)
{
	if (p->file && p->file->pMethods) {
		if (p->locked)
			p->file->pMethods->xUnlock(p->file, SQLITE_LOCK_NONE);
		p->file->pMethods->xClose(p->file);
	}
	free(p->file);
	sqlite3_free_filename(p->name);
	memset(p, 0, sizeof(*p));
}

static int probe_open(const char *path, struct probe *p, struct pfs_error *err)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	int flags = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READWRITE, rc;

	p->file = vfs ? calloc(1, (size_t)vfs->szOsFile) : NULL;
	p->name = (char *)sqlite3_create_filename(path, "", "", 0, NULL);
	if (!p->file || !p->name)
		return pfs_fail_nomem(err, "a database");
	rc = vfs->xOpen(vfs, p->name, p->file, flags, &flags);
	return rc == SQLITE_OK ? 0 : pfs_fail_errno(err, errno ? errno : EIO, "open %s", path);
}

/* Alone with the file? A connection that has it open in WAL mode holds a shared lock. */
static bool probe_lock(struct probe *p)
{
	int rc = p->file->pMethods->xLock(p->file, SQLITE_LOCK_SHARED);

	p->locked = rc == SQLITE_OK;
	if (rc == SQLITE_OK)
		rc = p->file->pMethods->xLock(p->file, SQLITE_LOCK_RESERVED);
	if (rc == SQLITE_OK)
		rc = p->file->pMethods->xLock(p->file, SQLITE_LOCK_EXCLUSIVE);
	return rc == SQLITE_OK;
}

/* Look through the log before SQLite recovers from it. */
static int check_log(const char *path, struct pfs_pagewal_report *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct pfs_error why = { 0 };
	struct name log;
	int rc = beside(path, "-wal", &log, err);

	memset(out, 0, sizeof(*out));
	if (rc < 0 || size_of(log.text) == 0)
		return rc;
	fd = pfs_io_open_file(AT_FDCWD, log.text, O_RDWR, err);
	if (fd < 0)
		return fd;
	rc = pfs_pagewal_check(fd, true, out, &why);
	if (rc == PFS_E_CORRUPT)
		return pfs_fail(err, rc,
				"%s: %s; restore both files from a copy, or move the log away to "
				"go on without what is in it",
				log.text, why.text);
	return rc < 0 ? pfs_fail_errno(err, why.sys, "%s: %s", log.text, why.text) : 0;
}

enum kind { OURS, OLDER };

/* What page 1 says of the file, as it is in the file itself: the log may have a newer one. */
static int judge(unsigned char page[PFS_PAGE_SIZE], bool newer_in_log, enum kind *out,
		 struct pfs_error *err)
{
	bool is_sqlite = memcmp(page, MAGIC, sizeof(MAGIC)) == 0;
	unsigned size = (unsigned)page[SIZE_AT] << 8 | page[SIZE_AT + 1];
	int rc = pfs_pagesum_check(page, 1, err);

	*out = OURS;
	if (rc == 0)
		return 0;
	if (!is_sqlite)
		return pfs_fail(err, PFS_E_CORRUPT, "this is not a database, or page 1 is damaged");
	if (newer_in_log && size == PFS_PAGE_SIZE && page[RESERVED_AT] == PFS_PAGE_SUM_SIZE)
		return 0;
	if (page[RESERVED_AT] != 0)
		return rc;
	/* Older, or ours with a bit of just this byte turned over. */
	page[RESERVED_AT] = PFS_PAGE_SUM_SIZE;
	if (pfs_pagesum_check(page, 1, NULL) == 0)
		return rc;
	*out = OLDER;
	return 0;
}

static int look_inside(const char *path, struct probe *p, enum kind *out, struct pfs_error *err)
{
	unsigned char page[PFS_PAGE_SIZE];
	struct pfs_pagewal_report log;
	struct pfs_error why = { 0 };
	int rc = check_log(path, &log, err);

	if (rc < 0)
		return rc;
	rc = p->file->pMethods->xRead(p->file, page, PFS_PAGE_SIZE, 0);
	if (rc == SQLITE_IOERR_SHORT_READ)
		rc = pfs_fail(&why, PFS_E_CORRUPT, "this is not a database, or it was cut short");
	else if (rc != SQLITE_OK)
		return pfs_fail_errno(err, errno ? errno : EIO, "%s: read page 1", path);
	else
		rc = judge(page, log.has_page_one, out, &why);
	return rc < 0 ? pfs_fail(err, rc, "%s: %s", path, why.text) : 0;
}

/* With a rollback journal beside it the file was being made, or rewritten, when the power went:
 * SQLite puts it back, and all there is to know is who has to. */
static int look_at_journaled(const char *path, struct probe *p, enum kind *out)
{
	unsigned char head[100];
	int rc = p->file->pMethods->xRead(p->file, head, sizeof(head), 0);

	if (rc == SQLITE_OK && memcmp(head, MAGIC, sizeof(MAGIC)) == 0 && head[RESERVED_AT] == 0)
		*out = OLDER;
	return 0;
}

/* What there is, before SQLite sees it. */
static int look(const char *path, enum kind *out, struct pfs_error *err)
{
	PFS_AUTO(probe_close) struct probe p = { 0 };
	struct name journal, log;
	int rc = beside(path, "-journal", &journal, err);

	if (rc == 0)
		rc = beside(path, "-wal", &log, err);
	*out = OURS;
	if (rc < 0 || access(path, F_OK) < 0)
		return rc;
	if (size_of(path) == 0 && size_of(log.text) > PFS_PAGEWAL_HEADER_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "%s is empty, but %s is not", path, log.text);
	if (size_of(path) == 0)
		return 0;
	rc = probe_open(path, &p, err);
	if (rc < 0 || !probe_lock(&p))
		return rc;
	return access(journal.text, F_OK) == 0 ? look_at_journaled(path, &p, out)
					       : look_inside(path, &p, out, err);
}

static int execute(sqlite3 *db, const char *sql, const char *what, struct pfs_error *err)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(db, rc, what, err);
}

/* "file:" and the path, so that no byte of it is taken for syntax. */
static void format_uri(const char *path, char *out)
{
	out += sprintf(out, "file:");
	for (; *path; path++)
		out += sprintf(out, "%%%02x", (unsigned char)*path);
	sprintf(out, "?vfs=%s", pfs_pagevfs_name());
}

/* A copy of the whole database with room for checksums, and with them. To ask for a page size is to
 * ask for no room. */
static int write_copy(sqlite3 *db, const char *copy, struct pfs_error *err)
{
	char uri[3 * PFS_PATH_SIZE_MAX + 32], *sql;
	int room = PFS_PAGE_SUM_SIZE, rc;

	format_uri(copy, uri);
	sql = sqlite3_mprintf("VACUUM INTO %Q", uri);
	if (!sql)
		return pfs_fail_nomem(err, "a database");
	rc = execute(db, "PRAGMA page_size=4096", "set the size of its pages", err);
	sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &room);
	if (rc == 0)
		rc = execute(db, sql, "write it anew with checksums", err);
	sqlite3_free(sql);
	return rc;
}

/* Durable, and with the permissions that the old one has. */
static int keep_copy(const char *path, const char *copy, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open_file(AT_FDCWD, copy, O_RDWR, err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (stat(path, &st) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		return pfs_fail_errno(err, errno, "permissions of %s", copy);
	return pfs_io_fsync(fd, copy, err);
}

/*
 * The log of the old one is gone for good before the name leads to the new one, or
 * SQLite would recover old pages into it.
 */
static int replace(sqlite3 *db, const char *path, const char *copy, struct pfs_error *err)
{
	int rc = execute(db,
			 "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=DELETE;"
			 "BEGIN EXCLUSIVE; COMMIT",
			 "take it", err);

	if (rc == 0)
		rc = pfs_io_sync_folder(AT_FDCWD, path, err);
	if (rc == 0)
		rc = pfs_fault("pagedb.copy", err);
	if (rc == 0)
		rc = write_copy(db, copy, err);
	if (rc == 0)
		rc = keep_copy(path, copy, err);
	if (rc == 0)
		rc = pfs_fault("pagedb.rename", err);
	if (rc == 0 && rename(copy, path) < 0)
		rc = pfs_fail_errno(err, errno, "rename %s", copy);
	if (rc == 0)
		rc = pfs_fault("pagedb.renamed", err);
	return rc == 0 ? pfs_io_sync_folder(AT_FDCWD, path, err) : rc;
}

static int convert(const char *path, struct pfs_error *err)
{
	struct name copy, journal;
	sqlite3 *db = NULL;
	int rc = beside(path, "-sums", &copy, err);

	if (rc == 0)
		rc = beside(copy.text, "-journal", &journal, err);
	if (rc < 0)
		return rc;
	unlink(copy.text);
	unlink(journal.text);
	rc = sqlite3_open_v2(path, &db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
	rc = rc == SQLITE_OK ? replace(db, path, copy.text, err) : fail(db, rc, "open", err);
	sqlite3_close(db);
	if (rc < 0)
		unlink(copy.text);
	return rc;
}

static int open_ours(const char *path, int flags, sqlite3 **out, struct pfs_error *err)
{
	int room = PFS_PAGE_SUM_SIZE, rc;
	sqlite3 *db = NULL;

	if (!pfs_pagevfs_name())
		return pfs_fail_nomem(err, "SQLite");
	rc = sqlite3_open_v2(path, &db, flags, pfs_pagevfs_name());
	if (rc != SQLITE_OK) {
		rc = fail(db, rc, "open", err);
		sqlite3_close(db);
		return pfs_wrap(err, rc, "%s", path);
	}
	/* Counts when the database is made. */
	sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &room);
	*out = db;
	return 0;
}

int pfs_pagedb_open(const char *path, int flags, sqlite3 **out, struct pfs_error *err)
{
	enum kind kind;
	int rc;

	if (strcmp(path, ":memory:") == 0)
		return open_ours(path, flags, out, err);
	rc = look(path, &kind, err);
	if (rc == 0 && kind == OLDER) {
		rc = pfs_pagevfs_name() ? convert(path, err) : pfs_fail_nomem(err, "SQLite");
		if (rc < 0)
			pfs_wrap(err, rc, "%s has no checksums yet", path);
	}
	return rc < 0 ? rc : open_ours(path, flags, out, err);
}

int pfs_pagedb_fail(sqlite3 *db, struct pfs_error *err)
{
	const char *text = pfs_pagevfs_damage(db), *path = sqlite3_db_filename(db, "main");

	if (!text)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "%s: %s", path ? path : "a database", text);
}

void pfs_pagedb_rest(sqlite3 *db)
{
	const char *path = sqlite3_db_filename(db, "main");

	/* An empty one would lose the room that is kept behind its end. */
	if (path && *path && size_of(sqlite3_filename_wal(path)) == 0)
		return;
	sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	pfs_pagevfs_damage(db);
}

static int64_t check_pages(sqlite3_file *file, const char *path,
			   void (*damage)(void *arg, const char *text), void *arg)
{
	unsigned char page[PFS_PAGE_SIZE], none[PFS_PAGE_SIZE] = { 0 };
	char text[PFS_ERROR_TEXT_SIZE];
	sqlite3_int64 size = 0;
	struct pfs_error why;
	int64_t n = 0;

	file->pMethods->xFileSize(file, &size);
	for (sqlite3_int64 off = 0; off + (sqlite3_int64)sizeof(page) <= size;
	     off += (sqlite3_int64)sizeof(page)) {
		uint32_t number = (uint32_t)(off / PFS_PAGE_SIZE + 1);
		int rc = file->pMethods->xRead(file, page, sizeof(page), off);

		/* A page that was made and given up in one transaction was never written. */
		if (rc == SQLITE_OK ||
		    (rc == SQLITE_IOERR_DATA && memcmp(page, none, sizeof(page)) == 0))
			continue;
		if (rc != SQLITE_IOERR_DATA || pfs_pagesum_check(page, number, &why) == 0)
			pfs_fail(&why, PFS_E_IO, "page %u cannot be read", number);
		snprintf(text, sizeof(text), "%.400s: %.300s", path, why.text);
		damage(arg, text);
		n++;
	}
	return n;
}

int64_t pfs_pagedb_check(sqlite3 *db, void (*damage)(void *arg, const char *text), void *arg)
{
	const char *path = sqlite3_db_filename(db, "main");
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct pfs_pagewal_report log;
	char text[PFS_ERROR_TEXT_SIZE];
	sqlite3_file *file = NULL;
	struct pfs_error why;
	struct name name;
	int64_t n = 0;

	sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	if (!file || !file->pMethods || !path || !*path)
		return 0;
	n = check_pages(file, path, damage, arg);
	pfs_pagevfs_damage(db);
	if (beside(path, "-wal", &name, NULL) < 0 || size_of(name.text) == 0)
		return n;
	fd = pfs_io_open_file(AT_FDCWD, name.text, O_RDONLY, &why);
	if (fd >= 0 && pfs_pagewal_check(fd, false, &log, &why) == 0)
		return n;
	snprintf(text, sizeof(text), "%.400s: %.300s", name.text, why.text);
	damage(arg, text);
	return n + 1;
}
