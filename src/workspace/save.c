#include "workspace/save.h"
#include "base/clock.h"
#include "base/fault.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PFS_VEC_DEFINE(push_name, struct pfs_spool_names, struct pfs_spool_name, "a flush")

void pfs_workspace_note_pending(struct pfs_workspace *ws)
{
	if (!ws->oldest_ms)
		ws->oldest_ms = pfs_clock_monotonic_ms();
}

static void move_names(struct pfs_spool_names *to, struct pfs_spool_names *from)
{
	if (!to->n) {
		struct pfs_spool_names empty = *to;

		*to = *from;
		*from = empty;
		return;
	}
	for (size_t i = 0; i < from->n; i++)
		push_name(to, from->items[i], NULL);
	from->n = 0;
}

/* Without memory for the list the file stays until the next open sweeps it. */
void pfs_workspace_doom(struct pfs_workspace *ws, const struct pfs_spool_name *name, bool journaled)
{
	struct pfs_spool_names *d = journaled ? &ws->doomed : &ws->loose;

	push_name(d, *name, NULL);
	atomic_store_explicit(&ws->n_loose, ws->loose.n, memory_order_relaxed);
}

#define REAP_MAX 256u /* at a time, on the stack */

static size_t take_loose(struct pfs_workspace *ws, struct pfs_spool_name *out, size_t max)
{
	struct pfs_spool_names *d = &ws->loose;
	size_t n;

	pfs_rwlock_write(&ws->lock);
	n = d->n < max ? d->n : max;
	if (n)
		memcpy(out, d->items + (d->n - n), n * sizeof(*out));
	d->n -= n;
	if (d->n == 0) {
		free(d->items);
		*d = (struct pfs_spool_names){ 0 };
	}
	atomic_store_explicit(&ws->n_loose, d->n, memory_order_relaxed);
	pfs_rwlock_unlock(&ws->lock);
	return n;
}

void pfs_workspace_reap(struct pfs_workspace *ws, size_t max)
{
	struct pfs_spool_name names[REAP_MAX];

	while (max && atomic_load_explicit(&ws->n_loose, memory_order_relaxed)) {
		size_t n;

		atomic_fetch_add(&ws->reapers, 1);
		n = take_loose(ws, names, max < REAP_MAX ? max : REAP_MAX);
		pfs_spool_unlink_many(&ws->spool, names, n);
		atomic_fetch_sub(&ws->reapers, 1);
		max -= n;
	}
}

static int hand_over_row(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_buf *blob,
			 struct pfs_error *err)
{
	struct pfs_journal_row row;
	int rc = pfs_node_row(n, blob, &row, err);

	return rc < 0 ? rc : pfs_journal_batch_add(&ws->writing, &row, err);
}

/* What the journal does not have of the ranges. */
static int hand_over_ranges(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_buf *blob,
			    struct pfs_error *err)
{
	struct pfs_patched *p = n->file.spooled->patch;
	struct pfs_ranges *r = &p->map.ranges;
	struct pfs_journal_row row = { .op = PFS_JOURNAL_SAVE_RANGES,
				       .ranges = { .ino = n->ino, .all = p->rewrite } };
	int rc = 0;

	pfs_buf_clear(blob);
	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		const uint64_t pair[2] = { r->items[i].off, r->items[i].end };

		if (!p->rewrite && !r->items[i].fresh)
			continue;
		rc = pfs_buf_add(blob, pair, sizeof(pair), err);
		row.ranges.n++;
	}
	row.ranges.pairs = (const void *)blob->data;
	if (rc == 0 && (row.ranges.all || row.ranges.n))
		rc = pfs_journal_batch_add(&ws->writing, &row, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < r->n; i++)
		r->items[i].fresh = false;
	p->rewrite = p->queued = false;
	return 0;
}

/* The row of a patched file and its ranges are of one moment. */
static int hand_over_file(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_buf *blob,
			  struct pfs_error *err)
{
	struct pfs_patched *p = n->file.spooled ? n->file.spooled->patch : NULL;
	int rc;

