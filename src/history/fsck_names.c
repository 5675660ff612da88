/*
 * Rows and records: a row of the metadata repeats what the record of the commit
 * says, so each can be held against the other, and a row made from a record.
 */
#include "history/fsck_i.h"
#include "store/health.h"
#include "base/clock.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_A_TRANSACTION 256u

/* --- what rows say ---------------------------------------------------------- */

static bool same_text(const char *a, const char *b, size_t b_len)
{
	return strlen(a ? a : "") == b_len && memcmp(a ? a : "", b_len ? b : "", b_len) == 0;
}

/* The first thing that a row and its record do not agree on, or NULL. */
static const char *difference(const struct pfs_commit_row *row, const struct pfs_commitrec *rec,
			      const char *repo)
{
	if (!pfs_commit_id_equal(&row->id, &rec->id) || strcmp(repo, rec->repo) != 0)
		return "which commit it is";
	if (!pfs_id_equal(&row->root, &rec->root))
		return "the tree";
	if (row->has_parent != rec->has_parent || row->number != rec->number ||
	    (row->has_parent && !pfs_commit_id_equal(&row->parent, &rec->parent)))
		return "the parent";
	if (row->root_mode != rec->root_mode || row->root_uid != rec->root_uid ||
	    row->root_gid != rec->root_gid || row->root_mtime_sec != rec->root_mtime_sec ||
	    row->root_mtime_nsec != rec->root_mtime_nsec)
		return "the attributes of the root";
	if (strcmp(row->branch, rec->branch) != 0 || row->origin != rec->origin)
		return "where it was made";
	if (row->started_ns != rec->started_ns || row->finished_ns != rec->finished_ns)
		return "when it was made";
	if (row->files != rec->files || row->bytes != rec->bytes)
		return "how much it holds";
	if (!same_text(row->message, rec->message, rec->message_len) ||
	    !same_text(row->error, rec->error, rec->error_len))
		return "the message";
	return NULL;
}

static int compare_record(struct pfs_fsck *f, const struct pfs_object *o, struct pfs_error *err)
{
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };
	char repo[PFS_ROW_NAME_SIZE];
	struct pfs_error why = { 0 };
	const char *what;

	if (pfs_commitrec_decode(o->data, o->len, &rec, &why) < 0)
		return pfs_fsck_miss(f, PFS_KIND_COMMIT, &f->row->digest, why.text, err);
	if (pfs_meta_read_repo_name(f->h->meta, f->row->repo, repo, NULL) < 0)
		return 0;
	what = difference(f->row, &rec, repo);
	if (what)
		pfs_fsck_tell(f, PFS_FINDING_NAMES,
			      "%s: metadata and record say different things about %s", f->who,
			      what);
	return 0;
}

static int need_row(struct pfs_fsck *f, int64_t repo, const struct pfs_commit_id *id,
		    struct pfs_error *err)
{
	if (f->n_rows == f->cap_rows) {
		size_t cap = f->cap_rows ? 2 * f->cap_rows : 16;
		struct pfs_lost_row *rows = reallocarray(f->rows, cap, sizeof(*rows));

		if (!rows)
			return pfs_fail_nomem(err, "a list of commits");
		f->rows = rows;
		f->cap_rows = cap;
	}
	f->rows[f->n_rows++] = (struct pfs_lost_row){ repo, *id };
	return 0;
}

static int check_parent(struct pfs_fsck *f, struct pfs_error *err)
{
	char id[PFS_COMMIT_ID_HEX_SIZE];

	if (!f->row->has_parent || pfs_meta_has_commit(f->h->meta, f->row->repo, &f->row->parent))
		return 0;
	/* The repo was deleted while we looked, and took both. */
	if (!pfs_meta_has_commit(f->h->meta, f->row->repo, &f->row->id))
		return 0;
	pfs_fsck_tell(f, PFS_FINDING_NAMES, "%s: its parent %s is not in the metadata", f->who,
		      pfs_commit_id_format(&f->row->parent, id));
	return need_row(f, f->row->repo, &f->row->parent, err);
}

