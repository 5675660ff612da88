/*
 * A collection, cut off at its n-th fault point for every n: by the process
 * ending there, by an I/O error, by a full disk. While it runs others commit.
 * Whatever was named reads back byte for byte, fsck finds nothing, and the next
 * collection ends with exactly the objects that one without trouble leaves.
 *
 * Then the same under kill -9 at random moments, where one thread commits and
 * another makes repos, deletes them and collects.
 *
 *	crash_gc [all [SECONDS]]    without `all` only some of the I/O errors and full
 *	                            disks; 4 seconds of the second part
 *
 * The store that is collected has everything a pack can have: records, deltas
 * whose base goes, bundles of which some members go, a file that was adopted and
 * of which every other piece goes, packs that are full and packs being written.
 */
#include "../cold.h"
#include "../cutoff.h"
#include "../world.h"
#include "store/adoption.h"
#include "store/packwriter.h"
#include "store/repack.h"
#include <pfs/admin.h>

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS     3
#define SMALL      24 /* files of a round that go into bundles */
#define BIG_SIZE   120000
#define PIECES     6
#define PIECE_SIZE 12000 /* too small to be cut: a file of one piece is that piece */
#define LATE       3     /* commits while a collection runs */
#define TRIES      3

static void must(int rc, const struct pfs_error *err)
{
	CHECK(rc == 0, "%s", err->text);
}

/* --- what there is --------------------------------------------------------- */

/* The bytes of the file number `i` of a round, and its name; false: there is none. */
static bool file_of(const char *repo, unsigned round, unsigned i, char name[64], char *data,
		    size_t *len)
{
	unsigned whose = repo[0] == 'k' ? 0 : 1;

	if (i < SMALL) {
		snprintf(name, 64, "small/%u-%u", round, i);
		*len = 300 + 7 * i;
		scratch_fill(data, *len, 10000u * whose + 100 * round + i);
	} else if (i == SMALL) { /* the same in both repos but for a little: deltas */
		snprintf(name, 64, "edited");
		*len = BIG_SIZE;
		scratch_fill(data, *len, 7);
		scratch_fill(data + 5000 * round + 40, 16, 10 * round + whose);
	} else if (i == SMALL + 1) {
		snprintf(name, 64, "own/%u", round);
		*len = 50000;
		scratch_fill(data, *len, 777000 + 10 * round + whose);
	} else if (i < SMALL + 2 + PIECES && round == 0) {
		unsigned piece = i - SMALL - 2;

		snprintf(name, 64, "piece/%u", piece);
		*len = PIECE_SIZE;
		scratch_fill(data, *len, 888000 + piece);
		return piece % 2 == whose;
	} else {
		return false;
	}
	return true;
}

#define PER_ROUND (SMALL + 2 + PIECES)

static void walk_to(struct pfs_workspace *ws, struct pfs_node **dir, const char **name)
{
	struct pfs_error err = { 0 };
	const char *slash;

	*dir = pfs_workspace_root(ws);
	while ((slash = strchr(*name, '/'))) {
		must(world_enter(ws, dir, *name, (size_t)(slash - *name), &err), &err);
		*name = slash + 1;
	}
}

static int put(struct world *w, const char *repo, const char *name, const char *data, size_t len,
	       struct pfs_error *err)
{
	const struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_workspace *ws = NULL;
	struct pfs_node *dir = NULL, *file = NULL;
	struct pfs_open *open = NULL;
	int rc = pfs_history_workspace(w->h, repo, "master", &ws, err);

	if (rc < 0)
		return rc;
	walk_to(ws, &dir, &name);
	rc = pfs_workspace_lookup(ws, dir, name, strlen(name), &file, err);
	if (rc == PFS_E_NOTFOUND)
		rc = pfs_workspace_make(ws, dir, name, strlen(name), &make, &file, err);
	if (rc == 0)
		rc = pfs_workspace_open_file(ws, file, true, true, &open, err);
	if (rc == 0)
		rc = pfs_workspace_write(open, 0, data, len, err);
	if (open)
		pfs_workspace_close_file(&open);
	if (file)
		pfs_node_unref(&file);
	pfs_node_unref(&dir);
	pfs_history_release(w->h, &ws);
	return rc;
}

