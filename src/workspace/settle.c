/* After a commit: what was sealed and did not change since stands on the new base. And starting anew. */
#include "workspace/seal.h"
#include "base/rand.h"
#include "base/vec.h"
#include "tree/tree.h"
#include "workspace/save.h"
#include "workspace/sealing_i.h"

#include <stdlib.h>
#include <string.h>

static void note_base(struct pfs_workspace *ws)
{
	struct pfs_journal_row clear = { .op = PFS_JOURNAL_CLEAR };
	struct pfs_journal_row base = { .op = PFS_JOURNAL_BASE,
					.base = ws->base,
					.links = ws->base_links };

	pfs_workspace_note_pending(ws);
	if (!ws->root->dirty) {
		/* Nothing differs: no need to drop row by row. */
		pfs_journal_batch_fini(&ws->pending);
		pfs_journal_batch_init(&ws->pending);
		if (pfs_journal_batch_add(&ws->pending, &clear, NULL) < 0)
			ws->rewrite = true;
	}
	if (pfs_journal_batch_add(&ws->pending, &base, NULL) < 0)
		ws->rewrite = true;
}

/* A name of a file with several says where the others are: not so any more when directories moved. */
static bool is_as_sealed(const struct pfs_workspace *ws, const struct pfs_sealed_item *item)
{
	return item->node->stamp == item->stamp &&
	       !(item->several && ws->moves != ws->sealing->moves);
}

static void become_clean(struct pfs_node *n, const struct pfs_sealed_item *item)
{
	n->file.state = PFS_FILE_CLEAN;
	n->file.kept = pfs_kept_ref(item->kept);
	n->file.version++;
}

static void settle_new(struct pfs_node *n, const struct pfs_sealed_item *item)
{
	if (n->file.writers || item->open || !is_as_sealed(n->ws, item))
		return;
	become_clean(n, item);
	if (n->file.spooled->users == 0 || n->file.spooled->lent)
		pfs_spooled_drop(n);
}

/* Which bytes were written since is known exactly, so who has it open for writing does not keep it dirty. */
static void settle_patched(struct pfs_node *n, uint64_t seal, const struct pfs_sealed_item *item)
{
	pfs_node_queue(n);
	if (!pfs_patched_rebase(n->file.spooled->patch, seal, item->kept, ++n->file.version))
		return;
	pfs_spooled_look(n, NULL);
	pfs_spooled_drop(n);
	become_clean(n, item);
}

static void settle_file(struct pfs_node *n, uint64_t seal, const struct pfs_sealed_item *item)
{
	pfs_kept_unref(&n->file.chunked);
	if (n->file.state == PFS_FILE_NEW)
		settle_new(n, item);
	else if (n->file.state == PFS_FILE_PATCHED)
		settle_patched(n, seal, item);
	if (n->file.state == PFS_FILE_CLEAN && is_as_sealed(n->ws, item))
		pfs_node_clean(n);
}

/* Children came before: what is still pending differs from the new base, or is a whiteout of nothing. */
static void settle_dir(struct pfs_node *n, const struct pfs_sealed_item *item)
{
	struct pfs_link *head = &n->dir.pending, *next;

	if (n->dir.dead)
		return;
	n->dir.base = item->dir;
	for (struct pfs_link *p = head->next; p != head; p = next) {
		struct pfs_slot *s = PFS_OF_LINK(p, struct pfs_slot, pending);

		next = p->next;
		s->in_base = s->in_sealed;
		if (!s->node && !s->in_base)
			pfs_slot_free(s);
	}
	if (n->stamp == item->stamp && pfs_link_alone(head))
		pfs_node_clean(n);
	else
		pfs_node_requeue(n);
}