int pfs_fsck_check_record(struct pfs_fsck *f, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	const struct pfs_id *digest = &f->row->digest;
	struct pfs_error why = { 0 };
	int rc;

	if (!pfs_store_is_whole(f->h->store, PFS_KIND_COMMIT, digest))
		return pfs_fsck_miss(f, PFS_KIND_COMMIT, digest,
				     "not in any pack, or damaged there", err);
	rc = check_parent(f, err);
	if (rc < 0 || f->how->level < PFS_FSCK_REACH)
		return rc;
	if (pfs_store_get(f->h->store, PFS_KIND_COMMIT, digest, &o, &why) < 0)
		return pfs_fsck_miss(f, PFS_KIND_COMMIT, digest, why.text, err);
	return compare_record(f, o, err);
}

static int check_branches(struct pfs_fsck *f, struct pfs_error *err)
{
	struct pfs_branch_row *list = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_branches(f->h->meta, 0, &list, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		char repo[PFS_ROW_NAME_SIZE], id[PFS_COMMIT_ID_HEX_SIZE];

		if (!list[i].has_head ||
		    pfs_meta_has_commit(f->h->meta, list[i].repo, &list[i].head) ||
		    pfs_meta_read_repo_name(f->h->meta, list[i].repo, repo, NULL) < 0)
			continue;
		pfs_fsck_tell(f, PFS_FINDING_NAMES, "%s@%s: its head %s is not in the metadata",
			      repo, list[i].name, pfs_commit_id_format(&list[i].head, id));
		rc = need_row(f, list[i].repo, &list[i].head, err);
	}
	free(list);
	return rc;
}

/* --- records that no row names ------------------------------------------------ */

struct record {
	struct pfs_id digest;
	uint64_t number;
	int64_t finished_ns;
};

struct unnamed {
	struct pfs_fsck *f;
	struct pfs_idset met; /* a copy in each of several packs is one record */
	struct pfs_remains remains;
	struct record *list; /* owned */
	size_t n, cap;
	bool gather; /* read them */
};

static void unnamed_fini(struct unnamed *u)
{
	pfs_idset_fini(&u->met);
	pfs_remains_fini(&u->remains);
	free(u->list);
}

static int read_record(struct pfs_fsck *f, const struct pfs_id *digest,
		       const struct pfs_object **hold, struct pfs_commitrec *out,
		       struct pfs_error *err)
{
	int rc = pfs_store_get(f->h->store, PFS_KIND_COMMIT, digest, hold, err);

	return rc < 0 ? rc : pfs_commitrec_decode((*hold)->data, (*hold)->len, out, err);
}

static int gather(struct unnamed *u, const struct pfs_id *digest, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };

	/* What cannot be read restores nothing; its damage was told of. */
	if (read_record(u->f, digest, &o, &rec, NULL) < 0)
		return 0;
	if (u->n == u->cap) {
		size_t cap = u->cap ? 2 * u->cap : 64;
		struct record *list = reallocarray(u->list, cap, sizeof(*list));

		if (!list)
			return pfs_fail_nomem(err, "a list of records");
		u->list = list;
		u->cap = cap;
	}
	u->list[u->n++] = (struct record){ *digest, rec.number, rec.finished_ns };
	return 0;
}

static int meet(void *arg, const struct pfs_id *digest, struct pfs_error *err)
{
	struct unnamed *u = arg;
	int rc;

	if (pfs_idset_has(&u->f->records, digest))
		return 0;
	rc = pfs_idset_add(&u->met, digest, err);
	if (rc == 1 && u->gather)
		return gather(u, digest, err);
	return rc < 0 ? rc : 0;
}

int pfs_fsck_check_names(struct pfs_fsck *f, struct pfs_error *err)
{
	PFS_AUTO(unnamed_fini) struct unnamed u = { .f = f };
	int rc = check_branches(f, err);

	if (rc < 0 || f->out->stopped || (f->how->level < PFS_FSCK_REACH && !f->names_lost))
		return rc;
	rc = pfs_store_list(f->h->store, PFS_KIND_COMMIT, meet, &u, err);
	if (rc < 0)
		return rc;
	f->out->unnamed_records = u.met.len;
	if (f->names_lost && u.met.len > 0)
		pfs_fsck_tell(f, PFS_FINDING_NAMES,
			      "no database knows of a repo, but the store has the record%s of %zu "
			      "commit%s: the names are lost",
			      u.met.len == 1 ? "" : "s", u.met.len, u.met.len == 1 ? "" : "s");
	else if (u.met.len > 0)
		pfs_fsck_tell(f, PFS_FINDING_NOTE,
			      u.met.len == 1
				      ? "%zu commit record has no name: of a deleted repo, or of "
					"a commit that was stopped; `pfs gc --thorough` removes it"
				      : "%zu commit records have no name: of deleted repos, or of "
					"commits that were stopped; `pfs gc --thorough` removes "
					"them",
			      u.met.len);
	return 0;
}

