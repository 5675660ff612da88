#include "workspace/group.h"
#include "tree/linkgroups.h"

#include <stdlib.h>
#include <string.h>

struct pfs_node *pfs_group_home(struct pfs_node *dir, const struct pfs_entry *e)
{
	unsigned up = pfs_links_up(e->link);

	if (!e->link)
		return NULL;
	for (; up > 0 && dir; up--)
		dir = dir->place ? dir->place->dir : NULL;
	return dir;
}

uint64_t pfs_group_ino(struct pfs_node *home, const struct pfs_links_file *file)
{
	return pfs_node_pick_ino(home->ws, home->ino, (const char *)file, sizeof(*file));
}

/* --- names that come together --------------------------------------------- */

/* One of the names, and the directory it is in. */
struct member {
	struct pfs_node *dir; /* one reference; NULL: what is there now is something else */
	struct pfs_id base;   /* of the directory, which has the name */
	const char *name;
	size_t name_len;
};

struct group {
	struct pfs_node *home; /* one reference; NULL: the name is alone */
	struct pfs_id base;    /* of the home */
	struct pfs_links_file file;
	struct pfs_buf paths;
	struct member *members;
	size_t n;
};

static void group_fini(struct group *g)
{
	for (size_t i = 0; g->members && i < g->n; i++)
		pfs_node_unref(&g->members[i].dir);
	free(g->members);
	pfs_node_unref(&g->home);
	pfs_buf_fini(&g->paths);
}

/* Fails as lookups do when the way does not lead to a directory. */
static int walk_to(struct pfs_workspace *ws, struct pfs_node *from, const char *path,
		   const char *end, struct pfs_node **out, struct pfs_error *err)
{
	struct pfs_node *at = pfs_node_ref(from), *next;
	int rc = 0;

	while (rc == 0 && path < end) {
		size_t len = strcspn(path, "/");

		rc = pfs_workspace_lookup(ws, at, path, len, &next, err);
		pfs_node_unref(&at);
		if (rc == 0)
			at = next;
		path += len + 1;
	}
	if (rc == 0)
		*out = at;
	return rc;
}

/* Whether the directory looks through to this very name of the group. */
static int check_member(struct pfs_workspace *ws, struct member *m,
			const struct pfs_links_file *file, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	struct pfs_links_file is;
	struct pfs_error why;
	int rc;

	pfs_rwlock_read(&ws->lock);
	m->base = m->dir->dir.base;
	pfs_rwlock_unlock(&ws->lock);
	if (pfs_id_is_zero(&m->base))
		return 0;
	rc = pfs_tree_find(ws->store, &m->base, m->name, m->name_len, &found, &why);
	if (rc == PFS_E_NOTFOUND || (rc == 0 && !found.e.link))
		return 0;
	if (rc < 0 && err)
		*err = why;
	if (rc == 0)
		rc = pfs_links_file(ws->store, &found.e, &is, err);
	return rc < 0 ? rc : is.number == file->number && is.value == file->value;
}

static int find_member(struct pfs_workspace *ws, struct group *g, const char *path,
		       struct member *out, struct pfs_error *err)
{
	const char *slash = strrchr(path, '/');
	struct pfs_error why;
	int rc;

	out->name = slash ? slash + 1 : path;
	out->name_len = strlen(out->name);
	rc = walk_to(ws, g->home, path, out->name, &out->dir, &why);
	if (rc == PFS_E_NOTFOUND || rc == PFS_E_NOTDIR)
		return 0;
	if (rc == 0 && out->dir->type == PFS_ENTRY_DIR)
		rc = check_member(ws, out, &g->file, &why);
	if (rc <= 0)
		pfs_node_unref(&out->dir);
	if (rc < 0 && err)
		*err = why;
	return rc < 0 ? rc : 0;
}

static int find_members(struct pfs_workspace *ws, struct group *g, struct pfs_error *err)
{
	size_t n, at = 0;
	int rc = pfs_linkgroups_names(ws->groups, &g->base, &g->file, &g->paths, &n, err);

	if (rc < 0 || n < 2)
		return rc;
	g->members = calloc(n, sizeof(*g->members));
	if (!g->members)
		return pfs_fail_nomem(err, "the names of a file");
	for (; rc == 0 && g->n < n; g->n++) {
		const char *path = (const char *)g->paths.data + at;

		rc = find_member(ws, g, path, &g->members[g->n], err);
		at += strlen(path) + 1;
	}
	return rc;
}

static void find_home(struct pfs_workspace *ws, const struct pfs_probe *p,
		      const struct pfs_entry *e, struct group *out)
{
	struct pfs_node *home;

	pfs_rwlock_read(&ws->lock);
	home = pfs_group_home(p->dir, e);
	if (home) {
		out->home = pfs_node_ref(home);
		out->base = home->dir.base;
	}
	pfs_rwlock_unlock(&ws->lock);
}

/* A member that is hidden meanwhile is not one any more. */
static int add_member(struct pfs_node *n, const struct member *m, struct pfs_error *err)
{
	struct pfs_slot *s;
	int rc;

	if (!m->dir || m->dir->dir.dead || !pfs_id_equal(&m->base, &m->dir->dir.base) ||
	    pfs_slot_find(m->dir, m->name, m->name_len))
		return 0;
	rc = pfs_slot_new(m->dir, m->name, m->name_len, true, &s, err);
	if (rc == 0)
		pfs_slot_attach(s, n);
	return rc;
}

