#include "workspace/load.h"
#include "base/path.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct load {
	struct pfs_workspace *ws;
	size_t nodes, placed;
	struct pfs_node *patched; /* the ranges read last are of it */
	uint64_t patched_size;    /* of its spool file */
};

static int make_root(struct pfs_workspace *ws, struct pfs_error *err)
{
	struct pfs_entry e = { .type = PFS_ENTRY_DIR,
			       .attrs = ws->base.attrs,
			       .dir = ws->base.dir };
	int rc = pfs_node_new(ws, PFS_ENTRY_DIR, PFS_ROOT_INO, &ws->root, err);

	return rc < 0 ? rc : pfs_node_fill(ws->root, &e, err);
}

static void take_base(void *arg, const struct pfs_root *base, bool links,
		      const struct pfs_commit_id *sealed)
{
	struct load *l = arg;

	l->ws->base = *base;
	l->ws->base_links = links;
	l->ws->sealed = *sealed;
}

static int make_patch(const struct pfs_journal_node *row, struct pfs_patched **out,
		      struct pfs_error *err)
{
	struct pfs_kept *base;
	int rc = pfs_kept_decode(row->blob, row->blob_len, &base, err);

	if (rc < 0)
		return rc;
	if (row->keep > base->size || row->keep > row->size || row->size > PFS_FILE_SIZE_MAX)
		rc = pfs_fail(err, PFS_E_CORRUPT,
			      "journal: a file of %" PRIu64 " bytes with %" PRIu64 " of %" PRIu64,
			      row->size, row->keep, base->size);
	else
		rc = pfs_patched_new(base, 0, out, err);
	pfs_kept_unref(&base);
	if (rc < 0)
		return rc;
	(*out)->map.size = row->size;
	(*out)->map.keep = row->keep;
	(*out)->rewrite = false;
	return 0;
}

static int take_spool_file(struct pfs_node *n, const struct pfs_journal_node *row,
			   struct pfs_error *err)
{
	const struct pfs_spool_name name = { row->ino, row->serial };
	struct pfs_patched *patch = NULL;
	struct pfs_spool_stat st;
	int rc = pfs_spool_stat(&n->ws->spool, &name, -1, &st, err);

	if (rc == 0 && row->state == PFS_FILE_PATCHED)
		rc = make_patch(row, &patch, err);
	if (rc == 0)
		rc = pfs_spooled_new(&name, -1, patch, &n->file.spooled, err);
	if (rc < 0) {
		pfs_patched_free(&patch);
		return rc;
	}
	n->file.spooled->journaled = true;
	atomic_store(&n->file.spooled->strange, !patch && st.links == 1);
	n->file.state = row->state;
	/* A patched file never is: another link to it is not the store's. */
	atomic_store(&n->file.spooled->lent, row->state == PFS_FILE_NEW && st.links > 1);
	return pfs_spooled_look(n, err);
}

static int take_bytes(struct pfs_node *n, const struct pfs_journal_node *row, struct pfs_error *err)
{
	if (n->type == PFS_ENTRY_FILE && row->state != PFS_FILE_CLEAN)
		return take_spool_file(n, row, err);
	if (n->type == PFS_ENTRY_FILE)
		return pfs_kept_decode(row->blob, row->blob_len, &n->file.kept, err);
	if (n->type == PFS_ENTRY_DIR) {
		n->dir.base = row->dir;
		return 0;
	}
	if (n->type != PFS_ENTRY_SYMLINK) {
		n->rdev = row->rdev;
		return 0;
	}
	if (!row->blob_len || row->blob_len > PFS_SYMLINK_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT, "journal: a symlink of %zu bytes",
				row->blob_len);
	if (memchr(row->blob, 0, row->blob_len))
		return pfs_fail(err, PFS_E_CORRUPT, "journal: a symlink with a NUL in it");
	n->symlink.target = strndup(row->blob, row->blob_len);
	n->symlink.target_len = row->blob_len;
	return n->symlink.target ? 0 : pfs_fail_nomem(err, "a symlink");
}