/* --- rows from records --------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	if (x->finished_ns != y->finished_ns)
		return x->finished_ns < y->finished_ns ? -1 : 1;
	return pfs_id_compare(&x->digest, &y->digest);
}

static bool is_needed(const struct pfs_fsck *f, int64_t repo, const struct pfs_commit_id *id)
{
	for (size_t i = 0; i < f->n_rows; i++)
		if (f->rows[i].repo == repo && pfs_commit_id_equal(&f->rows[i].id, id))
			return true;
	return false;
}

static int find_repo(struct pfs_fsck *f, struct pfs_txn *txn, const char *name,
		     struct pfs_repo_row *out, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc = pfs_meta_find_repo(f->h->meta, name, out, &why);

	if (rc == PFS_E_NOTFOUND && f->names_lost)
		return pfs_repo_add(txn, name, "", out, err);
	if (rc < 0 && err)
		*err = why;
	return rc;
}

static int add_row(struct pfs_txn *txn, int64_t repo, const struct pfs_commitrec *rec,
		   const struct pfs_id *digest, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini)
	struct pfs_commit_row row = {
		.repo = repo,
		.id = rec->id,
		.has_parent = rec->has_parent,
		.parent = rec->parent,
		.origin = rec->origin,
		.started_ns = rec->started_ns,
		.finished_ns = rec->finished_ns,
		.root = rec->root,
		.root_mode = rec->root_mode,
		.root_uid = rec->root_uid,
		.root_gid = rec->root_gid,
		.root_mtime_sec = rec->root_mtime_sec,
		.root_mtime_nsec = rec->root_mtime_nsec,
		.digest = *digest,
		.files = rec->files,
		.bytes = rec->bytes,
		.message = strndup(rec->message ? rec->message : "", rec->message_len),
		.error = rec->error ? strndup(rec->error, rec->error_len) : NULL,
	};
	struct pfs_sources sources = { rec->sources, rec->n_sources };
	int rc;

	memcpy(row.branch, rec->branch, sizeof(row.branch));
	if (!row.message || (rec->error && !row.error))
		return pfs_fail_nomem(err, "a commit");
	rc = pfs_txn_add_commit(txn, &row, err);
	return rc < 0 ? rc : pfs_sources_add(txn, &row, &sources, err);
}

/* 1 when the record became a row, 0 when it should not or cannot. */
static int restore(struct pfs_fsck *f, struct pfs_txn *txn, const struct unnamed *u,
		   const struct record *r, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };
	char id[PFS_COMMIT_ID_HEX_SIZE], parent[PFS_COMMIT_ID_HEX_SIZE];
	struct pfs_repo_row repo;
	int rc;

	if (read_record(f, &r->digest, &o, &rec, NULL) < 0 ||
	    pfs_remains_nothing(&u->remains, rec.repo))
		return 0;
	rc = find_repo(f, txn, rec.repo, &repo, err);
	if (rc == PFS_E_NOTFOUND)
		return 0;
	if (rc < 0)
		return rc;
	if (pfs_meta_has_commit(f->h->meta, repo.id, &rec.id) ||
	    (!f->names_lost && !is_needed(f, repo.id, &rec.id)))
		return 0;
	pfs_commit_id_format(&rec.id, id);
	if (rec.has_parent && !pfs_meta_has_commit(f->h->meta, repo.id, &rec.parent)) {
		pfs_fsck_tell(f, PFS_FINDING_NOTE,
			      "%s@%s: cannot be restored without the record of its parent %s",
			      rec.repo, id, pfs_commit_id_format(&rec.parent, parent));
		return 0;
	}
	rc = add_row(txn, repo.id, &rec, &r->digest, err);
	if (rc < 0)
		return rc;
	pfs_fsck_tell(f, PFS_FINDING_MENDED, "%s@%s: restored from its record", rec.repo, id);
	return 1;
}

