/*
 *	1. without the lock, up to three rounds: read and chunk what is new
 *	2. with the lock, for a moment: what is there now? Files that changed since
 *	   round three are chunked here.
 *	3. without the lock: edit the trees from the deepest directory up
 */
#include "workspace/seal.h"
#include "base/stop.h"
#include "base/vec.h"
#include "tree/links.h"
#include "tree/tree.h"
#include "workspace/chunk.h"
#include "workspace/save.h"
#include "workspace/sealing_i.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS    3
#define EDITS_MAX 1024u /* edits at a time: bounds memory, costs a few nodes a batch */

PFS_VEC_DEFINE(push_item, struct pfs_sealed_items, struct pfs_sealed_item, "a seal")

static int add_item(struct pfs_sealing *s, struct pfs_node *n, const struct pfs_slot *slot,
		    struct pfs_error *err)
{
	struct pfs_sealed_item item = { .node = n, .name_at = s->names.len };
	int rc = 0;

	if (slot) {
		rc = pfs_buf_add(&s->names, slot->name, slot->name_len, err);
		item.name_len = slot->name_len;
	}
	if (n) {
		item.stamp = n->stamp;
		item.attrs = n->attrs;
		if (n->xattrs)
			item.xattrs = *n->xattrs;
		item.several = n->n_places > 1;
	}
	if (rc == 0)
		rc = push_item(&s->all, item, err);
	if (rc == 0 && n)
		pfs_node_ref(n);
	return rc;
}

/* A file that is being written is taken as it is. */
static int snapshot_file(struct pfs_workspace *ws, struct pfs_sealed_item *item,
			 struct pfs_error *err)
{
	struct pfs_node *n = item->node;
	struct pfs_spool_stat st;
	int rc = 0;

	item->open = pfs_node_is_written(n);
	if (n->file.state == PFS_FILE_PATCHED || (n->file.state == PFS_FILE_NEW && item->open)) {
		rc = pfs_spooled_stat(n, &st, &item->attrs.mode, err);
		if (rc < 0)
			return rc;
		item->attrs.mtime_sec = st.mtime_sec;
		item->attrs.mtime_nsec = st.mtime_nsec;
	}
	return pfs_chunk_take(ws, n, &item->kept, err);
}

static int compare_items(const void *a, const void *b, void *arg)
{
	const struct pfs_sealed_item *x = a, *y = b;
	const unsigned char *names = arg;
	size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
	int order = memcmp(names + x->name_at, names + y->name_at, len);

	return order ? order : (int)x->name_len - (int)y->name_len;
}

static int snapshot_dir(struct pfs_workspace *ws, struct pfs_sealing *s, size_t at,
			struct pfs_error *err)
{
	struct pfs_node *dir = s->all.items[at].node;
	struct pfs_link *head = &dir->dir.pending;
	size_t first = s->all.n;
	int rc = 0;

	for (struct pfs_link *p = head->next; rc == 0 && p != head; p = p->next) {
		struct pfs_slot *slot = PFS_OF_LINK(p, struct pfs_slot, pending);

		/* A preview is settled never. */
		if (s->store == ws->store)
			slot->in_sealed = slot->node != NULL;
		if (!slot->node && !slot->in_base)
			continue;
		rc = add_item(s, slot->node, slot, err);
		if (rc == 0 && slot->node && slot->node->type == PFS_ENTRY_FILE &&
		    slot->node->place == slot)
			rc = snapshot_file(ws, &s->all.items[s->all.n - 1], err);
		if (rc == 0)
			s->all.items[s->all.n - 1].above = at;
	}
	s->all.items[at].first = first;
	s->all.items[at].n = s->all.n - first;
	s->all.items[at].dir = dir->dir.base;
	if (s->all.n > first)
		qsort_r(s->all.items + first, s->all.n - first, sizeof(*s->all.items),
			compare_items, s->names.data);
	return rc;
}

static bool is_dir(const struct pfs_sealed_item *item)
{
	return item->node && item->node->type == PFS_ENTRY_DIR;
}

static int snapshot(struct pfs_workspace *ws, struct pfs_sealing *s, struct pfs_error *err)
{
	int rc;

	pfs_rwlock_write(&ws->lock);
	s->flushes = ws->flushes;
	s->moves = ws->moves;
	rc = add_item(s, ws->root, NULL, err);
	for (size_t i = 0; rc == 0 && i < s->all.n; i++)
		if (is_dir(&s->all.items[i]))
			rc = snapshot_dir(ws, s, i, err);
	pfs_rwlock_unlock(&ws->lock);
	return rc;
}

/* --- names of one file ----------------------------------------------------- */

static int by_node(const void *a, const void *b)
{
	const struct pfs_sealed_item *x = *(struct pfs_sealed_item *const *)a;
	const struct pfs_sealed_item *y = *(struct pfs_sealed_item *const *)b;

	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	return (x > y) - (x < y);
}

/* From the root, terminated. */
static int add_path(const struct pfs_sealing *s, const struct pfs_sealed_item *item,
		    struct pfs_buf *out, struct pfs_error *err)
{
	const struct pfs_sealed_item *way[PFS_TREE_DEPTH_MAX + 1];
	size_t depth = 0;
	int rc = 0;

