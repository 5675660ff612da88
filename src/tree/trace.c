#include "tree/trace.h"
#include "tree/reach.h"
#include "tree/walk.h"

#include <stdlib.h>

/* A node that is being read. */
struct frame {
	const struct pfs_object *hold;
	struct pfs_id id;
	struct pfs_treenode node;
	struct pfs_treenode_iter it;
	size_t path_len; /* of the directory, with its slash */
	bool leads;      /* to something wanted */
};

struct walk {
	struct pfs_trace *t;
	struct frame **frames;
	size_t depth, cap;
	struct pfs_buf path;
};

void pfs_trace_fini(struct pfs_trace *t)
{
	pfs_idset_fini(&t->clean);
}

static void pop(struct walk *w)
{
	struct frame *f = w->frames[--w->depth];

	pfs_object_unref(&f->hold);
	free(f);
}

static void walk_fini(struct walk *w)
{
	while (w->depth > 0)
		pop(w);
	free(w->frames);
	pfs_buf_fini(&w->path);
}

/* The path stood at needs this. */
static int tell(struct walk *w, const struct pfs_id *id, struct pfs_error *err)
{
	if (w->depth > 0)
		w->frames[w->depth - 1]->leads = true;
	return w->t->found(w->t->arg, pfs_buf_str(&w->path), id, err);
}

static int push(struct walk *w, const struct pfs_id *id, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	struct frame *f;
	int rc;

	if (w->depth == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 32;
		struct frame **frames = realloc(w->frames, cap * sizeof(struct frame *));

		if (!frames)
			return pfs_fail_nomem(err, "a walk");
		w->frames = frames;
		w->cap = cap;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return pfs_fail_nomem(err, "a walk");
	rc = pfs_walk_load(w->t->st, id, &f->hold, &f->node, &why);
	if (rc < 0) {
		free(f);
		return rc == PFS_E_NOMEM ? pfs_fail_nomem(err, "a walk") : tell(w, id, err);
	}
	f->id = *id;
	f->path_len = w->path.len;
	pfs_treenode_iter_init(&f->it, &f->node);
	w->frames[w->depth++] = f;
	return 0;
}

/* A node of a directory: the path is that of the directory, with its slash. */
static int enter(struct walk *w, const struct pfs_id *id, struct pfs_error *err)
{
	if (pfs_id_is_zero(id) || pfs_idset_has(&w->t->clean, id))
		return 0;
	if (pfs_idset_has(w->t->wanted, id))
		return tell(w, id, err);
	return push(w, id, err);
}

static int leave(struct walk *w, struct pfs_error *err)
{
	const struct frame *f = w->frames[w->depth - 1];
	bool leads = f->leads;
	int rc = leads ? 0 : pfs_idset_add(&w->t->clean, &f->id, err);

	pop(w);
	if (leads && w->depth > 0)
		w->frames[w->depth - 1]->leads = true;
	return rc < 0 ? rc : 0;
}

/* --- files ---------------------------------------------------------------- */

struct look {
	const struct pfs_trace *t;
	bool found;
	struct pfs_id id;
};

static int look_at(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	struct look *l = arg;

	if (l->found || pfs_idset_has(&l->t->clean, id))
		return 0;
	if (!pfs_idset_has(l->t->wanted, id))
		return 1;
	l->found = true;
	l->id = *id;
	return 0;
}

static int cannot_look(void *arg, enum pfs_kind kind, const struct pfs_id *id,
		       const struct pfs_error *why, struct pfs_error *err)
{
	struct look *l = arg;

	l->found = true;
	l->id = *id;
	return 0;
}

static int trace_sequence(struct walk *w, const struct pfs_id *id, struct pfs_error *err)
{
	struct look l = { .t = w->t };
	struct pfs_reach r = { .st = w->t->st, .visit = look_at, .broken = cannot_look, .arg = &l };
	int rc = pfs_reach_object(&r, PFS_KIND_SEQNODE, id, err);

	pfs_reach_fini(&r);
	if (rc < 0)
		return rc;
	if (l.found)
		return tell(w, &l.id, err);
	rc = pfs_idset_add(&w->t->clean, id, err);
	return rc < 0 ? rc : 0;
}

static int trace_entry(struct walk *w, const struct pfs_treenode_entry *e, struct pfs_error *err)
{
	const struct pfs_idset *wanted = w->t->wanted;
	int rc;

	w->path.len = w->frames[w->depth - 1]->path_len;
	rc = pfs_buf_add(&w->path, e->name, e->name_len, err);
	if (rc == 0 && !pfs_id_is_zero(&e->xattrs) && pfs_idset_has(wanted, &e->xattrs))
		rc = tell(w, &e->xattrs, err);
	if (rc < 0)
		return rc;
	switch (e->kind) {
	case PFS_TREENODE_CHUNK:
		return pfs_idset_has(wanted, &e->id) ? tell(w, &e->id, err) : 0;
	case PFS_TREENODE_SEQ:
		return trace_sequence(w, &e->id, err);
	case PFS_TREENODE_DIR:
		rc = pfs_buf_add(&w->path, "/", 1, err);
		return rc < 0 ? rc : enter(w, &e->id, err);
	default:
		return 0;
	}
}

static int step(struct walk *w, struct pfs_error *err)
{
	struct frame *f = w->frames[w->depth - 1];
	struct pfs_error why = { 0 };
	int rc = pfs_treenode_iter_next(&f->it, &why);

	w->path.len = f->path_len;
	if (rc == 0)
		return leave(w, err);
	if (rc < 0) {
		rc = tell(w, &f->id, err);
		return rc < 0 ? rc : leave(w, err);
	}
	return f->node.level ? enter(w, &f->it.e.id, err) : trace_entry(w, &f->it.e, err);
}

int pfs_trace_dir(struct pfs_trace *t, const struct pfs_id *dir, struct pfs_error *err)
{
	PFS_AUTO(walk_fini)
	struct walk w = { .t = t,
			  .path = PFS_BUF_INIT((PFS_NAME_SIZE_MAX + 1) *
					       (size_t)PFS_TREE_DEPTH_MAX) };
	int rc = enter(&w, dir, err);

	while (rc >= 0 && w.depth > 0)
		rc = step(&w, err);
	return rc < 0 ? rc : 0;
}
