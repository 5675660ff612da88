/*
 * One connection to SQLite and the statements it has prepared.
 *
 *	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
 *
 *	rc = pfs_query_begin(&q, db, "SELECT name FROM repos WHERE id = ?", err);
 *	if (rc < 0)
 *		return rc;
 *	pfs_query_bind_i64(&q, id);
 *	rc = pfs_query_next(&q, err);
 *	if (rc == 1)
 *		pfs_query_text(&q, name, sizeof(name));
 *
 * Parameters are bound and columns are read from left to right. A failed bind
 * is told by the next step, a column of the wrong size by pfs_query_check.
 * Statements are kept by their text, so there must be few texts: values are
 * bound, never printed into it.
 *
 * Threads: one at a time per connection.
 */
#ifndef PFS_META_DB_H
#define PFS_META_DB_H

#include "meta/room.h"
#include "base/id.h"
#include "base/map.h"
#include <sqlite3.h>

struct pfs_db {
	sqlite3 *sq;
	struct pfs_map statements; /* text -> sqlite3_stmt */
	bool in_use; /* open and looked through: what is damaged now is told with what to do */
};

/* `read_only` connections refuse to write. */
int pfs_db_open(const char *path, bool read_only, struct pfs_db *out, struct pfs_error *err);
void pfs_db_close(struct pfs_db *db); /* safe on zeroes and twice */

/* Text that is run once and not kept. */
int pfs_db_exec(struct pfs_db *db, const char *sql, struct pfs_error *err);

/* The code for what SQLite said last; fills `err` with its words. */
int pfs_db_fail(struct pfs_db *db, struct pfs_error *err);

struct pfs_query {
	struct pfs_db *db;
	sqlite3_stmt *statement;
	int bound;      /* parameters so far */
	int column;     /* columns of this row so far */
	int bind_rc;    /* of SQLite, the first that failed */
	bool malformed; /* a column did not have the shape it must have */
};

int pfs_query_begin(struct pfs_query *q, struct pfs_db *db, const char *sql, struct pfs_error *err);
void pfs_query_end(struct pfs_query *q);

void pfs_query_bind_i64(struct pfs_query *q, int64_t v);
void pfs_query_bind_text(struct pfs_query *q, const char *text);          /* NULL: null */
void pfs_query_bind_blob(struct pfs_query *q, const void *p, size_t len); /* NULL: null */
void pfs_query_bind_commit(struct pfs_query *q, const struct pfs_commit_id *id);

/* 1 and a row, 0 at the end. */
int pfs_query_next(struct pfs_query *q, struct pfs_error *err);
/* For statements without rows. */
int pfs_query_run(struct pfs_query *q, struct pfs_error *err);

int64_t pfs_query_i64(struct pfs_query *q);
void pfs_query_text(struct pfs_query *q, char *out, size_t size);
char *pfs_query_dup(struct pfs_query *q); /* owned; NULL for null or no memory */
bool pfs_query_blob(struct pfs_query *q, void *out, size_t len); /* false and zeroes for null */
int pfs_query_check(const struct pfs_query *q, struct pfs_error *err); /* PFS_E_CORRUPT */

/* How a row becomes a struct: zeroed memory in, failure leaves nothing owned. */
typedef int pfs_query_decode(struct pfs_query *q, void *row, struct pfs_error *err);

/* The only row: 1, or 0 when there is none. */
int pfs_query_one(struct pfs_query *q, pfs_query_decode *decode, void *row, struct pfs_error *err);

/* All rows, as one allocation; `fini` may be NULL. */
int pfs_query_all(struct pfs_query *q, size_t row_size, pfs_query_decode *decode,
		  void (*fini)(void *row), void **out, size_t *out_n, struct pfs_error *err);

#endif
