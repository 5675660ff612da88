#include "view/view_i.h"
#include "base/bytes.h"
#include "view/places.h"

#include <stdlib.h>
#include <string.h>

/* Handing over: where every handle is, as names from the root down; pfs-handover(5). */

/* ---- saying where things are ---- */

/* A handle, or a node of a workspace, that has a place already. */
struct placed {
	const void *what;
	uint32_t place;
};

struct holding {
	struct pfs_view *v;
	struct pfs_map placed; /* owns what is in it */
	struct pfs_buf places;
	uint32_t n;
};

static void holding_fini(struct holding *w)
{
	struct placed *p;
	size_t pos = 0;

	while ((p = pfs_map_next(&w->placed, &pos)))
		free(p);
	pfs_map_fini(&w->placed);
	pfs_buf_fini(&w->places);
}

static bool find_placed(const struct holding *w, const void *what, uint32_t *out)
{
	const struct placed *p = pfs_map_find(&w->placed, &what, sizeof(what));

	if (p)
		*out = p->place;
	return p;
}

static int add_place(struct holding *w, const void *what, const struct pfs_place *place,
		     uint32_t *out, struct pfs_error *err)
{
	struct placed *p = malloc(sizeof(*p));
	int rc;

	if (!p)
		return pfs_fail_nomem(err, "what is handed over");
	*p = (struct placed){ what, w->n };
	rc = pfs_map_set(&w->placed, &p->what, sizeof(p->what), p, err);
	if (rc < 0) {
		free(p);
		return rc;
	}
	rc = pfs_place_encode(place, &w->places, err);
	if (rc == 0)
		*out = w->n++;
	return rc;
}

static void set_name(struct pfs_place *p, const char *name)
{
	p->name = (const unsigned char *)name;
	p->name_len = (uint8_t)strlen(name);
}

static int place_top(struct holding *w, struct tenant *t, const struct pfs_node *root,
		     uint32_t *out, struct pfs_error *err)
{
	struct pfs_place p = { .kind = PFS_PLACE_TOP, .parent = PFS_PLACE_NONE };
	const struct pfs_handle *h = pfs_node_tag((struct pfs_node *)(uintptr_t)root);

	if (find_placed(w, root, out))
		return 0;
	set_name(&p, t->branch);
	p.repo = (const unsigned char *)t->repo;
	if (h && h->u.node.branch) {
		/* Deleted, or made anew. */
		if (!h->linked)
			p = (struct pfs_place){ .parent = PFS_PLACE_NONE };
		else
			set_name(&p, pfs_handle_name(h));
		p.number = h->linked ? (uint64_t)h->u.node.created_ns : 0;
	}
	p.repo_len = p.repo ? (uint8_t)strlen(t->repo) : 0;
	return add_place(w, root, &p, out, err);
}

static int place_node_of(struct holding *w, struct tenant *t, struct pfs_node *n, uint32_t *out,
			 struct pfs_error *err);

/* In the directory that it has a name in, else in none. */
static int place_below(struct holding *w, struct tenant *t, struct pfs_node *n,
		       struct pfs_node *root, uint32_t *out, struct pfs_error *err)
{
	char name[PFS_NAME_SIZE_MAX + 1];
	struct pfs_place p = { .kind = PFS_PLACE_NAMELESS, .number = pfs_node_ino(n) };
	struct pfs_node *dir;
	int rc;

	if (pfs_node_name(n, &dir, name)) {
		p.kind = PFS_PLACE_NAME;
		set_name(&p, name);
		rc = place_node_of(w, t, dir, &p.parent, err);
		pfs_node_unref(&dir);
	} else {
		rc = place_top(w, t, root, &p.parent, err);
	}
	return rc < 0 ? rc : add_place(w, n, &p, out, err);
}

static int place_node_of(struct holding *w, struct tenant *t, struct pfs_node *n, uint32_t *out,
			 struct pfs_error *err)
{
	struct pfs_node *root;
	int rc;

	if (find_placed(w, n, out))
		return 0;
	root = pfs_workspace_root(t->ws);
	rc = n == root ? place_top(w, t, root, out, err) : place_below(w, t, n, root, out, err);
	pfs_node_unref(&root);
	return rc;
}

static int place_handle(struct holding *w, struct pfs_handle *h, uint32_t *out,
			struct pfs_error *err)
{
	struct pfs_place p = { .parent = PFS_PLACE_NONE };
	int rc = 0;

	if (h->ops == &place_node)
		return place_node_of(w, h->u.node.tenant, h->u.node.node, out, err);
	if (find_placed(w, h, out))
		return 0;
	if (h->ops == &place_root) {
		p.kind = PFS_PLACE_ROOT;
	} else if (h->hashed) {
		p.kind = h->ops == &place_commit ? PFS_PLACE_COMMIT : PFS_PLACE_NAME;
		p.number = h->ino;
		set_name(&p, pfs_handle_name(h));
		rc = place_handle(w, h->parent, &p.parent, err);
	}
	if (p.kind == PFS_PLACE_COMMIT) {
		p.commit = h->u.commit.id;
		p.canonical = h->u.commit.canonical;
	}
	return rc < 0 ? rc : add_place(w, h, &p, out, err);
}

