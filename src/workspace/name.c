/* Names: make, remove, rename, place. Each is one moment under the lock. */
#include "workspace/workspace_i.h"
#include "base/clock.h"
#include "base/rand.h"
#include "tree/tree.h"
#include "workspace/depth.h"
#include "workspace/group.h"
#include "workspace/save.h"

#include <stdlib.h>
#include <string.h>

/* How many names the base of a directory has; holds while it looks through the same base. */
struct base_count {
	struct pfs_id base;
	uint64_t direct;
};

static int count_base(struct pfs_workspace *ws, struct pfs_node *n, struct base_count *out,
		      struct pfs_error *err)
{
	struct pfs_tree_totals totals = { 0 };
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (!n || n->type != PFS_ENTRY_DIR)
		return 0;
	pfs_rwlock_read(&ws->lock);
	out->base = n->dir.base;
	pfs_rwlock_unlock(&ws->lock);
	if (!pfs_id_is_zero(&out->base))
		rc = pfs_tree_totals(ws->store, &out->base, &totals, err);
	out->direct = totals.direct;
	return rc;
}

/* 1 empty, 0 not. With the lock held, when `count` is of its base. */
static bool is_empty(const struct pfs_node *dir, const struct base_count *count)
{
	uint64_t hidden = 0;
	struct pfs_slot *s;
	size_t pos = 0;

	while ((s = pfs_map_next(&dir->dir.names, &pos))) {
		if (s->node)
			return false;
		hidden += s->in_base;
	}
	return hidden == count->direct;
}

/* An empty directory that lost its name has whiteouts only; nothing can be made in it any more. */
static void kill_dir(struct pfs_node *dir)
{
	struct pfs_link *head = &dir->dir.pending;

	while (!pfs_link_alone(head))
		pfs_slot_free(PFS_OF_LINK(head->next, struct pfs_slot, pending));
	memset(&dir->dir.base, 0, sizeof(dir->dir.base));
	dir->dir.dead = true;
}

/* What lost a name to another one, or to none. */
static void lose_name(struct pfs_node *n, int64_t now)
{
	n->ctime_ns = now;
	if (n->place)
		pfs_node_touch(n);
	else if (n->type == PFS_ENTRY_DIR)
		kill_dir(n);
	pfs_node_collect(n);
}

/* One name of the node more or less: whoever keeps its attributes hears of it. */
static void note_names(struct pfs_workspace *ws, struct pfs_node *n)
{
	if (n && n->type != PFS_ENTRY_DIR)
		pfs_feed_note(&ws->feed, n, NULL, 0);
}

static int check_depth(const struct pfs_node *dir, struct pfs_error *err)
{
	unsigned depth = pfs_depth_of(dir) + 1;

	if (depth < PFS_TREE_DEPTH_MAX)
		return 0;
	return pfs_fail(err, PFS_E_LIMIT, "a directory %u levels deep, at most %u go", depth,
			PFS_TREE_DEPTH_MAX - 1);
}

static int fill_made(struct pfs_node *n, const struct pfs_node_make *make,
		     const struct pfs_node *dir, struct pfs_error *err)
{
	struct pfs_entry e = {
		.type = make->type,
		.attrs = { .mode = make->mode & 07777, .uid = make->uid, .gid = make->gid },
		.target = make->target,
		.target_len = make->target_len,
		.rdev = make->rdev,
	};

	if (dir && (dir->attrs.mode & 02000)) {
		e.attrs.gid = dir->attrs.gid;
		if (make->type == PFS_ENTRY_DIR)
			e.attrs.mode |= 02000;
	}
	pfs_attrs_set_mtime(&e.attrs, pfs_clock_ns());
	return pfs_node_fill(n, &e, err);
}

static int check_make(const struct pfs_node_make *make, struct pfs_error *err)
{
	if (make->type < PFS_ENTRY_FILE || make->type > PFS_ENTRY_BLK)
		return pfs_fail(err, PFS_E_INVALID, "no such type of file: %d", (int)make->type);
	if (make->type != PFS_ENTRY_SYMLINK)
		return 0;
	if (!make->target_len || memchr(make->target, 0, make->target_len))
		return pfs_fail(err, PFS_E_INVALID, "a symlink to nothing");
	if (make->target_len > PFS_SYMLINK_SIZE_MAX)
		return pfs_fail(err, PFS_E_NAMETOOLONG, "a symlink of %zu bytes, at most %u fit",
				make->target_len, PFS_SYMLINK_SIZE_MAX);
	return 0;
}

