#include "view/view_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tenant of an open workspace, if we have it; a new reference. */
static struct tenant *find_tenant(struct pfs_view *v, const struct pfs_workspace *ws)
{
	for (struct tenant *t = v->tenants; t; t = t->next)
		if (t->ws == ws) {
			t->refs++;
			return t;
		}
	return NULL;
}

static void add_tenant(struct pfs_view *v, struct tenant *t, struct pfs_workspace *ws,
		       const char *repo, const char *branch)
{
	t->ws = ws;
	t->refs = 1;
	snprintf(t->repo, sizeof(t->repo), "%s", repo);
	snprintf(t->branch, sizeof(t->branch), "%s", branch);
	t->salt = pfs_handle_mix(pfs_map_hash(0, repo, strlen(repo)),
				 pfs_map_hash(0, branch, strlen(branch)));
	t->next = v->tenants;
	v->tenants = t;
	pfs_workspace_watch(ws, pfs_change_wake, v);
}

int pfs_tenant_get(struct pfs_view *v, const char *repo, const char *branch, struct tenant **out,
		   struct pfs_error *err)
{
	struct tenant *fresh = calloc(1, sizeof(*fresh));
	struct pfs_workspace *ws = NULL;
	struct tenant *t;
	int rc;

	if (!fresh)
		return pfs_fail_nomem(err, "a workspace in view");
	rc = pfs_history_workspace(v->history, repo, branch, &ws, err);
	if (rc < 0) {
		free(fresh);
		return rc;
	}
	pfs_lock(&v->lock);
	t = find_tenant(v, ws);
	if (!t)
		add_tenant(v, fresh, ws, repo, branch);
	pfs_unlock(&v->lock);
	if (t) {
		/* One borrow is enough for all of us. */
		pfs_history_release(v->history, &ws);
		free(fresh);
	}
	*out = t ? t : fresh;
	return 0;
}

struct tenant *pfs_tenant_ref(struct pfs_view *v, struct tenant *t)
{
	pfs_lock(&v->lock);
	t->refs++;
	pfs_unlock(&v->lock);
	return t;
}

void pfs_tenant_put(struct pfs_view *v, struct tenant *t)
{
	bool last;

	pfs_lock(&v->lock);
	last = --t->refs == 0;
	if (last) {
		struct tenant **at = &v->tenants;

		while (*at != t)
			at = &(*at)->next;
		*at = t->next;
		/* Under the lock, so that a successor's watch is not the one taken away. */
		pfs_workspace_watch(t->ws, NULL, NULL);
	}
	pfs_unlock(&v->lock);
	if (last) {
		pfs_history_release(v->history, &t->ws);
		free(t);
	}
}
