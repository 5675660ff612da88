/*
 * Collecting garbage: history is the only room that knows both what names
 * content (commits, workspaces) and where content is.
 *
 *	list packs ─▶ mark all names ─▶ choose ─▶ condemn ─▶ mark all names ─▶ rewrite
 *
 * The second time only what came since is walked. Roots are read in this
 * order: commits, workspaces, then the commits that came meanwhile. Commits
 * alone would do as long as whatever a workspace stands on is a commit of its
 * own repo, which stays until the repo goes; workspaces are read as well for the
 * sake of those whose repo went while somebody still has them open.
 *
 * Why nothing is lost is argued in store/sweep.h.
 */
#include "history/gc.h"
#include "history/history_i.h"
#include "base/vec.h"
#include "store/sweep.h"
#include "tree/reach.h"
#include "workspace/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMITS_BATCH 1024
#define STOP_EVERY    1024u /* objects marked between two looks at the stop */

struct gc_root {
	enum pfs_kind kind;
	struct pfs_id id;
};

struct gc_roots PFS_VEC(struct gc_root);
PFS_VEC_DEFINE(push_root, struct gc_roots, struct gc_root, "the roots of a collection")

/* Whose names count: everybody's, everybody's but one's, or only that one's. */
enum whose { ALL, ALL_BUT, ONLY };

struct filter {
	enum whose whose;
	int64_t repo;
	int64_t branch; /* 0: the whole repo */
};

struct gc {
	struct pfs_history *h;
	struct pfs_sweep_options sweep_options;
	struct pfs_sweep *sweep;
	struct pfs_reach reach;
	struct gc_roots found; /* by a look at a workspace, marked after it */
	unsigned marked;
	bool stopped;
	bool again;          /* not the first round */
	uint64_t kept_bytes; /* of garbage that could not go in this round, only in the next */
};

/* --- marking ------------------------------------------------------------- */

static int visit(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	struct gc *g = arg;
	const struct pfs_sweep_options *o = &g->sweep_options;

	if (++g->marked % STOP_EVERY == 0 && o->stop && o->stop(o->stop_arg)) {
		g->stopped = true;
		return pfs_fail(err, PFS_E_BUSY, "told to stop");
	}
	return pfs_sweep_mark(g->sweep, kind, id, err);
}

static bool is_his(const struct filter *f, int64_t repo)
{
	/* Commits belong to the repo: deleting a branch deletes none. */
	bool his = repo == f->repo && f->branch == 0;

	return f->whose == ALL || his == (f->whose == ONLY);
}

static int mark_commit(struct gc *g, const struct pfs_commit_content_row *row,
		       struct pfs_error *err)
{
	int rc = pfs_reach_object(&g->reach, PFS_KIND_COMMIT, &row->digest, err);

	if (rc == 0)
		rc = pfs_reach_dir(&g->reach, &row->root, err);
	return rc < 0 && !g->stopped ? pfs_wrap(err, rc, "commit number %lld", (long long)row->seq)
				     : rc;
}

/* Of those after *seq; rows get rising numbers in the order in which they become visible. */
static int mark_commits(struct gc *g, const struct filter *f, int64_t *seq, struct pfs_error *err)
{
	size_t n = 1;
	int rc = 0;

	while (rc == 0 && n) {
		struct pfs_commit_content_row *rows = NULL;

		rc = pfs_meta_list_contents(g->h->meta, *seq, COMMITS_BATCH, &rows, &n, err);
		for (size_t i = 0; rc == 0 && i < n; i++) {
			if (is_his(f, rows[i].repo))
				rc = mark_commit(g, &rows[i], err);
			*seq = rows[i].seq;
		}
		free(rows);
	}
	return rc;
}

static int note_root(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	return push_root(&((struct gc *)arg)->found, (struct gc_root){ kind, *id }, err);
}

static int look_open(void *arg, struct pfs_workspace *ws, struct pfs_error *err)
{
	return pfs_workspace_reach(ws, note_root, arg, err);
}

static int look_closed(void *arg, const char *path, struct pfs_error *err)
{
	return pfs_workspace_reach_closed(path, note_root, arg, err);
}

/* Not in the look itself: nobody can open the workspace while that lasts. */
static int mark_found(struct gc *g, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < g->found.n; i++)
		rc = pfs_reach_object(&g->reach, g->found.items[i].kind, &g->found.items[i].id,
				      err);
	g->found.n = 0;
	return rc;
}

static bool is_his_branch(const struct filter *f, const struct pfs_branch_row *b)
{
	bool his = b->repo == f->repo && (f->branch == 0 || b->id == f->branch);

	return f->whose == ALL || his == (f->whose == ONLY);
}

