/*
 * Making a commit. Content before names, always:
 *
 *	seal ─▶ record ─▶ store sync ─▶ one transaction ─▶ settle
 *	 chunks and nodes   durable      row, head, provenance, event
 *
 * Stopping before the transaction leaves objects that nobody needs. After it
 * the commit stands, though the workspace has not written down that it does:
 * whoever opens it next finds its base behind the head, and starts it anew from
 * there (seat.c). Either way nothing is half there.
 */
#include "history/history_i.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/stop.h"
#include "store/session.h"
#include "tree/tree.h"

#include <assert.h>
#include <string.h>

/* One commit on its way. */
struct making {
	struct pfs_history *h;
	const struct pfs_commit_options *options;
	struct pfs_place at;
	struct pfs_seat *seat;
	struct pfs_sources sources;
	struct pfs_commit_row parent; /* when row.has_parent */
	struct pfs_commit_row row;    /* its texts are the caller's */
	struct pfs_sealed sealed;
};

static int check_text(const char *what, const char *text, struct pfs_error *err)
{
	size_t len = text ? strlen(text) : 0;

	if (len <= PFS_MESSAGE_SIZE_MAX)
		return 0;
	return pfs_fail(err, PFS_E_LIMIT, "%s of %zu bytes, at most %u fit", what, len,
			PFS_MESSAGE_SIZE_MAX);
}

static int check_options(const struct pfs_commit_options *o, struct pfs_error *err)
{
	int rc;

	if (o->size != sizeof(*o))
		return pfs_fail(err, PFS_E_INVALID, "commit options of another version");
	if (o->origin && o->origin != PFS_ORIGIN_USER && o->origin != PFS_ORIGIN_AUTO)
		return pfs_fail(err, PFS_E_INVALID, "unknown commit origin %d", (int)o->origin);
	if (o->id && pfs_commit_id_is_zero(o->id))
		return pfs_fail(err, PFS_E_INVALID, "a commit id of zeroes");
	if (o->error && !*o->error)
		return pfs_fail(err, PFS_E_INVALID, "a commit error without words");
	rc = check_text("a commit message", o->message, err);
	return rc < 0 ? rc : check_text("a commit error", o->error, err);
}

static int fail_id_taken(const struct making *m, struct pfs_error *err)
{
	char text[PFS_COMMIT_ID_HEX_SIZE];

	return pfs_fail(err, PFS_E_EXISTS, "repo \"%s\" has a commit %s already", m->at.repo.name,
			pfs_commit_id_format(&m->row.id, text));
}

/* The branch as it is now that nobody else commits it. */
static int look_again(struct making *m, struct pfs_error *err)
{
	struct pfs_place now;
	int rc = pfs_place_find(m->h, m->at.repo.name, m->at.branch.name, &now, err);

	if (rc < 0)
		return rc;
	if (strcmp(now.branch.folder, m->at.branch.folder) != 0)
		return pfs_fail(err, PFS_E_CONFLICT, "another branch has taken the name");
	m->at = now;
	rc = pfs_place_check_owner(&now, m->options->as_owner, err);
	if (rc == 0 && now.branch.has_head)
		rc = pfs_meta_find_commit(m->h->meta, now.repo.id, &now.branch.head, &m->parent,
					  err);
	return rc;
}

static int fill_row(struct making *m, struct pfs_error *err)
{
	const struct pfs_commit_options *o = m->options;
	struct pfs_commit_row *row = &m->row;

	row->repo = m->at.repo.id;
	memcpy(row->branch, m->at.branch.name, sizeof(row->branch));
	row->has_parent = m->at.branch.has_head;
	row->parent = m->at.branch.head;
	row->origin = o->origin ? (int)o->origin : PFS_ORIGIN_USER;
	row->message = (char *)(o->message ? o->message : "");
	row->error = (char *)o->error;
	row->started_ns = pfs_clock_ns();
	if (o->id)
		row->id = *o->id;
	else
		pfs_uuid_new(row->id.bytes);
	if (pfs_meta_has_commit(m->h->meta, row->repo, &row->id))
		return fail_id_taken(m, err);
	return pfs_sources_find(m->h, o->provenance, o->n_provenance, &m->sources, err);
}

static int seal(struct making *m, struct pfs_error *err)
{
	struct pfs_tree_totals totals = { 0 };
	struct pfs_commit_row *row = &m->row;
	int rc = pfs_workspace_seal(m->seat->ws, &row->id, &m->sealed, err);

	if (rc == 0 && !pfs_id_is_zero(&m->sealed.root.dir))
		rc = pfs_tree_totals(m->h->store, &m->sealed.root.dir, &totals, err);
	if (rc < 0)
		return rc;
	row->root = m->sealed.root.dir;
	row->root_mode = m->sealed.root.attrs.mode;
	row->root_uid = m->sealed.root.attrs.uid;
	row->root_gid = m->sealed.root.attrs.gid;
	row->root_mtime_sec = m->sealed.root.attrs.mtime_sec;
	row->root_mtime_nsec = m->sealed.root.attrs.mtime_nsec;
	row->files = totals.entries;
	row->bytes = totals.bytes;
	row->finished_ns = pfs_clock_ns();
	return pfs_fault("history.commit.sealed", err);
}

