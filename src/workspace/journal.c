#include "workspace/journal.h"
#include "base/fault.h"
#include "base/io.h"
#include "page/pagedb.h"
#include "page/pageroom.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x70667377 /* "pfsw" */
#define FORMAT_VERSION 4

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	COUNT_PAGES,
	SAVE_NODE,
	DROP_NODE,
	SAVE_NAME,
	DROP_NAME,
	SAVE_RANGE,
	DROP_RANGES,
	CLEAR_NODES,
	CLEAR_NAMES,
	CLEAR_RANGES,
	SAVE_BASE,
	SAVE_SEALED,
	N_STATEMENTS
};

static const char *const statement_text[N_STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[COUNT_PAGES] = "PRAGMA page_count",
	[SAVE_NODE] =
		"REPLACE INTO node(ino, type, mode, uid, gid, mtime_sec, mtime_nsec, ctime_ns,"
		" xattrs, state, serial, size, dir, rdev, content, target, keep)"
		" VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[DROP_NODE] = "DELETE FROM node WHERE ino = ?",
	[SAVE_NAME] = "REPLACE INTO name(parent, name, ino, in_base) VALUES(?,?,?,?)",
	[DROP_NAME] = "DELETE FROM name WHERE parent = ? AND name = ?",
	[SAVE_RANGE] = "INSERT INTO range(ino, off, end) VALUES(?,?,?)",
	[DROP_RANGES] = "DELETE FROM range WHERE ino = ? AND off >= ? AND off < ?",
	[CLEAR_NODES] = "DELETE FROM node",
	[CLEAR_NAMES] = "DELETE FROM name",
	[CLEAR_RANGES] = "DELETE FROM range",
	[SAVE_BASE] = "REPLACE INTO meta(id, dir, mode, uid, gid, mtime_sec, mtime_nsec, mark,"
		      " links) VALUES(1,?,?,?,?,?,?,?,?)",
	[SAVE_SEALED] = "UPDATE meta SET sealed = ?",
};

/* What version 3 has and those before have not. */
#define RANGE_TABLE                                                                            \
	"CREATE TABLE range(ino INTEGER NOT NULL, off INTEGER NOT NULL, end INTEGER NOT NULL," \
	" PRIMARY KEY(ino, off)) WITHOUT ROWID;"

static const char to_version_3[] =
	"ALTER TABLE node ADD COLUMN keep INTEGER NOT NULL DEFAULT 0;" RANGE_TABLE;

/* Whether a base has files of several names was not written down: it may. */
static const char to_version_4[] = "ALTER TABLE node DROP COLUMN link;"
				   "ALTER TABLE meta ADD COLUMN links INTEGER NOT NULL DEFAULT 1;";

static const char schema[] =
	"CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), dir BLOB NOT NULL,"
	" mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,"
	" mtime_sec INTEGER NOT NULL, mtime_nsec INTEGER NOT NULL, mark BLOB, sealed BLOB,"
	" links INTEGER NOT NULL DEFAULT 1);"
	"CREATE TABLE node(ino INTEGER PRIMARY KEY, type INTEGER NOT NULL, mode INTEGER NOT NULL,"
	" uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime_sec INTEGER NOT NULL,"
	" mtime_nsec INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,"
	" xattrs BLOB, state INTEGER NOT NULL, serial INTEGER NOT NULL, size INTEGER NOT NULL,"
	" dir BLOB, rdev INTEGER NOT NULL, content BLOB, target BLOB,"
	" keep INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE name(parent INTEGER NOT NULL, name BLOB NOT NULL, ino INTEGER NOT NULL,"
	" in_base INTEGER NOT NULL, PRIMARY KEY(parent, name)) WITHOUT ROWID;" RANGE_TABLE;

struct pfs_journal {
	sqlite3 *db;
	sqlite3_stmt *statements[N_STATEMENTS];
	int fd; /* of the database, for pfs_pageroom_ground */
};

