#include "view/view_i.h"

#include "base/clock.h"
#include "base/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What changed behind the back of whoever caches.
 *
 *	workspaces ──their own queues──────────────┐
 *	events ──▶ compare what is found now with  ├─▶ pfs_view_next_change
 *	           the handles somebody holds ─────┘
 *
 * An event only says where to look: what is told follows from what is there
 * at that time. So events may be late, doubled, or of our own reader's making.
 */

/* How long news of repos and branches may take when nobody watches for them. */
#define POLL_MS 500

#define EVENTS_AT_ONCE 64

static __thread bool thread_is_quiet;

void pfs_view_quiet(bool quiet)
{
	if (thread_is_quiet == quiet)
		return;
	thread_is_quiet = quiet;
	pfs_workspace_quiet(quiet);
}

void pfs_view_give_up_when(bool (*unwanted)(void *arg), void *arg)
{
	pfs_stop_set(unwanted, arg);
}

/* Called by workspaces with their locks held: news_lock is below them all. */
void pfs_change_wake(void *view)
{
	struct pfs_view *v = view;

	pfs_lock(&v->news_lock);
	v->news = true;
	pthread_cond_signal(&v->news_cond);
	pfs_unlock(&v->news_lock);
}

void pfs_view_wake(struct pfs_view *v)
{
	pfs_lock(&v->news_lock);
	v->woken = true;
	pthread_cond_signal(&v->news_cond);
	pfs_unlock(&v->news_lock);
}

/* ---- what is told ---- */

/* Queue a change; `h` is borrowed, view->lock is not held. Without memory all is said to be stale. */
static void tell(struct pfs_view *v, struct pfs_handle *h, const char *name)
{
	struct change_item *item = calloc(1, sizeof(*item));

	if (item) {
		item->c.handle = pfs_handle_ref(h);
		memcpy(item->c.name, name, strnlen(name, sizeof(item->c.name) - 1));
	}
	pfs_lock(&v->lock);
	if (item) {
		*v->changes_tail = item;
		v->changes_tail = &item->next;
	} else {
		v->lost = true;
	}
	pfs_unlock(&v->lock);
}

static bool take_told(struct pfs_view *v, struct pfs_view_change *out)
{
	struct change_item *item;
	bool lost;

	pfs_lock(&v->lock);
	lost = v->lost;
	v->lost = false;
	out->lost = lost;
	item = lost ? NULL : v->changes;
	if (item) {
		v->changes = item->next;
		if (!v->changes)
			v->changes_tail = &v->changes;
	}
	pfs_unlock(&v->lock);
	if (!item)
		return lost;
	*out = item->c;
	free(item);
	return true;
}

/* References to the children of a place; free() the list, unref each. */
static struct pfs_handle **children_of(struct pfs_handle *h, size_t *out_n)
{
	struct pfs_handle **list;
	size_t n = 0;

	pfs_lock(&h->view->lock);
	for (struct pfs_handle *c = h->child; c; c = c->next)
		n++;
	list = calloc(n ? n : 1, sizeof(struct pfs_handle *));
	*out_n = 0;
	for (struct pfs_handle *c = h->child; list && c; c = c->next)
		list[(*out_n)++] = pfs_handle_ref_locked(c);
	pfs_unlock(&h->view->lock);
	return list;
}

static void children_free(struct pfs_handle **list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		pfs_handle_unref(&list[i]);
	free(list);
}

/* `h` no longer stands for its name in `dir`. */
static void tell_stale(struct pfs_handle *dir, struct pfs_handle *h)
{
	struct pfs_view *v = dir->view;
	char name[PFS_NAME_SIZE_MAX + 1];

	pfs_lock(&v->lock);
	snprintf(name, sizeof(name), "%s", pfs_handle_name(h));
	pfs_handle_forget_place(h);
	pfs_unlock(&v->lock);
	tell(v, dir, name);
}

/* Everything found in a commit that the head has left. */
static void tell_left_commit(struct pfs_handle *head, struct pfs_handle *commit)
{
	struct pfs_handle **list;
	size_t n;

	list = children_of(commit, &n);
	for (size_t i = 0; list && i < n; i++)
		tell(head->view, head, pfs_handle_name(list[i]));
	children_free(list, n);
}

static void tell_head(struct pfs_handle *head, const struct pfs_branch *b)
{
	struct pfs_view *v = head->view;
	struct pfs_handle **list;
	bool moved;
	size_t n;

	pfs_lock(&v->lock);
	moved = !pfs_commit_id_equal(&head->u.head.id, &b->head);
	head->u.head.id = b->head;
	pfs_unlock(&v->lock);
	list = children_of(head, &n);
	for (size_t i = 0; list && i < n; i++)
		if (list[i]->ops == &place_commit &&
		    !pfs_commit_id_equal(&list[i]->u.commit.id, &b->head))
			tell_left_commit(head, list[i]);
	children_free(list, n);
	if (moved)
		tell(v, head, "");
}

/* Compare one found branch with what is there now. */
static void check_branch(struct pfs_handle *repo, struct pfs_handle *h)
{
	struct pfs_view *v = repo->view;
	bool is_head = h->ops == &place_head;
	int64_t created_ns = is_head ? h->u.head.created_ns : h->u.node.created_ns;
	char name[PFS_NAME_TEXT_SIZE];
	struct pfs_branch b;
	int rc;

	pfs_lock(&v->lock);
	snprintf(name, sizeof(name), "%s", pfs_handle_name(h));
	pfs_unlock(&v->lock);
	rc = pfs_branch_inspect(v->history, pfs_handle_name(repo), name, &b, NULL);
	if (rc == PFS_E_NOTFOUND ||
	    (rc == 0 && (b.created_ns != created_ns || (b.owner[0] != '\0') != is_head)))
		tell_stale(repo, h);
	else if (rc == 0 && is_head)
		tell_head(h, &b);
}