static int restore_some(struct pfs_fsck *f, const struct unnamed *u, const struct record *list,
			size_t n, size_t *restored, struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	int rc = pfs_txn_begin(f->h->meta, &txn, err);

	for (size_t i = 0; rc >= 0 && i < n; i++) {
		rc = restore(f, txn, u, &list[i], err);
		*restored += rc > 0;
	}
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

/* --- branches and workspaces, when all names are lost ----------------------------- */

/* A workspace that no branch names any more, by what it stands on. */
struct stray {
	char folder[PFS_ROW_FOLDER_SIZE];
	struct pfs_commit_id mark, sealed;
};

struct strays {
	struct stray *list; /* owned */
	size_t n, cap;
};

static int add_stray(struct pfs_fsck *f, struct strays *s, const char *folder,
		     struct pfs_error *err)
{
	struct stray x = { 0 };
	struct pfs_root base = { 0 };
	char *path = NULL;

	if (strlen(folder) >= sizeof(x.folder))
		return 0;
	memcpy(x.folder, folder, strlen(folder) + 1);
	if (asprintf(&path, "%s/%s", f->h->workspaces, folder) < 0)
		return pfs_fail_nomem(err, "a list of workspaces");
	/* One that cannot be read fits to no branch. */
	if (pfs_workspace_peek(path, &base, &x.sealed, NULL) == 0)
		x.mark = base.mark;
	free(path);
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 16;
		struct stray *list = reallocarray(s->list, cap, sizeof(*list));

		if (!list)
			return pfs_fail_nomem(err, "a list of workspaces");
		s->list = list;
		s->cap = cap;
	}
	s->list[s->n++] = x;
	return 0;
}

static int find_strays(struct pfs_fsck *f, struct strays *s, struct pfs_error *err)
{
	struct dirent *e;
	DIR *dir = opendir(f->h->workspaces);
	int rc = 0;

	if (!dir)
		return pfs_fail_errno(err, errno, "list %s", f->h->workspaces);
	while (rc == 0 && (e = readdir(dir))) {
		bool wanted = true;

		if (e->d_name[0] == '.')
			continue;
		rc = pfs_meta_has_folder(f->h->meta, e->d_name, &wanted, err);
		if (rc == 0 && !wanted)
			rc = add_stray(f, s, e->d_name, err);
	}
	closedir(dir);
	return rc;
}

/* The workspace that stands on this head, or was sealed into it; its place in the list goes. */
static bool take_stray(struct strays *s, const struct pfs_commit_id *head,
		       char out[PFS_ROW_FOLDER_SIZE])
{
	for (size_t i = 0; i < s->n; i++) {
		if (!pfs_commit_id_equal(&s->list[i].mark, head) &&
		    !pfs_commit_id_equal(&s->list[i].sealed, head))
			continue;
		memcpy(out, s->list[i].folder, PFS_ROW_FOLDER_SIZE);
		s->list[i] = s->list[--s->n];
		return true;
	}
	return false;
}

static int add_branch(struct pfs_fsck *f, struct pfs_txn *txn, const struct pfs_commitrec *rec,
		      struct strays *strays, struct pfs_error *err)
{
	struct pfs_branch_row row = { .has_head = true,
				      .head = rec->id,
				      .created_ns = pfs_clock_ns() };
	char id[PFS_COMMIT_ID_HEX_SIZE];
	struct pfs_repo_row repo;
	unsigned char uuid[16];
	bool kept;
	int rc = pfs_meta_find_repo(f->h->meta, rec->repo, &repo, err);

	if (rc < 0)
		return rc;
	row.repo = repo.id;
	memcpy(row.name, rec->branch, sizeof(row.name));
	kept = take_stray(strays, &rec->id, row.folder);
	if (!kept) {
		pfs_uuid_new(uuid);
		pfs_hex_format(uuid, sizeof(uuid), row.folder);
	}
	rc = pfs_txn_add_branch(txn, &row, err);
	if (rc == 0)
		rc = pfs_txn_add_event(txn, "branch.created", rec->repo, rec->branch, &rec->id,
				       err);
	if (rc == 0)
		pfs_fsck_tell(f, PFS_FINDING_MENDED, "%s@%s: restored at its last commit %s%s",
			      rec->repo, rec->branch, pfs_commit_id_format(&rec->id, id),
			      kept ? ", with what was not committed" : "");
	return rc;
}