static int fail_sqlite(struct pfs_journal *j, int rc, struct pfs_error *err)
{
	const char *text = sqlite3_errmsg(j->db);
	int damaged = pfs_pagedb_fail(j->db, err);

	if (damaged < 0)
		return damaged;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return pfs_fail(err, PFS_E_NOSPACE, "journal: %s", text);
	case SQLITE_NOMEM:
		return pfs_fail_nomem(err, "the journal");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return pfs_fail(err, PFS_E_BUSY, "journal: in use by another process");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return pfs_fail(err, PFS_E_CORRUPT, "journal: %s", text);
	default:
		return pfs_fail(err, PFS_E_IO, "journal: %s", text);
	}
}

static int execute(struct pfs_journal *j, const char *sql, struct pfs_error *err)
{
	int rc = sqlite3_exec(j->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail_sqlite(j, rc, err);
}

static int run(struct pfs_journal *j, enum statement which, struct pfs_error *err)
{
	int rc = sqlite3_step(j->statements[which]);
	int failed = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : fail_sqlite(j, rc, err);

	sqlite3_reset(j->statements[which]);
	return failed;
}

static void bind_id(sqlite3_stmt *s, int at, const struct pfs_id *id)
{
	if (pfs_id_is_zero(id))
		sqlite3_bind_null(s, at);
	else
		sqlite3_bind_blob(s, at, id->bytes, PFS_ID_SIZE, SQLITE_STATIC);
}

static void bind_mark(sqlite3_stmt *s, int at, const struct pfs_commit_id *mark)
{
	if (pfs_commit_id_is_zero(mark))
		sqlite3_bind_null(s, at);
	else
		sqlite3_bind_blob(s, at, mark->bytes, PFS_COMMIT_ID_SIZE, SQLITE_STATIC);
}

static void bind_attrs(sqlite3_stmt *s, int at, const struct pfs_attrs *a)
{
	sqlite3_bind_int(s, at, a->mode);
	sqlite3_bind_int64(s, at + 1, a->uid);
	sqlite3_bind_int64(s, at + 2, a->gid);
	sqlite3_bind_int64(s, at + 3, a->mtime_sec);
	sqlite3_bind_int64(s, at + 4, a->mtime_nsec);
}

static int save_node(struct pfs_journal *j, const struct pfs_journal_node *n, const void *blob,
		     struct pfs_error *err)
{
	sqlite3_stmt *s = j->statements[SAVE_NODE];
	bool is_content = n->type == PFS_ENTRY_FILE && n->state != PFS_FILE_NEW;

	sqlite3_bind_int64(s, 1, (sqlite3_int64)n->ino);
	sqlite3_bind_int(s, 2, n->type);
	bind_attrs(s, 3, &n->attrs);
	sqlite3_bind_int64(s, 8, n->ctime_ns);
	bind_id(s, 9, &n->xattrs);
	sqlite3_bind_int(s, 10, n->state);
	sqlite3_bind_int64(s, 11, (sqlite3_int64)n->serial);
	sqlite3_bind_int64(s, 12, (sqlite3_int64)n->size);
	bind_id(s, 13, &n->dir);
	sqlite3_bind_int64(s, 14, (sqlite3_int64)n->rdev);
	sqlite3_bind_null(s, 15);
	sqlite3_bind_null(s, 16);
	sqlite3_bind_int64(s, 17, (sqlite3_int64)n->keep);
	if (is_content)
		sqlite3_bind_blob64(s, 15, blob, n->blob_len, SQLITE_STATIC);
	else if (n->type == PFS_ENTRY_SYMLINK)
		sqlite3_bind_blob64(s, 16, blob, n->blob_len, SQLITE_STATIC);
	return run(j, SAVE_NODE, err);
}

static int save_name(struct pfs_journal *j, const struct pfs_journal_name *n, const void *name,
		     struct pfs_error *err)
{
	sqlite3_stmt *s = j->statements[SAVE_NAME];

	sqlite3_bind_int64(s, 1, (sqlite3_int64)n->parent);
	sqlite3_bind_blob64(s, 2, name, n->name_len, SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, (sqlite3_int64)n->ino);
	sqlite3_bind_int(s, 4, n->in_base);
	return run(j, SAVE_NAME, err);
}

static int drop_name(struct pfs_journal *j, const struct pfs_journal_name *n, const void *name,
		     struct pfs_error *err)
{
	sqlite3_stmt *s = j->statements[DROP_NAME];

	sqlite3_bind_int64(s, 1, (sqlite3_int64)n->parent);
	sqlite3_bind_blob64(s, 2, name, n->name_len, SQLITE_STATIC);
	return run(j, DROP_NAME, err);
}

static int drop_node(struct pfs_journal *j, uint64_t ino, struct pfs_error *err)
{
	sqlite3_bind_int64(j->statements[DROP_NODE], 1, (sqlite3_int64)ino);
	return run(j, DROP_NODE, err);
}

/* Rows that a range took in go: a range of the table never reaches out of one that has its first byte. */
static int drop_ranges(struct pfs_journal *j, uint64_t ino, uint64_t off, uint64_t end,
		       struct pfs_error *err)
{
	sqlite3_stmt *s = j->statements[DROP_RANGES];

	sqlite3_bind_int64(s, 1, (sqlite3_int64)ino);
	sqlite3_bind_int64(s, 2, (sqlite3_int64)off);
	sqlite3_bind_int64(s, 3, (sqlite3_int64)end);
	return run(j, DROP_RANGES, err);
}

static int save_ranges(struct pfs_journal *j, const struct pfs_journal_ranges *r,
		       const unsigned char *pairs, struct pfs_error *err)
{
	sqlite3_stmt *s = j->statements[SAVE_RANGE];
	int rc = r->all ? drop_ranges(j, r->ino, 0, INT64_MAX, err) : 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		uint64_t at[2];

		memcpy(at, pairs + i * sizeof(at), sizeof(at));
		if (!r->all)
			rc = drop_ranges(j, r->ino, at[0], at[1], err);
		sqlite3_bind_int64(s, 1, (sqlite3_int64)r->ino);
		sqlite3_bind_int64(s, 2, (sqlite3_int64)at[0]);
		sqlite3_bind_int64(s, 3, (sqlite3_int64)at[1]);
		if (rc == 0)
			rc = run(j, SAVE_RANGE, err);
	}
	return rc;
}