static void settle_item(uint64_t seal, struct pfs_sealed_item *item)
{
	struct pfs_node *n = item->node;

	if (!n)
		return;
	/* Once, and before any of the directories that have a name of it. */
	if (item->again) {
		pfs_node_put(&item->node);
		return;
	}
	for (struct pfs_slot *s = n->place; s; s = s->next_place)
		s->in_base = s->in_base || s->in_sealed;
	if (n->type == PFS_ENTRY_FILE)
		settle_file(n, seal, item);
	else if (n->type == PFS_ENTRY_DIR)
		settle_dir(n, item);
	else if (is_as_sealed(n->ws, item))
		pfs_node_clean(n);
	pfs_node_put(&item->node);
}

int pfs_workspace_settle(struct pfs_workspace *ws, const struct pfs_sealed *sealed,
			 struct pfs_error *err)
{
	struct pfs_sealing *s = ws->sealing;

	if (!s || !s->done || s->generation != sealed->generation)
		return pfs_fail(err, PFS_E_CONFLICT, "workspace %s: this is not its last seal",
				ws->folder);
	pfs_rwlock_write(&ws->lock);
	ws->base = s->root;
	ws->bases++;
	ws->base_links |= s->links;
	ws->sealed_unsaved = false; /* the row of the base says more */
	for (size_t i = s->all.n; i-- > 0;)
		settle_item(s->generation, &s->all.items[i]);
	note_base(ws);
	pfs_rwlock_unlock(&ws->lock);
	pfs_sealing_free(ws);
	return 0;
}

/* Nodes that are met on the way, each with one reference so that none goes too early. */
struct met PFS_VEC(struct pfs_node *);
PFS_VEC_DEFINE(push_met, struct met, struct pfs_node *, "a reset")

static int meet(struct met *m, struct pfs_node *n, struct pfs_error *err)
{
	int rc = push_met(m, n, err);

	if (rc == 0)
		pfs_node_ref(n);
	return rc;
}

/* Every node that has a place, parents first. */
static int meet_all(struct pfs_workspace *ws, struct met *m, struct pfs_error *err)
{
	int rc = meet(m, ws->root, err);

	for (size_t i = 0; rc == 0 && i < m->n; i++) {
		struct pfs_slot *s;
		size_t pos = 0;

		if (m->items[i]->type != PFS_ENTRY_DIR)
			continue;
		while (rc == 0 && (s = pfs_map_next(&m->items[i]->dir.names, &pos)))
			if (s->node && s == s->node->place)
				rc = meet(m, s->node, err);
	}
	return rc;
}

static void put_all(struct met *m)
{
	for (size_t i = m->n; i-- > 0;)
		pfs_node_put(&m->items[i]);
	free(m->items);
}

/* Whiteouts hide nothing any more. */
static void free_whiteouts(struct pfs_node *dir)
{
	struct pfs_link *head = &dir->dir.pending, *next;

	for (struct pfs_link *p = head->next; p != head; p = next) {
		struct pfs_slot *s = PFS_OF_LINK(p, struct pfs_slot, pending);

		next = p->next;
		if (!s->node)
			pfs_slot_free(s);
	}
}

/* The node becomes what the new base has at its name; false when it cannot. */
static bool take_over(struct pfs_workspace *ws, struct pfs_node *n)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	struct pfs_slot *s = n->place;
	int rc;

	/* Which names are one file may be another thing there. */
	if (s->dir->dir.dead || n->n_places > 1 ||
	    (n->type == PFS_ENTRY_FILE && n->file.spooled && n->file.spooled->users))
		return false;
	rc = pfs_tree_find(ws->store, &s->dir->dir.base, s->name, s->name_len, &found, NULL);
	if (rc < 0 || found.e.type != n->type || found.e.link ||
	    pfs_node_fill(n, &found.e, NULL) < 0)
		return false;
	if (n->type == PFS_ENTRY_FILE) {
		n->file.state = PFS_FILE_CLEAN;
		if (n->file.spooled)
			pfs_spooled_drop(n);
	}
	s->in_base = s->in_sealed = true;
	pfs_node_clean(n);
	return true;
}

