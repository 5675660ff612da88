/*
 * What names cost: committing one changed file among many, making a branch,
 * opening an old version, hearing of a commit. Prints medians and asserts
 * nothing.
 *
 *	bench_history [FOLDER [FILES]]
 */
#include "../world.h"
#include "base/clock.h"

#include <pthread.h>
#include <time.h>

#define ROUNDS  200
#define PER_DIR 100

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_times(const char *what, double *us, size_t n)
{
	qsort(us, n, sizeof(*us), by_size);
	printf("%-44s median %9.3f ms   p90 %9.3f ms   max %9.3f ms\n", what, us[n / 2] / 1e3,
	       us[n * 9 / 10] / 1e3, us[n - 1] / 1e3);
	fflush(stdout);
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
}

static void close_world(struct world *w)
{
	pfs_history_close(&w->h);
	pfs_meta_close(&w->meta);
	pfs_store_close(&w->store);
}

static void write_file(struct world *w, unsigned i, unsigned version)
{
	struct pfs_error err = { 0 };
	char path[64], text[64];

	snprintf(path, sizeof(path), "d%u/file%u", i / PER_DIR, i % PER_DIR);
	snprintf(text, sizeof(text), "file %u version %u", i, version);
	CHECK(world_write(w, "books", "master", path, text, &err) == 0, "%s", err.text);
}

static struct pfs_commit_id commit(struct world *w)
{
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;

	CHECK(pfs_commit_branch(w->h, "books", "master", NULL, &id, &err) == 0, "%s", err.text);
	return id;
}

static void bench_commits(struct world *w, unsigned files)
{
	static double us[ROUNDS];
	char what[64];

	for (unsigned i = 0; i < ROUNDS; i++) {
		double start;

		write_file(w, (i * 7919) % files, i + 1);
		start = now_us();
		commit(w);
		us[i] = now_us() - start;
	}
	snprintf(what, sizeof(what), "commit, 1 changed file among %u", files);
	print_times(what, us, ROUNDS);
}

static void bench_branches(struct world *w)
{
	static double create[ROUNDS], use[ROUNDS], old[ROUNDS];
	struct pfs_error err = { 0 };
	char name[32], text[64];

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct pfs_workspace *ws = NULL;
		struct pfs_commit_id id;
		double start = now_us();

		snprintf(name, sizeof(name), "b%u", i);
		CHECK(pfs_branch_create(w->h, "books", name, "master", &err) == 0, "%s", err.text);
		create[i] = now_us() - start;
		start = now_us();
		CHECK(pfs_history_workspace(w->h, "books", name, &ws, &err) == 0, "%s", err.text);
		pfs_history_release(w->h, &ws);
		use[i] = now_us() - start;
		start = now_us();
		snprintf(name, sizeof(name), "master.%u", i + 1);
		CHECK(pfs_rev_resolve(w->h, "books", name, &id, &err) == 0, "%s", err.text);
		CHECK(world_read(w, "books", &id, "d3/file7", text, sizeof(text), &err) == 0, "%s",
		      err.text);
		old[i] = now_us() - start;
	}
	print_times("branch create", create, ROUNDS);
	print_times("its workspace opened for the first time", use, ROUNDS);
	print_times("old version master.N resolved, a file read", old, ROUNDS);
}

struct listener {
	struct world *w;
	uint64_t after;
	double heard_us;
};

static void *listen(void *arg)
{
	struct listener *l = arg;

	pfs_event_wait(l->w->h, l->after, 10000);
	l->heard_us = now_us();
	return NULL;
}

/* From the return of the commit, which is after the event, to the waiter being awake. */
static void bench_events(struct world *w)
{
	static double us[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct listener l = { .w = w, .after = pfs_event_newest(w->h) };
		struct timespec pause = { .tv_nsec = 2000000 };
		pthread_t t;
		double done;

		pthread_create(&t, NULL, listen, &l);
		nanosleep(&pause, NULL);
		commit(w);
		done = now_us();
		pthread_join(t, NULL);
		us[i] = l.heard_us > done ? l.heard_us - done : 0;
	}
	print_times("waiter awake after the commit returned", us, ROUNDS);
}

int main(int argc, char **argv)
{
	struct scratch dir = scratch_new();
	const char *data = argc > 1 ? argv[1] : dir.path;
	unsigned files = argc > 2 ? (unsigned)atoi(argv[2]) : 100000;
	struct pfs_error err = { 0 };
	struct world w;
	double start;

	open_world(&w, data);
	CHECK(pfs_repo_create(w.h, "books", &err) == 0, "%s", err.text);
	CHECK(pfs_branch_create(w.h, "books", "master", NULL, &err) == 0, "%s", err.text);
	start = now_us();
	for (unsigned i = 0; i < files; i++)
		write_file(&w, i, 0);
	printf("%-44s        %9.1f ms\n", "writing them", (now_us() - start) / 1e3);
	start = now_us();
	commit(&w);
	printf("%-44s        %9.1f ms\n", "the first commit of them", (now_us() - start) / 1e3);
	close_world(&w);
	open_world(&w, data);
	bench_commits(&w, files);
	bench_branches(&w);
	bench_events(&w);
	close_world(&w);
	scratch_fini(&dir);
	return 0;
}
