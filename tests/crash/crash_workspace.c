/*
 * A workspace cut off at its n-th fault point, for every n: what fsync promised
 * is there, no name leads to foreign bytes, names of one file are never parted,
 * and a failed flush or a full disk costs an error, never a change.
 *
 *	stop     the process ends there; what it had promised is in shared memory
 *	fail     the point fails once; the operation is tried again and must work
 *	nospace  likewise
 */
#include "../scratch.h"
#include "base/fault.h"
#include "tree/links.h"
#include "workspace/workspace.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES     4
#define FILE_SIZE 70000u /* more than one chunk may hold */
#define VERSIONS  4

/* What was promised so far, seen by the parent after the child ended. */
struct promises {
	bool file[FILES];     /* its bytes and its name are durable */
	bool removed[FILES];  /* so is that it is gone */
	bool removing[FILES]; /* it may be gone */
	bool linked[FILES];   /* it has another name, beside the directory */
	bool linking[FILES];  /* it may have */
	unsigned version;     /* of "doc", replaced by rename */
	bool dir_moved, dir_moving;
	bool committed;
};

static struct promises *promised;
static bool retry; /* a failed operation may be tried again, once */
static bool had_fault;
static struct pfs_error err;

struct world {
	struct scratch dir;
	struct pfs_store *st;
	struct pfs_workspace *ws;
	struct pfs_node *root;
};

/* An operation that meets the one fault fails, and works when it is tried again. */
#define TRY(call)                                                                       \
	do {                                                                            \
		int rc_ = (call);                                                       \
		if (rc_ < 0 && retry && !had_fault) {                                   \
			had_fault = true;                                               \
			rc_ = (call);                                                   \
		}                                                                       \
		CHECK(rc_ >= 0, "%s (%s)", err.text, had_fault ? "again" : "at first"); \
	} while (0)

static char *bytes_of(uint64_t seed)
{
	static char bytes[FILE_SIZE];

	scratch_fill(bytes, sizeof(bytes), seed);
	return bytes;
}

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

static void world_close(struct world *w)
{
	pfs_node_unref(&w->root);
	pfs_workspace_close(&w->ws);
	pfs_store_close(&w->st);
}

static void write_file(struct world *w, struct pfs_node *dir, const char *name, uint64_t seed)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_node *n;
	struct pfs_open *o;

	TRY(pfs_workspace_make(w->ws, dir, name, strlen(name), &make, &n, &err));
	TRY(pfs_workspace_open_file(w->ws, n, true, true, &o, &err));
	TRY(pfs_workspace_write(o, 0, bytes_of(seed), FILE_SIZE / 2, &err));
	TRY(pfs_workspace_write(o, FILE_SIZE / 2, bytes_of(seed) + FILE_SIZE / 2,
				FILE_SIZE - FILE_SIZE / 2, &err));
	TRY(pfs_workspace_sync_file(o, &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
}

static void commit(struct world *w)
{
	struct pfs_sealed sealed;

	TRY(pfs_workspace_seal(w->ws, NULL, &sealed, &err));
	TRY(pfs_store_sync(w->st, &err));
	TRY(pfs_workspace_settle(w->ws, &sealed, &err));
	promised->committed = true;
}

static void replace_doc(struct world *w, unsigned version)
{
	uint64_t seed = 100 + version;
	struct pfs_node *n;

	write_file(w, w->root, "doc.tmp", seed);
	TRY(pfs_workspace_lookup(w->ws, w->root, "doc.tmp", 7, &n, &err));
	TRY(pfs_workspace_set_xattr(w->ws, n, "user.seed", &seed, sizeof(seed), PFS_XATTR_ANY,
				    &err));
	pfs_node_unref(&n);
	TRY(pfs_workspace_rename(w->ws, w->root, "doc.tmp", 7, w->root, "doc", 3, false, false,
				 &err));
	TRY(pfs_workspace_sync(w->ws, &err));
	promised->version = version;
}

static void remove_file(struct world *w, struct pfs_node *dir, unsigned i)
{
	char name[8];

	snprintf(name, sizeof(name), "f%u", i);
	promised->removing[i] = true;
	TRY(pfs_workspace_remove_name(w->ws, dir, name, strlen(name), false, &err));
	TRY(pfs_workspace_sync(w->ws, &err));
	promised->removed[i] = true;
}

static void link_file(struct world *w, struct pfs_node *dir, unsigned i)
{
	struct pfs_node *n = NULL;
	char name[8];

	snprintf(name, sizeof(name), "f%u", i);
	TRY(pfs_workspace_lookup(w->ws, dir, name, strlen(name), &n, &err));
	name[0] = 'l';
	promised->linking[i] = true;
	TRY(pfs_workspace_link(w->ws, n, w->root, name, strlen(name), &err));
	pfs_node_unref(&n);
	TRY(pfs_workspace_sync(w->ws, &err));
	promised->linked[i] = true;
}

static void story(struct world *w)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_DIR, .mode = 0755 };
	struct pfs_node *dir;
	char name[8];

	world_open(w);
	TRY(pfs_workspace_make(w->ws, w->root, "dir", 3, &make, &dir, &err));
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		write_file(w, dir, name, i + 1);
		promised->file[i] = true;
		if (i == 1)
			commit(w);
	}
	replace_doc(w, 1);
	replace_doc(w, 2);
	remove_file(w, dir, 0);
	link_file(w, dir, 1);
	link_file(w, dir, 3);
	commit(w);
	TRY(pfs_workspace_tick(w->ws, 0, &err));
	link_file(w, dir, 2);
	remove_file(w, dir, 2);
	replace_doc(w, 3);
	promised->dir_moving = true;
	TRY(pfs_workspace_rename(w->ws, w->root, "dir", 3, w->root, "moved", 5, false, false,
				 &err));
	TRY(pfs_workspace_sync(w->ws, &err));
	promised->dir_moved = true;
	pfs_node_unref(&dir);
	world_close(w);
	world_open(w);
	commit(w);
	world_close(w);
}

