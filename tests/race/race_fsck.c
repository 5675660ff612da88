/*
 * fsck, collections and writers at once: repos come with commits and go, their
 * packs are rewritten and removed while fsck reads them, and it finds nothing to
 * complain of, since nothing is damaged.
 */
#include "../world.h"
#include "store/packwriter.h"
#include <pfs/admin.h>

#include <pthread.h>

#define ROUNDS 25

static struct world w;
static _Atomic bool over;

static void write_text(const char *repo, const char *path, unsigned seed)
{
	static _Thread_local char text[6000];
	struct pfs_error err = { 0 };

	scratch_fill(text, sizeof(text) - 1, seed);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('!' + (unsigned char)text[i] % 90);
	CHECK(world_write(&w, repo, "master", path, text, &err) == 0, "%s", err.text);
}

static void commit(const char *repo)
{
	struct pfs_commit_id id;
	struct pfs_error err = { 0 };

	CHECK(pfs_commit_branch(w.h, repo, "master", NULL, &id, &err) == 0, "%s", err.text);
}

static void make_repo(const char *repo)
{
	struct pfs_error err = { 0 };

	CHECK(pfs_repo_create(w.h, repo, &err) == 0, "%s", err.text);
	CHECK(world_branch(&w, repo, "master", &err) == 0, "%s", err.text);
}

/* One repo stays and grows, the other comes and goes. */
static void *write_and_delete(void *arg)
{
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < ROUNDS; i++) {
		make_repo("guest");
		for (unsigned k = 0; k < 8; k++) {
			char path[32];

			snprintf(path, sizeof(path), "d/%u", k);
			write_text("guest", path, 1000 * i + k);
			write_text("books", path, 100000 + 1000 * i + k);
		}
		commit("books");
		commit("guest");
		write_text("guest", "not committed", i);
		CHECK(pfs_repo_delete(w.h, "guest", true, &err) == 0, "%s", err.text);
	}
	over = true;
	return NULL;
}

static void *collect(void *arg)
{
	struct pfs_gc_options how = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };
	uint64_t removed = 0;

	how.thorough = true;
	while (!over) {
		CHECK(pfs_gc_run(w.h, &how, &r, &err) == 0, "%s", err.text);
		removed += r.packs_removed;
	}
	CHECK(removed > 0, "no pack was removed meanwhile");
	return NULL;
}

static void print(void *arg, const struct pfs_finding *f)
{
	if (f->kind != PFS_FINDING_NOTE)
		fprintf(stderr, "%s\n", f->text);
}

static void look(bool repair)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	how.level = PFS_FSCK_FULL;
	how.repair = repair;
	how.report = print;
	CHECK(pfs_fsck_run(w.h, &how, &r, &err) == 0, "%s", err.text);
	CHECK(r.damages + r.missing + r.names + r.mended == 0, "fsck complains of nothing");
}

int main(void)
{
	struct scratch dir = scratch_new();
	struct pfs_error err = { 0 };
	pthread_t writer, collector;
	unsigned looks = 0;

	pfs_packwriter_set_targets(20000, 3000);
	CHECK(world_open(&w, dir.path, &err) == 0, "%s", err.text);
	make_repo("books");
	CHECK(pthread_create(&writer, NULL, write_and_delete, NULL) == 0, "a thread");
	CHECK(pthread_create(&collector, NULL, collect, NULL) == 0, "a thread");
	while (!over)
		look(++looks % 4 == 0);
	pthread_join(writer, NULL);
	pthread_join(collector, NULL);
	look(false);
	CHECK(looks > 3, "%u looks", looks);
	world_close(&w);
	scratch_fini(&dir);
	return 0;
}