	if (p)
		pfs_lock(&p->lock);
	rc = hand_over_row(ws, n, blob, err);
	if (rc == 0 && p)
		rc = hand_over_ranges(ws, n, blob, err);
	if (p)
		pfs_unlock(&p->lock);
	return rc;
}

/* `bytes` are the spool files that have to be durable before the rows that name them. */
static int hand_over_node(struct pfs_workspace *ws, struct pfs_node *n,
			  struct pfs_spool_names *bytes, struct pfs_buf *blob,
			  struct pfs_error *err)
{
	struct pfs_spooled *spooled = n->type == PFS_ENTRY_FILE ? n->file.spooled : NULL;
	int rc = n->type == PFS_ENTRY_FILE ? hand_over_file(ws, n, blob, err)
					   : hand_over_row(ws, n, blob, err);

	if (rc == 0 && spooled && n->file.state != PFS_FILE_CLEAN) {
		if (spooled->unsynced || !spooled->journaled) {
			rc = push_name(bytes, spooled->name, err);
			if (rc < 0)
				return rc;
		}
		spooled->journaled = true;
		/* Who still writes makes it unsynced again at the close. */
		spooled->unsynced = false;
	}
	if (rc == 0) {
		n->journaled = true;
		pfs_link_remove(&n->queued);
	}
	return rc;
}

static int hand_over_slot(struct pfs_workspace *ws, struct pfs_slot *s, struct pfs_error *err)
{
	struct pfs_journal_row row = {
		.op = PFS_JOURNAL_SAVE_NAME,
		.name = { s->dir->ino, s->name, s->name_len, s->node ? s->node->ino : 0,
			  s->in_base },
	};
	int rc = pfs_journal_batch_add(&ws->writing, &row, err);

	if (rc == 0) {
		s->journaled = true;
		pfs_link_remove(&s->queued);
	}
	return rc;
}

/* Rows of what is gone come first: what is there now may have taken its number or name. */
static int hand_over_gone(struct pfs_workspace *ws, struct pfs_error *err)
{
	struct pfs_journal_batch *from = &ws->pending, *to = &ws->writing;
	size_t shift = to->blobs.len;
	int rc = pfs_journal_batch_reserve(to, from->n, from->blobs.len, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < from->n; i++) {
		to->rows[to->n] = from->rows[i];
		to->rows[to->n++].blob_at += shift;
	}
	pfs_buf_add(&to->blobs, from->blobs.data, from->blobs.len, NULL);
	pfs_journal_batch_fini(from);
	pfs_journal_batch_init(from);
	return 0;
}

/* A row could not be noted for want of memory: say everything anew. */
static int requeue_everything(struct pfs_workspace *ws, struct pfs_error *err)
{
	struct pfs_journal_row rows[2] = {
		{ .op = PFS_JOURNAL_CLEAR },
		{ .op = PFS_JOURNAL_BASE, .base = ws->base, .links = ws->base_links }
	};
	struct pfs_node *n;
	size_t pos = 0;
	int rc;

	pfs_journal_batch_fini(&ws->pending);
	pfs_journal_batch_init(&ws->pending);
	rc = pfs_journal_batch_reserve(&ws->pending, 2, 0, err);
	if (rc < 0)
		return rc;
	pfs_journal_batch_add(&ws->pending, &rows[0], NULL);
	pfs_journal_batch_add(&ws->pending, &rows[1], NULL);
	while ((n = pfs_map_next(&ws->inos, &pos))) {
		if (!n->dirty || (!n->place && n != ws->root))
			continue;
		if (pfs_link_alone(&n->queued))
			pfs_link_add(&ws->queued_nodes, &n->queued);
		for (struct pfs_slot *s = n->place; s; s = s->next_place)
			if (pfs_link_alone(&s->queued))
				pfs_link_add(&ws->queued_slots, &s->queued);
		if (n->type == PFS_ENTRY_FILE && n->file.spooled && n->file.spooled->patch) {
			pfs_lock(&n->file.spooled->patch->lock);
			n->file.spooled->patch->rewrite = true;
			pfs_unlock(&n->file.spooled->patch->lock);
		}
		if (n->type != PFS_ENTRY_DIR)
			continue;
		for (struct pfs_link *l = n->dir.pending.next; l != &n->dir.pending; l = l->next) {
			struct pfs_slot *s = PFS_OF_LINK(l, struct pfs_slot, pending);

			if (pfs_link_alone(&s->queued))
				pfs_link_add(&ws->queued_slots, &s->queued);
		}
	}
	ws->rewrite = false;
	return 0;
}