/* The whole bytes of one of the versions [low, high], or of none when a name without a promise is cut short. */
static bool has_bytes(struct world *w, struct pfs_node *n, uint64_t seed, bool whole)
{
	char *got = malloc(FILE_SIZE + 1);
	struct pfs_open *o;
	size_t len;
	bool same;

	CHECK(pfs_workspace_open_file(w->ws, n, false, false, &o, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_read(o, 0, got, FILE_SIZE + 1, &len, &err) == 0, "%s", err.text);
	pfs_workspace_close_file(&o);
	same = len <= FILE_SIZE && memcmp(got, bytes_of(seed), len) == 0 &&
	       (!whole || len == FILE_SIZE);
	free(got);
	return same;
}

/* Set before the file got its name. */
static void check_attribute(struct world *w, struct pfs_node *n, uint64_t seed)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(64);

	CHECK(pfs_workspace_get_xattr(w->ws, n, "user.seed", &b, &err) == 0, "%s", err.text);
	CHECK(b.len == sizeof(seed) && memcmp(b.data, &seed, sizeof(seed)) == 0,
	      "the attribute of another file");
}

static void check_doc(struct world *w)
{
	struct pfs_node *n = NULL;
	bool known = false;
	int rc = pfs_workspace_lookup(w->ws, w->root, "doc", 3, &n, &err);

	CHECK(rc == 0 || (rc == PFS_E_NOTFOUND && promised->version == 0), "version %u is gone",
	      promised->version);
	if (rc < 0)
		return;
	for (unsigned v = promised->version; v <= VERSIONS; v++) {
		if (v == 0 || !has_bytes(w, n, 100 + v, true))
			continue;
		check_attribute(w, n, 100 + v);
		known = true;
	}
	CHECK(known, "\"doc\" is no version from %u on", promised->version);
	pfs_node_unref(&n);
}

