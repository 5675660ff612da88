#include "history/seat.h"
#include "base/clock.h"
#include "base/limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pfs_seats_init(struct pfs_seats *s, const char *dir, struct pfs_store *store)
{
	memset(s, 0, sizeof(*s));
	pfs_lock_init(&s->lock, PFS_RANK_HISTORY);
	pfs_cond_init(&s->changed);
	pfs_map_init(&s->by_folder);
	pfs_map_init(&s->by_workspace);
	s->dir = dir;
	s->store = store;
}

static struct pfs_seat *new_seat(const char *folder)
{
	struct pfs_seat *seat = calloc(1, sizeof(*seat));

	if (!seat)
		return NULL;
	snprintf(seat->folder, sizeof(seat->folder), "%s", folder);
	pfs_lock_init(&seat->commit_lock, PFS_RANK_HISTORY_COMMIT);
	return seat;
}

static void free_seat(struct pfs_seat *seat)
{
	pfs_lock_fini(&seat->commit_lock);
	free(seat);
}

/* <dir>/<folder>; the caller frees it. */
static char *path_of(const struct pfs_seats *s, const char *folder)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", s->dir, folder) < 0 ? NULL : path;
}

static void remove_folder(struct pfs_seats *s, const char *folder)
{
	char *path = path_of(s, folder);

	/* What stays behind belongs to no branch: the next open of the history removes it. */
	if (path)
		pfs_workspace_remove(path, NULL);
	free(path);
}

/* Out of the table; the caller has marked the seat busy. Takes the lock back at the end. */
static void close_seat(struct pfs_seats *s, struct pfs_seat *seat)
{
	bool doomed = seat->doomed;

	assert(pfs_held(&s->lock) && seat->busy && seat->refs == 0);
	pfs_map_remove(&s->by_workspace, &seat->ws, sizeof(seat->ws));
	pfs_unlock(&s->lock);
	pfs_workspace_close(&seat->ws);
	if (doomed)
		remove_folder(s, seat->folder);
	pfs_lock(&s->lock);
	/* Doomed while it was being closed: nobody else can find it any more. */
	if (seat->doomed && !doomed) {
		pfs_unlock(&s->lock);
		remove_folder(s, seat->folder);
		pfs_lock(&s->lock);
	}
	pfs_map_remove(&s->by_folder, seat->folder, strlen(seat->folder));
	free_seat(seat);
	pthread_cond_broadcast(&s->changed);
}

static void start_closing(struct pfs_seats *s, struct pfs_seat *seat)
{
	assert(pfs_held(&s->lock) && !seat->busy && seat->refs == 0);
	seat->busy = true;
	s->idle--;
	close_seat(s, seat);
}

/* Nobody uses it and nobody can: a flush now, since what fails when it is closed nobody is told of. */
static bool is_written_down(struct pfs_seats *s, struct pfs_seat *seat)
{
	int rc;

	assert(pfs_held(&s->lock) && seat->busy);
	pfs_unlock(&s->lock);
	rc = pfs_workspace_sync(seat->ws, NULL);
	pfs_lock(&s->lock);
	return rc == 0;
}

/* Close one that was idle for long; what cannot be written down yet stays, as if it had been used. */
static void retire(struct pfs_seats *s, struct pfs_seat *seat)
{
	assert(pfs_held(&s->lock) && !seat->busy && seat->refs == 0);
	seat->busy = true;
	s->idle--;
	if (seat->doomed || is_written_down(s, seat) || seat->doomed) {
		close_seat(s, seat);
		return;
	}
	seat->busy = false;
	seat->idle_since_ms = pfs_clock_monotonic_ms();
	s->idle++;
	pthread_cond_broadcast(&s->changed);
}

/* The one that nobody has used for the longest time, not after `before`; NULL when there is none. */
static struct pfs_seat *oldest_idle(struct pfs_seats *s, int64_t before_ms)
{
	struct pfs_seat *seat, *oldest = NULL;
	size_t pos = 0;

	assert(pfs_held(&s->lock));
	while ((seat = pfs_map_next(&s->by_folder, &pos)))
		if (!seat->busy && seat->refs == 0 && seat->idle_since_ms <= before_ms &&
		    (!oldest || seat->idle_since_ms < oldest->idle_since_ms))
			oldest = seat;
	return oldest;
}

void pfs_seats_fini(struct pfs_seats *s)
{
	struct pfs_seat *seat;

	pfs_lock(&s->lock);
	while ((seat = oldest_idle(s, INT64_MAX)))
		start_closing(s, seat);
	assert(s->by_folder.len == 0); /* somebody still holds a workspace */
	pfs_unlock(&s->lock);
	pfs_map_fini(&s->by_folder);
	pfs_map_fini(&s->by_workspace);
	pthread_cond_destroy(&s->changed);
	pfs_lock_fini(&s->lock);
}

