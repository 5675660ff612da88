/*
 * Extended attributes of nodes. A node names a set in the store, as an entry of
 * a tree does; to change it is to put another one. So a seal has nothing to do
 * for them, and a flush makes sets durable before the rows that name them.
 */
#include "workspace/save.h"
#include "workspace/workspace_i.h"
#include "base/clock.h"
#include "store/session.h"
#include "tree/xattrs.h"

#include <stdlib.h>
#include <string.h>

/* One change of a set. */
struct change {
	const char *name;
	const void *value; /* NULL: there shall be none */
	size_t len;
	enum pfs_xattr_how how;
};

/* The set that a node names now. */
static void look(struct pfs_workspace *ws, const struct pfs_node *n, struct pfs_id *out,
		 bool *out_root)
{
	pfs_rwlock_read(&ws->lock);
	*out = n->xattrs ? *n->xattrs : (struct pfs_id){ 0 };
	*out_root = n == ws->root;
	pfs_rwlock_unlock(&ws->lock);
}

static int fail_root(struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_UNSUPPORTED,
			"the top directory of a branch keeps no attributes: set them below it");
}

/* Whether the attribute is there is as the caller wants it. */
static int check_how(struct pfs_workspace *ws, const struct pfs_id *set, const struct change *c,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf value = PFS_BUF_INIT(PFS_XATTR_VALUE_MAX);
	int rc;

	if (c->how == PFS_XATTR_ANY)
		return 0;
	rc = pfs_xattrs_get(ws->store, set, c->name, &value, err);
	if (c->how == PFS_XATTR_REPLACE)
		return rc;
	if (rc == 0)
		return pfs_fail(err, PFS_E_EXISTS, "attribute \"%.256s\" is there already",
				c->name);
	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

static int make_set(struct pfs_workspace *ws, const struct pfs_id *was, const struct change *c,
		    struct pfs_id *out, struct pfs_error *err)
{
	int rc;

	if (!c->value)
		return pfs_xattrs_remove(ws->store, was, c->name, out, err);
	rc = check_how(ws, was, c, err);
	return rc < 0 ? rc : pfs_xattrs_set(ws->store, was, c->name, c->value, c->len, out, err);
}

/* 1 when the node names the new set, 0 when somebody was quicker. */
static int exchange(struct pfs_workspace *ws, struct pfs_node *n, const struct pfs_id *was,
		    const struct pfs_id *now, struct pfs_error *err)
{
	struct pfs_id *fresh = NULL;
	bool same;

	if (!pfs_id_is_zero(now)) {
		fresh = malloc(sizeof(*fresh));
		if (!fresh)
			return pfs_fail_nomem(err, "attributes");
		*fresh = *now;
	}
	pfs_rwlock_write(&ws->lock);
	same = n->xattrs ? pfs_id_equal(n->xattrs, was) : pfs_id_is_zero(was);
	if (same) {
		free(n->xattrs);
		n->xattrs = fresh;
		n->ctime_ns = pfs_clock_ns();
		ws->sets_unsynced = ws->sets_unsynced || fresh;
		pfs_node_touch(n);
	}
	pfs_rwlock_unlock(&ws->lock);
	if (!same)
		free(fresh);
	return same;
}

/* Nothing names the new set until the node does. */
static int change_set(struct pfs_workspace *ws, struct pfs_node *n, const struct change *c,
		      struct pfs_error *err)
{
	struct pfs_session session;
	struct pfs_id was, now;
	bool root;
	int rc;

	pfs_session_begin(ws->store, &session);
	do {
		look(ws, n, &was, &root);
		rc = root ? fail_root(err) : make_set(ws, &was, c, &now, err);
		if (rc == 0)
			rc = exchange(ws, n, &was, &now, err);
	} while (rc == 0);
	pfs_session_end(ws->store, &session);
	if (rc < 0)
		return rc;
	pfs_feed_note(&ws->feed, n, NULL, 0);
	return 0;
}

int pfs_workspace_set_xattr(struct pfs_workspace *ws, struct pfs_node *n, const char *name,
			    const void *value, size_t len, enum pfs_xattr_how how,
			    struct pfs_error *err)
{
	const struct change c = { name, value ? value : "", len, how };
	int rc = pfs_workspace_admit_set(ws, len, err);

	return rc < 0 ? rc : change_set(ws, n, &c, err);
}

int pfs_workspace_remove_xattr(struct pfs_workspace *ws, struct pfs_node *n, const char *name,
			       struct pfs_error *err)
{
	const struct change c = { .name = name };
	struct pfs_id set;
	bool root;
	int rc;

	look(ws, n, &set, &root);
	if (pfs_id_is_zero(&set))
		return pfs_fail(err, PFS_E_NOTFOUND, "no attribute \"%.256s\"", name);
	/* What remains is a new set. */
	rc = pfs_workspace_admit_set(ws, 0, err);
	return rc < 0 ? rc : change_set(ws, n, &c, err);
}

int pfs_workspace_get_xattr(struct pfs_workspace *ws, struct pfs_node *n, const char *name,
			    struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_session session;
	struct pfs_id set;
	bool root;
	int rc;

	pfs_session_begin(ws->store, &session);
	look(ws, n, &set, &root);
	rc = pfs_xattrs_get(ws->store, &set, name, out, err);
	pfs_session_end(ws->store, &session);
	return rc;
}

int pfs_workspace_list_xattrs(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_buf *out,
			      struct pfs_error *err)
{
	struct pfs_session session;
	struct pfs_id set;
	bool root;
	int rc;

	pfs_session_begin(ws->store, &session);
	look(ws, n, &set, &root);
	rc = pfs_xattrs_list(ws->store, &set, out, err);
	pfs_session_end(ws->store, &session);
	return rc;
}
