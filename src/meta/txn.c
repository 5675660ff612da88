#include "meta/meta_i.h"
#include "base/clock.h"
#include "base/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Whose transaction this thread has open: ranks allow one. */
static _Thread_local const struct pfs_meta *writing;

bool pfs_txn_is_mine(const struct pfs_meta *m)
{
	return writing == m;
}

int pfs_txn_begin(struct pfs_meta *m, struct pfs_txn **out, struct pfs_error *err)
{
	struct pfs_txn *txn = calloc(1, sizeof(*txn));
	int rc;

	if (!txn)
		return pfs_fail_nomem(err, "a transaction");
	txn->meta = m;
	pfs_lock(&m->write_lock);
	rc = pfs_db_exec(&m->writer, "BEGIN IMMEDIATE", err);
	if (rc < 0) {
		pfs_unlock(&m->write_lock);
		free(txn);
		return pfs_wrap(err, rc, "begin a transaction");
	}
	writing = m;
	*out = txn;
	return 0;
}

void pfs_txn_abort(struct pfs_txn **txnp)
{
	struct pfs_txn *txn = *txnp;

	if (!txn)
		return;
	assert(pfs_held(&txn->meta->write_lock));
	/* SQLite has rolled back by itself after some failures. */
	if (!sqlite3_get_autocommit(txn->meta->writer.sq))
		pfs_db_exec(&txn->meta->writer, "ROLLBACK", NULL);
	writing = NULL;
	pfs_unlock(&txn->meta->write_lock);
	free(txn);
	*txnp = NULL;
}

/* For what has to be written on a full disk; where there is none by now, there is none. */
static void keep_room(struct pfs_meta *m)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };

	pfs_pageroom_keep(&m->room);
	if (pfs_query_begin(&q, &m->writer, "PRAGMA page_count", NULL) == 0 &&
	    pfs_query_next(&q, NULL) == 1)
		pfs_pageroom_ground(m->fd, (uint64_t)pfs_query_i64(&q), NULL);
}

int pfs_txn_commit(struct pfs_txn **txnp, struct pfs_error *err)
{
	struct pfs_meta *m = (*txnp)->meta;
	uint64_t last_event = (*txnp)->last_event;
	int rc = pfs_fault("meta.txn.commit", err);

	if (rc == 0)
		rc = pfs_db_exec(&m->writer, "COMMIT", err);
	if (rc == 0)
		keep_room(m);
	pfs_txn_abort(txnp);
	if (rc < 0)
		return pfs_wrap(err, rc, "commit a transaction");
	if (last_event)
		pfs_event_announce(m, last_event);
	/* Done is done: from here on only a stop makes sense, not a failure. */
	(void)pfs_fault("meta.txn.committed", NULL);
	return 0;
}

/* A failure of the disk may have rolled back already: what comes next must not commit by itself. */
int pfs_txn_query(struct pfs_query *q, struct pfs_txn *txn, const char *sql, struct pfs_error *err)
{
	struct pfs_db *db = &txn->meta->writer;

	assert(pfs_held(&txn->meta->write_lock));
	if (sqlite3_get_autocommit(db->sq))
		return pfs_fail(err, PFS_E_IO,
				"the transaction was rolled back by an earlier failure");
	return pfs_query_begin(q, db, sql, err);
}

/* A statement that must meet exactly one row; PFS_E_NOTFOUND names what it did not. */
static int run_on_one(struct pfs_query *q, const char *what, struct pfs_error *err)
{
	int rc = pfs_query_run(q, err);

	if (rc == 0 && sqlite3_changes(q->db->sq) == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "%s is gone", what);
	return rc;
}

/* A name that is taken is told in our words, not in SQLite's. */
static int explain_exists(int rc, const char *what, const char *name, struct pfs_error *err)
{
	if (rc == PFS_E_EXISTS)
		return pfs_fail(err, rc, "%s \"%.80s\" exists already", what, name);
	return pfs_wrap(err, rc, "%s \"%.80s\"", what, name);
}