static int hand_over_nowhere(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_error *err)
{
	char name[PFS_NOWHERE_NAME_SIZE];
	struct pfs_journal_row row = {
		.op = PFS_JOURNAL_SAVE_NAME,
		.name = { PFS_NOWHERE_INO, name, sizeof(name) - 1, n->ino, n->named },
	};

	pfs_node_nowhere(n, name);
	return pfs_journal_batch_add(&ws->writing, &row, err);
}

/* What is held without a name: the next process finds it by its number. */
static int hand_over_nameless(struct pfs_workspace *ws, struct pfs_spool_names *bytes,
			      struct pfs_buf *blob, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ws->nameless.n; i++) {
		struct pfs_node *n = ws->nameless.items[i];

		if (n->place)
			continue;
		rc = hand_over_node(ws, n, bytes, blob, err);
		if (rc == 0)
			rc = hand_over_nowhere(ws, n, err);
	}
	if (rc == 0)
		ws->holding = false;
	return rc;
}

/* All that was sealed is among the rows handed over until now. */
static int hand_over_sealed(struct pfs_workspace *ws, struct pfs_error *err)
{
	struct pfs_journal_row row = { .op = PFS_JOURNAL_SEALED, .base.mark = ws->sealed };
	int rc = pfs_journal_batch_add(&ws->writing, &row, err);

	if (rc == 0)
		ws->sealed_unsaved = false;
	return rc;
}

/* With both locks held. What is handed over is never lost: it stays in `writing` until it is durable. */
static int hand_over(struct pfs_workspace *ws, struct pfs_spool_names *bytes, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf blob = PFS_BUF_INIT(SIZE_MAX / 2);
	int rc = ws->rewrite ? requeue_everything(ws, err) : 0;

	if (rc == 0)
		rc = hand_over_gone(ws, err);
	while (rc == 0 && !pfs_link_alone(&ws->queued_nodes))
		rc = hand_over_node(ws, PFS_OF_LINK(ws->queued_nodes.next, struct pfs_node, queued),
				    bytes, &blob, err);
	while (rc == 0 && !pfs_link_alone(&ws->queued_slots))
		rc = hand_over_slot(ws, PFS_OF_LINK(ws->queued_slots.next, struct pfs_slot, queued),
				    err);
	if (rc == 0 && ws->holding)
		rc = hand_over_nameless(ws, bytes, &blob, err);
	if (rc == 0 && ws->sealed_unsaved)
		rc = hand_over_sealed(ws, err);
	if (rc == 0) {
		move_names(&ws->condemned, &ws->doomed);
		ws->writing_sets = ws->writing_sets || ws->sets_unsynced;
		ws->sets_unsynced = false;
		ws->oldest_ms = 0;
		ws->doomed_bytes = 0;
		ws->names_handed += atomic_exchange(&ws->names_queued, 0);
		ws->flushes++;
	}
	return rc;
}

/* Bytes whose flush failed must be flushed by whoever tries next. */
static void mark_unsynced(struct pfs_workspace *ws, const struct pfs_spool_names *bytes)
{
	pfs_rwlock_write(&ws->lock);
	for (size_t i = 0; i < bytes->n; i++) {
		struct pfs_node *n =
			pfs_map_find(&ws->inos, &bytes->items[i].ino, sizeof(uint64_t));

		if (!n || n->type != PFS_ENTRY_FILE || !n->file.spooled)
			continue;
		n->file.spooled->unsynced = true;
		/* What has no name is journaled when it gets one. */
		if (n->place && pfs_link_alone(&n->queued))
			pfs_link_add(&ws->queued_nodes, &n->queued);
	}
	pfs_workspace_note_pending(ws);
	pfs_rwlock_unlock(&ws->lock);
}

