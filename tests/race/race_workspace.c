/*
 * Threads write, rename, list and read while another one seals, settles and
 * flushes: for ThreadSanitizer, and in any build every
 * file that was closed must say what its last writer wrote. All of them also
 * change one large committed file in place, each its own places, and the end of
 * it all together.
 */
#include "../scratch.h"
#include "base/limits.h"
#include "workspace/workspace_i.h"

#include <pthread.h>
#include <stdatomic.h>

#define WRITERS 3
#define FILES   6
#define ROUNDS  600

#define LENT_SIZE_MIN 1000u
#define LARGE_SIZE    (PFS_PATCHED_SIZE_MIN + 200000u)
#define PLACES        40u /* of each writer */

static struct pfs_workspace *ws;
static _Atomic bool stop;

static void must(int rc, struct pfs_error *err, const char *what)
{
	CHECK(rc >= 0, "%s: %s", what, err->text);
}

static struct pfs_node *find(struct pfs_node *dir, const char *name)
{
	struct pfs_node *n = NULL;

	pfs_workspace_lookup(ws, dir, name, strlen(name), &n, NULL);
	return n;
}

static void write_whole(struct pfs_node *n, unsigned value)
{
	struct pfs_error err;
	struct pfs_open *o;
	unsigned bytes[300];

	for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++)
		bytes[i] = value;
	must(pfs_workspace_open_file(ws, n, true, value % 3 == 0, &o, &err), &err, "open");
	must(pfs_workspace_write(o, 0, bytes, sizeof(bytes), &err), &err, "write");
	if (value % 16 == 0)
		must(pfs_workspace_sync_file(o, &err), &err, "fsync");
	pfs_workspace_close_file(&o);
}

static void check_whole(struct pfs_node *n, unsigned value)
{
	struct pfs_error err;
	struct pfs_open *o;
	unsigned bytes[300];
	size_t len;

	must(pfs_workspace_open_file(ws, n, false, false, &o, &err), &err, "open");
	must(pfs_workspace_read(o, 0, bytes, sizeof(bytes), &len, &err), &err, "read");
	pfs_workspace_close_file(&o);
	CHECK(len == sizeof(bytes), "%zu bytes", len);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++)
		CHECK(bytes[i] == value, "%u where %u was written", bytes[i], value);
}

static size_t place_of(unsigned self, unsigned i)
{
	return (i * WRITERS + self) * 8000u + i;
}

/* One number at a place of one's own, another one behind the end of the file, where others come too. */
static void change_large(struct pfs_node *n, unsigned self, unsigned round, unsigned *last)
{
	struct pfs_node_attr set = { .size_bytes = LARGE_SIZE };
	unsigned i = round % PLACES, got;
	struct pfs_error err;
	struct pfs_open *o;
	size_t len;

	must(pfs_workspace_open_file(ws, n, true, false, &o, &err), &err, "open");
	must(pfs_workspace_read(o, place_of(self, i), &got, sizeof(got), &len, &err), &err, "read");
	CHECK(len == sizeof(got), "%zu bytes", len);
	CHECK(!last[i] || got == last[i], "%u where %u was written", got, last[i]);
	last[i] = round * 10 + self;
	must(pfs_workspace_write(o, place_of(self, i), &last[i], sizeof(last[i]), &err), &err,
	     "write");
	must(pfs_workspace_append(o, &round, sizeof(round), &err), &err, "append");
	if (round % 16 == 0)
		must(pfs_workspace_sync_file(o, &err), &err, "fsync");
	if (round % 50 == 0)
		must(pfs_workspace_allocate(o, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					    LARGE_SIZE - 5000, 4000, &err),
		     &err, "punch");
	pfs_workspace_close_file(&o);
	if (round % 20 == 0)
		must(pfs_workspace_setattr(ws, n, PFS_NODE_SIZE, &set, &err), &err, "truncate");
}

/* Two names of one file, one of them in a directory, both found anew. */
static void check_linked(struct pfs_node *in, const char *dir_name, struct pfs_node *root,
			 const char *name, unsigned value)
{
	struct pfs_node *dir = find(in, dir_name), *x = find(root, name), *y = find(dir, "y");
	struct pfs_node_attr a;
	struct pfs_error err;

	CHECK(x && x == y, "%s and %s/y are two files", name, dir_name);
	must(pfs_workspace_getattr(ws, x, &a, &err), &err, "getattr");
	CHECK(a.nlink == 2, "%u names", a.nlink);
	check_whole(y, value);
	pfs_node_unref(&dir);
	pfs_node_unref(&x);
	pfs_node_unref(&y);
}