static int mark_branches(struct gc *g, const struct filter *f, const struct pfs_seat_look *look,
			 struct pfs_error *err)
{
	struct pfs_branch_row *branches = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_branches(g->h->meta, 0, &branches, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!is_his_branch(f, &branches[i]))
			continue;
		rc = pfs_seats_look(&g->h->seats, branches[i].folder, look, err);
		if (rc == 0)
			rc = mark_found(g, err);
	}
	free(branches);
	return rc;
}

static int mark_workspaces(struct gc *g, const struct filter *f, struct pfs_error *err)
{
	const struct pfs_seat_look look = { look_open, look_closed, g };
	int rc = mark_branches(g, f, &look, err);

	/* Nobody's branch, but held: or it has been, until a moment ago, one that we did not list. */
	if (rc == 0 && f->whose != ONLY)
		rc = pfs_seats_look_open(&g->h->seats, f->whose != ALL, &look, err);
	return rc < 0 ? rc : mark_found(g, err);
}

static int mark_names(struct gc *g, const struct filter *f, struct pfs_error *err)
{
	int64_t seq = 0;
	int rc = mark_commits(g, f, &seq, err);

	if (rc == 0)
		rc = mark_workspaces(g, f, err);
	if (rc == 0)
		rc = mark_commits(g, f, &seq, err);
	return rc;
}

static void gc_fini(struct gc *g)
{
	pfs_sweep_free(&g->sweep);
	pfs_reach_fini(&g->reach);
	free(g->found.items);
}

static void gc_init(struct gc *g, struct pfs_history *h)
{
	*g = (struct gc){ .h = h, .reach = { .st = h->store, .visit = visit } };
	g->reach.arg = g;
}

/* --- collecting ---------------------------------------------------------- */

static void add_figures(struct pfs_gc_report *r, const struct pfs_sweep_figures *f)
{
	r->live_objects += f->live_objects;
	r->live_bytes += f->live_bytes;
	r->dead_objects += f->dead_objects;
	r->dead_bytes += f->dead_bytes;
	r->double_objects += f->double_objects;
	r->double_bytes += f->double_bytes;
	r->packs += f->packs;
	r->left_bytes += f->left_bytes;
	r->packs_damaged += f->packs_damaged;
}

static int rewrite(struct gc *g, struct pfs_gc_report *r, struct pfs_error *err)
{
	static const struct filter all = { .whose = ALL };
	struct pfs_sweep_done done = { 0 };
	int rc = pfs_sweep_condemn(g->sweep, err);

	if (rc == 0)
		rc = mark_names(g, &all, err);
	if (rc == 0)
		rc = pfs_sweep_finish(g->sweep, &done, err);
	r->packs_removed += done.packs_removed;
	r->copied_bytes += done.copied_bytes;
	r->freed_bytes += done.freed_bytes;
	r->packs_damaged += done.packs_damaged;
	r->left_bytes += done.left_bytes;
	g->kept_bytes += done.kept_bytes;
	g->stopped = g->stopped || rc == 1;
	return rc < 0 ? rc : 0;
}

static int collect_part(struct gc *g, struct pfs_sweep_part *part, bool dry_run,
			struct pfs_gc_report *r, struct pfs_error *err)
{
	static const struct filter all = { .whose = ALL };
	struct pfs_sweep_figures f = { 0 };
	int rc;

	pfs_sweep_free(&g->sweep);
	rc = pfs_sweep_new(g->h->store, &g->sweep_options, part, &g->sweep, err);
	if (rc == 0)
		rc = mark_names(g, &all, err);
	if (rc == 0)
		rc = pfs_sweep_choose(g->sweep, &f, err);
	if (rc < 0)
		return rc;
	if (!g->again)
		add_figures(r, &f);
	if (f.packs_chosen && !dry_run)
		return rewrite(g, r, err);
	r->packs_removed += f.packs_chosen;
	r->copied_bytes += f.copy_bytes;
	r->freed_bytes += f.garbage_bytes;
	return 0;
}

static int collect_parts(struct gc *g, bool dry_run, struct pfs_gc_report *r, struct pfs_error *err)
{
	struct pfs_sweep_part part = { 0 };
	int rc = 0;

	g->kept_bytes = 0;
	while (rc == 0 && !g->stopped && pfs_sweep_has_more(&part))
		rc = collect_part(g, &part, dry_run, r, err);
	g->again = true;
	return rc;
}

static int collect(struct gc *g, bool dry_run, struct pfs_gc_report *r, struct pfs_error *err)
{
	int rc = collect_parts(g, dry_run, r, err);

	/* Once more at most: what nothing leans on any more is free to go then. */
	if (rc == 0 && !g->stopped && g->kept_bytes && g->sweep_options.thorough)
		rc = collect_parts(g, dry_run, r, err);
	r->left_bytes += g->kept_bytes;
	/* What was done until then is whole. */
	if (g->stopped)
		rc = 0;
	r->stopped = g->stopped;
	return rc;
}