/* The last commit of each branch becomes its head: records come in the order of their numbers. */
static int restore_branches(struct pfs_fsck *f, const struct unnamed *u, struct strays *strays,
			    struct pfs_error *err)
{
	PFS_AUTO(pfs_txn_abort) struct pfs_txn *txn = NULL;
	int rc = pfs_txn_begin(f->h->meta, &txn, err);

	for (size_t i = u->n; rc == 0 && i-- > 0;) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };
		struct pfs_branch_row there;
		struct pfs_repo_row repo;

		if (read_record(f, &u->list[i].digest, &o, &rec, NULL) < 0 || rec.error_len > 0 ||
		    pfs_meta_find_repo(f->h->meta, rec.repo, &repo, NULL) < 0 ||
		    !pfs_meta_has_commit(f->h->meta, repo.id, &rec.id) ||
		    pfs_meta_find_branch(f->h->meta, repo.id, rec.branch, &there, NULL) == 0)
			continue;
		rc = add_branch(f, txn, &rec, strays, err);
	}
	return rc < 0 ? rc : pfs_txn_commit(&txn, err);
}

/* The next start would take workspaces that no branch names for those of deleted ones. */
static int put_aside(struct pfs_fsck *f, const struct strays *strays, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < strays->n; i++) {
		char *to = NULL;

		rc = pfs_fsck_put_aside(f, strays->list[i].folder, &to, err);
		if (rc == 0)
			pfs_fsck_tell(f, PFS_FINDING_NOTE,
				      "a workspace of no known branch is now %s", to);
		free(to);
	}
	return rc;
}

/* Newest first: of a repo of which there is something, its last commit tells mostly. */
static int look_for_remains(struct pfs_fsck *f, struct unnamed *u, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = f->names_lost ? u->n : 0; rc == 0 && i-- > 0;) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };

		if (read_record(f, &u->list[i].digest, &o, &rec, NULL) == 0)
			rc = pfs_remains_look(f, &u->remains, &rec, err);
	}
	return rc;
}

static int restore_all(struct pfs_fsck *f, struct unnamed *u, size_t *restored,
		       struct pfs_error *err)
{
	int rc = 0;

	if (u->n)
		qsort(u->list, u->n, sizeof(*u->list), by_number);
	rc = look_for_remains(f, u, err);
	for (size_t i = 0; rc == 0 && i < u->n; i += RECORDS_A_TRANSACTION)
		rc = restore_some(f, u, u->list + i,
				  u->n - i < RECORDS_A_TRANSACTION ? u->n - i
								   : RECORDS_A_TRANSACTION,
				  restored, err);
	return rc;
}

static void tell_what_records_have_not(struct pfs_fsck *f)
{
	pfs_fsck_tell(f, PFS_FINDING_NOTE,
		      "pipelines and jobs are not in the records of commits: record each pipeline "
		      "again with `pfs create pipeline`");
	pfs_fsck_tell(f, PFS_FINDING_NOTE,
		      "repos that were deleted may be back, when their commits were not collected "
		      "yet: delete them again; empty repos and branches without a commit are gone");
}

int pfs_fsck_mend_names(struct pfs_fsck *f, struct pfs_error *err)
{
	PFS_AUTO(unnamed_fini) struct unnamed u = { .f = f, .gather = true };
	struct strays strays = { 0 };
	size_t restored = 0;
	int rc;

	if (!f->names_lost && f->n_rows == 0)
		return 0;
	pfs_map_init(&u.remains.repos);
	rc = pfs_store_list(f->h->store, PFS_KIND_COMMIT, meet, &u, err);
	if (rc == 0)
		rc = restore_all(f, &u, &restored, err);
	if (rc == 0)
		pfs_remains_tell(f, &u.remains);
	if (rc < 0 || !f->names_lost || restored == 0)
		return rc;
	rc = find_strays(f, &strays, err);
	if (rc == 0)
		rc = restore_branches(f, &u, &strays, err);
	if (rc == 0)
		rc = put_aside(f, &strays, err);
	if (rc == 0)
		tell_what_records_have_not(f);
	free(strays.list);
	return rc;
}