int pfs_txn_add_repo(struct pfs_txn *txn, struct pfs_repo_row *row, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn,
			       "INSERT INTO repos (name, owner, created_ns) VALUES (?, ?, ?)", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, row->name);
	pfs_query_bind_text(&q, row->owner);
	pfs_query_bind_i64(&q, row->created_ns);
	rc = pfs_query_run(&q, err);
	if (rc < 0)
		return explain_exists(rc, "repo", row->name, err);
	row->id = sqlite3_last_insert_rowid(q.db->sq);
	return 0;
}

static int set_owner(struct pfs_txn *txn, const char *sql, const char *what, int64_t id,
		     const char *owner, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn, sql, err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, owner);
	pfs_query_bind_i64(&q, id);
	return run_on_one(&q, what, err);
}

int pfs_txn_set_repo_owner(struct pfs_txn *txn, int64_t repo, const char *owner,
			   struct pfs_error *err)
{
	return set_owner(txn, "UPDATE repos SET owner = ? WHERE id = ?", "the repo", repo, owner,
			 err);
}

int pfs_txn_set_branch_owner(struct pfs_txn *txn, int64_t branch, const char *owner,
			     struct pfs_error *err)
{
	return set_owner(txn, "UPDATE branches SET owner = ? WHERE id = ?", "the branch", branch,
			 owner, err);
}

static int delete_by_id(struct pfs_txn *txn, const char *sql, const char *what, int64_t id,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn, sql, err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&q, id);
	return run_on_one(&q, what, err);
}

int pfs_txn_delete_repo(struct pfs_txn *txn, int64_t repo, struct pfs_error *err)
{
	return delete_by_id(txn, "DELETE FROM repos WHERE id = ?", "the repo", repo, err);
}

int pfs_txn_delete_branch(struct pfs_txn *txn, int64_t branch, struct pfs_error *err)
{
	return delete_by_id(txn, "DELETE FROM branches WHERE id = ?", "the branch", branch, err);
}

int pfs_txn_add_branch(struct pfs_txn *txn, struct pfs_branch_row *row, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn,
			       "INSERT INTO branches (repo, name, head, folder, owner, created_ns)"
			       " VALUES (?, ?, ?, ?, ?, ?)",
			       err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&q, row->repo);
	pfs_query_bind_text(&q, row->name);
	pfs_query_bind_commit(&q, row->has_head ? &row->head : NULL);
	pfs_query_bind_text(&q, row->folder);
	pfs_query_bind_text(&q, row->owner);
	pfs_query_bind_i64(&q, row->created_ns);
	rc = pfs_query_run(&q, err);
	if (rc < 0)
		return explain_exists(rc, "branch", row->name, err);
	row->id = sqlite3_last_insert_rowid(q.db->sq);
	return 0;
}

int pfs_txn_rename_branch(struct pfs_txn *txn, int64_t branch, const char *name,
			  struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn, "UPDATE branches SET name = ? WHERE id = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, name);
	pfs_query_bind_i64(&q, branch);
	rc = run_on_one(&q, "the branch", err);
	return rc < 0 ? explain_exists(rc, "branch", name, err) : 0;
}

/* One statement compares and moves; which of its two conditions failed matters to no caller. */
int pfs_txn_move_branch(struct pfs_txn *txn, int64_t branch, const struct pfs_commit_id *expect,
			const struct pfs_commit_id *head, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn, "UPDATE branches SET head = ? WHERE id = ? AND head IS ?",
			       err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&q, head);
	pfs_query_bind_i64(&q, branch);
	pfs_query_bind_commit(&q, expect);
	rc = pfs_query_run(&q, err);
	if (rc == 0 && sqlite3_changes(q.db->sq) == 0)
		return pfs_fail(err, PFS_E_CONFLICT, "the branch was moved or deleted meanwhile");
	return rc < 0 ? pfs_wrap(err, rc, "move a branch") : 0;
}