static int make_locked(struct pfs_workspace *ws, struct pfs_probe *p,
		       const struct pfs_node_make *make, struct pfs_node **out,
		       struct pfs_error *err)
{
	struct pfs_node *n = NULL;
	int rc = 0;

	if (p->slot && p->slot->node)
		return pfs_fail(err, PFS_E_EXISTS, "\"%.*s\" is there already", (int)p->name_len,
				p->name);
	if (make->type == PFS_ENTRY_DIR)
		rc = check_depth(p->dir, err);
	if (rc == 0)
		rc = pfs_node_new(ws, make->type,
				  pfs_node_pick_ino(ws, p->dir->ino, p->name, p->name_len), &n,
				  err);
	if (rc == 0)
		rc = fill_made(n, make, p->dir, err);
	if (rc == 0 && !p->slot)
		rc = pfs_slot_new(p->dir, p->name, p->name_len, false, &p->slot, err);
	if (rc < 0) {
		pfs_node_put(&n);
		return rc;
	}
	pfs_slot_fill(p->slot, n);
	pfs_node_touch_dir(p->dir, n->ctime_ns);
	*out = n;
	return 0;
}

int pfs_workspace_make(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
		       size_t name_len, const struct pfs_node_make *make, struct pfs_node **out,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_probe_fini) struct pfs_probe p = { dir, name, name_len };
	int rc = check_make(make, err);

	if (rc == 0)
		rc = pfs_workspace_admit(ws, err);
	if (rc == 0)
		rc = pfs_probe_lock(ws, &p, NULL, err);
	if (rc < 0)
		return rc;
	rc = make_locked(ws, &p, make, out, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0)
		pfs_feed_note(&ws->feed, dir, name, name_len);
	return rc;
}

int pfs_workspace_make_unnamed(struct pfs_workspace *ws, const struct pfs_node_make *make,
			       struct pfs_node **out, struct pfs_error *err)
{
	struct pfs_node *n = NULL;
	uint64_t chance = pfs_rand_u64();
	int rc;

	if (make->type != PFS_ENTRY_FILE)
		return pfs_fail(err, PFS_E_INVALID, "only files can be without a name");
	pfs_rwlock_write(&ws->lock);
	rc = pfs_node_new(ws, make->type,
			  pfs_node_pick_ino(ws, 0, (const char *)&chance, sizeof(chance)), &n, err);
	if (rc == 0)
		rc = fill_made(n, make, NULL, err);
	if (rc == 0)
		*out = n;
	else
		pfs_node_put(&n);
	pfs_rwlock_unlock(&ws->lock);
	return rc;
}

/* Let the name lead to `n` instead of what it led to. */
static void lead_to(struct pfs_probe *p, struct pfs_node *n, int64_t now)
{
	struct pfs_node *was = pfs_slot_empty(p->slot);

	pfs_slot_fill(p->slot, n);
	if (was)
		lose_name(was, now);
}

static int make_room(struct pfs_probe *p, struct pfs_error *err)
{
	return p->slot ? 0 : pfs_slot_new(p->dir, p->name, p->name_len, false, &p->slot, err);
}

static int place_locked(struct pfs_node *n, struct pfs_probe *p, struct pfs_error *err)
{
	int64_t now = pfs_clock_ns();
	int rc;

	if (n->place || n->type != PFS_ENTRY_FILE)
		return pfs_fail(err, PFS_E_INVALID, "only a file without a name can be placed");
	if (p->slot && p->slot->node && p->slot->node->type == PFS_ENTRY_DIR)
		return pfs_fail(err, PFS_E_ISDIR, "\"%.*s\" is a directory", (int)p->name_len,
				p->name);
	rc = make_room(p, err);
	if (rc < 0)
		return rc;
	n->ctime_ns = now;
	lead_to(p, n, now);
	pfs_node_touch_dir(p->dir, now);
	return 0;
}

/* Give `n` a name in the way of `locked`; whoever had it has one less. */
static int give_name(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_probe *p,
		     int (*locked)(struct pfs_node *n, struct pfs_probe *p, struct pfs_error *err),
		     struct pfs_error *err)
{
	int rc = pfs_workspace_admit(ws, err);

