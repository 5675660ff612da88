/*
 * What is not committed: whether workspaces have what they say they have, and
 * which of their paths need what is lost.
 */
#include "history/fsck_i.h"
#include "base/vec.h"
#include "tree/reach.h"
#include "workspace/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
	char *path; /* owned */
	char *lost; /* owned; NULL: an object is needed */
	bool empty; /* no bytes are known of that were there */
	enum pfs_kind kind;
	struct pfs_id id;
};

struct items PFS_VEC(struct item);
PFS_VEC_DEFINE(push_item, struct items, struct item, "what a workspace needs")

/* The workspace of one branch. */
struct space {
	struct pfs_fsck *f;
	bool mend;
	const char *repo, *branch, *folder;
	struct items
		items; /* noted by a look at it, judged after it: nobody can open it meanwhile */
};

static void space_fini(struct space *s)
{
	for (size_t i = 0; i < s->items.n; i++) {
		free(s->items.items[i].path);
		free(s->items.items[i].lost);
	}
	free(s->items.items);
}

static int note(struct space *s, const char *path, const char *lost, enum pfs_kind kind,
		const struct pfs_id *id, struct pfs_error *err)
{
	struct item x = { .path = strdup(path), .lost = lost ? strdup(lost) : NULL, .kind = kind };
	int rc;

	if (id)
		x.id = *id;
	rc = x.path && (!lost || x.lost) ? push_item(&s->items, x, err)
					 : pfs_fail_nomem(err, "what a workspace needs");
	if (rc < 0) {
		free(x.path);
		free(x.lost);
	}
	return rc;
}

static int note_object(void *arg, const char *path, enum pfs_kind kind, const struct pfs_id *id,
		       struct pfs_error *err)
{
	return note(arg, path, NULL, kind, id, err);
}

static int note_lost(void *arg, const char *path, const char *why, bool empty,
		     struct pfs_error *err)
{
	struct items *items = &((struct space *)arg)->items;
	int rc = note(arg, path, why, PFS_KIND_CHUNK, NULL, err);

	if (rc == 0)
		items->items[items->n - 1].empty = empty;
	return rc;
}

static void note_damage(void *arg, const char *text)
{
	struct space *s = arg;

	pfs_fsck_tell(s->f, PFS_FINDING_DAMAGE, "%s@%s, not committed: journal.db: %s", s->repo,
		      s->branch, text);
}

/* Deleted while we looked: nobody needs it. */
static bool is_gone(const struct space *s)
{
	bool there = true;

	return pfs_meta_has_folder(s->f->h->meta, s->folder, &there, NULL) == 0 && !there;
}

static void tell_affected(struct space *s, const char *path, const char *how)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(1 << 20);
	struct pfs_finding finding = {
		.kind = PFS_FINDING_AFFECTED, .repo = s->repo, .branch = s->branch, .path = path
	};
	struct pfs_fsck *f = s->f;

	f->out->affected++;
	if (f->silent || !f->how->report)
		return;
	finding.text = pfs_buf_printf(&text, NULL, "%s@%s:/%s, not committed, %s", s->repo,
				      s->branch, path, how) == 0
			       ? pfs_buf_str(&text)
			       : path;
	f->how->report(f->how->arg, &finding);
}

/* --- looking ------------------------------------------------------------------ */

static void tell_lost(struct space *s, const struct item *x)
{
	pfs_fsck_tell_some(s->f, &s->f->missed_files, PFS_FINDING_MISSING,
			   "%s@%s:/%s, not committed: %s", s->repo, s->branch, x->path, x->lost);
	tell_affected(s, x->path,
		      !s->mend   ? "cannot be read whole"
		      : x->empty ? "is empty now: how long it was is not known"
				 : "has zeros now where bytes are lost");
	s->f->gone_for_good += s->mend;
}

static int judge(struct space *s, const struct item *x, struct pfs_error *err)
{
	char *who = NULL;
	int rc;

	if (x->lost) {
		tell_lost(s, x);
		return 0;
	}
	if (asprintf(&who, "%s@%s:/%s, not committed", s->repo, s->branch, x->path) < 0)
		return pfs_fail_nomem(err, "a name");
	s->f->who = who;
	rc = pfs_fsck_look_below(s->f, x->kind, &x->id, err);
	s->f->who = "";
	free(who);
	return rc;
}

/*
 * Without its journal a workspace cannot be opened, nor the branch be written.
 * It is put where nothing removes it, and the branch starts anew from its last
 * commit.
 */