static int read_number(struct pfs_txn *txn, int64_t repo, const struct pfs_commit_id *id,
		       uint64_t *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc =
		pfs_txn_query(&q, txn, "SELECT number FROM commits WHERE id = ? AND repo = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&q, id);
	pfs_query_bind_i64(&q, repo);
	rc = pfs_query_next(&q, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "the parent commit does not exist");
	if (rc == 1)
		*out = (uint64_t)pfs_query_i64(&q);
	return rc < 0 ? rc : 0;
}

static void bind_commit_row(struct pfs_query *q, const struct pfs_commit_row *row)
{
	pfs_query_bind_i64(q, row->repo);
	pfs_query_bind_commit(q, &row->id);
	pfs_query_bind_text(q, row->branch);
	pfs_query_bind_i64(q, (int64_t)row->number);
	pfs_query_bind_commit(q, row->has_parent ? &row->parent : NULL);
	pfs_query_bind_i64(q, row->origin);
	pfs_query_bind_i64(q, row->started_ns);
	pfs_query_bind_i64(q, row->finished_ns);
	pfs_query_bind_blob(q, row->root.bytes, sizeof(row->root.bytes));
	pfs_query_bind_i64(q, row->root_mode);
	pfs_query_bind_i64(q, row->root_uid);
	pfs_query_bind_i64(q, row->root_gid);
	pfs_query_bind_i64(q, row->root_mtime_sec);
	pfs_query_bind_i64(q, row->root_mtime_nsec);
	pfs_query_bind_blob(q, row->digest.bytes, sizeof(row->digest.bytes));
	pfs_query_bind_i64(q, (int64_t)row->files);
	pfs_query_bind_i64(q, (int64_t)row->bytes);
	pfs_query_bind_text(q, row->message ? row->message : "");
	pfs_query_bind_text(q, row->error);
}

int pfs_txn_add_commit(struct pfs_txn *txn, struct pfs_commit_row *row, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	char text[PFS_COMMIT_ID_HEX_SIZE];
	uint64_t number = 0;
	int rc = row->has_parent ? read_number(txn, row->repo, &row->parent, &number, err) : 0;

	if (rc == 0)
		rc = pfs_txn_query(
			&q, txn,
			"INSERT INTO commits (repo, id, branch, number, parent, origin,"
			" started_ns, finished_ns, root, root_mode, root_uid, root_gid,"
			" root_mtime_sec, root_mtime_nsec, digest, files, bytes, message, error)"
			" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
			err);
	if (rc < 0)
		return rc;
	row->number = number + 1;
	bind_commit_row(&q, row);
	rc = pfs_query_run(&q, err);
	if (rc < 0)
		return explain_exists(rc, "commit", pfs_commit_id_format(&row->id, text), err);
	row->seq = sqlite3_last_insert_rowid(q.db->sq);
	return 0;
}

int pfs_txn_add_provenance(struct pfs_txn *txn, int64_t repo, const struct pfs_commit_id *id,
			   const struct pfs_provenance_row *on, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(
		&q, txn, "INSERT INTO provenance (id, repo, on_repo, on_id) VALUES (?, ?, ?, ?)",
		err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&q, id);
	pfs_query_bind_i64(&q, repo);
	pfs_query_bind_text(&q, on->repo);
	pfs_query_bind_commit(&q, &on->id);
	rc = pfs_query_run(&q, err);
	return rc < 0 ? explain_exists(rc, "provenance on", on->repo, err) : 0;
}

int pfs_txn_add_event(struct pfs_txn *txn, const char *kind, const char *repo, const char *branch,
		      const struct pfs_commit_id *commit, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn,
			       "INSERT INTO events (kind, repo, branch, commit_id, time_ns)"
			       " VALUES (?, ?, ?, ?, ?)",
			       err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, kind);
	pfs_query_bind_text(&q, repo);
	pfs_query_bind_text(&q, branch);
	pfs_query_bind_commit(&q, commit);
	pfs_query_bind_i64(&q, pfs_clock_ns());
	rc = pfs_query_run(&q, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "event %s", kind);
	txn->last_event = (uint64_t)sqlite3_last_insert_rowid(q.db->sq);
	return 0;
}

int pfs_txn_set_cursor(struct pfs_txn *txn, const char *name, uint64_t number,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_txn_query(&q, txn,
			       "INSERT INTO cursors (name, number) VALUES (?, ?)"
			       " ON CONFLICT (name) DO UPDATE SET number = excluded.number",
			       err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, name);
	pfs_query_bind_i64(&q, (int64_t)number);
	return pfs_query_run(&q, err);
}