static int clear(struct pfs_journal *j, struct pfs_error *err)
{
	int rc = run(j, CLEAR_NODES, err);

	if (rc == 0)
		rc = run(j, CLEAR_NAMES, err);
	return rc < 0 ? rc : run(j, CLEAR_RANGES, err);
}

static int save_base(struct pfs_journal *j, const struct pfs_root *base, bool links,
		     struct pfs_error *err)
{
	sqlite3_stmt *s = j->statements[SAVE_BASE];

	sqlite3_bind_blob(s, 1, base->dir.bytes, PFS_ID_SIZE, SQLITE_STATIC);
	bind_attrs(s, 2, &base->attrs);
	bind_mark(s, 7, &base->mark);
	sqlite3_bind_int(s, 8, links);
	return run(j, SAVE_BASE, err);
}

static int save_sealed(struct pfs_journal *j, const struct pfs_commit_id *mark,
		       struct pfs_error *err)
{
	bind_mark(j->statements[SAVE_SEALED], 1, mark);
	return run(j, SAVE_SEALED, err);
}

static int apply_row(struct pfs_journal *j, const struct pfs_journal_row *r, const void *blob,
		     struct pfs_error *err)
{
	switch (r->op) {
	case PFS_JOURNAL_SAVE_NODE:
		return save_node(j, &r->node, blob, err);
	case PFS_JOURNAL_DROP_NODE:
		return drop_node(j, r->node.ino, err);
	case PFS_JOURNAL_SAVE_NAME:
		return save_name(j, &r->name, blob, err);
	case PFS_JOURNAL_DROP_NAME:
		return drop_name(j, &r->name, blob, err);
	case PFS_JOURNAL_SAVE_RANGES:
		return save_ranges(j, &r->ranges, blob, err);
	case PFS_JOURNAL_CLEAR:
		return clear(j, err);
	case PFS_JOURNAL_BASE:
		return save_base(j, &r->base, r->links, err);
	case PFS_JOURNAL_SEALED:
		return save_sealed(j, &r->base.mark, err);
	}
	return 0;
}

