/*
 *	1. without the lock, up to three rounds: read and chunk what is new
 *	2. with the lock, for a moment: what is there now? Files that changed since
 *	   round three are chunked here.
 *	3. without the lock: edit the trees from the deepest directory up
 */
#include "workspace/seal.h"
#include "base/io.h"
#include "base/vec.h"
#include "tree/content.h"
#include "tree/tree.h"
#include "workspace/save.h"
#include "workspace/sealing_i.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS         3
#define SMALL_SIZE_MAX (64u * 1024)  /* read whole into memory: two calls a file */
#define OPEN_SIZE_MAX  (256u * 1024) /* a file being written is chunked under the lock up to this */
#define EDITS_MAX      1024u         /* edits at a time: bounds memory, costs a few nodes a batch */

/* A file whose bytes are to be chunked without the lock. */
struct task {
	struct pfs_node *node; /* one reference */
	struct pfs_spool_name name;
	uint64_t stamp;
	bool open;
	struct pfs_kept *kept; /* the result; NULL: it went away meanwhile */
};

struct tasks PFS_VEC(struct task);
PFS_VEC_DEFINE(push_task, struct tasks, struct task, "a seal")

struct dirs PFS_VEC(struct pfs_node *);
PFS_VEC_DEFINE(push_dir, struct dirs, struct pfs_node *, "a seal")

PFS_VEC_DEFINE(push_item, struct pfs_sealed_items, struct pfs_sealed_item, "a seal")

static int chunk_small(struct pfs_store *st, int fd, uint64_t size, struct pfs_content *out,
		       struct pfs_error *err)
{
	unsigned char *bytes = malloc(SMALL_SIZE_MAX);
	size_t got;
	int rc;

	if (!bytes)
		return pfs_fail_nomem(err, "a file's bytes");
	rc = pfs_io_pread(fd, bytes, (size_t)size, 0, &got, err);
	if (rc == 0)
		rc = pfs_content_from_bytes(st, bytes, got, out, err);
	free(bytes);
	return rc;
}

static int chunk_fd(struct pfs_workspace *ws, const struct pfs_spool_name *name, int fd,
		    struct pfs_kept **out, struct pfs_error *err)
{
	struct pfs_content content;
	struct pfs_spool_stat st;
	int rc = pfs_spool_stat(&ws->spool, name, fd, &st, err);

	if (rc == 0 && st.size <= SMALL_SIZE_MAX)
		rc = chunk_small(ws->store, fd, st.size, &content, err);
	else if (rc == 0)
		rc = pfs_content_from_fd(ws->store, fd, st.size, NULL, &content, err);
	if (rc < 0)
		return rc;
	*out = pfs_kept_new(&content);
	return *out ? 0 : pfs_fail_nomem(err, "a content");
}

static int chunk_named(struct pfs_workspace *ws, const struct pfs_spool_name *name,
		       struct pfs_kept **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_spool_reopen(&ws->spool, name, err);

	return fd < 0 ? fd : chunk_fd(ws, name, fd, out, err);
}

/* Whether the bytes of a NEW file are known as they are now. */
static bool is_chunked(const struct pfs_workspace *ws, const struct pfs_node *n)
{
	const struct pfs_node_file *f = &n->file;

	return f->chunked && f->chunked_seal == ws->seals && f->chunked_stamp == n->stamp &&
	       !f->chunked_open && !f->writers;
}

/* Being written right now and known as it was during this seal: that is what "as it is" means. */
static bool is_known_open(const struct pfs_workspace *ws, const struct pfs_node *n)
{
	const struct pfs_node_file *f = &n->file;

	return f->chunked && f->chunked_seal == ws->seals && f->writers &&
	       f->chunked->size > OPEN_SIZE_MAX;
}

static bool is_new(const struct pfs_node *n)
{
	return n && n->type == PFS_ENTRY_FILE && n->file.state == PFS_FILE_NEW;
}

static int add_task(struct tasks *t, struct pfs_node *n, struct pfs_error *err)
{
	const struct task task = {
		.node = n,
		.name = n->file.spooled->name,
		.stamp = n->stamp,
		.open = n->file.writers != 0,
	};
	int rc = push_task(t, task, err);

	if (rc == 0)
		pfs_node_ref(n);
	return rc;
}

/* Files that have to be chunked; the lock is held for reading. */
static int collect(struct pfs_workspace *ws, struct tasks *t, struct pfs_error *err)
{
	struct dirs dirs = { 0 };
	int rc = push_dir(&dirs, ws->root, err);

	for (size_t i = 0; rc == 0 && i < dirs.n; i++) {
		struct pfs_link *head = &dirs.items[i]->dir.pending;

		for (struct pfs_link *p = head->next; rc == 0 && p != head; p = p->next) {
			struct pfs_node *n = PFS_OF_LINK(p, struct pfs_slot, pending)->node;

			if (n && n->type == PFS_ENTRY_DIR)
				rc = push_dir(&dirs, n, err);
			else if (is_new(n) && !is_chunked(ws, n) && !is_known_open(ws, n))
				rc = add_task(t, n, err);
		}
	}
	free(dirs.items);
	return rc;
}

/* What was read goes to its nodes; whether it still counts is decided when it is used. */
static void finish_tasks(struct pfs_workspace *ws, struct tasks *t)
{
	pfs_rwlock_write(&ws->lock);
	for (size_t i = 0; i < t->n; i++) {
		struct task *task = &t->items[i];
		struct pfs_node_file *f = &task->node->file;

		if (task->kept) {
			pfs_kept_unref(&f->chunked);
			f->chunked = task->kept;
			f->chunked_stamp = task->stamp;
			f->chunked_seal = ws->seals;
			f->chunked_open = task->open;
		}
		pfs_node_put(&task->node);
	}
	pfs_rwlock_unlock(&ws->lock);
	free(t->items);
}

