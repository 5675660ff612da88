#include "workspace/node.h"
#include "base/endian.h"
#include "workspace/save.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Spool files one caller removes on its way: as many as it may have left, and a little more. */
#define REAP_MAX 4u

struct pfs_node *pfs_node_ref(struct pfs_node *n)
{
	atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	return n;
}

/* The last reference goes with the lock held, so that nobody finds the node by name meanwhile. */
void pfs_node_unref(struct pfs_node **n)
{
	struct pfs_node *node = *n;
	struct pfs_workspace *ws;
	unsigned refs;

	*n = NULL;
	if (!node)
		return;
	refs = atomic_load_explicit(&node->refs, memory_order_relaxed);
	while (refs > 1)
		if (atomic_compare_exchange_weak_explicit(&node->refs, &refs, refs - 1,
							  memory_order_release,
							  memory_order_relaxed))
			return;
	ws = node->ws;
	pfs_rwlock_write(&ws->lock);
	pfs_node_put(&node);
	pfs_rwlock_unlock(&ws->lock);
	pfs_workspace_ease(ws);
}

void pfs_node_put(struct pfs_node **n)
{
	struct pfs_node *node = *n;

	*n = NULL;
	if (node && atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1)
		pfs_node_collect(node);
}

uint64_t pfs_node_ino(const struct pfs_node *n)
{
	return n->ino;
}

enum pfs_entry_type pfs_node_type(const struct pfs_node *n)
{
	return n->type;
}

void *pfs_node_tag(struct pfs_node *n)
{
	return n->tag;
}

void pfs_node_set_tag(struct pfs_node *n, void *tag)
{
	n->tag = tag;
}

/*
 * The seed is the store's, so that nobody who names files can aim at one
 * number, and the same name has the same number after a restart.
 */
uint64_t pfs_node_pick_ino(struct pfs_workspace *ws, uint64_t parent, const char *name,
			   size_t name_len)
{
	uint64_t seed = pfs_get_le64(pfs_store_keys(ws->store)->tree_key);

	for (uint64_t salt = 0;; salt++) {
		uint64_t ino =
			pfs_map_hash(seed + parent * 0x9e3779b97f4a7c15ULL + salt, name, name_len);

		if (ino > PFS_ROOT_INO && !pfs_map_find(&ws->inos, &ino, sizeof(ino)))
			return ino;
	}
}

int pfs_node_new(struct pfs_workspace *ws, enum pfs_entry_type type, uint64_t ino,
		 struct pfs_node **out, struct pfs_error *err)
{
	struct pfs_node *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return pfs_fail_nomem(err, "a node");
	n->ws = ws;
	atomic_init(&n->refs, 1);
	n->type = type;
	n->ino = ino;
	pfs_link_init(&n->queued);
	if (type == PFS_ENTRY_FILE)
		pfs_link_init(&n->file.written);
	if (type == PFS_ENTRY_DIR) {
		pfs_link_init(&n->dir.pending);
		n->dir.names.seed = ws->seed;
	}
	rc = pfs_map_set(&ws->inos, &n->ino, sizeof(n->ino), n, err);
	if (rc < 0) {
		free(n);
		return rc;
	}
	*out = n;
	return 0;
}

static int fill_content(struct pfs_node *n, const struct pfs_entry *e, struct pfs_error *err)
{
	struct pfs_kept *kept;
	char *target;

	switch (e->type) {
	case PFS_ENTRY_FILE:
		kept = pfs_kept_new(&e->content);
		if (!kept)
			return pfs_fail_nomem(err, "a content");
		pfs_kept_unref(&n->file.kept);
		n->file.kept = kept;
		n->file.version++;
		return 0;
	case PFS_ENTRY_DIR:
		n->dir.base = e->dir;
		return 0;
	case PFS_ENTRY_SYMLINK:
		target = strndup(e->target_len ? e->target : "", e->target_len);
		if (!target)
			return pfs_fail_nomem(err, "a symlink");
		free(n->symlink.target);
		n->symlink.target = target;
		n->symlink.target_len = e->target_len;
		return 0;
	default:
		n->rdev = e->rdev;
		return 0;
	}
}

