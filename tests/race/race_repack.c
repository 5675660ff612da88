/*
 * Upkeep beside all else, for ThreadSanitizer: files are written, adopted and
 * committed, old commits are read, a repo comes and goes, while the store is
 * repacked, collected and scrubbed. Every commit reads back as it was written, and
 * in the end fsck finds nothing.
 *
 *	race_repack [seconds]
 */
#include "../world.h"
#include "store/adoption.h"
#include "store/packset.h"
#include "store/packwriter.h"
#include "store/session.h"
#include "base/clock.h"
#include <pfs/admin.h>

#include <pthread.h>
#include <unistd.h>

#define WRITERS    2
#define SMALL      25 /* files of a commit */
#define PIECES     4  /* more of them, which are pieces of a file that is adopted */
#define PIECE_SIZE 12000u
#define KEPT_MAX   4096

struct writer {
	struct world *w;
	const char *folder;
	char repo[8];
	unsigned number;
	struct pfs_commit_id commits[KEPT_MAX];
	_Atomic unsigned n;
};

static _Atomic bool over;

static size_t small_text(char out[600], unsigned number, unsigned round, unsigned i)
{
	return (size_t)snprintf(
		out, 600,
		"/* file %u of commit %u by %u */\n#include <stdio.h>\n\n"
		"int main(int argc, char **argv)\n{\n\tprintf(\"%u %%d\\n\", argc * %u);\n"
		"\treturn argv[%u] != NULL; /* and some more to make it longer, %u */\n"
		"} /* this is more than what a directory keeps itself, in any case */\n",
		i, round, number, i * 7919, round * 31, i % 7, number);
}

/* The first of each round resembles that of the round before. */
static void piece_text(char out[PIECE_SIZE + 1], unsigned number, unsigned round, unsigned i)
{
	size_t n = 0;

	while (n + 80 < PIECE_SIZE)
		n += (size_t)snprintf(out + n, 80, "%u %u %u: %zu\n", number, i,
				      i ? round : n > 4000, n * 2654435761u);
	memset(out + n, '.', PIECE_SIZE - n);
	snprintf(out + n, 40, "%u", round);
	out[n + strlen(out + n)] = '.';
	out[PIECE_SIZE] = 0;
}

/* The store has the pieces when the commit comes to them: they lie in a file of their own. */
static void adopt_pieces(struct writer *me, unsigned round)
{
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	char path[300], data[PIECE_SIZE + 1];
	int fd;

	snprintf(path, sizeof(path), "%s/incoming-%s", me->folder, me->repo);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && pfs_adoption_begin(me->w->store, &a, &err) == 0, "%s", path);
	for (unsigned i = 0; i < PIECES; i++) {
		struct pfs_store_item item = { .data = data, .len = PIECE_SIZE };

		piece_text(data, me->number, round, i);
		CHECK(write(fd, data, PIECE_SIZE) == PIECE_SIZE, "write");
		CHECK(pfs_adoption_add(a, i * PIECE_SIZE, &item, 1, &err) == 0, "%s", err.text);
	}
	close(fd);
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == 0, "%s", err.text);
	CHECK(unlink(path) == 0, "%s", path);
}

static struct pfs_commit_id commit_round(struct writer *me, unsigned round)
{
	char path[64], text[PIECE_SIZE + 1];
	struct pfs_session session;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;

	pfs_session_begin(me->w->store, &session);
	if (round % 2)
		adopt_pieces(me, round);
	for (unsigned i = 0; i < SMALL + PIECES; i++) {
		snprintf(path, sizeof(path), "d%u/f%u", i % 3, i);
		if (i < SMALL)
			small_text(text, me->number, round, i);
		else
			piece_text(text, me->number, round, i - SMALL);
		CHECK(world_write(me->w, me->repo, "master", path, text, &err) == 0, "%s",
		      err.text);
	}
	CHECK(pfs_commit_branch(me->w->h, me->repo, "master", NULL, &id, &err) == 0, "%s",
	      err.text);
	pfs_session_end(me->w->store, &session);
	return id;
}

static void expect_round(struct writer *me, unsigned round)
{
	static _Thread_local char path[64], want[PIECE_SIZE + 1], got[PIECE_SIZE + 2];
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < SMALL + PIECES; i++) {
		snprintf(path, sizeof(path), "d%u/f%u", i % 3, i);
		if (i < SMALL)
			small_text(want, me->number, round, i);
		else
			piece_text(want, me->number, round, i - SMALL);
		CHECK(world_read(me->w, me->repo, &me->commits[round], path, got, sizeof(got),
				 &err) == 0,
		      "%s of commit %u: %s", path, round, err.text);
		CHECK(strcmp(got, want) == 0, "%s of commit %u is another one", path, round);
	}
}

static void make_repo(struct world *w, const char *repo)
{
	struct pfs_error err = { 0 };

	CHECK(pfs_repo_create(w->h, repo, &err) == 0, "%s", err.text);
	CHECK(pfs_branch_create(w->h, repo, "master", NULL, &err) == 0, "%s", err.text);
}

