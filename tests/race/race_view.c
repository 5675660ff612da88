/*
 * Many threads over one small tree of handles: finding, making, renaming,
 * removing, listing and committing at once, while one reads changes, another
 * makes and drops branches, and a third adds and removes datums. What each
 * sees has to make sense; ThreadSanitizer has to see nothing.
 */
#include "../scratch.h"

#include <pfs/pfs.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define THREADS 4
#define ROUNDS  2000

static struct pfs_instance *pfs;
static struct pfs_view *v;
static struct pfs_history *h;
static _Atomic bool over;
static _Atomic unsigned failures;

/* What may be the answer when others change the same names. */
static void check(int rc, const struct pfs_error *err, const char *what)
{
	switch (rc) {
	case PFS_E_NOTFOUND:
	case PFS_E_EXISTS:
	case PFS_E_NOTDIR:
	case PFS_E_ISDIR:
	case PFS_E_NOTEMPTY:
	case PFS_E_INVALID:
	case PFS_E_READONLY: /* of a commit */
		return;
	}
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, err->text);
	failures++;
}

static void read_all(struct pfs_handle *f)
{
	struct pfs_error err = { 0 };
	struct pfs_file *file = NULL;
	char data[256];
	size_t n;
	int rc = pfs_view_open(v, f, PFS_OPEN_READ, &file, &err);

	check(rc, &err, "open");
	if (rc < 0)
		return;
	check(pfs_file_read(file, 0, data, sizeof(data), &n, &err), &err, "read");
	pfs_file_close(&file, NULL);
}

static void write_some(struct pfs_handle *d, const char *name)
{
	const struct pfs_who who = { 0, 0 };
	struct pfs_error err = { 0 };
	struct pfs_handle *f = NULL;
	struct pfs_file *file = NULL;
	struct pfs_attr a;
	int rc = pfs_view_create(v, d, name, PFS_OPEN_WRITE, 0644, &who, &f, &a, &file, &err);

	check(rc, &err, "create");
	if (rc == 0)
		check(pfs_file_write(file, 0, name, strlen(name), &err), &err, "write");
	pfs_file_close(&file, NULL);
	pfs_handle_unref(&f);
}

static void list_all(struct pfs_handle *d)
{
	struct pfs_error err = { 0 };
	struct pfs_listing *l = NULL;
	struct pfs_list_item item;

	check(pfs_view_list(v, d, &l, &err), &err, "list");
	while (l && pfs_listing_next(l, &item, &err) > 0)
		if (!item.ino || !item.name[0])
			failures++;
	pfs_listing_close(&l);
}

static void one_round(unsigned r, const char *path)
{
	char name[8], other[8];
	struct pfs_error err = { 0 };
	struct pfs_handle *d = NULL, *f = NULL;
	struct pfs_attr a;

	snprintf(name, sizeof(name), "n%u", r % 5);
	snprintf(other, sizeof(other), "n%u", (r / 5) % 5);
	check(pfs_view_walk(v, path, &d, NULL, &err), &err, "walk");
	if (!d)
		return;
	switch (r % 7) {
	case 0:
	case 1:
		write_some(d, name);
		break;
	case 2:
		check(pfs_view_rename(v, d, name, d, other, 0, &err), &err, "rename");
		break;
	case 3:
		check(pfs_view_unlink(v, d, name, &err), &err, "unlink");
		break;
	case 4:
		list_all(d);
		break;
	default:
		check(pfs_view_lookup(v, d, name, &f, &a, &err), &err, "lookup");
		if (f)
			read_all(f);
	}
	pfs_handle_unref(&f);
	pfs_handle_unref(&d);
}

static void *use(void *arg)
{
	static const char *const paths[] = { "/r/b", "/r/side", "/r/b.1", "/r/b",
					     "/.pfs/datum/d/out" };
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		seed = seed * 1103515245u + 12345u;
		one_round((seed >> 8) % 1000, paths[(seed >> 4) % 5]);
	}
	return NULL;
}