	if (rc == 0)
		rc = pfs_probe_lock(ws, p, NULL, err);
	if (rc < 0)
		return rc;
	rc = locked(n, p, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0) {
		pfs_feed_note(&ws->feed, p->dir, p->name, p->name_len);
		note_names(ws, p->held);
	}
	return rc;
}

int pfs_workspace_place(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_node *dir,
			const char *name, size_t name_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_probe_fini) struct pfs_probe p = { dir, name, name_len };

	return give_name(ws, n, &p, place_locked, err);
}

static int check_link(const struct pfs_node *n, const struct pfs_probe *p, struct pfs_error *err)
{
	if (n->type == PFS_ENTRY_DIR)
		return pfs_fail(err, PFS_E_DENIED, "a directory has one name only");
	if (!n->place && n->named)
		return pfs_fail(err, PFS_E_NOTFOUND, "the file was removed");
	if (p->slot && p->slot->node)
		return pfs_fail(err, PFS_E_EXISTS, "\"%.*s\" is there already", (int)p->name_len,
				p->name);
	if (n->n_places >= PFS_FILE_NAMES_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "the file has %u names already, at most %u go",
				n->n_places, PFS_FILE_NAMES_MAX);
	return 0;
}

static int link_locked(struct pfs_node *n, struct pfs_probe *p, struct pfs_error *err)
{
	int64_t now = pfs_clock_ns();
	int rc = check_link(n, p, err);

	if (rc == 0)
		rc = make_room(p, err);
	if (rc < 0)
		return rc;
	n->ctime_ns = now;
	pfs_slot_fill(p->slot, n);
	pfs_node_touch_dir(p->dir, now);
	return 0;
}

int pfs_workspace_link(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_node *dir,
		       const char *name, size_t name_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_probe_fini) struct pfs_probe p = { dir, name, name_len };
	int rc = give_name(ws, n, &p, link_locked, err);

	if (rc == 0)
		note_names(ws, n);
	return rc;
}

static int fail_missing(const struct pfs_probe *p, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "\"%.*s\" does not exist", (int)p->name_len, p->name);
}

/* Whether `count` is of what the probe's slot leads to now. */
static bool still_counts(const struct pfs_probe *p, const struct base_count *count)
{
	const struct pfs_node *n = p->slot ? p->slot->node : NULL;

	return !n || n->type != PFS_ENTRY_DIR ||
	       (n == p->held && pfs_id_equal(&n->dir.base, &count->base));
}

/*
 * As pfs_probe_lock, with the names in the base counted of the directory that
 * `goes` finds: only who knows them can tell whether it is empty.
 */
static int lock_and_count(struct pfs_workspace *ws, struct pfs_probe *goes, struct pfs_probe *other,
			  struct base_count *out, struct pfs_error *err)
{
	int rc;

	do {
		rc = pfs_probe(ws, goes, err);
		if (rc == 0 && other)
			rc = pfs_probe(ws, other, err);
		if (rc == 0)
			rc = count_base(ws, goes->held, out, err);
		if (rc < 0)
			return rc;
		pfs_rwlock_write(&ws->lock);
		rc = pfs_probe_check(goes, err);
		if (rc == 1 && other)
			rc = pfs_probe_check(other, err);
		if (rc == 1 && !still_counts(goes, out))
			rc = 0;
		if (rc != 1)
			pfs_rwlock_unlock(&ws->lock);
	} while (rc == 0);
	return rc < 0 ? rc : 0;
}

static int fail_not_empty(const struct pfs_probe *p, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTEMPTY, "directory \"%.*s\" is not empty", (int)p->name_len,
			p->name);
}

static int remove_locked(struct pfs_probe *p, bool directory, const struct base_count *count,
			 struct pfs_error *err)
{
	struct pfs_node *n = p->slot ? p->slot->node : NULL;
	int64_t now = pfs_clock_ns();

	if (!n)
		return fail_missing(p, err);
	if (directory && n->type != PFS_ENTRY_DIR)
		return pfs_fail(err, PFS_E_NOTDIR, "\"%.*s\" is not a directory", (int)p->name_len,
				p->name);
	if (!directory && n->type == PFS_ENTRY_DIR)
		return pfs_fail(err, PFS_E_ISDIR, "\"%.*s\" is a directory", (int)p->name_len,
				p->name);
	if (directory && !is_empty(n, count))
		return fail_not_empty(p, err);
	pfs_slot_vacate(p->slot);
	lose_name(n, now);
	pfs_node_touch_dir(p->dir, now);
	return 0;
}