static int attach_group(struct pfs_workspace *ws, struct pfs_probe *p, const struct group *g,
			const struct pfs_entry *e, struct pfs_error *err)
{
	uint64_t ino = pfs_node_pick_ino(ws, p->dir->ino, p->name, p->name_len);
	int rc;

	if (pfs_group_home(p->dir, e) != g->home ||
	    (g->home && !pfs_id_equal(&g->home->dir.base, &g->base)))
		return 0;
	if (g->home)
		ino = pfs_group_ino(g->home, &g->file);
	rc = pfs_probe_attach(ws, p, e, ino, err);
	if (rc != 1)
		return rc;
	for (size_t i = 0; rc >= 0 && i < g->n; i++)
		rc = add_member(p->held, &g->members[i], err);
	if (rc >= 0)
		return 1;
	pfs_node_put(&p->held);
	return rc;
}

/*
 * A home with more such names than may be kept: its names are told as files of
 * their own, which can be read, rather than not at all.
 */
int pfs_group_load(struct pfs_workspace *ws, struct pfs_probe *p, const struct pfs_entry *e,
		   struct pfs_error *err)
{
	PFS_AUTO(group_fini) struct group g = { .paths = PFS_BUF_INIT(SIZE_MAX / 2) };
	struct pfs_error why;
	int rc = pfs_links_file(ws->store, e, &g.file, &why);

	find_home(ws, p, e, &g);
	if (rc == 0 && g.home)
		rc = find_members(ws, &g, &why);
	if (rc < 0 && rc != PFS_E_LIMIT) {
		if (err)
			*err = why;
		return rc;
	}
	pfs_rwlock_write(&ws->lock);
	rc = attach_group(ws, p, &g, e, err);
	pfs_rwlock_unlock(&ws->lock);
	return rc;
}

/* --- directories on their way ---------------------------------------------- */

PFS_VEC_DEFINE(keep, struct pfs_crossing_nodes, struct pfs_node *, "the names of a file")

void pfs_crossing_fini(struct pfs_crossing *c)
{
	for (size_t i = 0; i < c->nodes.n; i++)
		pfs_node_unref(&c->nodes.items[i]);
	free(c->nodes.items);
	pfs_node_unref(&c->dirs[0]);
	pfs_node_unref(&c->dirs[1]);
	*c = (struct pfs_crossing){ 0 };
}

static int find_in(struct pfs_workspace *ws, struct pfs_node *dir, struct pfs_crossing *c,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf paths = PFS_BUF_INIT(SIZE_MAX / 2);
	struct pfs_id base;
	size_t n = 0, at = 0;
	int rc = 0;

	pfs_rwlock_read(&ws->lock);
	base = dir->dir.base;
	pfs_rwlock_unlock(&ws->lock);
	if (!pfs_id_is_zero(&base))
		rc = pfs_linkgroups_outward(ws->groups, &base, &paths, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const char *path = (const char *)paths.data + at;
		struct pfs_node *found = NULL;
		struct pfs_error why;

		rc = walk_to(ws, dir, path, path + strlen(path), &found, &why);
		if (rc == 0)
			rc = keep(&c->nodes, found, &why);
		if (rc == PFS_E_NOTFOUND || rc == PFS_E_NOTDIR)
			rc = 0; /* renamed or removed before: it was touched then */
		else if (rc < 0)
			pfs_node_unref(&found);
		if (rc < 0 && err)
			*err = why;
		at += strlen(path) + 1;
	}
	return rc;
}

static struct pfs_node *dir_at(struct pfs_node *n)
{
	return n && n->type == PFS_ENTRY_DIR ? n : NULL;
}

int pfs_crossing_find(struct pfs_workspace *ws, struct pfs_probe *a, struct pfs_probe *b,
		      struct pfs_crossing *out, struct pfs_error *err)
{
	bool links;
	int rc = pfs_probe(ws, a, err);

	if (rc == 0 && b)
		rc = pfs_probe(ws, b, err);
	if (rc < 0)
		return rc;
	pfs_crossing_fini(out);
	pfs_rwlock_read(&ws->lock);
	out->bases = ws->bases;
	links = ws->base_links;
	pfs_rwlock_unlock(&ws->lock);
	out->dirs[0] = dir_at(a->held) ? pfs_node_ref(a->held) : NULL;
	out->dirs[1] = b && dir_at(b->held) ? pfs_node_ref(b->held) : NULL;
	for (int i = 0; rc == 0 && links && i < 2; i++)
		if (out->dirs[i])
			rc = find_in(ws, out->dirs[i], out, err);
	return rc;
}

static struct pfs_node *dir_of(const struct pfs_probe *p)
{
	return p && p->slot ? dir_at(p->slot->node) : NULL;
}

int pfs_crossing_touch(struct pfs_workspace *ws, const struct pfs_probe *a,
		       const struct pfs_probe *b, struct pfs_crossing *c)
{
	if (c->dirs[0] != dir_of(a) || c->dirs[1] != dir_of(b) || c->bases != ws->bases)
		return 0;
	for (size_t i = 0; i < c->nodes.n; i++)
		if (c->nodes.items[i]->n_places > 1)
			pfs_node_touch(c->nodes.items[i]);
	return 1;
}
