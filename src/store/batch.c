/*
 *	items   | stored, in order | worked out | taken | not taken |
 *	         0                  stored                next       n
 */
#include "store/batch.h"
#include "store/store_i.h"
#include "base/lock.h"

#include <assert.h>
#include <stdlib.h>

#define SHARE_SIZE (64u << 10) /* taken at once: tiny items are not worth a lock each */

enum state { WAITING, WORKED_OUT, THERE };

struct draft {
	struct pfs_draft draft;
	enum state state; /* protected by lock */
};

struct pfs_batch {
	struct pfs_store *st;
	struct pfs_store_item *items;
	size_t n;
	int (*work)(struct pfs_store *st, struct pfs_draft *d, struct pfs_error *err);
	size_t stored; /* only who ends the batch */
	struct pfs_pool_job job;
	struct pfs_lock lock; /* PFS_RANK_BATCH; protects all below */
	pthread_cond_t turn;  /* the item whose turn it is was worked out, or all failed */
	size_t next;
	int rc; /* the first failure, told by err */
	struct pfs_error err;
	struct draft drafts[];
};

/* Take items that nobody has taken, about a share of them. */
static size_t take(struct pfs_batch *b, size_t *out_from)
{
	size_t bytes = 0, n = 0;

	pfs_lock(&b->lock);
	*out_from = b->next;
	while (b->rc == 0 && b->next < b->n && bytes < SHARE_SIZE) {
		bytes += b->items[b->next++].len + 256;
		n++;
	}
	pfs_unlock(&b->lock);
	return n;
}

static void settle(struct pfs_batch *b, size_t i, int rc, const struct pfs_error *err)
{
	pfs_lock(&b->lock);
	if (rc < 0 && b->rc == 0) {
		b->rc = rc;
		b->err = *err;
	}
	b->drafts[i].state = rc == 1 ? THERE : WORKED_OUT;
	pthread_cond_signal(&b->turn);
	pfs_unlock(&b->lock);
}

static bool take_part(void *arg)
{
	struct pfs_batch *b = arg;
	size_t from, n = take(b, &from);

	for (size_t i = from; i < from + n; i++) {
		struct pfs_error err = { 0 };
		int rc = b->work(b->st, &b->drafts[i].draft, &err);

		settle(b, i, rc, &err);
	}
	return n > 0;
}

typedef int (*pfs_batch_work)(struct pfs_store *st, struct pfs_draft *d, struct pfs_error *err);

static struct pfs_batch *new_batch(struct pfs_store *st, enum pfs_kind kind,
				   struct pfs_store_item *items, size_t n, pfs_batch_work work)
{
	struct pfs_batch *b = calloc(1, sizeof(*b) + n * sizeof(b->drafts[0]));

	if (!b || pfs_cond_init(&b->turn) != 0) {
		free(b);
		return NULL;
	}
	pfs_lock_init(&b->lock, PFS_RANK_BATCH);
	b->st = st;
	b->items = items;
	b->n = n;
	b->work = work;
	b->job = (struct pfs_pool_job){ .step = take_part, .arg = b };
	for (size_t i = 0; i < n; i++)
		b->drafts[i].draft = (struct pfs_draft){
			.kind = kind,
			.data = items[i].data,
			.len = items[i].len,
			.near = items[i].near,
		};
	return b;
}

static void start(struct pfs_batch *b)
{
	size_t bytes = 0;

	for (size_t i = 0; i < b->n && bytes < 2 * SHARE_SIZE; i++)
		bytes += b->items[i].len;
	if (bytes >= 2 * SHARE_SIZE) /* less is done before a helper is awake */
		pfs_pool_start(b->st->pool, &b->job);
}

static int begin(struct pfs_batch *b, struct pfs_batch **out, struct pfs_error *err)
{
	if (!b)
		return pfs_fail_nomem(err, "a batch of objects");
	start(b);
	*out = b;
	return 0;
}

int pfs_batch_begin(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items,
		    size_t n, struct pfs_batch **out, struct pfs_error *err)
{
	return begin(new_batch(st, kind, items, n, pfs_store_prepare), out, err);
}

int pfs_batch_begin_names(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items,
			  size_t n, struct pfs_batch **out, struct pfs_error *err)
{
	return begin(new_batch(st, kind, items, n, pfs_store_name), out, err);
}

void pfs_batch_abort(struct pfs_batch **batch)
{
	struct pfs_batch *b = *batch;

	if (!b)
		return;
	pfs_lock(&b->lock);
	b->next = b->n;
	pfs_unlock(&b->lock);
	pfs_pool_finish(b->st->pool, &b->job);
	for (size_t i = 0; i < b->n; i++)
		pfs_draft_fini(&b->drafts[i].draft);
	pthread_cond_destroy(&b->turn);
	pfs_lock_fini(&b->lock);
	free(b);
	*batch = NULL;
}

/* How many items can be stored now: those worked out from the first that is not stored on. */
static size_t count_ready(struct pfs_batch *b, bool wait, int *out_rc)
{
	size_t n = 0;

	pfs_lock(&b->lock);
	while (wait && b->rc == 0 && b->drafts[b->stored].state == WAITING)
		pfs_cond_wait(&b->turn, &b->lock, -1);
	while (b->rc == 0 && b->stored + n < b->n && b->drafts[b->stored + n].state != WAITING)
		n++;
	*out_rc = b->rc;
	pfs_unlock(&b->lock);
	return n;
}

static void give_ids(struct pfs_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		b->items[i].id = b->drafts[i].draft.id;
}

static int store_ready(struct pfs_batch *b, size_t n, struct pfs_error *err)
{
	int rc = 0;

	for (; n > 0 && rc == 0; n--) {
		struct draft *d = &b->drafts[b->stored];

		rc = pfs_store_put_draft(b->st, &d->draft, d->state == THERE, err);
		pfs_draft_fini(&d->draft);
		b->stored++;
	}
	return rc;
}

/* Nothing waits for a turn: all are worked on until there are no more. */
static int end_names(struct pfs_batch *b, struct pfs_error *err)
{
	while (take_part(b))
		;
	pfs_pool_finish(b->st->pool, &b->job);
	if (b->rc < 0 && err)
		*err = b->err;
	return b->rc;
}

static int end_puts(struct pfs_batch *b, struct pfs_error *err)
{
	bool more = true;
	int rc = 0;

	while (rc == 0 && b->stored < b->n) {
		size_t n = count_ready(b, !more, &rc);

		if (n > 0)
			rc = store_ready(b, n, err);
		else if (rc < 0 && err)
			*err = b->err;
		else if (rc == 0)
			more = take_part(b);
	}
	return rc;
}

int pfs_batch_end(struct pfs_batch **batch, struct pfs_error *err)
{
	struct pfs_batch *b = *batch;
	int rc = b->work == pfs_store_name ? end_names(b, err) : end_puts(b, err);

	if (rc == 0)
		give_ids(b);
	pfs_batch_abort(batch);
	return rc;
}

int pfs_batch_name(struct pfs_store *st, enum pfs_kind kind, struct pfs_store_item *items, size_t n,
		   struct pfs_error *err)
{
	struct pfs_batch *b;
	int rc = pfs_batch_begin_names(st, kind, items, n, &b, err);

	return rc < 0 ? rc : pfs_batch_end(&b, err);
}