int pfs_workspace_remove_name(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
			      size_t name_len, bool directory, struct pfs_error *err)
{
	PFS_AUTO(pfs_probe_fini) struct pfs_probe p = { dir, name, name_len };
	struct base_count count;
	int rc = lock_and_count(ws, &p, NULL, &count, err);

	if (rc < 0)
		return rc;
	rc = remove_locked(&p, directory, &count, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0) {
		pfs_feed_note(&ws->feed, dir, name, name_len);
		note_names(ws, p.held);
	}
	return rc;
}

static bool is_within(const struct pfs_node *n, const struct pfs_node *ancestor)
{
	for (;; n = n->place->dir) {
		if (n == ancestor)
			return true;
		if (!n->place)
			return false;
	}
}

struct renaming {
	bool noreplace, exchange, whiteout;
	struct pfs_depth depth, back; /* of what moves, and of what it is exchanged with */
};

static int check_rename(const struct pfs_probe *from, const struct pfs_probe *to,
			const struct base_count *count, const struct renaming *how,
			struct pfs_error *err)
{
	const struct pfs_node *n = from->slot->node, *t = to->slot ? to->slot->node : NULL;
	bool n_dir = n->type == PFS_ENTRY_DIR, t_dir = t && t->type == PFS_ENTRY_DIR;
	int rc;

	if (n_dir && is_within(to->dir, n))
		return pfs_fail(err, PFS_E_INVALID, "\"%.*s\" cannot move into itself",
				(int)from->name_len, from->name);
	if (how->exchange && t_dir && is_within(from->dir, t))
		return pfs_fail(err, PFS_E_INVALID, "\"%.*s\" cannot move into itself",
				(int)to->name_len, to->name);
	rc = pfs_depth_check(&how->depth, err);
	if (rc == 0 && how->exchange)
		rc = pfs_depth_check(&how->back, err);
	if (rc < 0 || how->exchange || !t)
		return rc;
	if (n_dir && !t_dir)
		return pfs_fail(err, PFS_E_NOTDIR, "\"%.*s\" is not a directory", (int)to->name_len,
				to->name);
	if (!n_dir && t_dir)
		return pfs_fail(err, PFS_E_ISDIR, "\"%.*s\" is a directory", (int)to->name_len,
				to->name);
	return t_dir && !is_empty(t, count) ? fail_not_empty(to, err) : 0;
}

static int make_whiteout(const struct pfs_probe *at, struct pfs_node **out, struct pfs_error *err)
{
	const struct pfs_node *n = at->slot->node;
	const struct pfs_node_make make = { .type = PFS_ENTRY_CHR,
					    .uid = n->attrs.uid,
					    .gid = n->attrs.gid };
	struct pfs_workspace *ws = at->dir->ws;
	int rc =
		pfs_node_new(ws, make.type,
			     pfs_node_pick_ino(ws, at->dir->ino, at->name, at->name_len), out, err);

	return rc < 0 ? rc : fill_made(*out, &make, at->dir, err);
}

/* The old name leads elsewhere from now on, or nowhere; the new one to what it led to. */
static void move_name(struct pfs_probe *from, struct pfs_probe *to, struct pfs_node *whiteout,
		      int64_t now)
{
	struct pfs_node *n = from->slot->node;

	if (whiteout) {
		pfs_slot_empty(from->slot);
		pfs_slot_fill(from->slot, whiteout);
	} else {
		pfs_slot_vacate(from->slot);
	}
	lead_to(to, n, now);
}

static void exchange_names(struct pfs_probe *from, struct pfs_probe *to, int64_t now)
{
	struct pfs_node *n = pfs_slot_empty(from->slot), *t = pfs_slot_empty(to->slot);

	t->ctime_ns = now;
	pfs_slot_fill(from->slot, t);
	pfs_slot_fill(to->slot, n);
}

static int rename_locked(struct pfs_probe *from, struct pfs_probe *to,
			 const struct base_count *count, const struct renaming *how,
			 struct pfs_error *err)
{
	struct pfs_node *n = from->slot ? from->slot->node : NULL;
	struct pfs_node *t = to->slot ? to->slot->node : NULL;
	struct pfs_workspace *ws = from->dir->ws;
	struct pfs_node *whiteout = NULL;
	int64_t now = pfs_clock_ns();
	int rc;