int pfs_node_fill(struct pfs_node *n, const struct pfs_entry *e, struct pfs_error *err)
{
	struct pfs_id *xattrs = NULL;
	int rc;

	if (!pfs_id_is_zero(&e->xattrs)) {
		xattrs = malloc(sizeof(*xattrs));
		if (!xattrs)
			return pfs_fail_nomem(err, "a node");
		*xattrs = e->xattrs;
	}
	rc = fill_content(n, e, err);
	if (rc < 0) {
		free(xattrs);
		return rc;
	}
	free(n->xattrs);
	n->xattrs = xattrs;
	n->attrs = e->attrs;
	n->atime_ns = n->ctime_ns = pfs_attrs_mtime_ns(&e->attrs);
	return 0;
}

static void drop_row(struct pfs_workspace *ws, const struct pfs_journal_row *row)
{
	pfs_workspace_note_pending(ws);
	if (pfs_journal_batch_add(&ws->pending, row, NULL) < 0)
		ws->rewrite = true;
}

static struct pfs_patched *patch_of(const struct pfs_node *n)
{
	return n->type == PFS_ENTRY_FILE && n->file.spooled ? n->file.spooled->patch : NULL;
}

void pfs_node_forget_ranges(struct pfs_node *n)
{
	struct pfs_journal_row row = { .op = PFS_JOURNAL_SAVE_RANGES,
				       .ranges = { .ino = n->ino, .all = true } };
	struct pfs_patched *p = patch_of(n);

	if (!p || !n->journaled)
		return;
	drop_row(n->ws, &row);
	pfs_lock(&p->lock);
	p->rewrite = true;
	pfs_unlock(&p->lock);
}

/* The journal is to forget the node, when it knows it. */
static void forget_node(struct pfs_node *n)
{
	struct pfs_journal_row row = { .op = PFS_JOURNAL_DROP_NODE, .node.ino = n->ino };

	pfs_link_remove(&n->queued);
	pfs_node_forget_ranges(n);
	if (n->journaled)
		drop_row(n->ws, &row);
	n->journaled = false;
}

static void forget_slot(struct pfs_slot *s)
{
	struct pfs_journal_row row = {
		.op = PFS_JOURNAL_DROP_NAME,
		.name = { s->dir->ino, s->name, s->name_len, 0, false },
	};

	pfs_link_remove(&s->queued);
	if (s->journaled)
		drop_row(s->dir->ws, &row);
	s->journaled = false;
}

void pfs_node_nowhere(const struct pfs_node *n, char out[PFS_NOWHERE_NAME_SIZE])
{
	snprintf(out, PFS_NOWHERE_NAME_SIZE, "%016" PRIx64, n->ino);
}

void pfs_node_leave_nowhere(struct pfs_node *n)
{
	char name[PFS_NOWHERE_NAME_SIZE];
	struct pfs_journal_row row = {
		.op = PFS_JOURNAL_DROP_NAME,
		.name = { PFS_NOWHERE_INO, name, sizeof(name) - 1, 0, false },
	};

	pfs_node_nowhere(n, name);
	drop_row(n->ws, &row);
	/* Unless it got a name meanwhile. */
	if (!n->place)
		forget_node(n);
}

void pfs_node_release(struct pfs_node *n)
{
	switch (n->type) {
	case PFS_ENTRY_FILE:
		pfs_spooled_unref(&n->file.spooled);
		pfs_kept_unref(&n->file.kept);
		pfs_kept_unref(&n->file.chunked);
		break;
	case PFS_ENTRY_DIR:
		pfs_map_fini(&n->dir.names);
		break;
	case PFS_ENTRY_SYMLINK:
		free(n->symlink.target);
		break;
	default:
		break;
	}
	free(n->xattrs);
	free(n);
}

static void destroy(struct pfs_node *n)
{
	forget_node(n);
	if (n->type == PFS_ENTRY_FILE && n->file.spooled)
		pfs_spooled_drop(n);
	pfs_map_remove(&n->ws->inos, &n->ino, sizeof(n->ino));
	pfs_node_release(n);
}