static int open_workspace(struct pfs_seats *s, struct pfs_seat *seat,
			  int (*base)(void *arg, struct pfs_root *out, struct pfs_error *err),
			  void *arg, struct pfs_error *err)
{
	char *path = path_of(s, seat->folder);
	struct pfs_root root;
	int rc = path ? base(arg, &root, err) : pfs_fail_nomem(err, "the name of a workspace");

	if (rc == 0)
		rc = pfs_workspace_open(path, s->store, &root, &seat->ws, err);
	free(path);
	return rc;
}

/* The lock is given up while the disk works; the seat is busy, so it stays. */
static int fill_seat(struct pfs_seats *s, struct pfs_seat *seat,
		     int (*base)(void *arg, struct pfs_root *out, struct pfs_error *err), void *arg,
		     struct pfs_error *err)
{
	int rc;

	pfs_unlock(&s->lock);
	rc = open_workspace(s, seat, base, arg, err);
	pfs_lock(&s->lock);
	if (rc == 0) {
		rc = pfs_map_set(&s->by_workspace, &seat->ws, sizeof(seat->ws), seat, err);
		if (rc < 0)
			pfs_workspace_close(&seat->ws);
	}
	seat->busy = false;
	pthread_cond_broadcast(&s->changed);
	if (rc == 0)
		return 0;
	pfs_map_remove(&s->by_folder, seat->folder, strlen(seat->folder));
	free_seat(seat);
	return rc;
}

static int add_seat(struct pfs_seats *s, const char *folder, struct pfs_seat **out,
		    struct pfs_error *err)
{
	struct pfs_seat *seat = new_seat(folder);
	int rc;

	if (!seat)
		return pfs_fail_nomem(err, "a workspace");
	seat->busy = true;
	rc = pfs_map_set(&s->by_folder, seat->folder, strlen(seat->folder), seat, err);
	if (rc < 0)
		free_seat(seat);
	else
		*out = seat;
	return rc;
}

int pfs_seats_take(struct pfs_seats *s, const char *folder,
		   int (*base)(void *arg, struct pfs_root *out, struct pfs_error *err), void *arg,
		   struct pfs_seat **out, bool *out_opened, struct pfs_error *err)
{
	struct pfs_seat *seat;
	int rc = 0;

	pfs_lock(&s->lock);
	while ((seat = pfs_map_find(&s->by_folder, folder, strlen(folder))) && seat->busy)
		pfs_cond_wait(&s->changed, &s->lock, -1);
	*out_opened = !seat;
	if (!seat) {
		rc = add_seat(s, folder, &seat, err);
		if (rc == 0)
			rc = fill_seat(s, seat, base, arg, err);
	} else if (seat->refs == 0) {
		s->idle--;
	}
	if (rc == 0) {
		seat->refs++;
		*out = seat;
	}
	pfs_unlock(&s->lock);
	return rc;
}

static void drop_locked(struct pfs_seats *s, struct pfs_seat *seat)
{
	assert(pfs_held(&s->lock) && seat->refs > 0);
	if (--seat->refs)
		return;
	seat->idle_since_ms = pfs_clock_monotonic_ms();
	s->idle++;
	if (seat->doomed)
		start_closing(s, seat);
	else if (s->idle > PFS_WORKSPACES_IDLE_MAX)
		retire(s, oldest_idle(s, INT64_MAX));
}

void pfs_seats_drop(struct pfs_seats *s, struct pfs_seat **seat)
{
	if (!*seat)
		return;
	pfs_lock(&s->lock);
	drop_locked(s, *seat);
	pfs_unlock(&s->lock);
	*seat = NULL;
}

void pfs_seats_drop_workspace(struct pfs_seats *s, struct pfs_workspace *ws)
{
	struct pfs_seat *seat;

	pfs_lock(&s->lock);
	seat = pfs_map_find(&s->by_workspace, &ws, sizeof(ws));
	assert(seat); /* it was never borrowed, or is given back twice */
	if (seat)
		drop_locked(s, seat);
	pfs_unlock(&s->lock);
}

void pfs_seats_doom(struct pfs_seats *s, const char *folder)
{
	struct pfs_seat *seat;

	pfs_lock(&s->lock);
	seat = pfs_map_find(&s->by_folder, folder, strlen(folder));
	if (seat)
		seat->doomed = true;
	if (seat && !seat->busy && seat->refs == 0)
		start_closing(s, seat);
	pfs_unlock(&s->lock);
	if (!seat)
		remove_folder(s, folder);
}