static void play_round(struct world *w, const char *repo, unsigned round)
{
	static char data[BIG_SIZE];
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	char name[64];
	size_t len;

	for (unsigned i = 0; i < PER_ROUND; i++)
		if (file_of(repo, round, i, name, data, &len))
			must(put(w, repo, name, data, len, &err), &err);
	must(pfs_commit_branch(w->h, repo, "master", NULL, &id, &err), &err);
}

/* The pieces lie in one file of the store before anybody commits them. */
static void adopt_pieces(struct world *w)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = NULL;
	static char data[PIECES * PIECE_SIZE];
	struct pfs_store_item items[PIECES] = { 0 };
	struct pfs_error err = { 0 };
	char path[300];
	int fd;

	for (unsigned i = 0; i < PIECES; i++) {
		scratch_fill(data + i * PIECE_SIZE, PIECE_SIZE, 888000 + i);
		items[i] =
			(struct pfs_store_item){ .data = data + i * PIECE_SIZE, .len = PIECE_SIZE };
	}
	snprintf(path, sizeof(path), "%s/adoptee", w->data);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, data, sizeof(data)) == (ssize_t)sizeof(data), "%s", path);
	close(fd);
	must(pfs_adoption_begin(w->store, &a, &err), &err);
	must(pfs_adoption_add(a, 0, items, PIECES, &err), &err);
	must(pfs_adoption_commit(&a, AT_FDCWD, path, &err), &err);
	CHECK(unlink(path) == 0, "%s", path);
}

static void make(struct world *w, const char *repo)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_create(w->h, repo, &err), &err);
	must(pfs_branch_create(w->h, repo, "master", NULL, &err), &err);
}

static void complain(void *arg, const struct pfs_finding *finding)
{
	if (finding->kind != PFS_FINDING_NOTE)
		fprintf(stderr, "fsck: %s\n", finding->text);
}

static void expect_whole(struct world *w)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	how.level = PFS_FSCK_FULL;
	how.report = complain;
	must(pfs_fsck_run(w->h, &how, &r, &err), &err);
	CHECK(r.damages + r.missing + r.names + r.affected == 0, "fsck found something");
}

static void repack(struct world *w)
{
	const struct pfs_repack_options o = { .budget = 1u << 20 };
	struct pfs_repack_done done = { 0 };
	struct pfs_repack *r = NULL;
	struct pfs_error err = { 0 };
	int rc;

	must(pfs_repack_new(w->store, 0, &r, &err), &err);
	while ((rc = pfs_repack_step(r, &o, &done, &err)) == 1)
		;
	must(rc, &err);
	pfs_repack_free(&r);
}

/* In a child, which leaves no thread and no file open behind. */
static void prepare(const char *data)
{
	struct pfs_store_stats stats;
	struct pfs_error err = { 0 };
	struct world w;

	must(world_open(&w, data, &err), &err);
	adopt_pieces(&w);
	make(&w, "gone");
	make(&w, "kept");
	for (unsigned round = 0; round < ROUNDS; round++) {
		play_round(&w, "gone", round);
		play_round(&w, "kept", round);
		if (round == 1)
			repack(&w);
	}
	must(put(&w, "kept", "not committed", "still", 5, &err), &err);
	pfs_store_stats(w.store, &stats);
	CHECK(stats.deltas > 0 && stats.bundled > 0 && stats.adopted_files == 1 && stats.packs > 4,
	      "%llu deltas, %llu bundled, %llu adopted, %llu packs",
	      (unsigned long long)stats.deltas, (unsigned long long)stats.bundled,
	      (unsigned long long)stats.adopted_files, (unsigned long long)stats.packs);
	expect_whole(&w);
	world_close(&w);
}

/* --- what has to be there -------------------------------------------------- */