/* What is in the log can be moved out of it, whatever becomes of the disk. */
static int hold_ground(struct pfs_journal *j, struct pfs_error *err)
{
	sqlite3_stmt *s = j->statements[COUNT_PAGES];
	int64_t n = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
	int rc = pfs_pageroom_ground(j->fd, (uint64_t)n, err);

	sqlite3_reset(s);
	return rc < 0 ? pfs_wrap(err, rc, "journal") : 0;
}

void pfs_journal_fold(struct pfs_journal *j)
{
	pfs_pagedb_rest(j->db);
}

int pfs_journal_apply(struct pfs_journal *j, const struct pfs_journal_batch *b,
		      struct pfs_error *err)
{
	int rc = pfs_fault("journal.begin", err);

	if (rc == 0)
		rc = run(j, BEGIN, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < b->n; i++)
		rc = apply_row(j, &b->rows[i],
			       (const unsigned char *)pfs_buf_str(&b->blobs) + b->rows[i].blob_at,
			       err);
	if (rc == 0)
		rc = hold_ground(j, err);
	if (rc == 0)
		rc = pfs_fault("journal.commit", err);
	if (rc == 0)
		rc = run(j, COMMIT, err);
	if (rc < 0)
		run(j, ROLLBACK, NULL);
	return rc;
}

static int read_id(sqlite3_stmt *s, int at, struct pfs_id *out, struct pfs_error *err)
{
	int len = sqlite3_column_bytes(s, at);

	memset(out, 0, sizeof(*out));
	if (len == 0)
		return 0;
	if (len != PFS_ID_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "journal: an id of %d bytes", len);
	memcpy(out->bytes, sqlite3_column_blob(s, at), PFS_ID_SIZE);
	return 0;
}

static int read_mark(sqlite3_stmt *s, int at, struct pfs_commit_id *out, struct pfs_error *err)
{
	int len = sqlite3_column_bytes(s, at);

	memset(out, 0, sizeof(*out));
	if (len == 0)
		return 0;
	if (len != PFS_COMMIT_ID_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "journal: a mark of %d bytes", len);
	memcpy(out->bytes, sqlite3_column_blob(s, at), PFS_COMMIT_ID_SIZE);
	return 0;
}

static int read_attrs(sqlite3_stmt *s, int at, struct pfs_attrs *out, struct pfs_error *err)
{
	sqlite3_int64 mode = sqlite3_column_int64(s, at), uid = sqlite3_column_int64(s, at + 1);
	sqlite3_int64 gid = sqlite3_column_int64(s, at + 2), nsec = sqlite3_column_int64(s, at + 4);

	if (mode < 0 || mode > 07777 || uid < 0 || uid > UINT32_MAX || gid < 0 ||
	    gid > UINT32_MAX || nsec < 0 || nsec > 999999999)
		return pfs_fail(err, PFS_E_CORRUPT, "journal: attributes make no sense");
	out->mode = (uint16_t)mode;
	out->uid = (uint32_t)uid;
	out->gid = (uint32_t)gid;
	out->mtime_sec = sqlite3_column_int64(s, at + 3);
	out->mtime_nsec = (uint32_t)nsec;
	return 0;
}

