/*
 * A journal whose pages are whole and whose rows are anything: the workspace opens
 * or is refused with a reason; what opens can be walked, read and sealed.
 *
 * The input is a list of changes to the rows of a good journal: column, row, kind of
 * value, length, value.
 */
#include "base/limits.h"
#include "workspace/workspace.h"
#include "rows.h"
#include "../scratch.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct scratch dir;
static char folder[300], journal[320];
static struct pfs_store *st;
static struct pfs_buf good = PFS_BUF_INIT(1 << 24);
static struct {
	char name[256];
	char text[16];
	size_t len; /* of the text; what is behind it is a hole */
	off_t size;
} spooled[8];
static unsigned n_spooled;
static struct pfs_error err;

static void clean(void)
{
	scratch_fini(&dir);
}

static void put(struct pfs_workspace *ws, struct pfs_node *in, const char *name,
		enum pfs_entry_type type, const char *text)
{
	struct pfs_node_make make = {
		.type = type, .mode = 0755, .target = text, .target_len = strlen(text)
	};
	struct pfs_node *n = NULL;
	struct pfs_open *o = NULL;

	CHECK(pfs_workspace_make(ws, in, name, strlen(name), &make, &n, &err) == 0, "%s", err.text);
	if (type == PFS_ENTRY_FILE) {
		CHECK(pfs_workspace_open_file(ws, n, true, true, &o, &err) == 0, "%s", err.text);
		CHECK(pfs_workspace_write(o, 0, text, strlen(text), &err) == 0, "%s", err.text);
		pfs_workspace_close_file(&o);
	}
	pfs_node_unref(&n);
}

/* Another name. */
static void put_name(struct pfs_workspace *ws, struct pfs_node *from, const char *name,
		     struct pfs_node *in, const char *other)
{
	struct pfs_node *n = NULL;

