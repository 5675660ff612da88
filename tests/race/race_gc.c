/*
 * Collections, one after the other, beside everything that anybody may do
 * meanwhile: writers that commit, delete their repo and begin anew, readers of
 * what was committed, of files that are open while their repo goes, questions
 * what deleting would free, fsck.
 *
 *	race_gc [SECONDS]    8
 *
 * All draw from a small stock of contents, so that what is garbage in one moment
 * is put again in the next, in the middle of a collection. Every read is
 * compared with what it must be.
 */
#include "../cold.h"
#include "../world.h"
#include "store/packset.h"
#include "store/packwriter.h"
#include <pfs/admin.h>

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define WRITERS  3
#define READERS  2
#define FILES    8  /* of a repo */
#define STOCK    60 /* contents there are */
#define BODY_MAX 90000
#define HISTORY  6 /* commits until a repo is deleted */

struct promise {
	struct pfs_commit_id id;
	unsigned bodies[FILES];
};

struct repo {
	char name[16];
	pthread_mutex_t lock;
	unsigned generation; /* these: protected by lock */
	unsigned n;
	struct promise commits[HISTORY];
};

static struct world w;
static struct repo repos[WRITERS];
static double end_s;
static unsigned commits, reads, collections, questions, checks, orphans; /* atomic */
static uint64_t freed;                                                   /* atomic */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool is_over(void)
{
	return now() >= end_s;
}

static void must(int rc, const struct pfs_error *err)
{
	CHECK(rc == 0, "%s", err->text);
}

static unsigned roll(uint64_t *seed, unsigned below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (unsigned)((*seed * 0x2545f4914f6cdd1d >> 33) % below);
}

static size_t body_len(unsigned body)
{
	return body % 3 == 0   ? 300 + 10 * body
	       : body % 3 == 1 ? 5000 + body
			       : BODY_MAX - 100 * body;
}

/* Text; contents that are alike lean on each other in the store. */
static void body_text(unsigned body, char *out)
{
	size_t len = body_len(body);

	scratch_fill(out, len, body % 3 == 2 ? 1 + body / 12 : 1000 + body);
	for (size_t i = 0; i < len; i++)
		out[i] = (char)('!' + (out[i] & 63));
	snprintf(out + 20, 20, "body %13u", body);
	out[38] = '\n';
	out[len] = 0;
}

static void expect_body(const char *got, size_t len, unsigned body, const char *where)
{
	char *want = malloc(BODY_MAX + 1);

	CHECK(want, "memory");
	body_text(body, want);
	CHECK(len == body_len(body) && memcmp(got, want, len) == 0, "%s: not body %u", where, body);
	free(want);
}

/* --- writers --------------------------------------------------------------- */

static void make_repo(struct repo *r)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_create(w.h, r->name, &err), &err);
	must(pfs_branch_create(w.h, r->name, "master", NULL, &err), &err);
}

static void write_some(struct repo *r, unsigned bodies[FILES], uint64_t *seed)
{
	char *text = malloc(BODY_MAX + 1), path[32];
	struct pfs_error err = { 0 };

	CHECK(text, "memory");
	for (unsigned i = 0; i < FILES; i++) {
		if (bodies[i] < STOCK && roll(seed, 2))
			continue;
		bodies[i] = roll(seed, STOCK);
		body_text(bodies[i], text);
		snprintf(path, sizeof(path), "d%u/f%u", i % 3, i);
		must(world_write(&w, r->name, "master", path, text, &err), &err);
	}
	free(text);
}

static void read_commit(const char *repo, const struct promise *p, struct pfs_error *err, int *rc)
{
	char *got = malloc(BODY_MAX + 2), path[32];

	CHECK(got, "memory");
	for (unsigned i = 0; i < FILES && *rc == 0; i++) {
		snprintf(path, sizeof(path), "d%u/f%u", i % 3, i);
		*rc = world_read(&w, repo, &p->id, path, got, BODY_MAX + 2, err);
		if (*rc == 0)
			expect_body(got, strlen(got), p->bodies[i], path);
	}
	free(got);
}