static void check_repo(struct pfs_handle *repo)
{
	struct pfs_handle **list;
	size_t n;

	list = children_of(repo, &n);
	for (size_t i = 0; list && i < n; i++)
		if (list[i]->ops == &place_head ||
		    (list[i]->ops == &place_node && list[i]->u.node.branch))
			check_branch(repo, list[i]);
	children_free(list, n);
	/* Names may have come. */
	tell(repo->view, repo, "");
}

/* Look at every repo of this name that somebody holds. */
static void check_name(struct pfs_view *v, const char *name)
{
	struct pfs_handle **list;
	struct pfs_repo r;
	size_t n;
	int rc;

	rc = pfs_repo_inspect(v->history, name, &r, NULL);
	list = children_of(v->root, &n);
	for (size_t i = 0; list && i < n; i++) {
		if (list[i]->ops != &place_repo || strcmp(pfs_handle_name(list[i]), name) != 0)
			continue;
		if (rc == 0 && r.created_ns == list[i]->u.repo.created_ns)
			check_repo(list[i]);
		else if (rc == 0 || rc == PFS_E_NOTFOUND)
			tell_stale(v->root, list[i]);
	}
	children_free(list, n);
}

/* ---- the reader ---- */

static bool is_about_root(const struct pfs_event *e)
{
	return strncmp(e->kind, "repo.", 5) == 0 || strncmp(e->kind, "pipeline.", 9) == 0;
}

static bool is_about_work(const struct pfs_event *e)
{
	return strncmp(e->kind, "job.", 4) == 0;
}

/* Deal with events that came since the last time; true when there were some. */
static bool read_events(struct pfs_view *v)
{
	struct pfs_event list[EVENTS_AT_ONCE];
	bool root = false;
	size_t n = 0;

	if (pfs_event_newest(v->history) <= v->cursor ||
	    pfs_event_read(v->history, v->cursor, list, EVENTS_AT_ONCE, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool again = false;

		v->cursor = list[i].number;
		root |= is_about_root(&list[i]);
		/* Once for each repo: the latest state is what counts. */
		for (size_t k = i + 1; k < n; k++)
			again |=
				!is_about_work(&list[k]) && strcmp(list[k].repo, list[i].repo) == 0;
		if (!again && !is_about_work(&list[i]))
			check_name(v, list[i].repo);
	}
	if (root)
		tell(v, v->root, "");
	return n > 0;
}

/* The next change of any workspace; whose it is, with a reference, NULL when there is none. Its node
 * is the caller's. */
static struct tenant *take_one(struct pfs_view *v, struct pfs_view_change *out,
			       struct pfs_node **out_node)
{
	struct pfs_node_change c = { 0 };
	struct pfs_handle *h;
	struct tenant *t;

	pfs_lock(&v->lock);
	for (t = v->tenants; t && pfs_workspace_next_change(t->ws, &c) <= 0;)
		t = t->next;
	if (t)
		t->refs++;
	h = t && !c.lost ? pfs_node_tag(c.node) : NULL;
	out->lost = t && c.lost;
	out->handle = h ? pfs_handle_ref_locked(h) : NULL;
	if (h)
		memcpy(out->name, c.name, sizeof(out->name));
	pfs_unlock(&v->lock);
	*out_node = t ? c.node : NULL;
	return t;
}

/*
 * One change of a workspace that somebody caches something of. A node may go with its
 * last reference, which on a full disk is a flush: nobody is to wait for the view then.
 */
static bool take_from_workspaces(struct pfs_view *v, struct pfs_view_change *out)
{
	struct pfs_node *node;
	struct tenant *t;

	while ((t = take_one(v, out, &node))) {
		pfs_node_unref(&node);
		pfs_tenant_put(v, t);
		if (out->lost || out->handle)
			return true;
	}
	return false;
}

/* Wait until there may be more; false when the time is over or somebody woke us. */
static bool wait_for_news(struct pfs_view *v, int64_t until_ms)
{
	int64_t left = until_ms - pfs_clock_monotonic_ms();
	bool go_on;

	pfs_lock(&v->news_lock);
	if (left > POLL_MS && !v->watchers)
		left = POLL_MS;
	if (!v->news && !v->woken && left > 0)
		pfs_cond_wait(&v->news_cond, &v->news_lock, left);
	v->news = false;
	go_on = !v->woken && pfs_clock_monotonic_ms() < until_ms;
	v->woken = false;
	pfs_unlock(&v->news_lock);
	return go_on;
}

int pfs_view_next_change(struct pfs_view *v, int64_t timeout_ms, struct pfs_view_change *out)
{
	int64_t until_ms = timeout_ms < 0 ? INT64_MAX : pfs_clock_monotonic_ms() + timeout_ms;

	do {
		memset(out, 0, sizeof(*out));
		if (take_told(v, out) || take_from_workspaces(v, out))
			return 1;
		while (read_events(v))
			;
		if (take_told(v, out))
			return 1;
	} while (wait_for_news(v, until_ms));
	return 0;
}

void pfs_view_watch(struct pfs_view *v, int64_t timeout_ms)
{
	uint64_t seen = pfs_event_newest(v->history);
	int came;

	pfs_lock(&v->news_lock);
	v->watchers++;
	pfs_unlock(&v->news_lock);
	pfs_change_wake(v);
	came = pfs_event_wait(v->history, seen, timeout_ms);
	pfs_lock(&v->news_lock);
	v->watchers--;
	if (came > 0)
		v->news = true;
	pthread_cond_signal(&v->news_cond);
	pfs_unlock(&v->news_lock);
}