static int read_node(sqlite3_stmt *s, struct pfs_journal_node *out, struct pfs_error *err)
{
	sqlite3_int64 type = sqlite3_column_int64(s, 1), state = sqlite3_column_int64(s, 9);
	int blob, rc;

	memset(out, 0, sizeof(*out));
	out->ino = (uint64_t)sqlite3_column_int64(s, 0);
	if (type < PFS_ENTRY_FILE || type > PFS_ENTRY_BLK || state < PFS_FILE_CLEAN ||
	    state > PFS_FILE_PATCHED)
		return pfs_fail(err, PFS_E_CORRUPT,
				"journal: node %llx has an unknown type or state",
				(unsigned long long)out->ino);
	out->type = (enum pfs_entry_type)type;
	out->state = (enum pfs_file_state)state;
	rc = read_attrs(s, 2, &out->attrs, err);
	if (rc == 0)
		rc = read_id(s, 8, &out->xattrs, err);
	if (rc == 0)
		rc = read_id(s, 12, &out->dir, err);
	if (rc < 0)
		return rc;
	out->ctime_ns = sqlite3_column_int64(s, 7);
	out->serial = (uint64_t)sqlite3_column_int64(s, 10);
	out->size = (uint64_t)sqlite3_column_int64(s, 11);
	out->rdev = (uint64_t)sqlite3_column_int64(s, 13);
	out->keep = (uint64_t)sqlite3_column_int64(s, 16);
	blob = out->type == PFS_ENTRY_SYMLINK ? 15 : 14;
	out->blob = sqlite3_column_blob(s, blob);
	out->blob_len = (size_t)sqlite3_column_bytes(s, blob);
	return 0;
}

/* One pass over a query; `each` sees every row. */
struct pass {
	const struct pfs_journal_reader *reader;
	void *arg;
};

static int each_base(const struct pass *p, sqlite3_stmt *s, struct pfs_error *err)
{
	struct pfs_commit_id sealed;
	struct pfs_root base;
	int rc = read_id(s, 0, &base.dir, err);

	if (rc == 0)
		rc = read_attrs(s, 1, &base.attrs, err);
	if (rc == 0)
		rc = read_mark(s, 6, &base.mark, err);
	if (rc == 0)
		rc = read_mark(s, 7, &sealed, err);
	if (rc == 0)
		p->reader->base(p->arg, &base, sqlite3_column_int(s, 8) != 0, &sealed);
	return rc;
}

static int each_node(const struct pass *p, sqlite3_stmt *s, struct pfs_error *err)
{
	struct pfs_journal_node node;
	int rc = read_node(s, &node, err);

	return rc < 0 ? rc : p->reader->node(p->arg, &node, err);
}

static int each_name(const struct pass *p, sqlite3_stmt *s, struct pfs_error *err)
{
	struct pfs_journal_name name = {
		.parent = (uint64_t)sqlite3_column_int64(s, 0),
		.name = sqlite3_column_blob(s, 1),
		.name_len = (size_t)sqlite3_column_bytes(s, 1),
		.ino = (uint64_t)sqlite3_column_int64(s, 2),
		.in_base = sqlite3_column_int(s, 3) != 0,
	};

	return p->reader->name(p->arg, &name, err);
}

static int each_range(const struct pass *p, sqlite3_stmt *s, struct pfs_error *err)
{
	struct pfs_journal_range range = {
		.ino = (uint64_t)sqlite3_column_int64(s, 0),
		.off = (uint64_t)sqlite3_column_int64(s, 1),
		.end = (uint64_t)sqlite3_column_int64(s, 2),
	};

	return p->reader->range(p->arg, &range, err);
}