/* A file that is open, perhaps with no name any more, outlives its repo. */
static struct pfs_open *open_orphan(struct repo *r, unsigned file, struct pfs_workspace **ws,
				    uint64_t *seed)
{
	struct pfs_node *dir, *n = NULL;
	struct pfs_open *open = NULL;
	struct pfs_error err = { 0 };
	char name[8];

	must(pfs_history_workspace(w.h, r->name, "master", ws, &err), &err);
	dir = pfs_workspace_root(*ws);
	snprintf(name, sizeof(name), "d%u", file % 3);
	must(world_enter(*ws, &dir, name, 2, &err), &err);
	snprintf(name, sizeof(name), "f%u", file);
	must(pfs_workspace_lookup(*ws, dir, name, 2, &n, &err), &err);
	must(pfs_workspace_open_file(*ws, n, false, false, &open, &err), &err);
	if (roll(seed, 2))
		must(pfs_workspace_remove_name(*ws, dir, name, 2, false, &err), &err);
	pfs_node_unref(&n);
	pfs_node_unref(&dir);
	return open;
}

static void delete_repo(struct repo *r, const struct promise *last, uint64_t *seed)
{
	const struct timespec pause = { .tv_nsec = 30000000 };
	unsigned file = roll(seed, FILES);
	struct pfs_workspace *ws = NULL;
	struct pfs_open *open = open_orphan(r, file, &ws, seed);
	char *got = malloc(BODY_MAX + 1);
	struct pfs_error err = { 0 };
	size_t len;

	CHECK(got, "memory");
	pthread_mutex_lock(&r->lock);
	r->generation++;
	r->n = 0;
	pthread_mutex_unlock(&r->lock);
	must(pfs_repo_delete(w.h, r->name, true, &err), &err);
	for (unsigned i = 0; i < 5; i++) {
		nanosleep(&pause, NULL);
		must(pfs_workspace_read(open, 0, got, BODY_MAX + 1, &len, &err), &err);
		expect_body(got, len, last->bodies[file], "an open file of a deleted repo");
	}
	pfs_workspace_close_file(&open);
	pfs_history_release(w.h, &ws);
	free(got);
	__atomic_add_fetch(&orphans, 1, __ATOMIC_RELAXED);
}

static void *write_on(void *arg)
{
	struct repo *r = arg;
	uint64_t seed = 77 + (uint64_t)(r - repos);

	for (unsigned round = 0; !is_over(); round++) {
		struct promise p;

		memset(p.bodies, 0xff, sizeof(p.bodies));
		for (unsigned i = 0; i < HISTORY && !is_over(); i++) {
			struct pfs_error err = { 0 };
			int rc = 0;

			write_some(r, p.bodies, &seed);
			must(pfs_commit_branch(w.h, r->name, "master", NULL, &p.id, &err), &err);
			read_commit(r->name, &p, &err, &rc);
			must(rc, &err);
			pthread_mutex_lock(&r->lock);
			r->commits[r->n++] = p;
			pthread_mutex_unlock(&r->lock);
			__atomic_add_fetch(&commits, 1, __ATOMIC_RELAXED);
		}
		if (is_over())
			break;
		delete_repo(r, &p, &seed);
		make_repo(r);
	}
	return NULL;
}

/* --- everybody else -------------------------------------------------------- */

static unsigned generation_of(struct repo *r)
{
	unsigned generation;

	pthread_mutex_lock(&r->lock);
	generation = r->generation;
	pthread_mutex_unlock(&r->lock);
	return generation;
}