	CHECK(pfs_workspace_lookup(ws, from, name, strlen(name), &n, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_link(ws, n, in, other, strlen(other), &err) == 0, "%s", err.text);
	pfs_node_unref(&n);
}

/* A large committed file, changed in place. */
static void put_patched(struct pfs_workspace *ws, struct pfs_node *root)
{
	static char large[PFS_PATCHED_SIZE_MIN + 1];
	struct pfs_node *n = NULL;
	struct pfs_open *o = NULL;
	struct pfs_sealed sealed;

	memset(large, 'x', sizeof(large) - 1);
	put(ws, root, "patched", PFS_ENTRY_FILE, large);
	CHECK(pfs_workspace_seal(ws, NULL, &sealed, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_settle(ws, &sealed, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_lookup(ws, root, "patched", 7, &n, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_open_file(ws, n, true, false, &o, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_write(o, 2, "ab", 2, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_write(o, 7000, "cd", 2, &err) == 0, "%s", err.text);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
}

static void remember_file(int in, const char *group, const char *name)
{
	int fd = openat(in, name, O_RDONLY | O_CLOEXEC);
	struct stat was;
	ssize_t n;

	CHECK(n_spooled < 8, "many spool files");
	n = read(fd, spooled[n_spooled].text, sizeof(spooled[0].text));
	CHECK(n >= 0 && fstat(fd, &was) == 0, "%s", name);
	spooled[n_spooled].len = (size_t)n;
	spooled[n_spooled].size = was.st_size;
	snprintf(spooled[n_spooled++].name, sizeof(spooled[0].name), "%.100s/%.100s", group, name);
	close(fd);
}

/* spool/<group>/<file> */
static void remember_spool(const char *group)
{
	struct dirent *e;
	char path[600];
	DIR *d;

	snprintf(path, sizeof(path), "%s/spool/%s", folder, group);
	d = opendir(path);
	CHECK(d, "%s", path);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (*group)
			remember_file(dirfd(d), group, e->d_name);
		else
			remember_spool(e->d_name);
	}
	closedir(d);
}

/* Of everything one: committed and changed, patched, new, removed, a folder, a link, a file of several names. */
static void make_good(void)
{
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *ws = NULL;
	struct pfs_node *root, *sub = NULL;
	struct pfs_sealed sealed;
	sqlite3 *db = NULL;

	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	dir = scratch_new();
	atexit(clean);
	snprintf(folder, sizeof(folder), "%s/ws", dir.path);
	snprintf(journal, sizeof(journal), "%s/journal.db", folder);
	CHECK(pfs_store_open_mem(&st, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	put(ws, root, "committed", PFS_ENTRY_FILE, "one");
	put(ws, root, "gone", PFS_ENTRY_FILE, "two");
	put(ws, root, "twice", PFS_ENTRY_FILE, "five");
	put_name(ws, root, "twice", root, "thrice");
	CHECK(pfs_workspace_seal(ws, NULL, &sealed, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_settle(ws, &sealed, &err) == 0, "%s", err.text);
	put_patched(ws, root);
	CHECK(pfs_workspace_remove_name(ws, root, "gone", 4, false, &err) == 0, "%s", err.text);
	put(ws, root, "new", PFS_ENTRY_FILE, "three");
	put(ws, root, "link", PFS_ENTRY_SYMLINK, "new");
	put(ws, root, "sub", PFS_ENTRY_DIR, "");
	CHECK(pfs_workspace_lookup(ws, root, "sub", 3, &sub, &err) == 0, "%s", err.text);
	put(ws, sub, "deep", PFS_ENTRY_FILE, "four");
	put_name(ws, root, "new", sub, "other");
	put_name(ws, root, "twice", sub, "again");
	pfs_node_unref(&sub);
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	remember_spool("");
	CHECK(n_spooled, "no spool files");
	CHECK(pfs_io_load(AT_FDCWD, journal, &good, &err) == 0, "%s", err.text);
	CHECK(sqlite3_open_v2(journal, &db, SQLITE_OPEN_READWRITE, "pfs") == SQLITE_OK, "open");
	read_columns(db, "meta", "rowid");
	read_columns(db, "node", "rowid");
	read_columns(db, "name", "name");
	read_columns(db, "range", "off");
	sqlite3_close(db);
}

static void restore(void)
{
	char path[620];
	int fd = open(journal, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, pfs_buf_str(&good), good.len) == (ssize_t)good.len, "%s",
	      journal);
	close(fd);
	snprintf(path, sizeof(path), "%s-wal", journal);
	unlink(path);
	/* Spool files that no row named were removed. */
	for (unsigned i = 0; i < n_spooled; i++) {
		snprintf(path, sizeof(path), "%s/spool/%s", folder, spooled[i].name);
		*strrchr(path, '/') = 0;
		mkdir(path, 0700);
		path[strlen(path)] = '/';
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			continue;
		CHECK(write(fd, spooled[i].text, spooled[i].len) == (ssize_t)spooled[i].len &&
			      ftruncate(fd, spooled[i].size) == 0,
		      "%s", path);
		close(fd);
	}
}

struct walker {
	struct pfs_workspace *ws;
	struct pfs_node *dir;
	unsigned depth;
};

static int walk(struct pfs_workspace *ws, struct pfs_node *in, unsigned depth);

static int each_name(void *arg, const struct pfs_node_name *item)
{
	const struct walker *w = arg;
	struct pfs_node_attr attr;
	struct pfs_node *n = NULL;
	struct pfs_open *o = NULL;
	char data[64];
	size_t got;

	if (pfs_workspace_lookup(w->ws, w->dir, item->name, item->name_len, &n, NULL) < 0)
		return 0;
	pfs_workspace_getattr(w->ws, n, &attr, NULL);
	if (pfs_node_type(n) == PFS_ENTRY_DIR) {
		walk(w->ws, n, w->depth + 1);
	} else if (pfs_node_type(n) == PFS_ENTRY_FILE &&
		   pfs_workspace_open_file(w->ws, n, false, false, &o, NULL) == 0) {
		pfs_workspace_read(o, 0, data, sizeof(data), &got, NULL);
		pfs_workspace_close_file(&o);
	}
	pfs_node_unref(&n);
	return 0;
}

static int walk(struct pfs_workspace *ws, struct pfs_node *in, unsigned depth)
{
	struct walker w = { ws, in, depth };

	CHECK(depth < DEPTH_MAX, "a folder in itself");
	return pfs_workspace_list(ws, in, each_name, &w, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *ws = NULL;
	struct pfs_node *root;
	struct pfs_sealed sealed;

	if (!st)
		make_good();
	restore();
	change_rows(journal, data, size);
	memset(&err, 0, sizeof(err));
	if (pfs_workspace_open(folder, st, &base, &ws, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	root = pfs_workspace_root(ws);
	walk(ws, root, 0);
	pfs_node_unref(&root);
	pfs_workspace_seal(ws, NULL, &sealed, &err);
	pfs_workspace_close(&ws);
	return 0;
}