static int read_rows(struct pfs_journal *j, const char *sql, const struct pass *p,
		     int (*each)(const struct pass *, sqlite3_stmt *, struct pfs_error *),
		     int64_t *out_n, struct pfs_error *err)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(j->db, sql, -1, &s, NULL);
	int failed = rc == SQLITE_OK ? 0 : fail_sqlite(j, rc, err);

	*out_n = 0;
	while (failed == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		failed = each(p, s, err);
		++*out_n;
	}
	if (failed == 0 && rc != SQLITE_DONE)
		failed = fail_sqlite(j, rc, err);
	sqlite3_finalize(s);
	return failed;
}

int pfs_journal_load(struct pfs_journal *j, const struct pfs_journal_reader *reader, void *arg,
		     struct pfs_error *err)
{
	struct pass p = { reader, arg };
	int64_t n;
	int rc;

	rc = read_rows(j,
		       "SELECT dir, mode, uid, gid, mtime_sec, mtime_nsec, mark, sealed, links"
		       " FROM meta",
		       &p, each_base, &n, err);
	if (rc == 0 && n != 1)
		rc = pfs_fail(err, PFS_E_CORRUPT, "journal: no base");
	if (rc == 0 && reader->node)
		rc = read_rows(j,
			       "SELECT ino, type, mode, uid, gid, mtime_sec, mtime_nsec, ctime_ns,"
			       " xattrs, state, serial, size, dir, rdev, content, target, keep"
			       " FROM node",
			       &p, each_node, &n, err);
	if (rc == 0 && reader->name)
		rc = read_rows(j, "SELECT parent, name, ino, in_base FROM name", &p, each_name, &n,
			       err);
	if (rc == 0 && reader->range)
		rc = read_rows(j, "SELECT ino, off, end FROM range ORDER BY ino, off", &p,
			       each_range, &n, err);
	return rc;
}

static int pragma_number(struct pfs_journal *j, const char *sql, int64_t *out,
			 struct pfs_error *err)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(j->db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : fail_sqlite(j, rc, err);
}

static int say_version(struct pfs_journal *j, struct pfs_error *err)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d",
		 APPLICATION_ID, FORMAT_VERSION);
	return execute(j, sql, err);
}

/* A fresh database: tables, base and version in one transaction. */
static int create(struct pfs_journal *j, const struct pfs_root *base, struct pfs_error *err)
{
	int rc = execute(j, "BEGIN IMMEDIATE", err);

	if (rc == 0)
		rc = execute(j, schema, err);
	if (rc == 0)
		rc = say_version(j, err);
	if (rc == 0) {
		int made = sqlite3_prepare_v2(j->db, statement_text[SAVE_BASE], -1,
					      &j->statements[SAVE_BASE], NULL);

		rc = made == SQLITE_OK ? save_base(j, base, !pfs_id_is_zero(&base->dir), err)
				       : fail_sqlite(j, made, err);
	}
	return rc < 0 ? rc : execute(j, "COMMIT", err);
}

/* The journal of an older program, brought up to date in one transaction. */
static int migrate(struct pfs_journal *j, int64_t version, struct pfs_error *err)
{
	int rc = execute(j, "BEGIN IMMEDIATE", err);

	if (rc == 0 && version < 3)
		rc = execute(j, to_version_3, err);
	if (rc == 0)
		rc = execute(j, to_version_4, err);
	if (rc == 0)
		rc = say_version(j, err);
	if (rc == 0)
		rc = pfs_fault("journal.migrate", err);
	if (rc == 0)
		rc = execute(j, "COMMIT", err);
	if (rc < 0)
		execute(j, "ROLLBACK", NULL);
	return rc;
}

static int prepare_all(struct pfs_journal *j, struct pfs_error *err)
{
	for (int i = 0; i < N_STATEMENTS; i++) {
		int rc = SQLITE_OK;

		if (!j->statements[i])
			rc = sqlite3_prepare_v3(j->db, statement_text[i], -1,
						SQLITE_PREPARE_PERSISTENT, &j->statements[i], NULL);
		if (rc != SQLITE_OK)
			return fail_sqlite(j, rc, err);
	}
	return 0;
}

