/*
 * The store takes in a huge new file as it is, and the process is cut off at
 * every fault point around it: what was committed never changes, whoever writes
 * into the file afterwards, and what fsync promised is there. Modes are those
 * of crash_workspace.c.
 */
#include "../scratch.h"
#include "base/fault.h"
#include "tree/content.h"
#include "tree/tree.h"
#include "workspace/workspace_i.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUGE     (1100u << 10) /* of several chunks, and long enough to be patched */
#define LENT_MIN (1u << 20)
#define EDIT     654321u

/* Shared with the parent. */
struct shared {
	struct pfs_root head; /* committed and named; mode 0: nothing is yet */
	unsigned char bytes[HUGE];
	char edit[2][8];            /* what lies at EDIT: before, after */
	unsigned written, promised; /* edits begun, edits flushed; 0 is the whole file */
	bool made;
};

static struct shared *shared;
static bool retry, had_fault;
static struct pfs_error err;

struct world {
	struct scratch dir;
	struct pfs_store *st;
	struct pfs_workspace *ws;
	struct pfs_node *root, *n;
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
	struct pfs_root none = { .attrs.mode = 0755 };
	char path[300];

	snprintf(path, sizeof(path), "%s/store", w->dir.path);
	TRY(pfs_store_open(path, &w->st, &err));
	snprintf(path, sizeof(path), "%s/ws", w->dir.path);
	TRY(pfs_workspace_open(path, w->st, shared->head.attrs.mode ? &shared->head : &none, &w->ws,
			       &err));
	w->ws->lent_size_min = LENT_MIN;
	w->root = pfs_workspace_root(w->ws);
}

static void world_close(struct world *w)
{
	pfs_node_unref(&w->n);
	pfs_node_unref(&w->root);
	pfs_workspace_close(&w->ws);
	pfs_store_close(&w->st);
}

static void write_edit(struct world *w, unsigned i)
{
	struct pfs_open *o;

	TRY(pfs_workspace_open_file(w->ws, w->n, true, false, &o, &err));
	shared->written = i;
	TRY(pfs_workspace_write(o, EDIT, shared->edit[i], sizeof(shared->edit[i]), &err));
	TRY(pfs_workspace_sync_file(o, &err));
	shared->promised = i;
	pfs_workspace_close_file(&o);
}

static void make_huge(struct world *w)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_open *o;

	TRY(pfs_workspace_make(w->ws, w->root, "huge", 4, &make, &w->n, &err));
	TRY(pfs_workspace_open_file(w->ws, w->n, true, false, &o, &err));
	TRY(pfs_workspace_write(o, 0, shared->bytes, HUGE, &err));
	TRY(pfs_workspace_sync_file(o, &err));
	pfs_workspace_close_file(&o);
	shared->made = true;
}

static void commit(struct world *w, unsigned char mark, bool write_between)
{
	struct pfs_commit_id id = { { mark } };
	struct pfs_sealed sealed;

	TRY(pfs_workspace_seal(w->ws, &id, &sealed, &err));
	if (write_between)
		write_edit(w, 1);
	TRY(pfs_store_sync(w->st, &err));
	shared->head = sealed.root;
	TRY(pfs_workspace_settle(w->ws, &sealed, &err));
	TRY(pfs_workspace_tick(w->ws, 0, &err));
}

static void story(struct world *w, bool write_between)
{
	world_open(w);
	make_huge(w);
	commit(w, 1, write_between);
	if (!write_between)
		write_edit(w, 1);
	commit(w, 2, false);
	world_close(w);
}

static bool is_edit(const unsigned char *got, unsigned i)
{
	return memcmp(got + EDIT, shared->edit[i], sizeof(shared->edit[i])) == 0;
}

/* The file is whole, with one of these edits. */
static void check_bytes(unsigned char *got, size_t len, unsigned low, unsigned high)
{
	CHECK(len == HUGE, "%zu bytes", len);
	CHECK(is_edit(got, low) || is_edit(got, high), "no edit of %u to %u", low, high);
	memcpy(got + EDIT, shared->edit[0], sizeof(shared->edit[0]));
	CHECK(memcmp(got, shared->bytes, HUGE) == 0, "other bytes");
}

static void check_head(struct world *w, unsigned char *got)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	struct pfs_found found = { 0 };
	unsigned edit = shared->head.mark.bytes[0] == 2;
	size_t len;

	TRY(pfs_tree_find(w->st, &shared->head.dir, "huge", 4, &found, &err));
	TRY(pfs_content_reader_open(w->st, &found.e.content, &r, &err));
	TRY(pfs_content_read(r, 0, got, HUGE + 1, &len, &err));
	check_bytes(got, len, edit, edit);
	pfs_found_fini(&found);
}

static void check(struct world *w)
{
	unsigned char *got = malloc(HUGE + 1);
	struct pfs_open *o;
	size_t len;
	int rc;

	retry = false;
	world_open(w);
	rc = pfs_workspace_lookup(w->ws, w->root, "huge", 4, &w->n, &err);
	CHECK(rc == 0 || !shared->made, "%s", err.text);
	if (rc == 0 && shared->made) {
		TRY(pfs_workspace_open_file(w->ws, w->n, false, false, &o, &err));
		TRY(pfs_workspace_read(o, 0, got, HUGE + 1, &len, &err));
		pfs_workspace_close_file(&o);
		check_bytes(got, len, shared->promised, shared->written);
		write_edit(w, 0); /* into what may be lent */
	}
	if (shared->head.attrs.mode)
		check_head(w, got);
	world_close(w);
	free(got);
}

static bool run(enum pfs_fault_mode mode, unsigned n)
{
	struct world w = { .dir = scratch_new() };
	int status;
	pid_t pid;

	memset(&shared->head, 0, sizeof(shared->head));
	shared->written = shared->promised = 0;
	shared->made = false;
	pid = fork();
	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		retry = mode != PFS_FAULT_STOP;
		pfs_fault_arm(mode, n);
		story(&w, n % 2);
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

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	CHECK(shared != MAP_FAILED, "mmap");
	scratch_fill(shared->bytes, HUGE, 3);
	memcpy(shared->edit[0], shared->bytes + EDIT, sizeof(shared->edit[0]));
	memcpy(shared->edit[1], "changed", 8);
	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
		unsigned n = 1;

		/* Both stories: one of them may have a point less. */
		while (run(modes[m], n) || run(modes[m], n + 1))
			n++;
		CHECK(n > 20, "only %u fault points", n - 1);
		printf("mode %d: %u points\n", (int)modes[m], n - 1);
	}
	munmap(shared, sizeof(*shared));
	return 0;
}