static void check_file(struct world *w, struct pfs_node *dir, unsigned i)
{
	struct pfs_node *n = NULL;
	char name[8];
	int rc;

	snprintf(name, sizeof(name), "f%u", i);
	rc = dir ? pfs_workspace_lookup(w->ws, dir, name, strlen(name), &n, &err) : PFS_E_NOTFOUND;
	CHECK(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
	CHECK(rc == 0 || !promised->file[i] || promised->removing[i], "%s was promised", name);
	CHECK(rc < 0 || !promised->removed[i], "%s is back", name);
	if (rc == 0)
		CHECK(has_bytes(w, n, i + 1, promised->file[i]), "%s has other bytes", name);
	pfs_node_unref(&n);
}

/* The names lead to one file; only that one of them is gone may be what the crash left. */
static void check_link(struct world *w, struct pfs_node *dir, unsigned i)
{
	struct pfs_node *n = NULL, *first = NULL;
	struct pfs_node_attr attr;
	char name[8];
	int rc;

	snprintf(name, sizeof(name), "l%u", i);
	rc = pfs_workspace_lookup(w->ws, w->root, name, strlen(name), &n, &err);
	CHECK(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
	CHECK(rc == 0 || !promised->linked[i], "%s was promised", name);
	CHECK(rc < 0 || promised->linking[i], "a name nobody gave");
	if (rc < 0)
		return;
	CHECK(has_bytes(w, n, i + 1, true), "%s has other bytes", name);
	CHECK(pfs_workspace_getattr(w->ws, n, &attr, &err) == 0, "%s", err.text);
	name[0] = 'f';
	rc = pfs_workspace_lookup(w->ws, dir, name, strlen(name), &first, &err);
	CHECK(rc == 0 || promised->removing[i], "%s is gone", name);
	CHECK(rc < 0 || first == n, "%s and its other name are two files", name);
	CHECK(attr.nlink == (rc == 0 ? 2 : 1), "%s has %u names", name, attr.nlink);
	pfs_node_unref(&first);
	pfs_node_unref(&n);
}

/* All names of a file are together in what is committed. */
static void check_numbers(struct world *w)
{
	struct pfs_root base;
	struct pfs_id settled;

	pfs_workspace_base(w->ws, &base);
	CHECK(pfs_links_settle(w->st, &base.dir, NULL, &settled, &err) == 0, "%s", err.text);
	CHECK(pfs_id_equal(&settled, &base.dir), "numbers of names are not what they should be");
}

static void check(struct world *w)
{
	struct pfs_node *dir = NULL, *moved = NULL;

	retry = false;
	world_open(w);
	pfs_workspace_lookup(w->ws, w->root, "dir", 3, &dir, NULL);
	pfs_workspace_lookup(w->ws, w->root, "moved", 5, &moved, NULL);
	CHECK(!dir || !moved, "both names of a directory that was renamed");
	CHECK(!promised->dir_moved || moved, "the rename was promised");
	CHECK(!moved || promised->dir_moving, "a name nobody gave");
	for (unsigned i = 0; i < FILES; i++)
		check_file(w, dir ? dir : moved, i);
	for (unsigned i = 0; i < FILES; i++)
		check_link(w, dir ? dir : moved, i);
	check_doc(w);
	commit(w);
	check_numbers(w);
	for (unsigned i = 0; i < FILES; i++)
		check_link(w, dir ? dir : moved, i);
	pfs_node_unref(&dir);
	pfs_node_unref(&moved);
	CHECK(!pfs_workspace_dirty(w->ws), "a commit after recovery leaves it dirty");
	world_close(w);
}

/* Whether the story met its n-th fault point. */
static bool run(enum pfs_fault_mode mode, unsigned n)
{
	struct world w = { .dir = scratch_new() };
	unsigned passed;
	int status;
	pid_t pid;

	memset(promised, 0, sizeof(*promised));
	pid = fork();
	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		retry = mode != PFS_FAULT_STOP;
		pfs_fault_arm(mode, n);
		story(&w);
		passed = pfs_fault_count();
		_exit(passed >= n ? PFS_FAULT_EXIT : 0);
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

	promised = mmap(NULL, sizeof(*promised), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	CHECK(promised != MAP_FAILED, "mmap");
	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
		unsigned n = 1;

		while (run(modes[m], n))
			n++;
		CHECK(n > 20, "only %u fault points", n - 1);
		printf("mode %d: %u points\n", (int)modes[m], n - 1);
	}
	munmap(promised, sizeof(*promised));
	return 0;
}