/* Exclusive locking keeps a second process out and needs no shared memory file. */
static int start(struct pfs_journal *j, const struct pfs_root *base, struct pfs_error *err)
{
	int64_t version = 0, app = 0;
	int rc = execute(j,
			 "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
			 " PRAGMA synchronous=FULL; BEGIN IMMEDIATE; COMMIT",
			 err);

	if (rc == 0)
		rc = pragma_number(j, "PRAGMA user_version", &version, err);
	if (rc == 0)
		rc = pragma_number(j, "PRAGMA application_id", &app, err);
	if (rc < 0)
		return rc;
	if (version == 0 && app == 0)
		rc = create(j, base, err);
	else if (app != APPLICATION_ID)
		rc = pfs_fail(err, PFS_E_CORRUPT,
			      "journal: this is not the journal of a workspace");
	else if (version >= 1 && version < FORMAT_VERSION)
		/* The pages of version 1 have got their checksums by now. */
		rc = migrate(j, version, err);
	else if (version != FORMAT_VERSION)
		rc = pfs_fail(err, PFS_E_UNSUPPORTED, "journal: format %lld, this program knows %d",
			      (long long)version, FORMAT_VERSION);
	if (rc == 0)
		pfs_pagedb_rest(j->db);
	return rc < 0 ? rc : prepare_all(j, err);
}

int pfs_journal_is_there(const char *folder, struct pfs_spool *spool, bool *out,
			 struct pfs_error *err)
{
	char path[PFS_PATH_SIZE_MAX + 1];
	bool files = false;
	struct stat st;
	int rc;

	if (snprintf(path, sizeof(path), "%s/journal.db", folder) >= (int)sizeof(path))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "folder %.100s...", folder);
	*out = stat(path, &st) == 0 && st.st_size > 0;
	if (*out)
		return 0;
	if (access(path, F_OK) < 0 && errno != ENOENT)
		return pfs_fail_errno(err, errno, "%s", path);
	rc = pfs_spool_has_files(spool, &files, err);
	if (rc == 0 && files)
		return pfs_fail(err, PFS_E_CORRUPT,
				"journal.db is lost, which had the names of the files in spool/");
	return rc;
}

int pfs_journal_open(const char *folder, const struct pfs_root *base_when_new,
		     struct pfs_journal **out, struct pfs_error *err)
{
	struct pfs_journal *j = calloc(1, sizeof(*j));
	char path[PFS_PATH_SIZE_MAX + 1];
	int rc;

	if (!j)
		return pfs_fail_nomem(err, "a journal");
	j->fd = -1;
	if (snprintf(path, sizeof(path), "%s/journal.db", folder) >= (int)sizeof(path)) {
		free(j);
		return pfs_fail(err, PFS_E_NAMETOOLONG, "folder %.100s...", folder);
	}
	rc = pfs_pagedb_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     &j->db, err);
	if (rc == 0) {
		rc = start(j, base_when_new, err);
		if (rc < 0)
			pfs_wrap(err, rc, "%s", path);
	}
	if (rc == 0)
		rc = j->fd = pfs_io_open_file(AT_FDCWD, path, O_RDWR, err);
	if (rc < 0) {
		pfs_journal_close(&j);
		return rc;
	}
	*out = j;
	return 0;
}

int64_t pfs_journal_check(struct pfs_journal *j, void (*damage)(void *arg, const char *text),
			  void *arg)
{
	return pfs_pagedb_check(j->db, damage, arg);
}

void pfs_journal_close(struct pfs_journal **j)
{
	if (!*j)
		return;
	for (int i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize((*j)->statements[i]);
	sqlite3_close((*j)->db);
	pfs_fd_close(&(*j)->fd);
	free(*j);
	*j = NULL;
}
