#include "fuse/notify.h"

#include "fuse/inode.h"
#include "fuse/session.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* How long stopping may take for want of a wake. */
#define WATCH_MS 200

/* Some 20 MB: less is as well kept for the next names. */
#define TRIM_FORGOTTEN_MIN 65536u

/* Numbers of all inodes whose content may change; free() it. */
static fuse_ino_t *changing_inodes(struct pfs_mount *m, size_t *out_n)
{
	const struct inode *i;
	uint32_t number = 0;
	fuse_ino_t *list;
	size_t n = 0;

	pfs_lock(&m->lock);
	list = calloc(m->inodes.n ? m->inodes.n : 1, sizeof(*list));
	for (; list && (i = pfs_slots_next(&m->inodes, &number)); number++)
		if (!i->immutable)
			list[n++] = pfs_inode_number_of(i);
	pfs_unlock(&m->lock);
	*out_n = n;
	return list;
}

static void forget_all(struct pfs_mount *m)
{
	fuse_ino_t *list;
	size_t n;

	fuse_lowlevel_notify_increment_epoch(m->se);
	list = changing_inodes(m, &n);
	for (size_t i = 0; list && i < n; i++)
		fuse_lowlevel_notify_inval_inode(m->se, list[i], 0, 0);
	free(list);
}

/*
 * The number may be that of an inode forgotten since, or already of another in
 * its place: the kernel then invalidates nothing, or something too much.
 */
static void pass_on(struct pfs_mount *m, const struct pfs_view_change *c)
{
	fuse_ino_t ino = pfs_inode_number(m, c->handle);

	if (!ino)
		return;
	if (c->name[0])
		fuse_lowlevel_notify_inval_entry(m->se, ino, c->name, strlen(c->name));
	else
		fuse_lowlevel_notify_inval_inode(m->se, ino, 0, 0);
}

/* What it has of names only is not worth keeping: they are looked at. */
static void drop_bare(struct pfs_mount *m)
{
	fuse_ino_t ino = atomic_exchange(&m->bare, 0);

	if (ino && m->o.notify)
		fuse_lowlevel_notify_inval_inode(m->se, ino, 0, 0);
}

static void *run_notifier(void *arg)
{
	struct pfs_mount *m = arg;
	struct pfs_view_change c;

	/* Nobody told the kernel what happened while it changed hands. */
	if (m->taken && m->o.notify)
		forget_all(m);
	while (!m->stopping) {
		int rc = pfs_view_next_change(m->view, 1000, &c);

		drop_bare(m);
		if (rc <= 0)
			continue;
		/* Whoever caches nothing need not be told, but the changes have to be taken. */
		if (!m->o.notify)
			;
		else if (c.lost)
			forget_all(m);
		else
			pass_on(m, &c);
		pfs_handle_unref(&c.handle);
	}
	return NULL;
}

/*
 * What the kernel forgets by the hundred thousand lies between what it has not
 * forgotten, and stays with the process unless it is looked for. Not while more
 * is being forgotten: looking takes a while, and allocations wait meanwhile.
 */
static void give_memory_back(struct pfs_mount *m, size_t *seen)
{
	size_t n = m->n_forgotten;

	if (n >= TRIM_FORGOTTEN_MIN && n == *seen) {
		m->n_forgotten = n = 0;
		malloc_trim(0);
	}
	*seen = n;
}

static void *run_watcher(void *arg)
{
	struct pfs_mount *m = arg;
	size_t forgotten = 0;

	while (!m->stopping) {
		pfs_view_watch(m->view, WATCH_MS);
		give_memory_back(m, &forgotten);
	}
	return NULL;
}

void pfs_notify_attributes(struct pfs_mount *m, fuse_ino_t ino)
{
	if (m->o.notify)
		fuse_lowlevel_notify_inval_inode(m->se, ino, -1, 0);
}

bool pfs_notify_can_forget_all(struct pfs_mount *m)
{
	return fuse_lowlevel_notify_increment_epoch(m->se) == 0;
}

int pfs_notify_start(struct pfs_mount *m, struct pfs_error *err)
{
	int rc = pfs_session_thread(&m->notifier, run_notifier, m, err);

	m->notifier_runs = rc == 0;
	if (rc == 0) {
		rc = pfs_session_thread(&m->watcher, run_watcher, m, err);
		m->watcher_runs = rc == 0;
	}
	return rc;
}

void pfs_notify_stop(struct pfs_mount *m)
{
	m->stopping = true;
	pfs_view_wake(m->view);
	if (m->notifier_runs)
		pthread_join(m->notifier, NULL);
	if (m->watcher_runs)
		pthread_join(m->watcher, NULL);
	m->notifier_runs = m->watcher_runs = false;
}
