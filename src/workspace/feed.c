#include "workspace/feed.h"
#include "workspace/workspace_i.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local bool quiet;

void pfs_workspace_quiet(bool on)
{
	quiet = on;
}

void pfs_feed_init(struct pfs_feed *c)
{
	memset(c, 0, sizeof(*c));
	pfs_lock_init(&c->lock, PFS_RANK_WORKSPACE_CHANGES);
}

static void drop_items(struct pfs_feed_item *ring, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pfs_feed_item *item = &ring[(first + i) % PFS_FEED_MAX];

		free(item->name);
		pfs_node_unref(&item->node);
	}
	free(ring);
}

void pfs_feed_fini(struct pfs_feed *c)
{
	drop_items(c->ring, c->first, c->n);
	c->ring = NULL;
	c->n = 0;
	pfs_lock_fini(&c->lock);
}

/* Takes everything out of the ring for the caller to drop without the lock. */
static struct pfs_feed_item *lose_all(struct pfs_feed *c, size_t *out_first, size_t *out_n)
{
	struct pfs_feed_item *ring = c->ring;

	*out_first = c->first;
	*out_n = c->n;
	c->ring = NULL;
	c->first = c->n = 0;
	c->lost = true;
	return ring;
}

static bool same_as_last(const struct pfs_feed *c, const struct pfs_node *n, const char *name)
{
	const struct pfs_feed_item *last;

	if (!c->n || name)
		return false;
	last = &c->ring[(c->first + c->n - 1) % PFS_FEED_MAX];
	return last->node == n && !last->name;
}

/* false: there is no room, or no memory. Takes `copy` when it succeeds. */
static bool push(struct pfs_feed *c, struct pfs_node *n, char *copy)
{
	if (!c->ring) {
		c->ring = calloc(PFS_FEED_MAX, sizeof(*c->ring));
		c->first = c->n = 0;
	}
	if (!c->ring || c->n == PFS_FEED_MAX)
		return false;
	c->ring[(c->first + c->n++) % PFS_FEED_MAX] =
		(struct pfs_feed_item){ pfs_node_ref(n), copy };
	return true;
}

void pfs_feed_note(struct pfs_feed *c, struct pfs_node *n, const char *name, size_t name_len)
{
	struct pfs_feed_item *dropped = NULL;
	size_t first = 0, n_dropped = 0;
	void (*wake)(void *arg) = NULL;
	void *arg = NULL;
	char *copy;

	if (quiet)
		return;
	copy = name ? strndup(name, name_len) : NULL;
	pfs_lock(&c->lock);
	if (c->watched && !c->lost && !same_as_last(c, n, name)) {
		if ((name && !copy) || !push(c, n, copy))
			dropped = lose_all(c, &first, &n_dropped);
		else
			copy = NULL;
		wake = c->wake;
		arg = c->arg;
	}
	pfs_unlock(&c->lock);
	free(copy);
	drop_items(dropped, first, n_dropped);
	if (wake)
		wake(arg);
}

void pfs_feed_note_all(struct pfs_feed *c)
{
	struct pfs_feed_item *dropped;
	size_t first, n_dropped;
	void (*wake)(void *arg);
	void *arg;

	pfs_lock(&c->lock);
	if (!c->watched) {
		pfs_unlock(&c->lock);
		return;
	}
	dropped = lose_all(c, &first, &n_dropped);
	wake = c->wake;
	arg = c->arg;
	pfs_unlock(&c->lock);
	drop_items(dropped, first, n_dropped);
	if (wake)
		wake(arg);
}

int pfs_workspace_next_change(struct pfs_workspace *ws, struct pfs_node_change *out)
{
	struct pfs_feed *c = &ws->feed;
	struct pfs_feed_item item;

	pfs_lock(&c->lock);
	c->watched = true;
	if (c->lost) {
		c->lost = false;
		pfs_unlock(&c->lock);
		*out = (struct pfs_node_change){ .lost = true };
		return 1;
	}
	if (!c->n) {
		pfs_unlock(&c->lock);
		return 0;
	}
	item = c->ring[c->first];
	c->first = (c->first + 1) % PFS_FEED_MAX;
	c->n--;
	pfs_unlock(&c->lock);
	out->node = item.node;
	out->lost = false;
	out->name[0] = 0;
	if (item.name)
		memcpy(out->name, item.name, strlen(item.name) + 1);
	free(item.name);
	return 1;
}

void pfs_workspace_watch(struct pfs_workspace *ws, void (*wake)(void *arg), void *arg)
{
	pfs_lock(&ws->feed.lock);
	ws->feed.watched = true;
	ws->feed.wake = wake;
	ws->feed.arg = arg;
	pfs_unlock(&ws->feed.lock);
}
