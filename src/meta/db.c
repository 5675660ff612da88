#include "meta/db.h"
#include "page/pagedb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 10000

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

static int code_of(sqlite3 *sq, int extended)
{
	if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
		return PFS_E_EXISTS;
	if (extended == SQLITE_CONSTRAINT_FOREIGNKEY)
		return PFS_E_NOTFOUND;
	switch (extended & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return PFS_E_BUSY;
	case SQLITE_FULL:
		return PFS_E_NOSPACE;
	case SQLITE_IOERR:
		return is_full(sqlite3_system_errno(sq)) ? PFS_E_NOSPACE : PFS_E_IO;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return PFS_E_CORRUPT;
	case SQLITE_NOMEM:
		return PFS_E_NOMEM;
	case SQLITE_TOOBIG:
		return PFS_E_LIMIT;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return PFS_E_DENIED;
	default:
		return PFS_E_IO;
	}
}

static void advise(struct pfs_db *db, struct pfs_error *err)
{
	const char *path = sqlite3_db_filename(db->sq, "main");
	const char *end = path ? strrchr(path, '/') : NULL;
	struct pfs_error why;

	if (!err || !end)
		return;
	why = *err;
	pfs_fail(err, why.code, "%.600s; stop pfsd, then `pfs fsck --data %.*s --repair`", why.text,
		 (int)(end - path), path);
}

int pfs_db_fail(struct pfs_db *db, struct pfs_error *err)
{
	int extended = sqlite3_extended_errcode(db->sq);
	int rc = pfs_pagedb_fail(db->sq, err);

	if (rc < 0 && db->in_use)
		advise(db, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "metadata");
	rc = code_of(db->sq, extended);
	pfs_fail(err, rc, "metadata: %s%s", sqlite3_errmsg(db->sq),
		 rc == PFS_E_NOSPACE
			 ? "; remove something from the disk, an uncommitted file for one"
			 : "");
	if (err)
		err->sys = sqlite3_system_errno(db->sq);
	return rc;
}