static void expect_file(struct world *w, const struct pfs_id *root, const char *name,
			const char *want, size_t len)
{
	static char got[BIG_SIZE + 1];
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	struct pfs_error err = { 0 };
	size_t n;

	must(pfs_tree_lookup(w->store, root, name, &found, &err), &err);
	must(pfs_content_reader_open(w->store, &found.e.content, &r, &err), &err);
	must(pfs_content_read(r, 0, got, sizeof(got), &n, &err), &err);
	CHECK(n == len && memcmp(got, want, len) == 0, "%s: other bytes", name);
}

/* A commit number `number` of `kept`, from 1, holds the rounds until then and what came late. */
static void expect_commit(struct world *w, const struct pfs_id *root, unsigned number)
{
	static char data[BIG_SIZE];
	char name[64];
	size_t len;

	for (unsigned round = 0; round < number && round < ROUNDS; round++)
		for (unsigned i = 0; i < PER_ROUND; i++) {
			if (i == SMALL && round + 1 < number && round + 1 < ROUNDS)
				continue; /* edited again since */
			if (file_of("kept", round, i, name, data, &len))
				expect_file(w, root, name, data, len);
		}
	if (number > ROUNDS)
		expect_file(w, root, "not committed", "still", 5);
	for (unsigned late = ROUNDS; late < number; late++) {
		snprintf(name, sizeof(name), "late/%u", late);
		scratch_fill(data, 9000, 999000 + late);
		expect_file(w, root, name, data, 9000);
	}
}

/* All commits of `kept`; how many. */
static unsigned expect_kept(struct world *w)
{
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	must(pfs_commit_list(w->h, "kept", NULL, 0, &list, &n, &err), &err);
	for (size_t i = 0; i < n; i++)
		expect_commit(w, &list[i].root, (unsigned)(n - i));
	pfs_commits_free(&list, n);
	return (unsigned)n;
}

/* --- a collection ---------------------------------------------------------- */

/* The next commit of `kept`, in the middle of something else. */
static int commit_late(struct world *w, unsigned number, struct pfs_error *err)
{
	struct pfs_commit_id id;
	char name[64], data[9000];
	int rc;

	snprintf(name, sizeof(name), "late/%u", number);
	scratch_fill(data, sizeof(data), 999000 + number);
	rc = put(w, "kept", name, data, sizeof(data), err);
	return rc < 0 ? rc : pfs_commit_branch(w->h, "kept", "master", NULL, &id, err);
}

struct bystander {
	struct world *w;
	unsigned asked, made;
	int tell; /* a byte for each commit that was acknowledged; -1: nobody */
};

/* A collection asks often whether to stop; it is no matter what else is done then. */
static bool work_meanwhile(void *arg)
{
	static const unsigned when[LATE] = { 1, 12, 30 };
	struct bystander *b = arg;
	struct pfs_error err = { 0 };
	unsigned tries = 0;
	char byte = 'c';

	if (b->made == LATE || ++b->asked < when[b->made])
		return false;
	while (commit_late(b->w, ROUNDS + b->made, &err) < 0)
		CHECK(++tries < TRIES, "does not commit again: %s", err.text);
	b->made++;
	if (b->tell >= 0)
		CHECK(write(b->tell, &byte, 1) == 1, "pipe");
	return false;
}

static int collect(struct world *w, struct bystander *b, struct pfs_gc_report *out,
		   struct pfs_error *err)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;

	o.thorough = true;
	o.stop = b ? work_meanwhile : NULL;
	o.stop_arg = b;
	return pfs_gc_run(w->h, &o, out, err);
}

static int drop_gone(struct world *w, struct pfs_error *err)
{
	int rc = pfs_repo_delete(w->h, "gone", true, err);

	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

/* In the child. A failure is met as a user would meet it: try again. */
static void tell(void *data, int fd)
{
	struct bystander b = { .tell = fd };
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };
	unsigned tries = 0;
	struct world w;

	while (world_open(&w, data, &err) < 0)
		CHECK(++tries < TRIES, "does not open again: %s", err.text);
	store_without_cache(w.store);
	b.w = &w;
	tries = 0;
	while (drop_gone(&w, &err) < 0)
		CHECK(++tries < TRIES, "does not delete again: %s", err.text);
	tries = 0;
	while (collect(&w, &b, &r, &err) < 0)
		CHECK(++tries < TRIES, "does not collect again: %s", err.text);
	/* Also in the process that saw it fail. */
	expect_kept(&w);
	world_close(&w);
}