	if (!n)
		return fail_missing(from, err);
	if (how->exchange && !t)
		return fail_missing(to, err);
	if (how->noreplace && t)
		return pfs_fail(err, PFS_E_EXISTS, "\"%.*s\" exists already", (int)to->name_len,
				to->name);
	if (n == t)
		return 0;
	rc = check_rename(from, to, count, how, err);
	if (rc == 0 && how->whiteout)
		rc = make_whiteout(from, &whiteout, err);
	if (rc == 0)
		rc = make_room(to, err);
	if (rc == 0) {
		n->ctime_ns = now;
		ws->moves += n->type == PFS_ENTRY_DIR || (t && t->type == PFS_ENTRY_DIR);
		if (how->exchange)
			exchange_names(from, to, now);
		else
			move_name(from, to, whiteout, now);
		pfs_node_touch_dir(from->dir, now);
		pfs_node_touch_dir(to->dir, now);
	}
	pfs_node_put(&whiteout);
	return rc;
}

/* What a rename needs to know of the base, with the crossing found. Without the lock. */
static int look_down(struct pfs_workspace *ws, const struct pfs_probe *from,
		     const struct pfs_probe *to, const struct pfs_crossing *c, struct renaming *how,
		     struct pfs_error *err)
{
	int rc = pfs_depth_look(ws, c->dirs[0], from->dir, to->dir, &how->depth, err);

	return rc < 0 ? rc : pfs_depth_look(ws, c->dirs[1], to->dir, from->dir, &how->back, err);
}

static int rename_names(struct pfs_workspace *ws, struct pfs_probe *from, struct pfs_probe *to,
			struct renaming *how, struct pfs_error *err)
{
	PFS_AUTO(pfs_crossing_fini) struct pfs_crossing crossing = { 0 };
	struct pfs_probe *back = how->exchange ? to : NULL;
	struct base_count count;
	int rc = pfs_workspace_admit(ws, err);

	if (rc < 0)
		return rc;
	do {
		rc = pfs_crossing_find(ws, from, back, &crossing, err);
		if (rc == 0)
			rc = look_down(ws, from, to, &crossing, how, err);
		if (rc == 0)
			rc = lock_and_count(ws, to, from, &count, err);
		if (rc < 0)
			return rc;
		rc = pfs_depth_holds(ws, &how->depth) && pfs_depth_holds(ws, &how->back) &&
		     pfs_crossing_touch(ws, from, back, &crossing);
		if (rc == 0)
			pfs_rwlock_unlock(&ws->lock);
	} while (rc == 0);
	rc = rename_locked(from, to, &count, how, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0) {
		pfs_feed_note(&ws->feed, from->dir, from->name, from->name_len);
		pfs_feed_note(&ws->feed, to->dir, to->name, to->name_len);
		note_names(ws, to->held);
	}
	return rc;
}

int pfs_workspace_rename(struct pfs_workspace *ws, struct pfs_node *from, const char *name,
			 size_t name_len, struct pfs_node *to, const char *new_name,
			 size_t new_name_len, bool noreplace, bool exchange, struct pfs_error *err)
{
	PFS_AUTO(pfs_probe_fini) struct pfs_probe a = { from, name, name_len };
	PFS_AUTO(pfs_probe_fini) struct pfs_probe b = { to, new_name, new_name_len };
	struct renaming how = { .noreplace = noreplace, .exchange = exchange };

	if (noreplace && exchange)
		return pfs_fail(err, PFS_E_INVALID, "a rename that exchanges and does not replace");
	return rename_names(ws, &a, &b, &how, err);
}

int pfs_workspace_rename_away(struct pfs_workspace *ws, struct pfs_node *from, const char *name,
			      size_t name_len, struct pfs_node *to, const char *new_name,
			      size_t new_name_len, bool noreplace, struct pfs_error *err)
{
	PFS_AUTO(pfs_probe_fini) struct pfs_probe a = { from, name, name_len };
	PFS_AUTO(pfs_probe_fini) struct pfs_probe b = { to, new_name, new_name_len };
	struct renaming how = { .noreplace = noreplace, .whiteout = true };

	return rename_names(ws, &a, &b, &how, err);
}