static bool unneeded(const struct pfs_node *n)
{
	if (atomic_load_explicit(&n->refs, memory_order_acquire) != 0 || n == n->ws->root)
		return false;
	if (n->type == PFS_ENTRY_DIR && n->dir.names.len)
		return false;
	return !n->place || !n->dirty;
}

static void detach(struct pfs_slot *s)
{
	struct pfs_node *n = s->node;

	if (s->prev_place)
		s->prev_place->next_place = s->next_place;
	else
		n->place = s->next_place;
	if (s->next_place)
		s->next_place->prev_place = s->prev_place;
	s->next_place = s->prev_place = NULL;
	s->node = NULL;
	n->n_places--;
	s->dir->dir.n_dirs -= n->type == PFS_ENTRY_DIR;
}

/* Names beside the first, and the directories that only they kept. */
static void free_other_places(struct pfs_node *n)
{
	while (n->n_places > 1) {
		struct pfs_slot *s = n->place->next_place;
		struct pfs_node *dir = s->dir;

		detach(s);
		pfs_slot_free(s);
		pfs_node_collect(dir);
	}
}

void pfs_node_collect(struct pfs_node *n)
{
	while (n && unneeded(n)) {
		struct pfs_slot *place;
		struct pfs_node *parent;

		free_other_places(n);
		place = n->place;
		parent = place ? place->dir : NULL;
		if (place)
			detach(place);
		destroy(n);
		if (place)
			pfs_slot_free(place);
		n = parent;
	}
}

void pfs_node_queue(struct pfs_node *n)
{
	if (!n->place && n != n->ws->root)
		return; /* nameless: journaled when it gets a name */
	if (pfs_link_alone(&n->queued)) {
		pfs_link_add(&n->ws->queued_nodes, &n->queued);
		pfs_workspace_note_pending(n->ws);
	}
}

static void queue_slot(struct pfs_slot *s)
{
	if (pfs_link_alone(&s->queued)) {
		pfs_link_add(&s->dir->ws->queued_slots, &s->queued);
		atomic_fetch_add_explicit(&s->dir->ws->names_queued, 1, memory_order_relaxed);
		pfs_workspace_note_pending(s->dir->ws);
	}
}

void pfs_node_touch(struct pfs_node *n)
{
	bool was_dirty = n->dirty;

	n->stamp = ++n->ws->stamp;
	n->dirty = true;
	/* Its name is counted when it waits, too. */
	if (was_dirty && n->place && pfs_link_alone(&n->queued))
		atomic_fetch_add_explicit(&n->ws->names_queued, 1, memory_order_relaxed);
	pfs_node_queue(n);
	/* Invariant 1: else they are pending. */
	for (struct pfs_slot *s = was_dirty ? NULL : n->place; s; s = s->next_place)
		pfs_slot_pend(s);
}

void pfs_node_requeue(struct pfs_node *dir)
{
	pfs_node_queue(dir);
	for (struct pfs_link *l = dir->dir.pending.next; l != &dir->dir.pending; l = l->next)
		queue_slot(PFS_OF_LINK(l, struct pfs_slot, pending));
}

void pfs_node_clean(struct pfs_node *n)
{
	n->dirty = false;
	forget_node(n);
	for (struct pfs_slot *s = n->place; s; s = s->next_place)
		pfs_slot_unpend(s);
}

void pfs_node_touch_dir(struct pfs_node *dir, int64_t now_ns)
{
	pfs_attrs_set_mtime(&dir->attrs, now_ns);
	dir->ctime_ns = now_ns;
	pfs_node_touch(dir);
}

struct pfs_slot *pfs_slot_find(const struct pfs_node *dir, const char *name, size_t name_len)
{
	return pfs_map_find(&dir->dir.names, name, name_len);
}

int pfs_slot_new(struct pfs_node *dir, const char *name, size_t name_len, bool in_base,
		 struct pfs_slot **out, struct pfs_error *err)
{
	struct pfs_slot *s = calloc(1, sizeof(*s) + name_len + 1);
	int rc;