static void *read_on(void *arg)
{
	uint64_t seed = 991 + (uint64_t)(uintptr_t)arg;

	while (!is_over()) {
		struct repo *r = &repos[roll(&seed, WRITERS)];
		struct pfs_error err = { 0 };
		struct promise p;
		unsigned generation, n;
		int rc = 0;

		pthread_mutex_lock(&r->lock);
		generation = r->generation;
		n = r->n;
		if (n)
			p = r->commits[roll(&seed, n)];
		pthread_mutex_unlock(&r->lock);
		if (!n)
			continue;
		read_commit(r->name, &p, &err, &rc);
		/* Whoever reads by path and not from an open file may find that the repo has gone. */
		CHECK(rc == 0 || generation_of(r) != generation, "%s", err.text);
		__atomic_add_fetch(&reads, rc == 0, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *collect_on(void *arg)
{
	uint64_t seed = 5;

	while (!is_over()) {
		struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
		struct pfs_gc_report r;
		struct pfs_error err = { 0 };

		o.thorough = roll(&seed, 3) > 0;
		o.dry_run = roll(&seed, 6) == 0;
		must(pfs_gc_run(w.h, &o, &r, &err), &err);
		CHECK(r.packs_damaged == 0, "%llu damaged packs",
		      (unsigned long long)r.packs_damaged);
		__atomic_add_fetch(&collections, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&freed, o.dry_run ? 0 : r.freed_bytes, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *ask_on(void *arg)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	uint64_t seed = 6;

	while (!is_over()) {
		struct pfs_gc_share share;
		struct pfs_error err = { 0 };
		int rc = pfs_gc_would_free(w.h, repos[roll(&seed, WRITERS)].name, NULL, &share,
					   &err);

		CHECK(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
		must(pfs_history_tick(w.h, &err), &err);
		__atomic_add_fetch(&questions, 1, __ATOMIC_RELAXED);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void complain(void *arg, const struct pfs_finding *finding)
{
	if (finding->kind != PFS_FINDING_NOTE)
		fprintf(stderr, "fsck: %s\n", finding->text);
}

static void check(enum pfs_fsck_level level)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	how.level = level;
	how.report = complain;
	must(pfs_fsck_run(w.h, &how, &r, &err), &err);
	CHECK(r.damages + r.missing + r.names + r.affected == 0, "fsck found something");
}

static void *check_on(void *arg)
{
	const struct timespec pause = { .tv_nsec = 200000000 };

	while (!is_over()) {
		check(PFS_FSCK_FULL);
		__atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void start(pthread_t *t, void *(*work)(void *arg), void *arg)
{
	CHECK(pthread_create(t, NULL, work, arg) == 0, "a thread");
}

/* Nothing is left but what commits name. */
static void check_at_rest(void)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	o.thorough = true;
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
	CHECK(r.dead_bytes + r.double_bytes + r.left_bytes == 0, "%llu bytes are left",
	      (unsigned long long)(r.dead_bytes + r.double_bytes));
	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned k = 0; k < repos[i].n; k++) {
			int rc = 0;

			read_commit(repos[i].name, &repos[i].commits[k], &err, &rc);
			must(rc, &err);
		}
	check(PFS_FSCK_FULL);
}

int main(int argc, char **argv)
{
	pthread_t threads[WRITERS + READERS + 3];
	struct scratch dir = scratch_new();
	struct pfs_error err = { 0 };
	unsigned n = 0;

	/* Packs and runs so small that there are many. */
	pfs_packwriter_set_targets(400000, 60000);
	pfs_packset_set_batch(400);
	must(world_open(&w, dir.path, &err), &err);
	store_without_cache(w.store);
	end_s = now() + (argc > 1 ? atof(argv[1]) : 8);
	for (unsigned i = 0; i < WRITERS; i++) {
		snprintf(repos[i].name, sizeof(repos[i].name), "repo%u", i);
		pthread_mutex_init(&repos[i].lock, NULL);
		make_repo(&repos[i]);
		start(&threads[n++], write_on, &repos[i]);
	}
	for (uintptr_t i = 0; i < READERS; i++)
		start(&threads[n++], read_on, (void *)i);
	start(&threads[n++], collect_on, NULL);
	start(&threads[n++], ask_on, NULL);
	start(&threads[n++], check_on, NULL);
	while (n)
		pthread_join(threads[--n], NULL);
	check_at_rest();
	printf("%u commits, %u reads, %u open files of deleted repos, %u collections that freed "
	       "%.1f MB, %u questions, %u checks: nothing lost\n",
	       commits, reads, orphans, collections, (double)freed / 1e6, questions, checks);
	CHECK(commits > 10 && reads > 10 && collections > 2 && checks > 0,
	      "hardly anything happened");
	world_close(&w);
	scratch_fini(&dir);
	return 0;
}