static void change_linked(struct pfs_node *root, struct pfs_node *shared, unsigned self,
			  unsigned round)
{
	struct pfs_node *x, *dir;
	struct pfs_error err;
	char name[16], d[16];

	snprintf(name, sizeof(name), "x%u", self);
	snprintf(d, sizeof(d), "d%u", self);
	x = find(root, name);
	write_whole(x, round);
	pfs_node_unref(&x);
	check_linked(root, d, root, name, round);
	if (round % 3 == 0) {
		must(pfs_workspace_rename(ws, root, d, strlen(d), shared, d, strlen(d), false,
					  false, &err),
		     &err, "rename a directory");
		check_linked(shared, d, root, name, round);
		must(pfs_workspace_rename(ws, shared, d, strlen(d), root, d, strlen(d), false,
					  false, &err),
		     &err, "rename a directory back");
	}
	if (round % 4)
		return;
	dir = find(root, d);
	must(pfs_workspace_remove_name(ws, root, name, strlen(name), false, &err), &err, "remove");
	x = find(dir, "y");
	must(pfs_workspace_link(ws, x, root, name, strlen(name), &err), &err, "link");
	pfs_node_unref(&x);
	pfs_node_unref(&dir);
}

static void make_linked(struct pfs_node *root, unsigned self)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_DIR, .mode = 0755 };
	struct pfs_node *dir, *x;
	struct pfs_error err;
	char name[16];

	snprintf(name, sizeof(name), "d%u", self);
	must(pfs_workspace_make(ws, root, name, strlen(name), &make, &dir, &err), &err, "mkdir");
	make.type = PFS_ENTRY_FILE;
	name[0] = 'x';
	must(pfs_workspace_make(ws, root, name, strlen(name), &make, &x, &err), &err, "make");
	must(pfs_workspace_link(ws, x, dir, "y", 1, &err), &err, "link");
	pfs_node_unref(&x);
	pfs_node_unref(&dir);
}

/* Each writer has names of its own, in a directory that all share. */
static void *writer(void *arg)
{
	unsigned self = *(unsigned *)arg, last[FILES] = { 0 };
	struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_node *root = pfs_workspace_root(ws), *dir = find(root, "shared");
	struct pfs_node *common = find(root, "common"), *large = find(root, "large");
	unsigned places[PLACES] = { 0 };
	struct pfs_error err;
	char name[32], to[32];

	make_linked(root, self);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		unsigned i = round % FILES;
		struct pfs_node *n;

		snprintf(name, sizeof(name), "%u-%u", self, i);
		n = find(dir, name);
		if (n && last[i])
			check_whole(n, last[i]);
		if (!n)
			must(pfs_workspace_make(ws, dir, name, strlen(name), &make, &n, &err), &err,
			     "make");
		last[i] = round * 10 + self;
		write_whole(n, last[i]);
		write_whole(common, last[i]);
		change_large(large, self, round, places);
		change_linked(root, dir, self, round);
		pfs_node_unref(&n);
		if (round % 5 == 0) {
			snprintf(to, sizeof(to), "%u-moved", self);
			must(pfs_workspace_rename(ws, dir, name, strlen(name), root, to, strlen(to),
						  false, false, &err),
			     &err, "rename");
			must(pfs_workspace_rename(ws, root, to, strlen(to), dir, name, strlen(name),
						  false, false, &err),
			     &err, "rename back");
		}
		if (round % 7 == 0) {
			must(pfs_workspace_remove_name(ws, dir, name, strlen(name), false, &err),
			     &err, "remove");
			last[i] = 0;
		}
	}
	pfs_node_unref(&large);
	pfs_node_unref(&common);
	pfs_node_unref(&dir);
	pfs_node_unref(&root);
	return NULL;
}

static int look_at(void *arg, const struct pfs_node_name *item)
{
	struct pfs_node *dir = arg, *n = find(dir, item->name);
	struct pfs_node_attr a;
	struct pfs_error err;

	if (n)
		must(pfs_workspace_getattr(ws, n, &a, &err), &err, "getattr");
	pfs_node_unref(&n);
	return 0;
}

