/*
 * Many hands on one history, for ThreadSanitizer: two branches are written and
 * committed, branches come and go, readers list and resolve, somebody waits for
 * every event. In the end each branch has exactly its commits.
 */
#include "../world.h"

#include <pthread.h>

#define ROUNDS 30

struct hand {
	struct world *w;
	const char *branch;
	pthread_t thread;
};

static void *write_and_commit(void *arg)
{
	struct hand *hand = arg;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	char text[64], got[64];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(text, sizeof(text), "%s %d", hand->branch, i);
		CHECK(world_write(hand->w, "books", hand->branch, "d/a", text, &err) == 0, "%s",
		      err.text);
		CHECK(pfs_commit_branch(hand->w->h, "books", hand->branch, NULL, &id, &err) == 0,
		      "%s", err.text);
		CHECK(world_read(hand->w, "books", &id, "d/a", got, sizeof(got), &err) == 0, "%s",
		      err.text);
		CHECK(strcmp(got, text) == 0, "\"%s\" instead of \"%s\"", got, text);
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct hand *hand = arg;
	struct pfs_error err = { 0 };

	for (int i = 0; i < ROUNDS; i++) {
		CHECK(pfs_branch_create(hand->w->h, "books", "guest", NULL, &err) == 0, "%s",
		      err.text);
		CHECK(world_write(hand->w, "books", "guest", "x", "1", &err) == 0, "%s", err.text);
		CHECK(pfs_branch_delete(hand->w->h, "books", "guest", true, &err) == 0, "%s",
		      err.text);
	}
	return NULL;
}

/* What a passer-by may meet: the branch that comes and goes is not there, or empty. */
static void *look(void *arg)
{
	struct hand *hand = arg;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };

	for (int i = 0; i < ROUNDS; i++) {
		struct pfs_commit *list = NULL;
		struct pfs_repo repo;
		size_t n = 0;
		int rc;

		CHECK(pfs_commit_list(hand->w->h, "books", NULL, 5, &list, &n, &err) == 0, "%s",
		      err.text);
		pfs_commits_free(&list, n);
		CHECK(pfs_repo_inspect(hand->w->h, "books", &repo, &err) == 0, "%s", err.text);
		rc = pfs_history_workspace(hand->w->h, "books", "guest", &ws, &err);
		CHECK(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
		pfs_history_release(hand->w->h, &ws);
		CHECK(pfs_history_tick(hand->w->h, &err) == 0, "%s", err.text);
	}
	return NULL;
}

static void *follow(void *arg)
{
	struct hand *hand = arg;
	struct pfs_event events[16];
	struct pfs_error err = { 0 };
	uint64_t after = 0;
	unsigned commits = 0;
	size_t n;

	while (commits < 2 * ROUNDS) {
		CHECK(pfs_event_wait(hand->w->h, after, 60000) == 1, "no event came");
		CHECK(pfs_event_read(hand->w->h, after, events, 16, &n, &err) == 0, "%s", err.text);
		CHECK(n > 0, "woken for nothing");
		for (size_t i = 0; i < n; i++) {
			CHECK(events[i].number > after, "numbers went back");
			after = events[i].number;
			commits += strcmp(events[i].kind, "commit.finished") == 0;
		}
	}
	return NULL;
}

static void expect_commits(struct world *w, const char *branch)
{
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	CHECK(pfs_commit_list(w->h, "books", branch, 0, &list, &n, &err) == 0, "%s", err.text);
	CHECK(n == ROUNDS, "%s has %zu commits", branch, n);
	pfs_commits_free(&list, n);
}

static void open_world(struct world *w, const char *data)
{
	struct pfs_error err = { 0 };
	char path[300];

	memset(w, 0, sizeof(*w));
	snprintf(path, sizeof(path), "%s/store", data);
	CHECK(pfs_store_open(path, &w->store, &err) == 0, "%s", err.text);
	snprintf(path, sizeof(path), "%s/meta.db", data);
	CHECK(pfs_meta_open(path, &w->meta, &err) == 0, "%s", err.text);
	CHECK(pfs_history_open(w->meta, w->store, data, &w->h, &err) == 0, "%s", err.text);
	CHECK(pfs_repo_create(w->h, "books", &err) == 0, "%s", err.text);
	CHECK(pfs_branch_create(w->h, "books", "left", NULL, &err) == 0, "%s", err.text);
	CHECK(pfs_branch_create(w->h, "books", "right", NULL, &err) == 0, "%s", err.text);
}

int main(void)
{
	struct scratch dir = scratch_new();
	struct world w;
	struct hand hands[] = {
		{ &w, "left" }, { &w, "right" }, { &w, NULL }, { &w, NULL }, { &w, NULL }
	};
	void *(*work[])(void *arg) = { write_and_commit, write_and_commit, come_and_go, look,
				       follow };

	open_world(&w, dir.path);
	for (size_t i = 0; i < 5; i++)
		CHECK(pthread_create(&hands[i].thread, NULL, work[i], &hands[i]) == 0, "thread");
	for (size_t i = 0; i < 5; i++)
		pthread_join(hands[i].thread, NULL);
	expect_commits(&w, "left");
	expect_commits(&w, "right");
	pfs_history_close(&w.h);
	pfs_meta_close(&w.meta);
	pfs_store_close(&w.store);
	scratch_fini(&dir);
	return 0;
}