	if (!s)
		return pfs_fail_nomem(err, "a name");
	s->dir = dir;
	s->in_base = s->in_sealed = in_base;
	s->name_len = (uint8_t)name_len;
	memcpy(s->name, name, name_len);
	pfs_link_init(&s->pending);
	pfs_link_init(&s->queued);
	rc = pfs_map_set(&dir->dir.names, s->name, name_len, s, err);
	if (rc < 0) {
		free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void pfs_slot_free(struct pfs_slot *s)
{
	forget_slot(s);
	pfs_link_remove(&s->pending);
	pfs_map_remove(&s->dir->dir.names, s->name, s->name_len);
	free(s);
}

void pfs_slot_attach(struct pfs_slot *s, struct pfs_node *n)
{
	s->node = n;
	s->prev_place = NULL;
	s->next_place = n->place;
	if (n->place)
		n->place->prev_place = s;
	n->place = s;
	n->n_places++;
	s->dir->dir.n_dirs += n->type == PFS_ENTRY_DIR;
	n->named = true;
}

void pfs_slot_fill(struct pfs_slot *s, struct pfs_node *n)
{
	assert(!s->node && (!n->place || n->type != PFS_ENTRY_DIR));
	pfs_slot_attach(s, n);
	s->stamp = ++n->ws->stamp;
	pfs_slot_pend(s);
	queue_slot(s);
	pfs_node_touch(n);
}

struct pfs_node *pfs_slot_empty(struct pfs_slot *s)
{
	struct pfs_node *n = s->node;

	if (n) {
		detach(s);
		if (!n->place)
			forget_node(n);
	}
	return n;
}

struct pfs_node *pfs_slot_vacate(struct pfs_slot *s)
{
	struct pfs_node *n = pfs_slot_empty(s);

	if (!s->in_base && !s->in_sealed) {
		pfs_slot_free(s);
		return n;
	}
	s->stamp = ++s->dir->ws->stamp;
	pfs_slot_pend(s);
	queue_slot(s);
	return n;
}

void pfs_slot_pend(struct pfs_slot *s)
{
	while (s && pfs_link_alone(&s->pending)) {
		struct pfs_node *dir = s->dir;

		pfs_link_add(&dir->dir.pending, &s->pending);
		queue_slot(s);
		if (!dir->dirty) {
			dir->dirty = true;
			pfs_node_queue(dir);
		}
		s = dir->place;
	}
}

void pfs_slot_unpend(struct pfs_slot *s)
{
	pfs_link_remove(&s->pending);
	forget_slot(s);
}

static int file_row(const struct pfs_node *n, struct pfs_buf *blob, struct pfs_journal_node *out,
		    struct pfs_error *err)
{
	struct pfs_patched *p = patch_of(n);
	struct pfs_kept *kept = n->file.kept;
	int rc;

	out->state = n->file.state;
	if (n->file.spooled && n->file.state != PFS_FILE_CLEAN)
		out->serial = n->file.spooled->name.serial;
	if (n->file.state == PFS_FILE_NEW) {
		out->size = n->file.size;
		return 0;
	}
	if (p) {
		assert(pfs_held(&p->lock));
		kept = p->base;
		out->keep = p->map.keep;
		out->size = p->map.size;
	} else {
		out->size = kept->size;
	}
	pfs_buf_clear(blob);
	rc = pfs_kept_encode(kept, blob, err);
	out->blob = blob->data;
	out->blob_len = blob->len;
	return rc;
}

int pfs_node_row(const struct pfs_node *n, struct pfs_buf *blob, struct pfs_journal_row *out,
		 struct pfs_error *err)
{
	struct pfs_journal_node *row = &out->node;

	memset(out, 0, sizeof(*out));
	out->op = PFS_JOURNAL_SAVE_NODE;
	row->ino = n->ino;
	row->type = n->type;
	row->attrs = n->attrs;
	row->ctime_ns = n->ctime_ns;
	if (n->xattrs)
		row->xattrs = *n->xattrs;
	switch (n->type) {
	case PFS_ENTRY_FILE:
		return file_row(n, blob, row, err);
	case PFS_ENTRY_DIR:
		row->dir = n->dir.base;
		return 0;
	case PFS_ENTRY_SYMLINK:
		row->blob = n->symlink.target;
		row->blob_len = n->symlink.target_len;
		return 0;
	default:
		row->rdev = n->rdev;
		return 0;
	}
}