static int take_node(void *arg, const struct pfs_journal_node *row, struct pfs_error *err)
{
	struct load *l = arg;
	struct pfs_node *n = l->ws->root;
	int rc = 0;

	if (row->ino == PFS_ROOT_INO ? row->type != PFS_ENTRY_DIR : row->ino == 0)
		return pfs_fail(err, PFS_E_CORRUPT, "journal: node %" PRIx64 " cannot be",
				row->ino);
	if (row->ino != PFS_ROOT_INO) {
		rc = pfs_node_new(l->ws, row->type, row->ino, &n, err);
		if (rc < 0)
			return rc;
		n->refs = 0; /* nobody holds it: being dirty keeps it */
		l->nodes++;
	}
	n->attrs = row->attrs;
	n->ctime_ns = row->ctime_ns;
	n->dirty = n->journaled = true;
	if (!pfs_id_is_zero(&row->xattrs)) {
		n->xattrs = malloc(sizeof(*n->xattrs));
		if (!n->xattrs)
			return pfs_fail_nomem(err, "a node");
		*n->xattrs = row->xattrs;
	}
	rc = take_bytes(n, row, err);
	n->atime_ns = pfs_attrs_mtime_ns(&n->attrs);
	return rc;
}

PFS_VEC_DEFINE(push_node, struct pfs_nodes, struct pfs_node *, "a workspace")

/* Held by the last process without a name. */
static int take_nameless(struct load *l, const struct pfs_journal_name *row, struct pfs_error *err)
{
	struct pfs_node *n = pfs_map_find(&l->ws->inos, &row->ino, sizeof(row->ino));
	int rc;

	if (!n || n == l->ws->root || n->place || n->refs)
		return pfs_fail(err, PFS_E_CORRUPT, "journal: %" PRIx64 " cannot be without a name",
				row->ino);
	rc = push_node(&l->ws->nameless, n, err);
	if (rc < 0)
		return rc;
	n->refs = 1;
	n->named = row->in_base;
	if (n->type == PFS_ENTRY_DIR) {
		/* It was empty when it was removed, whatever is below its base. */
		n->dir.dead = true;
		n->dir.base = (struct pfs_id){ 0 };
	}
	return 0;
}

static int take_name(void *arg, const struct pfs_journal_name *row, struct pfs_error *err)
{
	struct load *l = arg;
	struct pfs_node *dir = pfs_map_find(&l->ws->inos, &row->parent, sizeof(row->parent));
	struct pfs_node *n = NULL;
	struct pfs_slot *s;
	int rc = pfs_path_check_name(row->name ? row->name : "", row->name_len, err);

	if (rc == 0 && row->parent == PFS_NOWHERE_INO)
		return take_nameless(l, row, err);
	if (row->ino)
		n = pfs_map_find(&l->ws->inos, &row->ino, sizeof(row->ino));
	if (rc < 0 || !dir || dir->type != PFS_ENTRY_DIR || !dir->dirty ||
	    (row->ino &&
	     (!n || (n->place && n->type == PFS_ENTRY_DIR) || n == l->ws->root || n->refs)))
		return pfs_fail(err, PFS_E_CORRUPT,
				"journal: a name in %" PRIx64 " for %" PRIx64 " leads nowhere",
				row->parent, row->ino);
	/* Keys of two types may have the same bytes. */
	if (pfs_slot_find(dir, row->name, row->name_len))
		return pfs_fail(err, PFS_E_CORRUPT, "journal: a name in %" PRIx64 " is there twice",
				row->parent);
	rc = pfs_slot_new(dir, row->name, row->name_len, row->in_base, &s, err);
	if (rc < 0)
		return rc;
	s->journaled = true;
	pfs_link_add(&dir->dir.pending, &s->pending);
	if (n) {
		pfs_slot_attach(s, n);
		l->placed++;
	}
	return 0;
}