static int publish(struct making *m, struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	const struct pfs_branch_row *b = &m->at.branch;
	int rc = pfs_txn_begin(m->h->meta, &txn, err);

	if (rc == 0)
		rc = pfs_txn_add_commit(txn, &m->row, err);
	if (rc == 0 && !m->row.error)
		rc = pfs_txn_move_branch(txn, b->id, b->has_head ? &b->head : NULL, &m->row.id,
					 err);
	if (rc == 0)
		rc = pfs_sources_add(txn, &m->row, &m->sources, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "commit.finished", m->at.repo.name, b->name, &m->row.id,
				       err);
	if (rc == 0)
		rc = pfs_txn_commit(&txn, err);
	return rc;
}

/* One session from the first chunk to the settled workspace: what is put here is named here. */
static int make(struct making *m, struct pfs_error *err)
{
	struct pfs_session session;
	int rc;

	pfs_session_begin(m->h->store, &session);
	rc = look_again(m, err);

	if (rc == 0)
		rc = fill_row(m, err);
	if (rc == 0)
		rc = seal(m, err);
	if (rc == 0)
		rc = pfs_record_put(m->h, m->at.repo.name, m->row.has_parent ? &m->parent : NULL,
				    &m->sources, &m->row, err);
	if (rc == 0)
		rc = pfs_fault("history.commit.recorded", err);
	if (rc == 0)
		rc = pfs_store_sync(m->h->store, err);
	if (rc == 0)
		rc = pfs_fault("history.commit.synced", err);
	if (rc == 0)
		rc = publish(m, err);
	/*
	 * The commit stands now, whatever comes. A workspace that cannot settle
	 * keeps its old base and all its changes, which add up to the same.
	 */
	if (rc == 0 && !m->row.error)
		(void)pfs_workspace_settle(m->seat->ws, &m->sealed, NULL);
	pfs_session_end(m->h->store, &session);
	return rc;
}

static void making_fini(struct making *m)
{
	pfs_sources_fini(&m->sources);
	pfs_commit_row_fini(&m->parent);
	if (m->seat)
		pfs_seats_drop(&m->h->seats, &m->seat);
}

static int make_again(struct making *m, struct pfs_error *err)
{
	pfs_sources_fini(&m->sources);
	pfs_commit_row_fini(&m->parent);
	m->row = (struct pfs_commit_row){ 0 };
	return make(m, err);
}

int pfs_commit_branch(struct pfs_history *h, const char *repo, const char *branch,
		      const struct pfs_commit_options *options, struct pfs_commit_id *out,
		      struct pfs_error *err)
{
	static const struct pfs_commit_options plain = PFS_COMMIT_OPTIONS_INIT;
	PFS_AUTO(making_fini) struct making m = { .h = h, .options = options ? options : &plain };
	int rc = check_options(m.options, err);

	if (rc == 0)
		rc = pfs_place_find(h, repo, branch, &m.at, err);
	if (rc == 0)
		rc = pfs_place_check_owner(&m.at, m.options->as_owner, err);
	if (rc == 0)
		rc = pfs_place_seat(h, &m.at, &m.seat, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "commit %s@%s", repo, branch);
	rc = pfs_stop_lock(&m.seat->commit_lock, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "commit %s@%s", repo, branch);
	rc = make(&m, err);
	if (rc == PFS_E_NOSPACE && pfs_workspace_make_room(m.seat->ws))
		rc = make_again(&m, err);
	pfs_unlock(&m.seat->commit_lock);
	if (rc < 0)
		return pfs_wrap(err, rc, "commit %s@%s", repo, branch);
	*out = m.row.id;
	return 0;
}

static int reset(struct pfs_history *h, struct pfs_seat *seat, const char *repo, const char *branch,
		 struct pfs_error *err)
{
	struct pfs_place at;
	struct pfs_root root;
	int rc = pfs_place_find(h, repo, branch, &at, err);

	assert(pfs_held(&seat->commit_lock));
	if (rc == 0)
		rc = pfs_place_root(h, &at.branch, &root, err);
	return rc < 0 ? rc : pfs_workspace_evict(seat->ws, &root, err);
}

int pfs_commit_discard(struct pfs_history *h, const char *repo, const char *branch,
		       const char *as_owner, struct pfs_error *err)
{
	struct pfs_place at;
	struct pfs_seat *seat;
	int rc = pfs_place_find(h, repo, branch, &at, err);

	if (rc == 0)
		rc = pfs_place_check_owner(&at, as_owner, err);
	if (rc == 0)
		rc = pfs_place_seat(h, &at, &seat, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "discard %s@%s", repo, branch);
	pfs_lock(&seat->commit_lock);
	rc = reset(h, seat, repo, branch, err);
	pfs_unlock(&seat->commit_lock);
	pfs_seats_drop(&h->seats, &seat);
	return rc < 0 ? pfs_wrap(err, rc, "discard %s@%s", repo, branch) : 0;
}