int pfs_db_exec(struct pfs_db *db, const char *sql, struct pfs_error *err)
{
	return sqlite3_exec(db->sq, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : pfs_db_fail(db, err);
}

static int configure(struct pfs_db *db, bool read_only, struct pfs_error *err)
{
	int keep = 1, rc;

	/* The files beside it stay: on a full disk they are needed, and what they had is free. */
	sqlite3_file_control(db->sq, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	sqlite3_extended_result_codes(db->sq, 1);
	sqlite3_busy_timeout(db->sq, BUSY_TIMEOUT_MS);
	if (read_only)
		return pfs_db_exec(db, "PRAGMA query_only=ON", err);
	rc = pfs_db_exec(db,
			 "PRAGMA journal_mode=WAL;"
			 "PRAGMA synchronous=FULL;"
			 "PRAGMA foreign_keys=ON;"
			 "PRAGMA journal_size_limit=67108864;",
			 err);
	if (rc == 0)
		pfs_pagedb_rest(db->sq);
	return rc;
}

int pfs_db_open(const char *path, bool read_only, struct pfs_db *out, struct pfs_error *err)
{
	int flags =
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (read_only ? 0 : SQLITE_OPEN_CREATE);
	PFS_AUTO(pfs_db_close) struct pfs_db db = { 0 };
	int rc;

	pfs_map_init(&db.statements);
	rc = pfs_pagedb_open(path, flags, &db.sq, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "open the metadata");
	rc = configure(&db, read_only, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "open %s", path);
	*out = db;
	memset(&db, 0, sizeof(db));
	return 0;
}

void pfs_db_close(struct pfs_db *db)
{
	sqlite3_stmt *statement;
	size_t pos = 0;

	while ((statement = pfs_map_next(&db->statements, &pos)))
		sqlite3_finalize(statement);
	pfs_map_fini(&db->statements);
	sqlite3_close(db->sq);
	memset(db, 0, sizeof(*db));
}

static int prepare(struct pfs_db *db, const char *sql, sqlite3_stmt **out, struct pfs_error *err)
{
	sqlite3_stmt *statement = NULL;
	int rc;

	if (sqlite3_prepare_v3(db->sq, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
	    SQLITE_OK)
		return pfs_db_fail(db, err);
	/* The key is the statement's own copy, which lives as long as it. */
	sql = sqlite3_sql(statement);
	rc = pfs_map_set(&db->statements, sql, strlen(sql), statement, err);
	if (rc < 0) {
		sqlite3_finalize(statement);
		return rc;
	}
	*out = statement;
	return 0;
}

int pfs_query_begin(struct pfs_query *q, struct pfs_db *db, const char *sql, struct pfs_error *err)
{
	sqlite3_stmt *statement = pfs_map_find(&db->statements, sql, strlen(sql));
	int rc = statement ? 0 : prepare(db, sql, &statement, err);

	if (rc < 0)
		return rc;
	*q = (struct pfs_query){ .db = db, .statement = statement };
	return 0;
}

void pfs_query_end(struct pfs_query *q)
{
	if (!q->statement)
		return;
	sqlite3_reset(q->statement);
	sqlite3_clear_bindings(q->statement);
	q->statement = NULL;
}

static void note_bind(struct pfs_query *q, int sqlite_rc)
{
	if (q->bind_rc == SQLITE_OK)
		q->bind_rc = sqlite_rc;
}

void pfs_query_bind_i64(struct pfs_query *q, int64_t v)
{
	note_bind(q, sqlite3_bind_int64(q->statement, ++q->bound, v));
}

/* What is bound stays where it is until the query ends: nothing is copied. */
void pfs_query_bind_text(struct pfs_query *q, const char *text)
{
	note_bind(q, sqlite3_bind_text(q->statement, ++q->bound, text, -1, SQLITE_STATIC));
}

void pfs_query_bind_blob(struct pfs_query *q, const void *p, size_t len)
{
	note_bind(q, sqlite3_bind_blob64(q->statement, ++q->bound, p, len, SQLITE_STATIC));
}

void pfs_query_bind_commit(struct pfs_query *q, const struct pfs_commit_id *id)
{
	pfs_query_bind_blob(q, id ? id->bytes : NULL, PFS_COMMIT_ID_SIZE);
}

int pfs_query_next(struct pfs_query *q, struct pfs_error *err)
{
	int rc;

	if (q->bind_rc != SQLITE_OK)
		return pfs_db_fail(q->db, err);
	rc = sqlite3_step(q->statement);
	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return pfs_db_fail(q->db, err);
	q->column = 0;
	q->malformed = false;
	return 1;
}

int pfs_query_run(struct pfs_query *q, struct pfs_error *err)
{
	int rc;

	do
		rc = pfs_query_next(q, err);
	while (rc == 1);
	return rc;
}

int64_t pfs_query_i64(struct pfs_query *q)
{
	return sqlite3_column_int64(q->statement, q->column++);
}

void pfs_query_text(struct pfs_query *q, char *out, size_t size)
{
	int column = q->column++;
	const char *text = (const char *)sqlite3_column_text(q->statement, column);
	size_t len = text ? (size_t)sqlite3_column_bytes(q->statement, column) : 0;

	if (len >= size) {
		q->malformed = true;
		len = 0;
	}
	memcpy(out, text ? text : "", len);
	out[len] = 0;
}

char *pfs_query_dup(struct pfs_query *q)
{
	const char *text = (const char *)sqlite3_column_text(q->statement, q->column++);

	return text ? strdup(text) : NULL;
}

bool pfs_query_blob(struct pfs_query *q, void *out, size_t len)
{
	int column = q->column++;
	const void *p = sqlite3_column_blob(q->statement, column);
	size_t got = p ? (size_t)sqlite3_column_bytes(q->statement, column) : 0;

	memset(out, 0, len);
	if (got == len)
		memcpy(out, p, len);
	else if (got)
		q->malformed = true;
	return got == len;
}

int pfs_query_check(const struct pfs_query *q, struct pfs_error *err)
{
	if (!q->malformed)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "metadata: a row has a column of the wrong size");
}

int pfs_query_one(struct pfs_query *q, pfs_query_decode *decode, void *row, struct pfs_error *err)
{
	int rc = pfs_query_next(q, err);

	if (rc == 1) {
		rc = decode(q, row, err);
		return rc < 0 ? rc : 1;
	}
	return rc;
}

static int grow(void **list, size_t *cap, size_t row_size, struct pfs_error *err)
{
	size_t bigger = *cap ? *cap * 2 : 8;
	void *moved = reallocarray(*list, bigger, row_size);

	if (!moved)
		return pfs_fail_nomem(err, "a list of rows");
	*list = moved;
	*cap = bigger;
	return 0;
}

int pfs_query_all(struct pfs_query *q, size_t row_size, pfs_query_decode *decode,
		  void (*fini)(void *row), void **out, size_t *out_n, struct pfs_error *err)
{
	void *list = NULL;
	size_t n = 0, cap = 0;
	int rc;

	while ((rc = pfs_query_next(q, err)) == 1) {
		char *row;

		if (n == cap && (rc = grow(&list, &cap, row_size, err)) < 0)
			break;
		row = (char *)list + n * row_size;
		memset(row, 0, row_size);
		rc = decode(q, row, err);
		if (rc < 0)
			break;
		n++;
	}
	if (rc < 0) {
		for (size_t i = 0; fini && i < n; i++)
			fini((char *)list + i * row_size);
		free(list);
		return rc;
	}
	*out = list;
	*out_n = n;
	return 0;
}