static void *write_on(void *arg)
{
	struct writer *me = arg;

	for (; !over && me->n < KEPT_MAX; me->n++) {
		me->commits[me->n] = commit_round(me, me->n);
		expect_round(me, me->n);
		expect_round(me, me->n * 7919u % (me->n + 1));
	}
	return NULL;
}

/* Its commits are like those of the first writer, so that what goes is partly somebody else's too. */
static void *come_and_go(void *arg)
{
	struct writer *me = arg;
	struct pfs_error err = { 0 };

	for (unsigned i = 0; !over; i++) {
		make_repo(me->w, me->repo);
		me->commits[i % 50] = commit_round(me, i % 50);
		expect_round(me, i % 50);
		CHECK(pfs_repo_delete(me->w->h, me->repo, true, &err) == 0, "%s", err.text);
	}
	return NULL;
}

static void *repack(void *arg)
{
	struct pfs_tidy_options o = PFS_TIDY_OPTIONS_INIT;
	struct pfs_tidy_report r, sum = { 0 };
	struct world *w = arg;
	struct pfs_error err = { 0 };

	o.budget_bytes = 60000;
	while (!over) {
		CHECK(pfs_history_tidy(w->h, &o, &r, &err) == 0, "%s", err.text);
		sum.packs_rewritten += r.packs_rewritten;
		sum.freed_bytes += r.freed_bytes;
		CHECK(r.packs_damaged == 0, "a pack cannot be read");
	}
	printf("repacked %llu packs of %llu bytes\n", (unsigned long long)sum.packs_rewritten,
	       (unsigned long long)sum.freed_bytes);
	CHECK(sum.packs_rewritten > 0, "nothing was repacked");
	return NULL;
}

static void *collect(void *arg)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct world *w = arg;
	struct pfs_error err = { 0 };
	struct pfs_gc_report r;
	uint64_t removed = 0;

	while (!over) {
		o.thorough = !o.thorough;
		CHECK(pfs_gc_run(w->h, &o, &r, &err) == 0, "%s", err.text);
		removed += r.packs_removed;
		CHECK(r.packs_damaged == 0, "a pack cannot be read");
		usleep(20000); /* somebody else's turn */
	}
	printf("collected %llu packs\n", (unsigned long long)removed);
	return NULL;
}

static void tell_damage(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

static void *scrub(void *arg)
{
	struct pfs_scrub_options o = PFS_SCRUB_OPTIONS_INIT;
	struct pfs_scrub_state s;
	struct world *w = arg;
	struct pfs_error err = { 0 };

	o.budget_bytes = 200000;
	o.report = tell_damage;
	while (!over) {
		CHECK(pfs_history_scrub(w->h, &o, &s, &err) == 0, "%s", err.text);
		CHECK(s.damages + s.last_damages == 0, "damage");
		usleep(5000);
	}
	return NULL;
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

static void expect_sound(struct world *w)
{
	struct pfs_fsck_options o = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	o.level = PFS_FSCK_FULL;
	CHECK(pfs_fsck_run(w->h, &o, &r, &err) == 0, "%s", err.text);
	CHECK(r.damages + r.missing + r.names == 0, "fsck found something");
}

int main(int argc, char **argv)
{
	int64_t seconds = argc > 1 ? atoi(argv[1]) : 3;
	static struct writer writers[WRITERS + 1];
	void *(*keepers[])(void *arg) = { repack, collect, scrub };
	pthread_t threads[WRITERS + 4];
	struct scratch dir = scratch_new();
	struct world w;
	unsigned n = 0;

	pfs_packwriter_set_targets(60000, 40000);
	pfs_packset_set_batch(300);
	open_world(&w, dir.path);
	for (unsigned i = 0; i < WRITERS + 1; i++) {
		writers[i].w = &w;
		writers[i].folder = dir.path;
		writers[i].number = i % WRITERS;
		snprintf(writers[i].repo, sizeof(writers[i].repo), "r%u", i);
		if (i < WRITERS)
			make_repo(&w, writers[i].repo);
		CHECK(pthread_create(&threads[n++], NULL, i < WRITERS ? write_on : come_and_go,
				     &writers[i]) == 0,
		      "thread");
	}
	for (unsigned i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[n++], NULL, keepers[i], &w) == 0, "thread");
	for (int64_t end = pfs_clock_monotonic_ms() + seconds * 1000;
	     pfs_clock_monotonic_ms() < end || writers[0].n < 3;)
		usleep(50000);
	over = true;
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	expect_sound(&w);
	close_world(&w);
	open_world(&w, dir.path);
	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned k = 0; k < writers[i].n; k++)
			expect_round(&writers[i], k);
	expect_sound(&w);
	printf("%u commits\n", writers[0].n + writers[1].n);
	close_world(&w);
	scratch_fini(&dir);
	return 0;
}
