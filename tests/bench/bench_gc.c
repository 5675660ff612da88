/*
 * What collecting garbage costs in a store of a million objects: finding out
 * what is wanted, and rewriting packs of which a tenth, half or nine tenths are
 * garbage, with somebody who goes on putting meanwhile.
 *
 *	bench_gc [quick]    works in $TMPDIR and leaves nothing there
 *
 * Garbage lies evenly among what is wanted, a folder of a thousand files here
 * and there, so that every pack has to be rewritten. Each measurement has a
 * process of its own, which begins with nothing in its caches. Prints lines
 * "name value unit"; asserts nothing but that all went well.
 */
#include "../world.h"
#include "store/sweep.h"
#include "tree/reach.h"
#include <pfs/admin.h>

#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH   512
#define SIZE    400 /* more than fits into an entry, so that every file is an object */
#define PER_DIR 1000

struct task {
	char data[256];
	unsigned objects, percent; /* so many of a hundred are garbage, once `gone` is deleted */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of all processors: what it would have taken alone on a machine with one. */
static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int rc, const struct pfs_error *err)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_gc: %s\n", err->text);
	exit(1);
}

/* A line of /proc/self/status, in MB. */
static double status_mb(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = 0;

	CHECK(f, "/proc/self/status");
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			sscanf(line + strlen(field), ": %ld", &kb);
	fclose(f);
	return (double)kb / 1024;
}

/* --- a store ------------------------------------------------------------- */

/* Of its own for every file, half of which a codec can take away. */
static void file_bytes(unsigned i, unsigned char out[SIZE])
{
	scratch_fill(out, SIZE / 2, i + 1);
	memset(out + SIZE / 2, 'a' + (int)(i % 26), SIZE / 2);
}

static void put_files(struct pfs_store *st, unsigned first, size_t n, struct pfs_entry *entries)
{
	static unsigned char bytes[BATCH][SIZE];
	struct pfs_store_item items[BATCH] = { 0 };
	struct pfs_error err = { 0 };

	for (size_t i = 0; i < n; i++) {
		file_bytes(first + (unsigned)i, bytes[i]);
		items[i].data = bytes[i];
		items[i].len = SIZE;
	}
	must(pfs_store_put_batch(st, PFS_KIND_CHUNK, items, n, &err), &err);
	for (size_t i = 0; i < n; i++) {
		entries[i].type = PFS_ENTRY_FILE;
		entries[i].attrs = (struct pfs_attrs){ .mode = 0644, .mtime_sec = 1700000000 };
		entries[i].content.size = SIZE;
		entries[i].content.form = PFS_CONTENT_CHUNK;
		entries[i].content.id = items[i].id;
	}
}

static struct pfs_id edit(struct pfs_store *st, const struct pfs_id *dir,
			  const struct pfs_entry *entries, unsigned first, unsigned n)
{
	static char names[PER_DIR][32];
	static struct pfs_edit edits[PER_DIR];
	struct pfs_error err = { 0 };
	struct pfs_id out;

	for (unsigned i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "name-%08u", first + i);
		edits[i] = (struct pfs_edit){ names[i], strlen(names[i]), &entries[i] };
	}
	must(pfs_tree_edit(st, dir, edits, n, &out, &err), &err);
	return out;
}

/* Files [first, first + n) as the directory number first / PER_DIR of `root`. */
static void add_dir(struct pfs_store *st, struct pfs_id *root, unsigned first, unsigned n)
{
	static struct pfs_entry entries[PER_DIR];
	struct pfs_entry dir = { .type = PFS_ENTRY_DIR, .attrs.mode = 0755 };
	const struct pfs_id zero = { 0 };
	struct pfs_tree_totals totals;
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < n; i += BATCH)
		put_files(st, first + i, n - i < BATCH ? n - i : BATCH, entries + i);
	dir.dir = edit(st, &zero, entries, first, n);
	must(pfs_tree_totals(st, &dir.dir, &totals, &err), &err);
	dir.dir_entries = totals.entries;
	dir.dir_bytes = totals.bytes;
	*root = edit(st, root, &dir, first / PER_DIR, 1);
}