static void put_aside(struct space *s)
{
	struct pfs_error why = { 0 };
	char *to = NULL;

	if (pfs_fsck_put_aside(s->f, s->folder, &to, &why) < 0) {
		pfs_fsck_tell(s->f, PFS_FINDING_NOTE, "%s@%s: cannot be put aside: %s", s->repo,
			      s->branch, why.text);
		return;
	}
	pfs_fsck_tell(s->f, PFS_FINDING_MENDED,
		      "%s@%s stands on its last commit again; what was not committed is now %s",
		      s->repo, s->branch, to);
	s->f->gone_for_good++;
	free(to);
}

static int look_open(void *arg, struct pfs_workspace *ws, struct pfs_error *err)
{
	const struct pfs_workspace_audit a = { note_object, note_lost, note_damage, arg };

	((struct space *)arg)->mend = false;
	return pfs_workspace_audit(ws, &a, err);
}

static int look_closed(void *arg, const char *path, struct pfs_error *err)
{
	const struct pfs_workspace_audit a = { note_object, note_lost, note_damage, arg };
	struct space *s = arg;
	struct pfs_error why = { 0 };
	int rc = pfs_workspace_audit_closed(path, s->mend, &a, &why);

	if (rc != PFS_E_CORRUPT) {
		if (rc < 0 && err)
			*err = why;
		return rc;
	}
	if (is_gone(s))
		return 0;
	pfs_fsck_tell_some(s->f, &s->f->missed_files, PFS_FINDING_MISSING,
			   "what is not committed on %s@%s: %s", s->repo, s->branch, why.text);
	if (s->mend)
		put_aside(s);
	return 0;
}

static int look_at(struct space *s,
		   int (*each)(struct space *s, const struct item *x, struct pfs_error *err),
		   struct pfs_error *err)
{
	const struct pfs_seat_look look = { look_open, look_closed, s };
	int rc = pfs_seats_look(&s->f->h->seats, s->folder, &look, err);

	for (size_t i = 0; rc == 0 && i < s->items.n && !pfs_fsck_stopped(s->f); i++) {
		if (is_gone(s))
			return 0;
		rc = each(s, &s->items.items[i], err);
	}
	return rc;
}

static int each_space(struct pfs_fsck *f, bool mend,
		      int (*each)(struct space *s, const struct item *x, struct pfs_error *err),
		      struct pfs_error *err)
{
	struct pfs_branch_row *list = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_branches(f->h->meta, 0, &list, &n, err);

	for (size_t i = 0; rc == 0 && i < n && !pfs_fsck_stopped(f); i++) {
		char repo[PFS_ROW_NAME_SIZE];
		struct space s = { .f = f,
				   .mend = mend,
				   .repo = repo,
				   .branch = list[i].name,
				   .folder = list[i].folder };

		if (pfs_meta_read_repo_name(f->h->meta, list[i].repo, repo, NULL) < 0)
			continue;
		rc = look_at(&s, each, err);
		space_fini(&s);
	}
	free(list);
	return rc;
}

int pfs_fsck_check_spaces(struct pfs_fsck *f, struct pfs_error *err)
{
	return each_space(f, f->how->repair, judge, err);
}

/* --- tracing ------------------------------------------------------------------- */

/* Is something that is lost below? */
struct search {
	const struct pfs_idset *lost;
	bool found;
};

static int search_object(void *arg, enum pfs_kind kind, const struct pfs_id *id,
			 struct pfs_error *err)
{
	struct search *s = arg;

	s->found |= pfs_idset_has(s->lost, id);
	return kind == PFS_KIND_SEQNODE && !s->found;
}

static int search_broken(void *arg, enum pfs_kind kind, const struct pfs_id *id,
			 const struct pfs_error *why, struct pfs_error *err)
{
	((struct search *)arg)->found = true;
	return 0;
}

/* Of a directory itself only: what is in it and not changed is in a commit, and told of there. */
static int trace_item(struct space *s, const struct item *x, struct pfs_error *err)
{
	struct search search = { .lost = &s->f->lost };
	struct pfs_reach r = { .st = s->f->h->store,
			       .visit = search_object,
			       .broken = search_broken,
			       .arg = &search };
	int rc = x->lost ? 0 : pfs_reach_object(&r, x->kind, &x->id, err);

	pfs_reach_fini(&r);
	if (rc >= 0 && search.found)
		tell_affected(s, x->path, "cannot be read whole");
	return rc < 0 ? rc : 0;
}

int pfs_fsck_trace_spaces(struct pfs_fsck *f, struct pfs_error *err)
{
	return f->lost.len ? each_space(f, false, trace_item, err) : 0;
}