/* All seats that are open: those with a branch, those that are doomed, or both; held for a visit. */
static size_t hold_all(struct pfs_seats *s, bool alive, bool doomed, struct pfs_seat ***out)
{
	struct pfs_seat **list, *seat;
	size_t n = 0, pos = 0;

	pfs_lock(&s->lock);
	list = calloc(s->by_folder.len + 1, sizeof(struct pfs_seat *));
	while (list && (seat = pfs_map_next(&s->by_folder, &pos))) {
		if (seat->busy || !(seat->doomed ? doomed : alive))
			continue;
		if (seat->refs++ == 0)
			s->idle--;
		list[n++] = seat;
	}
	pfs_unlock(&s->lock);
	*out = list;
	return n;
}

/* A visit is no use: the time since when a seat is idle stays as it was. */
static void let_go(struct pfs_seats *s, struct pfs_seat *seat)
{
	pfs_lock(&s->lock);
	if (--seat->refs == 0) {
		s->idle++;
		if (seat->doomed)
			start_closing(s, seat);
	}
	pfs_unlock(&s->lock);
}

static void close_unused(struct pfs_seats *s, int64_t before_ms)
{
	struct pfs_seat *seat;

	pfs_lock(&s->lock);
	while ((seat = oldest_idle(s, before_ms)))
		retire(s, seat);
	pfs_unlock(&s->lock);
}

int pfs_seats_tick(struct pfs_seats *s, int64_t age_ms, int64_t idle_ms, struct pfs_error *err)
{
	struct pfs_error *first =
		err; /* one branch's trouble is told, the others still get their turn */
	struct pfs_seat **list;
	size_t n = hold_all(s, true, false, &list);
	int rc = list ? 0 : pfs_fail_nomem(err, "a list of workspaces");

	for (size_t i = 0; i < n; i++) {
		int one = pfs_workspace_tick(list[i]->ws, age_ms, first);

		if (one < 0 && rc == 0) {
			rc = one;
			first = NULL;
		}
		let_go(s, list[i]);
	}
	free(list);
	close_unused(s, pfs_clock_monotonic_ms() - idle_ms);
	return rc;
}

/* Our own while the disk is read, with no workspace in it. */
static int look_closed(struct pfs_seats *s, const char *folder, const struct pfs_seat_look *look,
		       struct pfs_error *err)
{
	struct pfs_seat *seat = NULL;
	char *path = NULL;
	int rc = add_seat(s, folder, &seat, err);

	assert(pfs_held(&s->lock));
	if (rc < 0)
		return rc;
	pfs_unlock(&s->lock);
	path = path_of(s, folder);
	rc = path ? look->closed(look->arg, path, err)
		  : pfs_fail_nomem(err, "the name of a workspace");
	free(path);
	pfs_lock(&s->lock);
	/* Doomed meanwhile: whoever did it left the rest to us. */
	if (seat->doomed) {
		pfs_unlock(&s->lock);
		remove_folder(s, folder);
		pfs_lock(&s->lock);
	}
	pfs_map_remove(&s->by_folder, seat->folder, strlen(seat->folder));
	free_seat(seat);
	pthread_cond_broadcast(&s->changed);
	return rc;
}

int pfs_seats_look(struct pfs_seats *s, const char *folder, const struct pfs_seat_look *look,
		   struct pfs_error *err)
{
	struct pfs_seat *seat;
	int rc;

	pfs_lock(&s->lock);
	while ((seat = pfs_map_find(&s->by_folder, folder, strlen(folder))) && seat->busy)
		pfs_cond_wait(&s->changed, &s->lock, -1);
	if (seat && seat->refs++ == 0)
		s->idle--;
	rc = seat ? 0 : look_closed(s, folder, look, err);
	pfs_unlock(&s->lock);
	if (seat) {
		rc = look->open(look->arg, seat->ws, err);
		let_go(s, seat);
	}
	return rc;
}

int pfs_seats_look_open(struct pfs_seats *s, bool only_doomed, const struct pfs_seat_look *look,
			struct pfs_error *err)
{
	struct pfs_seat **list;
	size_t n = hold_all(s, !only_doomed, true, &list);
	int rc = list ? 0 : pfs_fail_nomem(err, "the open workspaces");

	for (size_t i = 0; i < n; i++) {
		if (rc >= 0)
			rc = look->open(look->arg, list[i]->ws, err);
		let_go(s, list[i]);
	}
	free(list);
	return rc;
}
