#include "workspace/workspace.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/rand.h"
#include "tree/content.h"
#include "tree/linkgroups.h"
#include "workspace/file.h"
#include "workspace/load.h"
#include "workspace/save.h"
#include "workspace/seal.h"
#include "workspace/workspace_i.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define REAP_PER_TICK 4096u /* some 50 ms of removing */

void pfs_attrs_set_mtime(struct pfs_attrs *a, int64_t ns)
{
	a->mtime_sec = ns / 1000000000;
	if (ns % 1000000000 < 0)
		a->mtime_sec--;
	a->mtime_nsec = (uint32_t)(ns - a->mtime_sec * 1000000000);
}

static void init(struct pfs_workspace *ws, struct pfs_store *st)
{
	ws->store = st;
	pfs_spool_init(&ws->spool);
	ws->lent_size_min = PFS_LENT_SIZE_MIN;
	ws->seed = pfs_rand_u64();
	pfs_map_init(&ws->inos);
	pfs_link_init(&ws->queued_nodes);
	pfs_link_init(&ws->queued_slots);
	pfs_link_init(&ws->written);
	pfs_journal_batch_init(&ws->pending);
	pfs_journal_batch_init(&ws->writing);
	pfs_rwlock_init(&ws->lock, PFS_RANK_WORKSPACE);
	pfs_lock_init(&ws->flush_lock, PFS_RANK_WORKSPACE_FLUSH);
	pfs_feed_init(&ws->feed);
}

static int open_folder(struct pfs_workspace *ws, const char *folder, const struct pfs_root *base,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	bool journaled;
	int rc = pfs_io_mkdir_all(AT_FDCWD, folder, err);

	if (rc < 0)
		return rc;
	fd = pfs_io_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return fd;
	rc = pfs_spool_open(fd, &ws->spool, err);
	if (rc == 0)
		rc = pfs_journal_is_there(folder, &ws->spool, &journaled, err);
	if (rc == 0)
		rc = pfs_journal_open(folder, base, &ws->journal, err);
	if (rc == PFS_E_NOSPACE && pfs_spool_release(&ws->spool))
		rc = pfs_journal_open(folder, base, &ws->journal, err);
	if (rc == 0)
		rc = pfs_io_fsync(fd, folder, err);
	if (rc == 0)
		rc = pfs_workspace_load(ws, err);
	if (rc == 0)
		pfs_spool_reserve(&ws->spool);
	/* See the door: a journal that is older than what was made of it. */
	if (rc == 0 && !pfs_commit_id_equal(&base->mark, &ws->base.mark) &&
	    !pfs_commit_id_equal(&base->mark, &ws->sealed))
		rc = pfs_workspace_reset(ws, base, err);
	return rc;
}

/* Nobody holds a node any more; what is left is ours, and the journal has it. */
static void free_nodes(struct pfs_workspace *ws)
{
	struct pfs_node *n;
	size_t pos = 0, at;

	while ((n = pfs_map_next(&ws->inos, &pos))) {
		struct pfs_slot *s;

		if (n->type != PFS_ENTRY_DIR)
			continue;
		at = 0;
		while ((s = pfs_map_next(&n->dir.names, &at)))
			free(s);
		pfs_map_fini(&n->dir.names);
	}
	pos = 0;
	while ((n = pfs_map_next(&ws->inos, &pos)))
		pfs_node_release(n);
	pfs_map_fini(&ws->inos);
}

static void discard(struct pfs_workspace **ws)
{
	struct pfs_workspace *w = *ws;

	pfs_feed_fini(&w->feed);
	pfs_sealing_free(w);
	free_nodes(w);
	pfs_linkgroups_free(&w->groups);
	pfs_journal_close(&w->journal);
	pfs_spool_close(&w->spool);
	pfs_journal_batch_fini(&w->pending);
	pfs_journal_batch_fini(&w->writing);
	free(w->doomed.items);
	free(w->condemned.items);
	free(w->loose.items);
	free(w->nameless.items);
	pfs_rwlock_fini(&w->lock);
	pfs_lock_fini(&w->flush_lock);
	free(w->folder);
	free(w);
	*ws = NULL;
}

int pfs_workspace_open(const char *folder, struct pfs_store *st, const struct pfs_root *base,
		       struct pfs_workspace **out, struct pfs_error *err)
{
	struct pfs_workspace *ws = calloc(1, sizeof(*ws));
	int rc;

	if (!ws)
		return pfs_fail_nomem(err, "a workspace");
	init(ws, st);
	ws->folder = strdup(folder);
	rc = ws->folder ? pfs_linkgroups_new(st, &ws->groups, err)
			: pfs_fail_nomem(err, "a workspace");
	if (rc == 0)
		rc = open_folder(ws, folder, base, err);
	if (rc < 0) {
		discard(&ws);
		return pfs_wrap(err, rc, "open workspace %s", folder);
	}
	*out = ws;
	return 0;
}

void pfs_workspace_close(struct pfs_workspace **ws)
{
	if (!*ws)
		return;
	pfs_workspace_sync(*ws, NULL);
	pfs_workspace_reap(*ws, SIZE_MAX);
	discard(ws);
}

