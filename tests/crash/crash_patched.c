/*
 * A large committed file is changed in place, and the process cut off at every
 * fault point: afterwards each byte is what the last fsync promised, or what
 * was written since; never a zero or anything else that nobody wrote. A point
 * that only fails costs an error, never a change. Modes are those of
 * crash_workspace.c.
 */
#include "../scratch.h"
#include "base/fault.h"
#include "base/limits.h"
#include "workspace/workspace.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE_SIZE (PFS_PATCHED_SIZE_MIN + 200000u)
#define SIZE_MAX_ (BASE_SIZE + 100000u)
#define STEPS     9

struct bytes {
	size_t size;
	unsigned char data[SIZE_MAX_]; /* zeros behind the size */
};

/* Shared with the parent: bytes after each step, and how many steps are promised or begun. */
struct shared {
	struct bytes after[STEPS + 1];
	unsigned promised, begun;
};

static struct shared *shared;
static bool retry, had_fault;
static struct pfs_error err;

struct world {
	struct scratch dir;
	struct pfs_store *st;
	struct pfs_workspace *ws;
	struct pfs_node *root, *n;
	struct pfs_open *o;
	struct bytes *now;
};

#define TRY(call)                                                                       \
	do {                                                                            \
		int rc_ = (call);                                                       \
		if (rc_ < 0 && retry && !had_fault) {                                   \
			had_fault = true;                                               \
			rc_ = (call);                                                   \
		}                                                                       \
		CHECK(rc_ >= 0, "%s (%s)", err.text, had_fault ? "again" : "at first"); \
	} while (0)

static void world_open(struct world *w)
{
	struct pfs_root base = { .attrs.mode = 0755 };
	char path[300];

	snprintf(path, sizeof(path), "%s/store", w->dir.path);
	TRY(pfs_store_open(path, &w->st, &err));
	snprintf(path, sizeof(path), "%s/ws", w->dir.path);
	TRY(pfs_workspace_open(path, w->st, &base, &w->ws, &err));
	w->root = pfs_workspace_root(w->ws);
}

static void file_open(struct world *w)
{
	TRY(pfs_workspace_lookup(w->ws, w->root, "big", 3, &w->n, &err));
	TRY(pfs_workspace_open_file(w->ws, w->n, true, false, &w->o, &err));
}

static void world_close(struct world *w)
{
	pfs_workspace_close_file(&w->o);
	pfs_node_unref(&w->n);
	pfs_node_unref(&w->root);
	pfs_workspace_close(&w->ws);
	pfs_store_close(&w->st);
}

static void commit(struct world *w, void (*between)(struct world *w))
{
	struct pfs_sealed sealed;

	TRY(pfs_workspace_seal(w->ws, NULL, &sealed, &err));
	if (between)
		between(w);
	TRY(pfs_store_sync(w->st, &err));
	TRY(pfs_workspace_settle(w->ws, &sealed, &err));
}

static void write_at(struct world *w, size_t off, size_t len, uint64_t seed)
{
	scratch_fill(w->now->data + off, len, seed);
	if (off + len > w->now->size)
		w->now->size = off + len;
	TRY(pfs_workspace_write(w->o, off, w->now->data + off, len, &err));
}

static void append(struct world *w, size_t len, uint64_t seed)
{
	size_t off = w->now->size;

	scratch_fill(w->now->data + off, len, seed);
	w->now->size = off + len;
	TRY(pfs_workspace_append(w->o, w->now->data + off, len, &err));
}

static void resize(struct world *w, size_t size)
{
	struct pfs_node_attr set = { .size_bytes = size };

	if (size < w->now->size)
		memset(w->now->data + size, 0, w->now->size - size);
	w->now->size = size;
	TRY(pfs_workspace_setattr(w->ws, w->n, PFS_NODE_SIZE, &set, &err));
}

static void punch(struct world *w, size_t off, size_t len)
{
	memset(w->now->data + off, 0, len);
	TRY(pfs_workspace_allocate(w->o, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len,
				   &err));
}

static void step_write(struct world *w)
{
	write_at(w, 300000, 5000, 1);
	write_at(w, 0, 10, 2);
}

static void step_write_over(struct world *w)
{
	write_at(w, 302000, 9000, 3);
	append(w, 3000, 4);
}

static void step_cut(struct world *w)
{
	resize(w, BASE_SIZE - 50000);
}

static void step_cut_and_grow(struct world *w)
{
	resize(w, BASE_SIZE - 90000);
	resize(w, BASE_SIZE - 30000);
	write_at(w, BASE_SIZE - 60000, 100, 5);
}

static void step_punch(struct world *w)
{
	punch(w, 301000, 40000);
	punch(w, 700000, 100000);
}

static void write_between(struct world *w)
{
	write_at(w, 600000, 70, 6);
}