static void *reader(void *arg)
{
	struct pfs_node *root = pfs_workspace_root(ws), *dir = find(root, "shared");
	struct pfs_node *common = find(root, "common");
	struct pfs_node_change c;
	struct pfs_open *o;
	struct pfs_error err;
	unsigned value;
	size_t len;

	/* Open while the file goes from clean to new and back, many times. */
	must(pfs_workspace_open_file(ws, common, false, false, &o, &err), &err, "open");
	for (unsigned round = 0; !atomic_load(&stop); round++) {
		must(pfs_workspace_read(o, 0, &value, sizeof(value), &len, &err), &err, "read");
		if (round % 8 == 0) {
			pfs_workspace_close_file(&o);
			must(pfs_workspace_open_file(ws, common, false, false, &o, &err), &err,
			     "open");
		}
		must(pfs_workspace_list(ws, dir, look_at, dir, &err), &err, "list");
		while (pfs_workspace_next_change(ws, &c))
			pfs_node_unref(&c.node);
	}
	pfs_workspace_close_file(&o);
	pfs_node_unref(&common);
	pfs_node_unref(&dir);
	pfs_node_unref(&root);
	return NULL;
}

static void *committer(void *arg)
{
	struct pfs_sealed sealed;
	struct pfs_error err;

	for (unsigned round = 0; !atomic_load(&stop); round++) {
		const struct pfs_commit_id id = { { 1, round & 255, round >> 8 & 255 } };

		must(pfs_workspace_seal(ws, &id, &sealed, &err), &err, "seal");
		if (round % 4)
			must(pfs_workspace_settle(ws, &sealed, &err), &err, "settle");
		must(pfs_workspace_tick(ws, 0, &err), &err, "tick");
	}
	return NULL;
}

static void make_large(struct pfs_node *root)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	unsigned char *bytes = malloc(LARGE_SIZE);
	struct pfs_sealed sealed;
	struct pfs_error err;
	struct pfs_node *n;
	struct pfs_open *o;

	scratch_fill(bytes, LARGE_SIZE, 3);
	must(pfs_workspace_make(ws, root, "large", 5, &make, &n, &err), &err, "make");
	must(pfs_workspace_open_file(ws, n, true, false, &o, &err), &err, "open");
	must(pfs_workspace_write(o, 0, bytes, LARGE_SIZE, &err), &err, "write");
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	free(bytes);
	must(pfs_workspace_seal(ws, NULL, &sealed, &err), &err, "seal");
	must(pfs_workspace_settle(ws, &sealed, &err), &err, "settle");
}

/* `on_disk`: in a store that takes in most files as they are. */
static void run(bool on_disk)
{
	struct scratch dir = scratch_new();
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_node_make make = { .type = PFS_ENTRY_DIR, .mode = 0755 };
	pthread_t writers[WRITERS], others[2];
	unsigned self[WRITERS];
	struct pfs_node *root, *shared;
	struct pfs_store *st;
	struct pfs_sealed sealed;
	struct pfs_store_stats stats;
	struct pfs_error err;
	char path[300];

	snprintf(path, sizeof(path), "%s/store", dir.path);
	must(on_disk ? pfs_store_open(path, &st, &err) : pfs_store_open_mem(&st, &err), &err,
	     "store");
	snprintf(path, sizeof(path), "%s/ws", dir.path);
	must(pfs_workspace_open(path, st, &base, &ws, &err), &err, "open");
	ws->lent_size_min = on_disk ? LENT_SIZE_MIN : PFS_LENT_SIZE_MIN;
	atomic_store(&stop, false);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_make(ws, root, "shared", 6, &make, &shared, &err), &err, "mkdir");
	pfs_node_unref(&shared);
	make.type = PFS_ENTRY_FILE;
	must(pfs_workspace_make(ws, root, "common", 6, &make, &shared, &err), &err, "make");
	pfs_node_unref(&shared);
	make_large(root);
	pthread_create(&others[0], NULL, reader, NULL);
	pthread_create(&others[1], NULL, committer, NULL);
	for (unsigned i = 0; i < WRITERS; i++) {
		self[i] = i;
		pthread_create(&writers[i], NULL, writer, &self[i]);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&stop, true);
	pthread_join(others[0], NULL);
	pthread_join(others[1], NULL);
	must(pfs_workspace_seal(ws, NULL, &sealed, &err), &err, "seal");
	must(pfs_workspace_settle(ws, &sealed, &err), &err, "settle");
	CHECK(!pfs_workspace_dirty(ws), "a last commit leaves it dirty");
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	pfs_store_stats(st, &stats);
	CHECK(!on_disk || stats.adopted_files > 10, "only %llu files were taken in",
	      (unsigned long long)stats.adopted_files);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

int main(void)
{
	run(false);
	run(true);
	return 0;
}