static int fail_range(const struct pfs_journal_range *r, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_CORRUPT,
			"journal: node %" PRIx64 " cannot have a range %" PRIu64 " to %" PRIu64,
			r->ino, r->off, r->end);
}

/* Ranges of one file come one behind the other. */
static int find_patched(struct load *l, const struct pfs_journal_range *r, struct pfs_error *err)
{
	struct pfs_node *n = pfs_map_find(&l->ws->inos, &r->ino, sizeof(r->ino));
	struct pfs_spool_stat st;
	int rc;

	if (!n || n->type != PFS_ENTRY_FILE || n->file.state != PFS_FILE_PATCHED)
		return fail_range(r, err);
	rc = pfs_spool_stat(&l->ws->spool, &n->file.spooled->name, -1, &st, err);
	if (rc < 0)
		return rc;
	l->patched = n;
	l->patched_size = st.size;
	return 0;
}

static int take_range(void *arg, const struct pfs_journal_range *r, struct pfs_error *err)
{
	struct load *l = arg;
	struct pfs_patched_map *m;
	int rc = 0;

	if (!l->patched || l->patched->ino != r->ino)
		rc = find_patched(l, r, err);
	if (rc < 0)
		return rc;
	m = &l->patched->file.spooled->patch->map;
	if (r->off >= r->end || r->end > m->size || r->end > l->patched_size ||
	    (m->ranges.n && r->off <= m->ranges.items[m->ranges.n - 1].end))
		return fail_range(r, err);
	rc = pfs_ranges_reserve(&m->ranges, 1, err);
	if (rc == 0)
		m->ranges.items[m->ranges.n++] = (struct pfs_range){ r->off, r->end, false };
	return rc;
}

/* Every node hangs on the root: names that form a ring apart from it were never written by us. */
static int check_reach(struct load *l, struct pfs_error *err)
{
	size_t n = 0, cap = l->nodes - l->ws->nameless.n + 1, done = 0;
	struct pfs_node **queue = malloc(cap * sizeof(*queue));

	if (!queue)
		return pfs_fail_nomem(err, "a workspace");
	queue[n++] = l->ws->root;
	for (; done < n; done++) {
		struct pfs_link *head = &queue[done]->dir.pending;

		if (queue[done]->type != PFS_ENTRY_DIR)
			continue;
		for (struct pfs_link *p = head->next; p != head && n < cap; p = p->next) {
			struct pfs_slot *s = PFS_OF_LINK(p, struct pfs_slot, pending);

			if (s->node && s == s->node->place)
				queue[n++] = s->node;
		}
	}
	free(queue);
	if (n == cap)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "journal: %zu of %zu nodes have no way to the root",
			cap - n, cap);
}

static bool is_wanted(void *arg, const struct pfs_spool_name *name)
{
	struct pfs_workspace *ws = arg;
	struct pfs_node *n = pfs_map_find(&ws->inos, &name->ino, sizeof(name->ino));

	return n && n->type == PFS_ENTRY_FILE && n->file.spooled &&
	       n->file.spooled->name.serial == name->serial;
}

int pfs_workspace_load(struct pfs_workspace *ws, struct pfs_error *err)
{
	static const struct pfs_journal_reader base_only = { take_base, NULL, NULL, NULL };
	static const struct pfs_journal_reader everything = { take_base, take_node, take_name,
							      take_range };
	struct load l = { .ws = ws };
	int rc = pfs_spool_upgrade(&ws->spool, err);

	if (rc == 0)
		rc = pfs_journal_load(ws->journal, &base_only, &l, err);
	if (rc == 0)
		rc = make_root(ws, err);
	if (rc == 0)
		rc = pfs_journal_load(ws->journal, &everything, &l, err);
	if (rc == 0)
		rc = check_reach(&l, err);
	return rc < 0 ? rc : pfs_spool_sweep(&ws->spool, is_wanted, ws, err);
}