/* A repo with one commit, of a branch whose workspace stands on `dir` before anybody opens it. */
static void commit_tree(struct world *w, const char *repo, const struct pfs_id *dir)
{
	const struct pfs_root root = { .dir = *dir, .attrs.mode = 0755 };
	struct pfs_workspace *ws = NULL;
	struct pfs_repo_row row = { 0 };
	struct pfs_branch_row branch = { 0 };
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	char folder[600];

	must(pfs_repo_create(w->h, repo, &err), &err);
	must(pfs_branch_create(w->h, repo, "master", NULL, &err), &err);
	must(pfs_meta_find_repo(w->meta, repo, &row, &err), &err);
	must(pfs_meta_find_branch(w->meta, row.id, "master", &branch, &err), &err);
	snprintf(folder, sizeof(folder), "%s/workspaces/%s", w->data, branch.folder);
	must(pfs_workspace_open(folder, w->store, &root, &ws, &err), &err);
	pfs_workspace_close(&ws);
	must(pfs_commit_branch(w->h, repo, "master", NULL, &id, &err), &err);
}

static void fill(const struct task *t)
{
	struct pfs_id roots[2] = { 0 }; /* of what stays, of what goes */
	struct pfs_error err = { 0 };
	double start = now();
	struct world w;

	must(world_open(&w, t->data, &err), &err);
	for (unsigned first = 0; first < t->objects; first += PER_DIR) {
		unsigned left = t->objects - first, dir = first / PER_DIR;

		add_dir(w.store, &roots[dir * 37 % 100 < t->percent], first,
			left < PER_DIR ? left : PER_DIR);
	}
	must(pfs_store_sync(w.store, &err), &err);
	commit_tree(&w, "kept", &roots[0]);
	commit_tree(&w, "gone", &roots[1]);
	printf("# fill with %u objects of %d bytes: %.2f s\n", t->objects, SIZE, now() - start);
	world_close(&w);
}

/* --- finding out --------------------------------------------------------- */

static int mark(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	return pfs_sweep_mark(arg, kind, id, err);
}

static void mark_repo(struct world *w, struct pfs_sweep *sw, const char *repo)
{
	PFS_AUTO(pfs_reach_fini) struct pfs_reach r = { .st = w->store, .visit = mark, .arg = sw };
	struct pfs_commit *commits = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	must(pfs_commit_list(w->h, repo, NULL, 0, &commits, &n, &err), &err);
	for (size_t i = 0; i < n; i++)
		must(pfs_reach_dir(&r, &commits[i].root, &err), &err);
	pfs_commits_free(&commits, n);
}

/* The two steps of it apart: what packs hold, what is wanted. */
static void measure_mark(const struct task *t)
{
	const struct pfs_sweep_options options = { .thorough = true };
	struct pfs_sweep_part part = { 0 };
	struct pfs_sweep_figures f;
	struct pfs_sweep *sw = NULL;
	struct pfs_error err = { 0 };
	double start, listed, marked, cpu_listed, cpu_marked;
	struct world w;

	must(world_open(&w, t->data, &err), &err);
	start = now();
	must(pfs_sweep_new(w.store, &options, &part, &sw, &err), &err);
	listed = now();
	cpu_listed = cpu();
	mark_repo(&w, sw, "kept");
	mark_repo(&w, sw, "gone");
	marked = now();
	cpu_marked = cpu();
	must(pfs_sweep_choose(sw, &f, &err), &err);
	CHECK(f.live_objects >= t->objects, "%llu live", (unsigned long long)f.live_objects);
	printf("mark of %u objects %.3f s\n", t->objects, marked - listed);
	printf("list of packs that hold %u objects %.3f s\n", t->objects, listed - start);
	printf("# marked: %.3f s of processor time; %llu objects, %.0f MB, in %llu packs\n",
	       cpu_marked - cpu_listed, (unsigned long long)f.live_objects,
	       (double)f.live_bytes / 1e6, (unsigned long long)f.packs);
	pfs_sweep_free(&sw);
	world_close(&w);
}

