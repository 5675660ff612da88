/*
 * Finding names. The base is read without the lock: what was found there holds
 * as long as the directory still looks through the same base, which is checked
 * when the lock is taken again.
 */
#include "workspace/workspace_i.h"
#include "base/path.h"
#include "tree/tree.h"
#include "workspace/group.h"

#include <string.h>

static int fail_missing(const struct pfs_probe *p, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "there is no \"%.*s\"", (int)p->name_len, p->name);
}

static int fail_dead(struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "the directory was removed");
}

/* What the overlay knows: 1 when that decides it. */
static int look_in_overlay(struct pfs_workspace *ws, struct pfs_probe *p, struct pfs_error *err)
{
	struct pfs_slot *s;
	int rc = 0;

	pfs_rwlock_read(&ws->lock);
	s = pfs_slot_find(p->dir, p->name, p->name_len);
	p->base = p->dir->dir.base;
	if (p->dir->dir.dead)
		rc = fail_dead(err);
	else if (s)
		rc = 1;
	if (s && s->node)
		p->held = pfs_node_ref(s->node);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0 && pfs_id_is_zero(&p->base)) {
		p->absent = true;
		rc = 1;
	}
	return rc;
}

/* 0 when the directory moved on meanwhile. */
int pfs_probe_attach(struct pfs_workspace *ws, struct pfs_probe *p, const struct pfs_entry *e,
		     uint64_t ino, struct pfs_error *err)
{
	struct pfs_node *n = NULL;
	struct pfs_slot *s;
	int rc;

	if (p->dir->dir.dead || !pfs_id_equal(&p->base, &p->dir->dir.base) ||
	    pfs_slot_find(p->dir, p->name, p->name_len))
		return 0;
	rc = pfs_node_new(ws, e->type, ino, &n, err);
	if (rc == 0)
		rc = pfs_node_fill(n, e, err);
	if (rc == 0)
		rc = pfs_slot_new(p->dir, p->name, p->name_len, true, &s, err);
	if (rc < 0) {
		pfs_node_put(&n);
		return rc;
	}
	pfs_slot_attach(s, n);
	p->held = n;
	return 1;
}

static int instantiate(struct pfs_workspace *ws, struct pfs_probe *p, const struct pfs_entry *e,
		       struct pfs_error *err)
{
	int rc;

	if (e->link)
		return pfs_group_load(ws, p, e, err);
	pfs_rwlock_write(&ws->lock);
	rc = pfs_probe_attach(ws, p, e, pfs_node_pick_ino(ws, p->dir->ino, p->name, p->name_len),
			      err);
	pfs_rwlock_unlock(&ws->lock);
	return rc;
}

static int look_in_base(struct pfs_workspace *ws, struct pfs_probe *p, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	struct pfs_error why;
	int rc = pfs_tree_find(ws->store, &p->base, p->name, p->name_len, &found, &why);

	if (rc == PFS_E_NOTFOUND) {
		p->absent = true;
		return 1;
	}
	if (rc < 0) {
		if (err)
			*err = why;
		return rc;
	}
	return instantiate(ws, p, &found.e, err);
}

int pfs_probe(struct pfs_workspace *ws, struct pfs_probe *p, struct pfs_error *err)
{
	int rc = pfs_path_check_name(p->name, p->name_len, err);

	if (rc == 0 && p->dir->type != PFS_ENTRY_DIR)
		rc = pfs_fail(err, PFS_E_NOTDIR,
			      "\"%.*s\" is looked for in what is not a directory", (int)p->name_len,
			      p->name);
	while (rc == 0) {
		pfs_node_unref(&p->held);
		p->absent = false;
		rc = look_in_overlay(ws, p, err);
		if (rc == 0)
			rc = look_in_base(ws, p, err);
	}
	return rc < 0 ? rc : 0;
}

int pfs_probe_check(struct pfs_probe *p, struct pfs_error *err)
{
	const struct pfs_node_dir *dir = &p->dir->dir;

	if (dir->dead)
		return fail_dead(err);
	p->slot = pfs_slot_find(p->dir, p->name, p->name_len);
	return p->slot || pfs_id_is_zero(&dir->base) ||
	       (p->absent && pfs_id_equal(&p->base, &dir->base));
}

void pfs_probe_fini(struct pfs_probe *p)
{
	pfs_node_unref(&p->held);
}

int pfs_probe_lock(struct pfs_workspace *ws, struct pfs_probe *a, struct pfs_probe *b,
		   struct pfs_error *err)
{
	int rc;

	do {
		rc = pfs_probe(ws, a, err);
		if (rc == 0 && b)
			rc = pfs_probe(ws, b, err);
		if (rc < 0)
			return rc;
		pfs_rwlock_write(&ws->lock);
		rc = pfs_probe_check(a, err);
		if (rc == 1 && b)
			rc = pfs_probe_check(b, err);
		if (rc != 1)
			pfs_rwlock_unlock(&ws->lock);
	} while (rc == 0);
	return rc < 0 ? rc : 0;
}

int pfs_workspace_lookup(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
			 size_t name_len, struct pfs_node **out, struct pfs_error *err)
{
	struct pfs_probe p = { .dir = dir, .name = name, .name_len = name_len };
	int rc = pfs_probe(ws, &p, err);

	if (rc < 0)
		return rc;
	if (!p.held)
		return fail_missing(&p, err);
	*out = p.held;
	return 0;
}