/* Whoever holds it holds something without a name; nothing can be made in it. */
static void cut_off(struct pfs_node *n)
{
	while (n->place) {
		struct pfs_slot *s = n->place;

		pfs_slot_empty(s);
		pfs_slot_free(s);
	}
	if (n->type == PFS_ENTRY_DIR) {
		memset(&n->dir.base, 0, sizeof(n->dir.base));
		n->dir.dead = true;
	}
}

static void reset_node(struct pfs_workspace *ws, struct pfs_node *n, bool keep)
{
	n->stamp = ++ws->stamp;
	if (n != ws->root && !(keep && take_over(ws, n)))
		cut_off(n);
	if (n->type == PFS_ENTRY_DIR)
		free_whiteouts(n);
}

/* A directory that will be the root, under a number of its own until then. */
static int make_next_root(struct pfs_workspace *ws, struct pfs_node **out, struct pfs_error *err)
{
	uint64_t chance = pfs_rand_u64();

	return pfs_node_new(ws, PFS_ENTRY_DIR,
			    pfs_node_pick_ino(ws, 0, (const char *)&chance, sizeof(chance)), out,
			    err);
}

/* Takes `next`; cannot fail: the map had room for both. */
static void replace_root(struct pfs_workspace *ws, struct pfs_node *next)
{
	struct pfs_node *last = ws->root;

	pfs_node_clean(last);
	cut_off(last);
	pfs_map_remove(&ws->inos, &last->ino, sizeof(last->ino));
	pfs_map_remove(&ws->inos, &next->ino, sizeof(next->ino));
	last->ino = next->ino;
	next->ino = PFS_ROOT_INO;
	pfs_map_set(&ws->inos, &last->ino, sizeof(last->ino), last, NULL);
	pfs_map_set(&ws->inos, &next->ino, sizeof(next->ino), next, NULL);
	ws->root = next;
	pfs_node_put(&last);
}

static void stand_on(struct pfs_workspace *ws, const struct pfs_root *base)
{
	ws->base = *base;
	ws->bases++;
	ws->base_links = !pfs_id_is_zero(&base->dir);
	ws->root->dir.base = base->dir;
	ws->root->attrs = base->attrs;
	ws->root->atime_ns = ws->root->ctime_ns = pfs_attrs_mtime_ns(&base->attrs);
}

/* What is read from the store here is read with the lock held: nobody may see half of it. */
static int start_anew(struct pfs_workspace *ws, const struct pfs_root *base, bool keep,
		      struct pfs_error *err)
{
	struct pfs_node *next = NULL;
	struct met m = { 0 };
	int rc;

	pfs_sealing_free(ws);
	pfs_rwlock_write(&ws->lock);
	rc = meet_all(ws, &m, err);
	if (rc == 0 && !keep)
		rc = make_next_root(ws, &next, err);
	if (rc == 0) {
		stand_on(ws, base);
		for (size_t i = 0; i < m.n; i++)
			reset_node(ws, m.items[i], keep);
		if (next) {
			replace_root(ws, next);
			stand_on(ws, base);
		}
		pfs_node_clean(ws->root);
		note_base(ws);
	}
	put_all(&m);
	pfs_rwlock_unlock(&ws->lock);
	if (rc < 0)
		return rc;
	pfs_feed_note_all(&ws->feed);
	return pfs_workspace_save(ws, err);
}

/*
 * A node whose name leads to the same kind of thing in the new base becomes
 * that, so that a shell standing in a directory stays there.
 */
int pfs_workspace_reset(struct pfs_workspace *ws, const struct pfs_root *base,
			struct pfs_error *err)
{
	return start_anew(ws, base, true, err);
}

int pfs_workspace_evict(struct pfs_workspace *ws, const struct pfs_root *base,
			struct pfs_error *err)
{
	return start_anew(ws, base, false, err);
}
