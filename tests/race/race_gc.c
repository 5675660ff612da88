/*
 * Collections, one after the other, beside everything that anybody may do
 * meanwhile: writers that commit, delete their repo and begin anew, readers of
 * what was committed, of files that are open while their repo goes, who copies
 * files by reference and sets attributes, questions what deleting would free, fsck.
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
#include "store/session.h"
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
static unsigned commits, reads, collections, questions, checks, orphans, links; /* atomic */
static uint64_t freed;                                                          /* atomic */

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

/* --- who copies by reference ----------------------------------------------- */

#define COPIES 12

static struct copy {
	char text[BODY_MAX + 1]; /* what the file has, and in an attribute the start of it */
	size_t len;
} copies[COPIES];

static size_t attribute_len(const struct copy *c)
{
	return c->len < 20000 ? c->len : 20000;
}

/* A file of somebody's workspace; NULL: it is gone just now. */
static struct pfs_open *open_any(struct pfs_workspace *ws, unsigned file)
{
	struct pfs_node *dir = pfs_workspace_root(ws), *in = NULL, *n = NULL;
	struct pfs_open *open = NULL;
	char name[8];

	snprintf(name, sizeof(name), "d%u", file % 3);
	if (pfs_workspace_lookup(ws, dir, name, 2, &in, NULL) == 0) {
		snprintf(name, sizeof(name), "f%u", file);
		if (pfs_workspace_lookup(ws, in, name, 2, &n, NULL) == 0)
			pfs_workspace_open_file(ws, n, false, false, &open, NULL);
	}
	pfs_node_unref(&n);
	pfs_node_unref(&in);
	pfs_node_unref(&dir);
	return open;
}

static struct pfs_node *make_copy(struct pfs_workspace *ws, unsigned i)
{
	const struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_node *root = pfs_workspace_root(ws), *n = NULL;
	struct pfs_error err = { 0 };
	char name[8];
	int len = snprintf(name, sizeof(name), "c%u", i), rc;

	rc = pfs_workspace_lookup(ws, root, name, (size_t)len, &n, &err);
	if (rc == PFS_E_NOTFOUND)
		rc = pfs_workspace_make(ws, root, name, (size_t)len, &make, &n, &err);
	must(rc, &err);
	pfs_node_unref(&root);
	return n;
}

static void expect_copy(struct pfs_workspace *ws, struct pfs_node *n, const struct copy *c)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf value = PFS_BUF_INIT(1 << 20);
	char *got = malloc(BODY_MAX + 1);
	struct pfs_error err = { 0 };
	struct pfs_open *o;
	size_t len;

	CHECK(got, "memory");
	must(pfs_workspace_open_file(ws, n, false, false, &o, &err), &err);
	must(pfs_workspace_read(o, 0, got, BODY_MAX + 1, &len, &err), &err);
	CHECK(len == c->len && memcmp(got, c->text, len) == 0, "a copy has other bytes");
	pfs_workspace_close_file(&o);
	must(pfs_workspace_get_xattr(ws, n, "user.text", &value, &err), &err);
	CHECK(value.len == attribute_len(c) && memcmp(value.data, c->text, value.len) == 0,
	      "an attribute has other bytes");
	free(got);
}

/* Whether the file is what `from` is now: it may have changes, or a collection be under way. */
static bool link_to(struct pfs_open *from, struct pfs_workspace *ws, struct pfs_node *n)
{
	const struct pfs_node_attr empty = { 0 };
	struct pfs_session session;
	struct pfs_content content;
	struct pfs_error err = { 0 };
	struct pfs_open *o;
	int rc = 0;

	must(pfs_workspace_setattr(ws, n, PFS_NODE_SIZE, &empty, &err), &err);
	must(pfs_workspace_open_file(ws, n, true, false, &o, &err), &err);
	pfs_session_begin(w.store, &session);
	if (pfs_session_may_link(w.store) && pfs_workspace_content(from, &content))
		rc = pfs_workspace_become(o, &content, &err);
	pfs_session_end(w.store, &session);
	CHECK(rc >= 0, "%s", err.text);
	pfs_workspace_close_file(&o);
	return rc == 1;
}

static void copy_one(struct pfs_workspace *ws, struct pfs_open *from, unsigned i)
{
	struct pfs_node *n = make_copy(ws, i);
	struct copy *c = &copies[i];
	struct pfs_error err = { 0 };
	struct pfs_open *o;

	if (c->len)
		expect_copy(ws, n, c);
	c->len = 0;
	if (link_to(from, ws, n)) {
		must(pfs_workspace_open_file(ws, n, false, false, &o, &err), &err);
		must(pfs_workspace_read(o, 0, c->text, BODY_MAX + 1, &c->len, &err), &err);
		pfs_workspace_close_file(&o);
		must(pfs_workspace_set_xattr(ws, n, "user.text", c->text, attribute_len(c),
					     PFS_XATTR_ANY, &err),
		     &err);
		__atomic_add_fetch(&links, 1, __ATOMIC_RELAXED);
	}
	pfs_node_unref(&n);
}

static void *copy_on(void *arg)
{
	struct pfs_workspace *ws = NULL, *other;
	struct pfs_error err = { 0 };
	uint64_t seed = 7;

	must(pfs_repo_create(w.h, "copies", &err), &err);
	must(pfs_branch_create(w.h, "copies", "master", NULL, &err), &err);
	must(pfs_history_workspace(w.h, "copies", "master", &ws, &err), &err);
	while (!is_over()) {
		struct repo *r = &repos[roll(&seed, WRITERS)];
		struct pfs_open *from = NULL;
		struct pfs_commit_id id;

		if (pfs_history_workspace(w.h, r->name, "master", &other, NULL) < 0)
			continue;
		from = open_any(other, roll(&seed, FILES));
		if (from)
			copy_one(ws, from, roll(&seed, COPIES));
		pfs_workspace_close_file(&from);
		pfs_history_release(w.h, &other);
		if (roll(&seed, 100) == 0)
			must(pfs_commit_branch(w.h, "copies", "master", NULL, &id, &err), &err);
	}
	pfs_history_release(w.h, &ws);
	must(pfs_repo_delete(w.h, "copies", true, &err), &err);
	return arg;
}

/* --- collections and questions --------------------------------------------- */

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
	pthread_t threads[WRITERS + READERS + 4];
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
	start(&threads[n++], copy_on, NULL);
	start(&threads[n++], collect_on, NULL);
	start(&threads[n++], ask_on, NULL);
	start(&threads[n++], check_on, NULL);
	while (n)
		pthread_join(threads[--n], NULL);
	check_at_rest();
	printf("%u commits, %u reads, %u open files of deleted repos, %u copies, %u collections "
	       "that freed %.1f MB, %u questions, %u checks: nothing lost\n",
	       commits, reads, orphans, links, collections, (double)freed / 1e6, questions, checks);
	CHECK(commits > 10 && reads > 10 && collections > 2 && checks > 0 && links > 0,
	      "hardly anything happened");
	world_close(&w);
	scratch_fini(&dir);
	return 0;
}