/* One round: 1 when there was something to do. */
static int chunk_round(struct pfs_workspace *ws, struct pfs_error *err)
{
	struct tasks t = { 0 };
	size_t n;
	int rc;

	pfs_rwlock_read(&ws->lock);
	rc = collect(ws, &t, err);
	pfs_rwlock_unlock(&ws->lock);
	for (size_t i = 0; rc == 0 && i < t.n; i++) {
		rc = chunk_named(ws, &t.items[i].name, &t.items[i].kept, err);
		if (rc == PFS_E_CORRUPT)
			rc = 0; /* removed since; if it was not, the snapshot will say so */
	}
	n = t.n;
	finish_tasks(ws, &t);
	return rc < 0 ? rc : n > 0;
}

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
	}
	if (rc == 0)
		rc = push_item(&s->all, item, err);
	if (rc == 0 && n)
		pfs_node_ref(n);
	return rc;
}

/* The bytes of a file, known or read now. */
static int snapshot_file(struct pfs_workspace *ws, struct pfs_sealed_item *item,
			 struct pfs_error *err)
{
	struct pfs_node *n = item->node;
	struct pfs_node_file *f = &n->file;
	struct pfs_spool_stat st;
	int rc;

	if (!is_new(n)) {
		item->kept = pfs_kept_ref(f->kept);
		return 0;
	}
	if (f->writers) {
		item->open = true;
		rc = pfs_spool_stat(&ws->spool, &f->spooled->name, f->spooled->fd, &st, err);
		if (rc < 0)
			return rc;
		item->attrs.mtime_sec = st.mtime_sec;
		item->attrs.mtime_nsec = st.mtime_nsec;
	}
	if (is_chunked(ws, n) || is_known_open(ws, n)) {
		item->kept = pfs_kept_ref(f->chunked);
		return 0;
	}
	if (f->spooled->fd >= 0)
		return chunk_fd(ws, &f->spooled->name, f->spooled->fd, &item->kept, err);
	return chunk_named(ws, &f->spooled->name, &item->kept, err);
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

		slot->in_sealed = slot->node != NULL;
		if (!slot->node && !slot->in_base)
			continue;
		rc = add_item(s, slot->node, slot, err);
		if (rc == 0 && slot->node && slot->node->type == PFS_ENTRY_FILE)
			rc = snapshot_file(ws, &s->all.items[s->all.n - 1], err);
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
	rc = add_item(s, ws->root, NULL, err);
	for (size_t i = 0; rc == 0 && i < s->all.n; i++)
		if (is_dir(&s->all.items[i]))
			rc = snapshot_dir(ws, s, i, err);
	pfs_rwlock_unlock(&ws->lock);
	return rc;
}

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
	out->link = n->link;
	if (n->xattrs)
		out->xattrs = *n->xattrs;
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

static int edit_some(struct pfs_workspace *ws, struct pfs_sealing *s, struct pfs_id *dir,
		     size_t first, size_t n, struct batch *b, struct pfs_error *err)
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
			rc = make_entry(ws->store, item, &b->entries[i], err);
	}
	if (rc == 0)
		rc = pfs_tree_edit(ws->store, dir, b->edits, n, &result, err);
	if (rc == 0)
		*dir = result;
	return rc;
}

static int edit_trees(struct pfs_workspace *ws, struct pfs_sealing *s, struct pfs_error *err)
{
	struct batch *b = malloc(sizeof(*b));
	int rc = 0;

	if (!b)
		return pfs_fail_nomem(err, "a seal");
	for (size_t i = s->all.n; rc == 0 && i-- > 0;) {
		struct pfs_sealed_item *item = &s->all.items[i];

		for (size_t at = 0; is_dir(item) && rc == 0 && at < item->n; at += EDITS_MAX) {
			size_t n = item->n - at < EDITS_MAX ? item->n - at : EDITS_MAX;

			rc = edit_some(ws, s, &item->dir, item->first + at, n, b, err);
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

static int begin(struct pfs_workspace *ws, struct pfs_error *err)
{
	pfs_sealing_free(ws);
	ws->sealing = calloc(1, sizeof(*ws->sealing));
	if (!ws->sealing)
		return pfs_fail_nomem(err, "a seal");
	pfs_buf_init(&ws->sealing->names, SIZE_MAX / 2);
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

int pfs_workspace_seal(struct pfs_workspace *ws, const struct pfs_commit_id *mark,
		       struct pfs_sealed *out, struct pfs_error *err)
{
	struct pfs_sealing *s;
	int rc = begin(ws, err);

	for (int round = 0; rc == 0 && round < ROUNDS; round++) {
		rc = chunk_round(ws, err);
		if (rc == 0)
			break;
		rc = rc < 0 ? rc : 0;
	}
	s = ws->sealing;
	if (rc == 0)
		rc = snapshot(ws, s, err);
	if (rc == 0)
		rc = edit_trees(ws, s, err);
	if (rc == 0 && mark)
		rc = announce(ws, mark, err);
	if (rc < 0) {
		pfs_sealing_free(ws);
		return pfs_wrap(err, rc, "seal workspace %s", ws->folder);
	}
	s->root.dir = s->all.items[0].dir;
	s->root.attrs = s->all.items[0].attrs;
	if (mark)
		s->root.mark = *mark;
	s->done = true;
	out->root = s->root;
	out->generation = s->generation;
	return 0;
}