static void *commit_and_branch(void *arg)
{
	const struct pfs_who who = { 0, 0 };
	struct pfs_error err = { 0 };

	(void)arg;
	for (unsigned i = 0; i < 60; i++) {
		struct pfs_datum_input in = { .name = "x", .repo = "r", .path = "" };
		struct pfs_handle *repo = NULL, *made = NULL;

		check(pfs_commit_branch(h, "r", "b", NULL, &in.commit, &err), &err, "commit");
		check(pfs_view_walk(v, "/r", &repo, NULL, &err), &err, "walk to the repo");
		check(pfs_view_symlink(v, repo, "side", "b", &who, &made, NULL, &err), &err,
		      "branch");
		pfs_handle_unref(&made);
		check(pfs_view_add_datum(v, "d", &in, 1, "r", "b", &err), &err, "datum");
		pfs_view_remove_datum(v, "d");
		check(pfs_view_rename(v, repo, "side", repo, "other", 0, &err), &err, "rename");
		pfs_branch_delete(h, "r", "other", true, NULL);
		pfs_handle_unref(&repo);
	}
	return NULL;
}

static void *read_changes(void *arg)
{
	struct pfs_view_change c;

	(void)arg;
	while (!over) {
		if (pfs_view_next_change(v, 20, &c) > 0 && !c.lost && !c.handle)
			failures++;
		pfs_handle_unref(&c.handle);
	}
	return NULL;
}

static void *watch(void *arg)
{
	(void)arg;
	while (!over)
		pfs_view_watch(v, 20);
	return NULL;
}

/* Two descriptors of one open control file are closed at once, as when another thread forks. */
struct closing {
	pthread_barrier_t start;
	struct pfs_file *file;
	struct pfs_commit_id before;
};

static void *close_one(void *arg)
{
	struct closing *c = arg;
	struct pfs_error err = { 0 };
	struct pfs_branch b;

	pthread_barrier_wait(&c->start);
	check(pfs_file_flush(c->file, &err), &err, "flush");
	check(pfs_branch_inspect(h, "r", "b", &b, &err), &err, "inspect");
	if (!b.has_head || pfs_commit_id_equal(&b.head, &c->before)) {
		fprintf(stderr, "the commit is not there when close returns\n");
		failures++;
	}
	return NULL;
}

static void close_twice(void)
{
	struct pfs_error err = { 0 };
	struct closing c = { 0 };

	pthread_barrier_init(&c.start, NULL, 2);
	for (unsigned i = 0; i < 100 && !failures; i++) {
		struct pfs_handle *control = NULL;
		struct pfs_branch b = { 0 };
		pthread_t other;

		check(pfs_view_walk(v, "/r/b/.pfs/commit", &control, NULL, &err), &err, "walk");
		check(pfs_view_open(v, control, PFS_OPEN_WRITE, &c.file, &err), &err, "open");
		check(pfs_file_write(c.file, 0, "again", 5, &err), &err, "write");
		check(pfs_branch_inspect(h, "r", "b", &b, &err), &err, "inspect");
		c.before = b.head;
		pthread_create(&other, NULL, close_one, &c);
		close_one(&c);
		pthread_join(other, NULL);
		pfs_file_close(&c.file, NULL);
		pfs_handle_unref(&control);
	}
	pthread_barrier_destroy(&c.start);
}

static int run(const char *folder)
{
	pthread_t users[THREADS], branches, changes, watcher;
	struct pfs_error err = { 0 };
	int rc = pfs_open(folder, &pfs, &err);

	if (rc == 0) {
		v = pfs_instance_view(pfs);
		h = pfs_instance_history(pfs);
		rc = pfs_repo_create(h, "r", &err);
	}
	if (rc == 0)
		rc = pfs_branch_create(h, "r", "b", NULL, &err);
	if (rc < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	close_twice();
	pthread_create(&changes, NULL, read_changes, NULL);
	pthread_create(&watcher, NULL, watch, NULL);
	pthread_create(&branches, NULL, commit_and_branch, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&users[i], NULL, use, (void *)(i + 1));
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(users[i], NULL);
	pthread_join(branches, NULL);
	over = true;
	pfs_view_wake(v);
	pthread_join(changes, NULL);
	pthread_join(watcher, NULL);
	/* Asserts that every workspace was given back. */
	pfs_close(&pfs);
	return failures ? 1 : 0;
}

int main(void)
{
	struct scratch dir = scratch_new();
	int status = run(dir.path);

	scratch_fini(&dir);
	printf("%s\n", status ? "failed" : "ok");
	return status;
}