	for (; item != s->all.items; item = &s->all.items[item->above]) {
		if (depth > PFS_TREE_DEPTH_MAX)
			return pfs_fail(err, PFS_E_LIMIT,
					"a file with several names is more than %u levels deep",
					PFS_TREE_DEPTH_MAX);
		way[depth++] = item;
	}
	while (rc == 0 && depth-- > 0) {
		rc = pfs_buf_add(out, s->names.data + way[depth]->name_at, way[depth]->name_len,
				 err);
		if (rc == 0)
			rc = pfs_buf_add(out, depth ? "/" : "", 1, err);
	}
	return rc;
}

/* What was seen at the first place of the node is so at all of them. */
static void share_snapshot(struct pfs_sealed_item *const *items, size_t n)
{
	const struct pfs_sealed_item *seen = items[0];

	for (size_t i = 1; i < n; i++)
		if (items[i]->kept)
			seen = items[i];
	for (size_t i = 0; i < n; i++) {
		items[i]->attrs = seen->attrs;
		items[i]->open = seen->open;
		if (seen->kept && !items[i]->kept)
			items[i]->kept = pfs_kept_ref(seen->kept);
		items[i]->again = i + 1 < n;
	}
}

static int number_group(struct pfs_workspace *ws, struct pfs_sealing *s,
			struct pfs_sealed_item *const *items, size_t n, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(SIZE_MAX / 2);
	const char **paths = malloc(n * sizeof(*paths));
	uint64_t *numbers = malloc(n * sizeof(*numbers));
	size_t at = 0;
	int rc = paths && numbers ? 0 : pfs_fail_nomem(err, "a seal");

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = add_path(s, items[i], &text, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		paths[i] = (const char *)text.data + at;
		at += strlen(paths[i]) + 1;
	}
	if (rc == 0) {
		pfs_links_number(ws->store, paths, n, numbers);
		share_snapshot(items, n);
		s->links = true;
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		items[i]->link = numbers[i];
	free(paths);
	free(numbers);
	return rc;
}

/* Every name of a node that is sealed has an item: find those that belong together. */
static int number_groups(struct pfs_workspace *ws, struct pfs_sealing *s, struct pfs_error *err)
{
	struct pfs_sealed_item **list;
	size_t n = 0, many;
	int rc = 0;

	for (size_t i = 0; i < s->all.n; i++)
		n += s->all.items[i].several;
	if (n == 0)
		return 0;
	list = malloc(n * sizeof(struct pfs_sealed_item *));
	if (!list)
		return pfs_fail_nomem(err, "a seal");
	n = 0;
	for (size_t i = 0; i < s->all.n; i++)
		if (s->all.items[i].several)
			list[n++] = &s->all.items[i];
	qsort(list, n, sizeof(struct pfs_sealed_item *), by_node);
	for (size_t i = 0; rc == 0 && i < n; i += many) {
		for (many = 1; i + many < n && list[i + many]->node == list[i]->node;)
			many++;
		rc = number_group(ws, s, list + i, many, err);
	}
	free(list);
	return rc;
}

/* --- trees ------------------------------------------------------------------ */

/* Fields of a node that never change are read without the lock; the item holds it. */
static int make_entry(struct pfs_store *st, const struct pfs_sealed_item *item,
		      struct pfs_entry *out, struct pfs_error *err)
{
	const struct pfs_node *n = item->node;
	struct pfs_tree_totals totals = { 0 };
	int rc = 0;

	memset(out, 0, offsetof(struct pfs_entry, content));
	out->type = n->type;
	out->attrs = item->attrs;
	out->link = item->link;
	out->xattrs = item->xattrs;
	memset(&out->dir, 0, sizeof(*out) - offsetof(struct pfs_entry, dir));
	switch (n->type) {
	case PFS_ENTRY_FILE:
		pfs_kept_content(item->kept, &out->content);
		return 0;
	case PFS_ENTRY_DIR:
		if (!pfs_id_is_zero(&item->dir))
			rc = pfs_tree_totals(st, &item->dir, &totals, err);
		out->dir = item->dir;
		out->dir_entries = totals.entries;
		out->dir_bytes = totals.bytes;
		return rc;
	case PFS_ENTRY_SYMLINK:
		out->target = n->symlink.target;
		out->target_len = n->symlink.target_len;
		return 0;
	default:
		out->rdev = n->rdev;
		return 0;
	}
}

struct batch {
	struct pfs_edit edits[EDITS_MAX];
	struct pfs_entry entries[EDITS_MAX];
};

static int edit_some(struct pfs_sealing *s, struct pfs_id *dir, size_t first, size_t n,
		     struct batch *b, struct pfs_error *err)
{
	struct pfs_id result;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct pfs_sealed_item *item = &s->all.items[first + i];

		b->edits[i] = (struct pfs_edit){
			.name = (const char *)s->names.data + item->name_at,
			.name_len = item->name_len,
			.entry = item->node ? &b->entries[i] : NULL,
		};
		if (item->node)
			rc = make_entry(s->store, item, &b->entries[i], err);
	}
	if (rc == 0)
		rc = pfs_tree_edit(s->store, dir, b->edits, n, &result, err);
	if (rc == 0)
		*dir = result;
	return rc;
}