/* Nothing but what is wanted: the objects of it. */
static uint64_t expect_tidy(struct world *w)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	o.dry_run = o.thorough = true;
	must(pfs_gc_run(w->h, &o, &r, &err), &err);
	CHECK(r.dead_objects + r.dead_bytes + r.double_bytes + r.packs_damaged == 0,
	      "%llu dead, %llu bytes of them, %llu of double ones",
	      (unsigned long long)r.dead_objects, (unsigned long long)r.dead_bytes,
	      (unsigned long long)r.double_bytes);
	return r.live_objects;
}

/* How many objects are left when all was done. */
static uint64_t check_after(const char *data, unsigned promised)
{
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };
	uint64_t objects;
	unsigned commits;
	struct world w;

	must(world_open(&w, data, &err), &err);
	expect_whole(&w);
	commits = expect_kept(&w);
	CHECK(commits >= ROUNDS + promised && commits <= ROUNDS + LATE, "%u commits, %u promised",
	      commits, promised);
	for (; commits < ROUNDS + LATE; commits++)
		must(commit_late(&w, commits, &err), &err);
	must(drop_gone(&w, &err), &err);
	must(collect(&w, NULL, &r, &err), &err);
	CHECK(expect_kept(&w) == ROUNDS + LATE, "a commit is gone");
	objects = expect_tidy(&w);
	expect_whole(&w);
	world_close(&w);
	must(world_open(&w, data, &err), &err);
	CHECK(expect_kept(&w) == ROUNDS + LATE, "a commit is gone");
	CHECK(expect_tidy(&w) == objects, "what went is there again");
	world_close(&w);
	return objects;
}

/* --- every fault point ----------------------------------------------------- */

static void in_child(void (*work)(const char *data), const char *data)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		work(data);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the process that prepares");
}

/* True while the collection did reach fault point `at`; *objects is what every one leaves. */
static bool story(const char *prepared, enum pfs_fault_mode mode, unsigned at, uint64_t *objects)
{
	struct scratch dir = scratch_new();
	char data[240], promises[LATE + 1];
	struct cutoff_heard heard = { promises, sizeof(promises), 0 };
	uint64_t left;
	bool reached;

	snprintf(data, sizeof(data), "%.200s/data", dir.path);
	cutoff_copy_folder(prepared, data);
	reached = cutoff(mode, at, tell, data, &heard);
	if (mode != PFS_FAULT_STOP)
		CHECK(heard.len == LATE, "point %u: %zu commits", at, heard.len);
	left = check_after(data, (unsigned)heard.len);
	CHECK(*objects == 0 || left == *objects, "point %u: %llu objects left, not %llu", at,
	      (unsigned long long)left, (unsigned long long)*objects);
	*objects = left;
	scratch_fini(&dir);
	return reached;
}

static void cut_off_everywhere(const char *prepared, bool all)
{
	static const unsigned some[CUTOFF_MODES] = { 1, 4, 7 }; /* one point of so many */
	uint64_t objects = 0;

	CHECK(!story(prepared, PFS_FAULT_NONE, UINT32_MAX, &objects), "without trouble");
	for (size_t m = 0; m < CUTOFF_MODES; m++) {
		unsigned at = 1;

		while (story(prepared, cutoff_modes[m].mode, at, &objects))
			at += all ? 1 : some[m];
		printf("%s: %u points, all whole, %llu objects left\n", cutoff_modes[m].name,
		       at - 1, (unsigned long long)objects);
		fflush(stdout);
		CHECK(at > 40, "the story has hardly any fault points");
	}
}

/* --- kill -9 --------------------------------------------------------------- */

struct worker {
	struct world *w;
	int tell;
};