int pfs_gc_run(struct pfs_history *h, const struct pfs_gc_options *options,
	       struct pfs_gc_report *out, struct pfs_error *err)
{
	static const struct pfs_gc_options plain = PFS_GC_OPTIONS_INIT;
	const struct pfs_gc_options *o = options ? options : &plain;
	struct pfs_gc_report r = { 0 };
	struct gc g;
	uint64_t event;
	int rc;

	if (o->size != sizeof(*o))
		return pfs_fail(err, PFS_E_INVALID, "gc options of another version");
	gc_init(&g, h);
	g.sweep_options = (struct pfs_sweep_options){ .thorough = o->thorough,
						      .stop = o->stop,
						      .stop_arg = o->stop_arg };
	pfs_lock(&h->gc_lock);
	event = pfs_event_newest(h);
	rc = collect(&g, o->dry_run, &r, err);
	gc_fini(&g);
	if (rc == 0 && !o->dry_run && !r.stopped)
		pfs_gc_note_end(h, event, &r);
	pfs_unlock(&h->gc_lock);
	if (rc < 0)
		return pfs_wrap(err, rc, "collect garbage");
	*out = r;
	return 0;
}

/* --- what would go ------------------------------------------------------- */

/* All names but those asked about, then those: what is wanted by then and was not before is theirs alone. */
static int weigh_part(struct gc *g, struct pfs_sweep_part *part, struct filter *f,
		      struct pfs_gc_share *share, struct pfs_error *err)
{
	uint64_t objects[2], bytes[2];
	int rc;

	pfs_sweep_free(&g->sweep);
	rc = pfs_sweep_new(g->h->store, &g->sweep_options, part, &g->sweep, err);
	f->whose = ALL_BUT;
	if (rc == 0)
		rc = mark_names(g, f, err);
	if (rc < 0)
		return rc;
	pfs_sweep_wanted(g->sweep, &objects[0], &bytes[0]);
	f->whose = ONLY;
	rc = mark_names(g, f, err);
	if (rc < 0)
		return rc;
	pfs_sweep_wanted(g->sweep, &objects[1], &bytes[1]);
	share->objects += objects[1] - objects[0];
	share->store_bytes += bytes[1] - bytes[0];
	return 0;
}

static int weigh_folder(struct pfs_history *h, const char *folder, struct pfs_gc_share *share,
			struct pfs_error *err)
{
	uint64_t bytes = 0;
	char *path = NULL;
	int rc;

	if (asprintf(&path, "%s/%s", h->workspaces, folder) < 0)
		return pfs_fail_nomem(err, "the name of a workspace");
	rc = pfs_workspace_disk_bytes(path, &bytes, err);
	free(path);
	share->workspace_bytes += bytes;
	return rc;
}

static int weigh_folders(struct pfs_history *h, const struct filter *f, struct pfs_gc_share *share,
			 struct pfs_error *err)
{
	struct pfs_branch_row *branches = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_branches(h->meta, f->repo, &branches, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		if (f->branch == 0 || branches[i].id == f->branch)
			rc = weigh_folder(h, branches[i].folder, share, err);
	free(branches);
	return rc;
}

static int find_his(struct pfs_history *h, const char *repo, const char *branch, struct filter *out,
		    struct pfs_error *err)
{
	struct pfs_place at;
	int rc = branch ? pfs_place_find(h, repo, branch, &at, err)
			: pfs_meta_find_repo(h->meta, repo, &at.repo, err);

	if (rc == 0)
		*out = (struct filter){ .repo = at.repo.id, .branch = branch ? at.branch.id : 0 };
	return rc;
}

int pfs_gc_would_free(struct pfs_history *h, const char *repo, const char *branch,
		      struct pfs_gc_share *out, struct pfs_error *err)
{
	struct pfs_sweep_part part = { 0 };
	struct pfs_gc_share share = { 0 };
	struct filter f;
	struct gc g;
	int rc = find_his(h, repo, branch, &f, err);

	if (rc < 0)
		return rc;
	gc_init(&g, h);
	pfs_lock(&h->gc_lock);
	while (rc == 0 && pfs_sweep_has_more(&part))
		rc = weigh_part(&g, &part, &f, &share, err);
	if (rc == 0)
		rc = weigh_folders(h, &f, &share, err);
	gc_fini(&g);
	pfs_unlock(&h->gc_lock);
	if (rc < 0)
		return pfs_wrap(err, rc, "what %.80s%s%.80s keeps", repo, branch ? "@" : "",
				branch ? branch : "");
	*out = share;
	return 0;
}