void pfs_view_begin_hold(struct pfs_view *v)
{
	v->holding = true;
}

void pfs_view_end_hold(struct pfs_view *v)
{
	for (struct tenant *t = v->tenants; t; t = t->next)
		pfs_workspace_end_hold(t->ws);
	v->holding = false;
}

/* All that are in view; the first failure, and the others are held all the same. */
static int hold_workspaces(struct pfs_view *v, struct pfs_error *err)
{
	int rc = 0;

	for (struct tenant *t = v->tenants; t; t = t->next) {
		int one = pfs_workspace_hold(t->ws, rc == 0 ? err : NULL);

		if (rc == 0)
			rc = one;
	}
	return rc;
}

static int add_handles(struct holding *w, struct pfs_handle *const *handles, size_t n,
		       struct pfs_buf *table, struct pfs_error *err)
{
	int rc = pfs_bytes_add_u32(table, (uint32_t)n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		uint32_t place = PFS_PLACE_NONE;

		if (handles[i])
			rc = place_handle(w, handles[i], &place, err);
		if (rc == 0)
			rc = pfs_bytes_add_u32(table, place, err);
	}
	return rc;
}

int pfs_view_hold(struct pfs_view *v, struct pfs_handle *const *handles, size_t n, void **out,
		  size_t *out_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf all = PFS_BUF_INIT(SIZE_MAX / 2);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf table = PFS_BUF_INIT(SIZE_MAX / 2);
	struct holding w = { .v = v, .places = PFS_BUF_INIT(SIZE_MAX / 2) };
	int rc;

	pfs_map_init(&w.placed);
	rc = add_handles(&w, handles, n, &table, err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(&all, w.n, err);
	if (rc == 0)
		rc = pfs_buf_add(&all, w.places.data, w.places.len, err);
	holding_fini(&w);
	if (rc == 0)
		rc = pfs_buf_add(&all, table.data, table.len, err);
	if (rc == 0)
		rc = pfs_datums_hold(v, &all, err);
	if (rc == 0)
		rc = hold_workspaces(v, err);
	if (rc < 0)
		return rc;
	*out_len = all.len;
	*out = pfs_buf_take(&all);
	return *out ? 0 : pfs_fail_nomem(err, "what is handed over");
}

/* ---- finding them again ---- */

static int copy_name(const unsigned char *name, uint8_t len, char out[PFS_NAME_SIZE_MAX + 1],
		     struct pfs_error *err)
{
	memcpy(out, name, len);
	out[len] = 0;
	return pfs_path_check_name(out, len, err);
}

static int find_node(struct pfs_handle *dir, const char *name, const struct pfs_place *p,
		     struct pfs_handle **out, struct pfs_error *err)
{
	struct tenant *t = dir->u.node.tenant;
	struct pfs_node *node;
	int rc = pfs_workspace_lookup(t->ws, dir->u.node.node, name, p->name_len, &node, err);

	if (rc < 0)
		return rc;
	pfs_workspace_renumber(t->ws, node, p->number);
	return pfs_node_handle(dir->view, t, node, out, err);
}

static int find_name(struct pfs_handle *dir, const struct pfs_place *p, struct pfs_handle **out,
		     struct pfs_error *err)
{
	char name[PFS_NAME_SIZE_MAX + 1];
	int rc = copy_name(p->name, p->name_len, name, err);

	if (rc < 0)
		return rc;
	if (!dir->ops->lookup)
		return pfs_fail(err, PFS_E_NOTDIR, "%s is not a directory", dir->ops->what);
	/* Our own name means us at the top of a branch only. */
	if (dir->ops == &place_node && !(dir->u.node.branch && pfs_control_is(name, p->name_len)))
		return find_node(dir, name, p, out, err);
	rc = dir->ops->lookup(dir, name, p->name_len, out, err);
	if (rc < 0 || (*out)->ino == p->number)
		return rc;
	pfs_handle_unref(out);
	return pfs_fail(err, PFS_E_NOTFOUND, "\"%s\" is not what it was", name);
}

static int find_commit(struct pfs_handle *dir, const struct pfs_place *p, struct pfs_handle **out,
		       struct pfs_error *err)
{
	const struct pfs_handle *repo = dir->ops == &place_head ? dir->parent : dir;
	char name[PFS_NAME_SIZE_MAX + 1];
	int rc = copy_name(p->name, p->name_len, name, err);

	if (rc < 0)
		return rc;
	if (repo->ops != &place_repo)
		return pfs_fail(err, PFS_E_CORRUPT, "a commit in %s", repo->ops->what);
	return pfs_commit_handle(dir, pfs_handle_name(repo), name, p->name_len, &p->commit,
				 p->canonical, out, err);
}

/* A branch that is a pipeline's is shown as its head; its workspace is reached another way. */
static int find_branch(struct pfs_view *v, const char *repo_name, const char *name, uint64_t made,
		       struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_handle *repo = NULL;
	struct pfs_branch b;
	int rc = pfs_branch_inspect(v->history, repo_name, name, &b, err);

	if (rc < 0)
		return rc;
	if (made && made != (uint64_t)b.created_ns)
		return pfs_fail(err, PFS_E_NOTFOUND, "branch \"%s\" was made anew", name);
	if (b.owner[0])
		return pfs_output_handle(v, repo_name, name, out, err);
	rc = place_root.lookup(v->root, repo_name, strlen(repo_name), &repo, err);
	if (rc == 0)
		rc = pfs_branch_handle(repo, &b, out, err);
	pfs_handle_unref(&repo);
	return rc;
}

static int find_top(struct pfs_view *v, const struct pfs_place *p, struct pfs_handle **out,
		    struct pfs_error *err)
{
	char repo[PFS_NAME_SIZE_MAX + 1], name[PFS_NAME_SIZE_MAX + 1];
	int rc = copy_name(p->repo, p->repo_len, repo, err);

	if (rc == 0)
		rc = copy_name(p->name, p->name_len, name, err);
	return rc < 0 ? rc : find_branch(v, repo, name, p->number, out, err);
}

static int find_nameless(struct pfs_handle *top, const struct pfs_place *p, struct pfs_handle **out,
			 struct pfs_error *err)
{
	struct pfs_node *node;
	int rc;

	if (top->ops != &place_node || !top->u.node.top)
		return pfs_fail(err, PFS_E_CORRUPT, "a nameless file in %s", top->ops->what);
	rc = pfs_workspace_find_held(top->u.node.tenant->ws, p->number, &node, err);
	return rc < 0 ? rc : pfs_node_handle(top->view, top->u.node.tenant, node, out, err);
}

/* NULL is stored for what is not there. */
static int find_place(struct pfs_view *v, const struct pfs_place *p, struct pfs_handle **found,
		      struct pfs_handle **out)
{
	struct pfs_error why = { 0 };
	struct pfs_handle *dir = p->parent == PFS_PLACE_NONE ? NULL : found[p->parent];
	int rc = PFS_E_NOTFOUND;

	*out = NULL;
	if (p->kind == PFS_PLACE_ROOT)
		*out = pfs_handle_ref(v->root);
	else if (p->kind == PFS_PLACE_TOP)
		rc = find_top(v, p, out, &why);
	else if (dir && p->kind == PFS_PLACE_NAME)
		rc = find_name(dir, p, out, &why);
	else if (dir && p->kind == PFS_PLACE_COMMIT)
		rc = find_commit(dir, p, out, &why);
	else if (dir && p->kind == PFS_PLACE_NAMELESS)
		rc = find_nameless(dir, p, out, &why);
	return rc == PFS_E_NOMEM ? rc : 0;
}

static int take_handles(struct pfs_view *v, const struct pfs_places *p, struct pfs_handle **handles,
			struct pfs_error *err)
{
	struct pfs_handle **found = calloc(p->places.n + 1, sizeof(*found));
	int rc = 0;

	if (!found)
		return pfs_fail_nomem(err, "what is handed over");
	for (size_t i = 0; rc == 0 && i < p->places.n; i++)
		rc = find_place(v, &p->places.items[i], found, &found[i]);
	for (size_t i = 0; rc == 0 && i < p->handles.n; i++) {
		uint32_t place = p->handles.items[i];

		handles[i] = place == PFS_PLACE_NONE ? NULL : pfs_handle_ref(found[place]);
	}
	for (size_t i = p->places.n; i-- > 0;)
		pfs_handle_unref(&found[i]);
	free(found);
	return rc < 0 ? pfs_fail_nomem(err, "what is handed over") : 0;
}

int pfs_view_take(struct pfs_view *v, const void *data, size_t len, struct pfs_handle **handles,
		  size_t n, struct pfs_error *err)
{
	PFS_AUTO(pfs_places_fini) struct pfs_places p = { 0 };
	int rc = pfs_places_decode(data, len, &p, err);

	if (rc < 0)
		return rc;
	if (p.handles.n != n)
		return pfs_fail(err, PFS_E_CORRUPT, "%zu handles are handed over, not %zu",
				p.handles.n, n);
	/* A job whose input is gone meanwhile fails when it looks for it. */
	for (size_t i = 0; i < p.datums.n; i++)
		pfs_datum_take(v, &p.datums.items[i], NULL);
	return take_handles(v, &p, handles, err);
}