static void *commit_on(void *arg)
{
	struct worker *k = arg;
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;
	char byte = 'c';

	must(pfs_commit_list(k->w->h, "kept", NULL, 0, &list, &n, &err), &err);
	pfs_commits_free(&list, n);
	for (unsigned number = (unsigned)n;; number++) {
		must(commit_late(k->w, number, &err), &err);
		CHECK(write(k->tell, &byte, 1) == 1, "pipe");
	}
	return NULL;
}

static void collect_on(struct world *w)
{
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	for (;;) {
		must(drop_gone(w, &err), &err);
		must(collect(w, NULL, &r, &err), &err);
		make(w, "gone");
		for (unsigned round = 0; round < ROUNDS; round++)
			play_round(w, "gone", round);
	}
}

/* Until somebody kills us. */
static void work_on(const char *data, int tell_fd)
{
	struct worker k = { .tell = tell_fd };
	struct pfs_error err = { 0 };
	struct world w;
	pthread_t thread;

	must(world_open(&w, data, &err), &err);
	k.w = &w;
	CHECK(pthread_create(&thread, NULL, commit_on, &k) == 0, "a thread");
	collect_on(&w);
}

/* The newest commits and an old one; the others are of the same objects. How many there are. */
static unsigned expect_some(struct world *w, unsigned round)
{
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	must(pfs_commit_list(w->h, "kept", NULL, 0, &list, &n, &err), &err);
	for (size_t i = 0; i < n; i++)
		if (i < 3 || i == round * 7919 % n)
			expect_commit(w, &list[i].root, (unsigned)(n - i));
	pfs_commits_free(&list, n);
	return (unsigned)n;
}

static unsigned check_killed(const char *data, unsigned round, unsigned promised)
{
	struct pfs_error err = { 0 };
	struct world w;
	unsigned n;

	must(world_open(&w, data, &err), &err);
	expect_whole(&w);
	n = expect_some(&w, round);
	CHECK(n >= promised && n <= promised + 1, "round %u: %u commits, %u promised", round, n,
	      promised);
	world_close(&w);
	return n;
}

static unsigned kill_one(const char *data, unsigned round, unsigned commits)
{
	struct timespec moment;
	int ends[2], status;
	char byte;
	pid_t child;

	CHECK(pipe(ends) == 0, "pipe");
	child = fork();
	CHECK(child >= 0, "fork");
	if (child == 0) {
		close(ends[0]);
		work_on(data, ends[1]);
	}
	close(ends[1]);
	moment = (struct timespec){ .tv_nsec = 5000000 + (long)(round * 2654435761u % 150000000) };
	nanosleep(&moment, NULL);
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "round %u: it ended",
	      round);
	while (read(ends[0], &byte, 1) == 1)
		commits++;
	close(ends[0]);
	return check_killed(data, round, commits);
}

static void kill_often(const char *data, int seconds)
{
	unsigned rounds = 0, commits = ROUNDS;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };
	time_t end = time(NULL) + seconds;
	struct world w;

	for (; time(NULL) < end; rounds++)
		commits = kill_one(data, rounds + 1, commits);
	must(world_open(&w, data, &err), &err);
	must(drop_gone(&w, &err), &err);
	must(collect(&w, NULL, &r, &err), &err);
	expect_tidy(&w);
	expect_some(&w, 0);
	world_close(&w);
	printf("killed %u times: %u commits, all whole\n", rounds, commits);
}

int main(int argc, char **argv)
{
	struct scratch dir;
	char prepared[240];

#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	/* Fault points stand for the disk: waiting for a real one would prove nothing more. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	/* Small enough that there are several packs. */
	pfs_packwriter_set_targets(150000, 30000);
	dir = scratch_new();
	snprintf(prepared, sizeof(prepared), "%.200s/prepared", dir.path);
	CHECK(mkdir(prepared, 0755) == 0, "%s", prepared);
	in_child(prepare, prepared);
	cut_off_everywhere(prepared, argc > 1 && strcmp(argv[1], "all") == 0);
	kill_often(prepared, argc > 2 ? atoi(argv[2]) : 4);
	scratch_fini(&dir);
	return 0;
}