static int edit_trees(struct pfs_sealing *s, struct pfs_error *err)
{
	struct batch *b = malloc(sizeof(*b));
	int rc = 0;

	if (!b)
		return pfs_fail_nomem(err, "a seal");
	for (size_t i = s->all.n; rc == 0 && i-- > 0;) {
		struct pfs_sealed_item *item = &s->all.items[i];

		for (size_t at = 0; is_dir(item) && rc == 0 && at < item->n; at += EDITS_MAX) {
			size_t n = item->n - at < EDITS_MAX ? item->n - at : EDITS_MAX;

			rc = pfs_stop_check(err);
			if (rc == 0)
				rc = edit_some(s, &item->dir, item->first + at, n, b, err);
		}
	}
	free(b);
	return rc;
}

void pfs_sealing_free(struct pfs_workspace *ws)
{
	struct pfs_sealing *s = ws->sealing;

	ws->sealing = NULL;
	if (!s)
		return;
	for (size_t i = s->all.n; i-- > 0;) {
		pfs_node_unref(&s->all.items[i].node);
		pfs_kept_unref(&s->all.items[i].kept);
	}
	free(s->all.items);
	pfs_buf_fini(&s->names);
	free(s);
}

static int begin(struct pfs_workspace *ws, struct pfs_store *store, struct pfs_error *err)
{
	pfs_sealing_free(ws);
	ws->sealing = calloc(1, sizeof(*ws->sealing));
	if (!ws->sealing)
		return pfs_fail_nomem(err, "a seal");
	pfs_buf_init(&ws->sealing->names, SIZE_MAX / 2);
	ws->sealing->store = store;
	pfs_rwlock_write(&ws->lock);
	ws->sealing->generation = ++ws->seals;
	pfs_rwlock_unlock(&ws->lock);
	return 0;
}

/*
 * From now on a flush of the journal says that it has all of this seal. One
 * that came since the snapshot could not: it is said after it, or a crash would
 * lose what that flush promised.
 */
static int announce(struct pfs_workspace *ws, const struct pfs_commit_id *mark,
		    struct pfs_error *err)
{
	bool late;

	pfs_rwlock_write(&ws->lock);
	ws->sealed = *mark;
	ws->sealed_unsaved = true;
	late = ws->flushes != ws->sealing->flushes;
	pfs_rwlock_unlock(&ws->lock);
	return late ? pfs_workspace_save(ws, err) : 0;
}

static int make_root(struct pfs_workspace *ws, struct pfs_store *store, enum pfs_chunk_how how,
		     const struct pfs_id *against, struct pfs_error *err)
{
	struct pfs_sealing *s;
	int rc = begin(ws, store, err);

	for (int round = 0; rc == 0 && round < ROUNDS; round++) {
		rc = pfs_chunk_round(ws, how, against, err);
		if (rc == 0)
			break;
		rc = rc < 0 ? rc : 0;
	}
	s = ws->sealing;
	if (rc == 0)
		rc = snapshot(ws, s, err);
	if (rc == 0)
		rc = number_groups(ws, s, err);
	if (rc == 0)
		rc = edit_trees(s, err);
	if (rc < 0)
		return rc;
	s->root.dir = s->all.items[0].dir;
	s->root.attrs = s->all.items[0].attrs;
	return 0;
}

static int give_up(struct pfs_workspace *ws, int rc, struct pfs_error *err)
{
	pfs_sealing_free(ws);
	return pfs_wrap(err, rc, "seal workspace %s", ws->folder);
}

int pfs_workspace_seal(struct pfs_workspace *ws, const struct pfs_commit_id *mark,
		       struct pfs_sealed *out, struct pfs_error *err)
{
	struct pfs_sealing *s;
	enum pfs_chunk_how how = mark ? PFS_CHUNK_ADOPT : PFS_CHUNK_COPY;
	int rc = make_root(ws, ws->store, how, NULL, err);

	if (rc == 0 && mark)
		rc = announce(ws, mark, err);
	if (rc < 0)
		return give_up(ws, rc, err);
	s = ws->sealing;
	if (mark)
		s->root.mark = *mark;
	s->done = true;
	out->root = s->root;
	out->generation = s->generation;
	return 0;
}

int pfs_workspace_preview(struct pfs_workspace *ws, const struct pfs_id *against,
			  struct pfs_store *aside, struct pfs_sealed *out, struct pfs_error *err)
{
	int rc = make_root(ws, aside, PFS_CHUNK_GLANCE, against, err);

	if (rc < 0)
		return give_up(ws, rc, err);
	out->root = ws->sealing->root;
	out->generation = ws->sealing->generation;
	/* Nobody can settle it, and the store aside is the caller's. */
	pfs_sealing_free(ws);
	return 0;
}