int64_t pfs_workspace_check(struct pfs_workspace *ws, void (*damage)(void *arg, const char *text),
			    void *arg)
{
	int64_t n;

	pfs_lock(&ws->flush_lock);
	n = pfs_journal_check(ws->journal, damage, arg);
	pfs_unlock(&ws->flush_lock);
	return n;
}

int pfs_workspace_remove(const char *folder, struct pfs_error *err)
{
	return pfs_io_remove_all(AT_FDCWD, folder, err);
}

struct pfs_node *pfs_workspace_root(struct pfs_workspace *ws)
{
	struct pfs_node *root;

	pfs_rwlock_read(&ws->lock);
	root = pfs_node_ref(ws->root);
	pfs_rwlock_unlock(&ws->lock);
	return root;
}

void pfs_workspace_base(struct pfs_workspace *ws, struct pfs_root *out)
{
	pfs_rwlock_read(&ws->lock);
	*out = ws->base;
	pfs_rwlock_unlock(&ws->lock);
}

bool pfs_workspace_dirty(struct pfs_workspace *ws)
{
	bool dirty;

	pfs_rwlock_read(&ws->lock);
	dirty = ws->root->dirty;
	pfs_rwlock_unlock(&ws->lock);
	return dirty;
}

int pfs_workspace_tick(struct pfs_workspace *ws, int64_t age_ms, struct pfs_error *err)
{
	int64_t oldest;
	int rc = 0;

	pfs_workspace_end_hold(ws);
	pfs_rwlock_read(&ws->lock);
	oldest = ws->oldest_ms;
	pfs_rwlock_unlock(&ws->lock);
	/* What was handed over to a flush that may yet fail is not written down. */
	if (age_ms <= 0 || (oldest && pfs_clock_monotonic_ms() - oldest >= age_ms))
		rc = pfs_workspace_save(ws, err);
	pfs_workspace_reap(ws, REAP_PER_TICK);
	/* A flush that gave the room up needs it all; it makes it again itself. */
	if (rc == 0 && pfs_try_lock(&ws->flush_lock)) {
		pfs_spool_reserve(&ws->spool);
		pfs_unlock(&ws->flush_lock);
	}
	return rc;
}

/* A file that may change behind our back is looked at, any other is remembered. */
static int get_file_attr(struct pfs_node *n, struct pfs_node_attr *out, struct pfs_error *err)
{
	struct pfs_spool_stat st;
	int rc;

	if (n->file.state == PFS_FILE_CLEAN) {
		out->size_bytes = n->file.kept->size;
		out->blocks = (out->size_bytes + 511) / 512;
		return 0;
	}
	out->size_bytes = n->file.size;
	out->blocks = n->file.blocks;
	if (!n->file.writers && n->file.state == PFS_FILE_NEW)
		return 0;
	rc = pfs_spooled_stat(n, &st, &out->attrs.mode, err);
	if (rc < 0)
		return rc;
	out->size_bytes = st.size;
	out->blocks = st.blocks;
	out->attrs.mtime_sec = st.mtime_sec;
	out->attrs.mtime_nsec = st.mtime_nsec;
	if (pfs_attrs_mtime_ns(&out->attrs) > out->ctime_ns)
		out->ctime_ns = pfs_attrs_mtime_ns(&out->attrs);
	return 0;
}

static int get_attr(struct pfs_node *n, struct pfs_node_attr *out, struct pfs_error *err)
{
	memset(out, 0, sizeof(*out));
	out->ino = n->ino;
	out->type = n->type;
	out->attrs = n->attrs;
	out->atime_ns = n->atime_ns;
	out->ctime_ns = n->ctime_ns;
	out->nlink = n == n->ws->root ? 1 : n->n_places;
	out->dirty = n->dirty;
	switch (n->type) {
	case PFS_ENTRY_FILE:
		return get_file_attr(n, out, err);
	case PFS_ENTRY_DIR:
		out->size_bytes =
			4096; /* what programs expect; 0 looks like a pseudo file system */
		return 0;
	case PFS_ENTRY_SYMLINK:
		out->size_bytes = n->symlink.target_len;
		return 0;
	default:
		out->rdev = n->rdev;
		return 0;
	}
}

/*
 * A committed content in which holes may be, one reference, and how many blocks
 * lie elsewhere; NULL: the attributes have it right.
 */
static struct pfs_kept *look_for_base(struct pfs_node *n, uint64_t *out_blocks)
{
	struct pfs_patched *p = n->file.spooled ? n->file.spooled->patch : NULL;
	struct pfs_kept *base = n->file.kept;
	struct pfs_spool_stat st = { 0 };

	if (n->file.state == PFS_FILE_PATCHED) {
		if (pfs_spool_stat(&n->ws->spool, &n->file.spooled->name, n->file.spooled->fd, &st,
				   NULL) < 0)
			return NULL;
		pfs_lock(&p->lock);
		base = pfs_kept_ref(p->base);
		pfs_unlock(&p->lock);
	} else if (n->file.state == PFS_FILE_CLEAN && base->size >= PFS_SPARSE_SIZE_MIN) {
		base = pfs_kept_ref(base);
	} else {
		base = NULL;
	}
	*out_blocks = st.blocks;
	return base;
}