static void measure_dry_run(const struct task *t)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };
	double start, anon;
	struct world w;

	o.dry_run = true;
	must(world_open(&w, t->data, &err), &err);
	anon = status_mb("RssAnon");
	start = now();
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
	printf("dry run over %u objects %.3f s\n", t->objects, now() - start);
	printf("memory of a dry run over %u objects %.1f MB\n", t->objects,
	       status_mb("VmHWM") - anon);
	start = now();
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
	printf("dry run, once more %.3f s\n", now() - start);
	world_close(&w);
}

static void measure_share(const struct task *t)
{
	struct pfs_gc_share share;
	struct pfs_error err = { 0 };
	double start;
	struct world w;

	must(world_open(&w, t->data, &err), &err);
	start = now();
	must(pfs_gc_would_free(w.h, "gone", NULL, &share, &err), &err);
	printf("what deleting a repo would free %.3f s\n", now() - start);
	world_close(&w);
}

/* --- collecting ---------------------------------------------------------- */

struct putter {
	struct pfs_store *st;
	bool stop; /* atomic */
	unsigned puts;
	double longest;
};

/* A file every millisecond, made durable now and then. */
static void *put_on(void *arg)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct putter *p = arg;
	unsigned char bytes[SIZE];
	struct pfs_error err = { 0 };
	struct pfs_id id;

	for (; !__atomic_load_n(&p->stop, __ATOMIC_RELAXED); p->puts++) {
		double start, took;

		file_bytes(0x80000000u + p->puts, bytes);
		start = now();
		must(pfs_store_put(p->st, PFS_KIND_CHUNK, bytes, SIZE, &id, &err), &err);
		took = now() - start;
		p->longest = took > p->longest ? took : p->longest;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void measure_collection(const struct task *t)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct putter p = { 0 };
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };
	double start, took, anon, spent;
	pthread_t thread;
	struct world w;

	o.thorough = true;
	must(world_open(&w, t->data, &err), &err);
	must(pfs_repo_delete(w.h, "gone", true, &err), &err);
	p.st = w.store;
	CHECK(pthread_create(&thread, NULL, put_on, &p) == 0, "a thread");
	anon = status_mb("RssAnon");
	start = now();
	spent = cpu();
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
	took = now() - start;
	spent = cpu() - spent;
	__atomic_store_n(&p.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("collection, %u %% garbage %.2f s\n", t->percent, took);
	printf("collection, %u %% garbage: live copied %.1f MB/s\n", t->percent,
	       (double)r.copied_bytes / 1e6 / took);
	printf("collection, %u %% garbage: longest wait of a put %.2f ms\n", t->percent,
	       p.longest * 1e3);
	printf("collection, %u %% garbage: memory %.1f MB\n", t->percent,
	       status_mb("VmHWM") - anon);
	printf("# %u %%: %.2f s of processor time, %.1f MB freed, %.1f MB copied, %llu packs "
	       "removed, "
	       "%u puts meanwhile\n",
	       t->percent, spent, (double)r.freed_bytes / 1e6, (double)r.copied_bytes / 1e6,
	       (unsigned long long)r.packs_removed, p.puts);
	world_close(&w);
}

static void in_child(void (*work)(const struct task *t), const struct task *t)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		work(t);
		fflush(stdout);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the measuring process");
}

int main(int argc, char **argv)
{
	static const unsigned percents[] = { 10, 50, 90 };
	bool quick = argc == 2 && strcmp(argv[1], "quick") == 0;

	if (argc > 1 && !quick) {
		fprintf(stderr, "usage: bench_gc [quick]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(percents) / sizeof(*percents); i++) {
		struct task t = { .objects = quick ? 20000 : 1000000, .percent = percents[i] };
		struct scratch dir = scratch_new();

		snprintf(t.data, sizeof(t.data), "%s", dir.path);
		in_child(fill, &t);
		if (i == 0) {
			in_child(measure_mark, &t);
			in_child(measure_dry_run, &t);
			in_child(measure_share, &t);
		}
		in_child(measure_collection, &t);
		scratch_fini(&dir);
	}
	return 0;
}