/* Of what was made and removed since the last flush nothing is to be said. */
static int apply_shortened(struct pfs_workspace *ws, struct pfs_error *err)
{
	if (!pfs_journal_batch_shorten(&ws->writing))
		return PFS_E_NOSPACE;
	return pfs_journal_apply(ws->journal, &ws->writing, err);
}

/*
 * On a full disk the room set aside lets the journal say that files are gone,
 * which makes room; half of it, what was written while there was room for that.
 */
static int apply_with_reserve(struct pfs_workspace *ws, struct pfs_error *err)
{
	if (ws->condemned.n)
		pfs_spool_release(&ws->spool);
	else
		pfs_spool_release_half(&ws->spool);
	/* Also what the attempts have left in the log, which some file systems do not write over in place. */
	pfs_journal_fold(ws->journal);
	return pfs_journal_apply(ws->journal, &ws->writing, err);
}

static int apply(struct pfs_workspace *ws, struct pfs_error *err)
{
	int rc = pfs_journal_apply(ws->journal, &ws->writing, err);

	if (rc == PFS_E_NOSPACE)
		rc = apply_shortened(ws, err);
	if (rc != PFS_E_NOSPACE)
		return rc;
	rc = apply_with_reserve(ws, err);
	/* The room goes back to where it was set aside, and not to who writes beside us. */
	if (rc == PFS_E_NOSPACE)
		pfs_journal_fold(ws->journal);
	pfs_spool_reserve(&ws->spool);
	return rc;
}

/* The room set aside is for sets of attributes, too, or nothing could be said before they are written. */
static int sync_sets(struct pfs_workspace *ws, struct pfs_error *err)
{
	int rc = pfs_store_sync(ws->store, err);

	if (rc != PFS_E_NOSPACE)
		return rc;
	pfs_spool_release(&ws->spool);
	rc = pfs_store_sync(ws->store, err);
	pfs_spool_reserve(&ws->spool);
	return rc;
}

static int make_durable(struct pfs_workspace *ws, struct pfs_spool_names *bytes,
			struct pfs_error *err)
{
	int rc = pfs_spool_sync(&ws->spool, bytes->items, bytes->n, err);

	if (rc == 0 && ws->writing_sets)
		rc = sync_sets(ws, err);
	if (rc == 0 && ws->writing.n)
		rc = apply(ws, err);
	if (rc < 0)
		return rc;
	ws->writing_sets = false;
	ws->names_handed = 0;
	pfs_journal_batch_fini(&ws->writing);
	pfs_journal_batch_init(&ws->writing);
	return 0;
}

#define RETRY_MS 200

/* What a flush has found out for those who make names, and those who remove files. */
static void note_room(struct pfs_workspace *ws, int rc)
{
	if (rc == PFS_E_NOSPACE) {
		ws->retry_ms = pfs_clock_monotonic_ms() + RETRY_MS;
		ws->full = true;
	} else if (rc == 0) {
		ws->full = false;
		ws->retry_ms = 0;
		ws->ease_bytes = 0;
	}
}

int pfs_workspace_save(struct pfs_workspace *ws, struct pfs_error *err)
{
	struct pfs_spool_names bytes = { 0 };
	int rc;

	pfs_lock(&ws->flush_lock);
	pfs_rwlock_write(&ws->lock);
	rc = hand_over(ws, &bytes, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0)
		rc = make_durable(ws, &bytes, err);
	note_room(ws, rc);
	if (rc < 0) {
		mark_unsynced(ws, &bytes);
	} else if (ws->condemned.n) {
		pfs_rwlock_write(&ws->lock);
		move_names(&ws->loose, &ws->condemned);
		atomic_store_explicit(&ws->n_loose, ws->loose.n, memory_order_relaxed);
		pfs_rwlock_unlock(&ws->lock);
	}
	pfs_unlock(&ws->flush_lock);
	free(bytes.items);
	return rc < 0 ? pfs_wrap(err, rc, "workspace %s", ws->folder) : 0;
}