static void step_commit(struct world *w)
{
	write_at(w, 500000, 70, 7);
	commit(w, write_between);
	TRY(pfs_workspace_tick(w->ws, 0, &err));
}

static void step_write_after(struct world *w)
{
	write_at(w, 600050, 7000, 8);
	append(w, 10, 9);
}

static void step_commit_all(struct world *w)
{
	commit(w, NULL);
	TRY(pfs_workspace_tick(w->ws, 0, &err));
}

static void step_write_again(struct world *w)
{
	write_at(w, 100, 70000, 10);
}

static void (*const steps[STEPS])(struct world *) = {
	step_write,  step_write_over,  step_cut,        step_cut_and_grow, step_punch,
	step_commit, step_write_after, step_commit_all, step_write_again,
};

static void story(struct world *w)
{
	for (unsigned i = 0; i < STEPS; i++) {
		shared->after[i + 1] = shared->after[i];
		w->now = &shared->after[i + 1];
		shared->begun = i + 1;
		steps[i](w);
		TRY(pfs_workspace_sync_file(w->o, &err));
		shared->promised = i + 1;
	}
	world_close(w);
	world_open(w);
	commit(w, NULL);
	world_close(w);
}

/* The committed file that every story begins with: a copy of what is made once. */
static void prepare(struct world *w)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };

	world_open(w);
	TRY(pfs_workspace_make(w->ws, w->root, "big", 3, &make, &w->n, &err));
	TRY(pfs_workspace_open_file(w->ws, w->n, true, false, &w->o, &err));
	w->now = &shared->after[0];
	write_at(w, 0, BASE_SIZE, 77);
	pfs_workspace_close_file(&w->o);
	commit(w, NULL);
	world_close(w);
}

static void copy(const struct world *from, struct world *to)
{
	char command[700];

	to->dir = scratch_new();
	snprintf(command, sizeof(command), "cp -a '%s'/. '%s'", from->dir.path, to->dir.path);
	CHECK(system(command) == 0, "%s", command);
	shared->promised = shared->begun = 0;
}

static void check_bytes(const unsigned char *got, size_t len)
{
	const struct bytes *then = &shared->after[shared->promised];
	const struct bytes *maybe = &shared->after[shared->begun];

	CHECK(len == then->size || shared->begun > shared->promised, "%zu bytes after step %u", len,
	      shared->promised);
	for (size_t i = 0; i < len; i++)
		CHECK(got[i] == then->data[i] || got[i] == maybe->data[i] ||
			      (i >= then->size && got[i] == 0),
		      "byte %zu is %02x, after step %u it was %02x, then %02x", i, got[i],
		      shared->promised, then->data[i], maybe->data[i]);
}

static void check(struct world *w)
{
	unsigned char *got = malloc(SIZE_MAX_ + 1);
	size_t len;

	retry = false;
	world_open(w);
	file_open(w);
	TRY(pfs_workspace_read(w->o, 0, got, SIZE_MAX_ + 1, &len, &err));
	check_bytes(got, len);
	pfs_workspace_close_file(&w->o);
	commit(w, NULL);
	CHECK(!pfs_workspace_dirty(w->ws), "a commit after recovery leaves it dirty");
	world_close(w);
	free(got);
}

/* Whether the story met its n-th fault point. */
static bool run(const struct world *first, enum pfs_fault_mode mode, unsigned n)
{
	struct world w = { 0 };
	int status;
	pid_t pid;

	copy(first, &w);
	pid = fork();
	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		world_open(&w);
		file_open(&w);
		retry = mode != PFS_FAULT_STOP;
		pfs_fault_arm(mode, n);
		story(&w);
		_exit(pfs_fault_count() >= n ? PFS_FAULT_EXIT : 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid, "wait");
	CHECK(WIFEXITED(status) &&
		      (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == PFS_FAULT_EXIT),
	      "mode %d, point %u: the story failed (%x)", (int)mode, n, (unsigned)status);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	check(&w);
	scratch_fini(&w.dir);
	return WEXITSTATUS(status) == PFS_FAULT_EXIT;
}

int main(void)
{
	static const enum pfs_fault_mode modes[] = { PFS_FAULT_STOP, PFS_FAULT_FAIL,
						     PFS_FAULT_NOSPACE };
	struct world first = { .dir = scratch_new() };

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	CHECK(shared != MAP_FAILED, "mmap");
	prepare(&first);
	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
		unsigned n = 1;

		while (run(&first, modes[m], n))
			n++;
		CHECK(n > 20, "only %u fault points", n - 1);
		printf("mode %d: %u points\n", (int)modes[m], n - 1);
	}
	scratch_fini(&first.dir);
	munmap(shared, sizeof(*shared));
	return 0;
}
