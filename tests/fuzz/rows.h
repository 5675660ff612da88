/* A database whose pages are whole and whose rows are anything: changes to rows of a good one. */
#ifndef PFS_TESTS_FUZZ_ROWS_H
#define PFS_TESTS_FUZZ_ROWS_H

#include "../scratch.h"

#include <sqlite3.h>
#include <stdint.h>

#define COLUMNS_MAX 96

static struct column {
	char table[24];
	char name[24];
	char key[24];
} columns[COLUMNS_MAX];
static unsigned n_columns;

/* All columns of a table, whose rows are told apart by `key`. */
static inline void read_columns(sqlite3 *db, const char *table, const char *key)
{
	sqlite3_stmt *s;
	char sql[80];

	snprintf(sql, sizeof(sql), "SELECT name FROM pragma_table_info('%s')", table);
	CHECK(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK, "%s", sql);
	while (sqlite3_step(s) == SQLITE_ROW && n_columns < COLUMNS_MAX) {
		struct column *c = &columns[n_columns++];

		snprintf(c->table, sizeof(c->table), "%s", table);
		snprintf(c->key, sizeof(c->key), "%s", key);
		snprintf(c->name, sizeof(c->name), "%s", (const char *)sqlite3_column_text(s, 0));
	}
	sqlite3_finalize(s);
}

static inline void bind_value(sqlite3_stmt *s, const uint8_t *value, size_t len, unsigned kind)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len && i < 8; i++)
		v |= (uint64_t)value[i] << 8 * i;
	switch (kind % 4) {
	case 0:
		sqlite3_bind_int64(s, 1, (sqlite3_int64)v);
		break;
	case 1:
		sqlite3_bind_blob64(s, 1, value, len, SQLITE_STATIC);
		break;
	case 2:
		sqlite3_bind_text(s, 1, (const char *)value, (int)len, SQLITE_STATIC);
		break;
	default:
		sqlite3_bind_null(s, 1);
	}
}

/* One row gets another value, or goes. */
static inline void change_row(sqlite3 *db, const uint8_t *how, const uint8_t *value, size_t len)
{
	const struct column *c = &columns[how[0] % n_columns];
	const char *key = c->key;
	sqlite3_stmt *s = NULL;
	char sql[300];

	if (how[2] % 8 == 7)
		snprintf(sql, sizeof(sql),
			 "DELETE FROM %s WHERE %s = (SELECT %s FROM %s LIMIT 1 OFFSET %u)",
			 c->table, key, key, c->table, how[1] % 8u);
	else
		snprintf(sql, sizeof(sql),
			 "UPDATE OR IGNORE %s SET %s = ?1 WHERE %s ="
			 " (SELECT %s FROM %s LIMIT 1 OFFSET %u)",
			 c->table, c->name, key, key, c->table, how[1] % 8u);
	CHECK(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK, "%s: %s", sql,
	      sqlite3_errmsg(db));
	if (how[2] % 8 != 7)
		bind_value(s, value, len, how[2]);
	sqlite3_step(s); /* what the tables do not allow does not happen */
	sqlite3_finalize(s);
}

/* As the input says: column, row, kind of value, length, value; and so on. */
static inline void change_rows(const char *path, const uint8_t *data, size_t size)
{
	sqlite3 *db = NULL;
	size_t at = 0;

	CHECK(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "pfs") == SQLITE_OK, "open");
	CHECK(sqlite3_exec(db,
			   "PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF;"
			   " PRAGMA ignore_check_constraints=ON; BEGIN",
			   NULL, NULL, NULL) == SQLITE_OK,
	      "%s", sqlite3_errmsg(db));
	for (unsigned n = 0; at + 4 <= size && n < 32; n++) {
		size_t len = data[at + 3] % 64, left = size - at - 4;

		change_row(db, data + at, data + at + 4, len < left ? len : left);
		at += 4 + (len < left ? len : left);
	}
	CHECK(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

#endif