#define REAPERS_WAIT_MS 2000

bool pfs_workspace_make_room(struct pfs_workspace *ws)
{
	if (pfs_workspace_save(ws, NULL) < 0)
		return false;
	pfs_workspace_reap(ws, SIZE_MAX);
	/* Somebody else may be in the middle of removing the one large file. */
	for (int ms = 0; ms < REAPERS_WAIT_MS && atomic_load(&ws->reapers); ms++)
		usleep(1000);
	return true;
}

/* How many names may wait on a full disk: their rows fit into the half of the room set aside, unless the
 * journal is so large that they lie far apart in it. */
#define NAMES_WAIT_MAX 1024u
#define NAMES_LOOK     32u /* after so many more the disk is looked at */
#define FULL_BYTES     (16ULL << 20)
#define SETS_ROOM      (4ULL << 20) /* what waits to be written in the store, and as much again */

/* Asking the disk each time would be felt. */
static bool has_room_for_names(struct pfs_workspace *ws)
{
	unsigned n = atomic_load_explicit(&ws->names_queued, memory_order_relaxed) +
		     atomic_load_explicit(&ws->names_handed, memory_order_relaxed);

	if (n < NAMES_WAIT_MAX)
		return true;
	/* After a flush it wraps round, and the first one looks. */
	if (n - atomic_load_explicit(&ws->names_looked, memory_order_relaxed) >= NAMES_LOOK) {
		atomic_store_explicit(&ws->names_looked, n, memory_order_relaxed);
		if (pfs_spool_free_bytes(&ws->spool) < FULL_BYTES)
			ws->full = true;
	}
	return !ws->full;
}

int pfs_workspace_admit_set(struct pfs_workspace *ws, size_t len, struct pfs_error *err)
{
	if (pfs_spool_free_bytes(&ws->spool) < SETS_ROOM + len)
		return pfs_fail(err, PFS_E_NOSPACE, "the disk is full");
	return pfs_workspace_admit(ws, err);
}

int pfs_workspace_admit(struct pfs_workspace *ws, struct pfs_error *err)
{
	int rc;

	if (has_room_for_names(ws))
		return 0;
	/* Whoever flushes now does so for all. */
	pfs_lock(&ws->flush_lock);
	pfs_unlock(&ws->flush_lock);
	if (has_room_for_names(ws))
		return 0;
	if (pfs_clock_monotonic_ms() < ws->retry_ms)
		return pfs_fail(err, PFS_E_NOSPACE,
				"the disk is full, and what was made before is not written down");
	rc = pfs_workspace_save(ws, err);
	/* Of anything else whoever flushes is told. */
	return rc == PFS_E_NOSPACE ? rc : 0;
}

#define TIGHT_BYTES    (256ULL << 20)
#define EASE_BYTES_MIN (1ULL << 20)
#define EASE_BYTES_MAX (64ULL << 20)

/* What was in vain, since the journal has no room to say it, is not tried again at once. */
void pfs_workspace_ease(struct pfs_workspace *ws)
{
	uint64_t enough = atomic_load_explicit(&ws->ease_bytes, memory_order_relaxed);

	pfs_workspace_reap(ws, REAP_MAX);
	if (enough < EASE_BYTES_MIN)
		enough = EASE_BYTES_MIN;
	if (ws->doomed_bytes < enough ||
	    (!ws->full && pfs_spool_free_bytes(&ws->spool) >= TIGHT_BYTES))
		return;
	if (pfs_workspace_make_room(ws))
		enough = EASE_BYTES_MIN;
	else if (enough < EASE_BYTES_MAX)
		enough *= 2;
	atomic_store_explicit(&ws->ease_bytes, enough, memory_order_relaxed);
}