/* How many blocks the data of a content take; when it cannot be told, as if it had no holes. */
static uint64_t count_blocks(struct pfs_workspace *ws, const struct pfs_kept *kept)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	struct pfs_content content;
	uint64_t data = kept->size;

	pfs_kept_content(kept, &content);
	if (pfs_content_reader_open(ws->store, &content, &r, NULL) == 0)
		pfs_content_data_size(r, &data, NULL);
	return (data + 511) / 512;
}

int pfs_workspace_getattr(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_node_attr *out,
			  struct pfs_error *err)
{
	struct pfs_kept *base = NULL;
	struct pfs_node_attr attr;
	uint64_t blocks = 0;
	int rc;

	pfs_rwlock_read(&ws->lock);
	rc = get_attr(n, &attr, err);
	if (rc == 0 && n->type == PFS_ENTRY_FILE)
		base = look_for_base(n, &blocks);
	pfs_rwlock_unlock(&ws->lock);
	if (rc < 0)
		return rc;
	if (base) {
		blocks += count_blocks(ws, base);
		attr.blocks = blocks < attr.blocks ? blocks : attr.blocks;
		pfs_kept_unref(&base);
	}
	*out = attr;
	return 0;
}

static int set_attrs(struct pfs_node *n, unsigned which, const struct pfs_node_attr *set,
		     struct pfs_error *err)
{
	int rc = 0;

	/* From here on every write is one after this change. */
	if (n->type == PFS_ENTRY_FILE && n->file.state != PFS_FILE_CLEAN && n->file.writers)
		rc = pfs_spooled_look(n, err);
	if (rc < 0)
		return rc;
	if ((which & PFS_NODE_MTIME) && n->type == PFS_ENTRY_FILE && n->file.spooled)
		rc = pfs_spooled_set_mtime(n, &set->attrs, err);
	if (rc < 0)
		return rc;
	if (which & PFS_NODE_MTIME) {
		n->attrs.mtime_sec = set->attrs.mtime_sec;
		n->attrs.mtime_nsec = set->attrs.mtime_nsec;
		if (n->type == PFS_ENTRY_FILE && n->file.spooled)
			n->file.spooled->unsynced = true;
	}
	if (which & PFS_NODE_MODE)
		n->attrs.mode = set->attrs.mode & 07777;
	if (which & PFS_NODE_UID)
		n->attrs.uid = set->attrs.uid;
	if (which & PFS_NODE_GID)
		n->attrs.gid = set->attrs.gid;
	if (which & PFS_NODE_ATIME)
		n->atime_ns = set->atime_ns;
	n->ctime_ns = pfs_clock_ns();
	/* Nobody writes access times down, so a clean node stays clean. */
	if (which != PFS_NODE_ATIME || n->dirty)
		pfs_node_touch(n);
	return 0;
}

/* One more that waits for the journal, if it does not yet. To cut what has bytes here makes room. */
static int admit_change(struct pfs_workspace *ws, struct pfs_node *n, unsigned which,
			struct pfs_error *err)
{
	bool free;

	pfs_rwlock_read(&ws->lock);
	free = !pfs_link_alone(&n->queued) ||
	       (which == PFS_NODE_SIZE && n->type == PFS_ENTRY_FILE && n->file.spooled);
	pfs_rwlock_unlock(&ws->lock);
	return free ? 0 : pfs_workspace_admit(ws, err);
}

int pfs_workspace_setattr(struct pfs_workspace *ws, struct pfs_node *n, unsigned which,
			  const struct pfs_node_attr *set, struct pfs_error *err)
{
	int rc = 0;

	if ((which & PFS_NODE_MTIME) && set->attrs.mtime_nsec > 999999999)
		return pfs_fail(err, PFS_E_INVALID, "a time of %u nanoseconds",
				set->attrs.mtime_nsec);
	if (which & ~(unsigned)PFS_NODE_ATIME)
		rc = admit_change(ws, n, which, err);
	if (rc == 0 && (which & PFS_NODE_SIZE))
		rc = pfs_file_resize(n, set->size_bytes, err);
	if (rc == 0 && (which & ~(unsigned)PFS_NODE_SIZE)) {
		pfs_rwlock_write(&ws->lock);
		rc = set_attrs(n, which, set, err);
		pfs_rwlock_unlock(&ws->lock);
	}
	if (rc == 0 && which)
		pfs_feed_note(&ws->feed, n, NULL, 0);
	return rc;
}

int pfs_workspace_readlink(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_buf *out,
			   struct pfs_error *err)
{
	if (n->type != PFS_ENTRY_SYMLINK)
		return pfs_fail(err, PFS_E_INVALID, "not a symlink");
	return pfs_buf_add(out, n->symlink.target, n->symlink.target_len, err);
}
