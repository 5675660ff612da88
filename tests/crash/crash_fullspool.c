/*
 * A workspace on a disk that is really full: writing says so, what was written can
 * be flushed, nothing is lost, and removing files makes room again, though the journal
 * needs room itself to say that they are gone: new names never take all that was set
 * aside for that, and are refused before it cannot be told of them. Whenever it is
 * given up a tick comes, before it is used. What waited for the journal when the disk
 * became full, and goes, is in nobody's way. Nobody is told that all is written down
 * when it is not, nor is a workspace closed then because nobody uses it.
 *
 * Mounts a small file system in a namespace of its own; 77 where that is not
 * permitted.
 */
#include "../scratch.h"
#include "history/seat.h"
#include "store/store.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_SIZE 50000u
#define REMOVED   20u
#define RESERVE   (1u << 20)
#define STEP      (1u << 14) /* it is made of */
#define TRIES     7          /* log2(RESERVE / STEP), and the whole of it */
#define NAMES     10000u     /* with what is needed to say so, more than all of it */
#define LOGGED    7000u      /* fewer than would be moved out of the log at once */
#define SET_SIZE  40000u     /* bytes, of one attribute */

static struct pfs_error err;
static char bytes[FILE_SIZE];
static struct pfs_workspace *ticked; /* NULL: no tick comes */
static struct pfs_workspace
	*asked; /* whether all is written down, while a flush fails; NULL: not */
static pthread_t asker;
static int answer;
static unsigned given_up; /* times that room was, and a tick came */
static unsigned tries;    /* to get room */

/* ---- what happens to the room ---- */

/* It flushes nothing: what it does besides is what matters. */
static void *tick(void *arg)
{
	pfs_workspace_tick(arg, INT64_MAX, NULL);
	return NULL;
}

static void *ask(void *ws)
{
	answer = pfs_workspace_tick(ws, 0, NULL);
	return NULL;
}

/* Whoever asks has to wait for the flush that we are in. */
static void ask_now(void)
{
	struct pfs_workspace *ws = asked;

	if (!ws)
		return;
	asked = NULL;
	CHECK(pthread_create(&asker, NULL, ask, ws) == 0, "a thread");
	usleep(50000);
}

static void tick_now(void)
{
	pthread_t other;

	ask_now();
	if (!ticked)
		return;
	given_up++;
	CHECK(pthread_create(&other, NULL, tick, ticked) == 0, "a thread");
	pthread_join(other, NULL);
}

/* All of it; the workspace calls us, as it does below. */
int unlinkat(int dir, const char *path, int flags)
{
	int rc = (int)syscall(SYS_unlinkat, dir, path, flags);

	if (strcmp(path, ".reserve") == 0)
		tick_now();
	return rc;
}

/* Half of it. */
int ftruncate(int fd, off_t size)
{
	int rc = (int)syscall(SYS_ftruncate, fd, size);

	if (size == RESERVE / 2)
		tick_now();
	return rc;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	tries += off == 0 && len <= RESERVE;
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

/* ---- a full disk ---- */

static bool mount_small(const char *path)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWNS | CLONE_NEWUSER) < 0)
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("tmpfs", path, "tmpfs", 0, "size=32m") == 0;
}

static const char *name_of(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "%u", i);
	return name;
}

/* Every third file is flushed. */
static int write_file(struct pfs_workspace *ws, struct pfs_node *root, unsigned i)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	const char *name = name_of(i);
	struct pfs_open *o = NULL;
	struct pfs_node *n;
	int rc = pfs_workspace_make(ws, root, name, strlen(name), &make, &n, &err);

	CHECK(rc == 0, "make %s: %s", name, err.text);
	scratch_fill(bytes, sizeof(bytes), i);
	rc = pfs_workspace_open_file(ws, n, true, false, &o, &err);
	if (rc == 0)
		rc = pfs_workspace_write(o, 0, bytes, sizeof(bytes), &err);
	if (rc == 0 && i % 3 == 0)
		rc = pfs_workspace_sync_file(o, &err);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	return rc;
}

static bool is_whole(struct pfs_workspace *ws, struct pfs_node *root, unsigned i)
{
	static char got[FILE_SIZE];
	const char *name = name_of(i);
	struct pfs_node *n = NULL;
	struct pfs_open *o;
	size_t len;

	if (pfs_workspace_lookup(ws, root, name, strlen(name), &n, &err) < 0)
		return false;
	CHECK(pfs_workspace_open_file(ws, n, false, false, &o, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_read(o, 0, got, sizeof(got), &len, &err) == 0, "%s", err.text);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	scratch_fill(bytes, sizeof(bytes), i);
	return len == sizeof(got) && memcmp(got, bytes, len) == 0;
}

/* What is set aside, on the disk. */
static unsigned reserve_of(const char *folder)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/spool/.reserve", folder);
	return stat(path, &st) == 0 ? (unsigned)st.st_blocks * 512 : 0;
}

/* On the way to as much as there is, a full disk is not asked more often than it has to be. */
static void expect_room(struct pfs_workspace *ws, const char *folder)
{
	struct statvfs st;

	tries = 0;
	CHECK(pfs_workspace_tick(ws, INT64_MAX, &err) == 0, "%s", err.text);
	CHECK(tries <= TRIES, "%u tries", tries);
	CHECK(statvfs(folder, &st) == 0, "statvfs");
	CHECK(reserve_of(folder) == RESERVE || st.f_bavail * st.f_frsize < STEP,
	      "%u bytes are set aside, and more are free", reserve_of(folder));
}

/* A name without bytes. */
static const char *long_name_of(unsigned i)
{
	static char name[200];

	snprintf(name, sizeof(name), "%0199u", i);
	return name;
}

static int make_name(struct pfs_workspace *ws, struct pfs_node *root, unsigned i)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_DIR, .mode = 0755 };
	struct pfs_node *d;
	int rc = pfs_workspace_make(ws, root, long_name_of(i), 199, &make, &d, &err);

	if (rc == 0)
		pfs_node_unref(&d);
	return rc;
}

static void make_names(struct pfs_workspace *ws)
{
	struct pfs_node *root = pfs_workspace_root(ws);

	for (unsigned i = 0; i < NAMES; i++)
		CHECK(make_name(ws, root, i) == 0, "while there is room: %s", err.text);
	pfs_node_unref(&root);
}

static void remove_files(struct pfs_workspace *ws, struct pfs_node *root)
{
	for (unsigned i = 0; i < REMOVED; i++)
		CHECK(pfs_workspace_remove_name(ws, root, name_of(i), strlen(name_of(i)), false,
						&err) == 0,
		      "remove %u: %s", i, err.text);
}

/* Somebody else takes all that is left. */
static void take_the_rest(const char *dir)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s/else", dir);
	f = fopen(path, "w");
	CHECK(f, "%s", path);
	setbuf(f, NULL);
	while (fwrite(bytes, 1, 4096, f) == 4096)
		;
	fclose(f);
}

static uint64_t free_bytes(const char *dir)
{
	struct statvfs v;

	CHECK(statvfs(dir, &v) == 0, "%s", dir);
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* Whoever asks for a status leaves no name behind that has to be said to be gone. */
static void preview(struct pfs_workspace *ws, struct pfs_store *st)
{
	static const struct pfs_id nothing;
	struct pfs_store *aside;
	struct pfs_sealed sealed;

	CHECK(pfs_store_open_aside(st, &aside, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_preview(ws, &nothing, aside, &sealed, &err) == 0, "%s", err.text);
	pfs_store_close(&aside);
}

/* Names that were made while there was room wait for the journal; then there is none. */
static void names_that_wait(const char *dir, struct pfs_store *st)
{
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *ws;
	struct pfs_node *root;
	char folder[300], path[400];

	snprintf(folder, sizeof(folder), "%s/waits", dir);
	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	for (unsigned i = 0; i < REMOVED; i++)
		CHECK(write_file(ws, root, i) == 0, "%s", err.text);
	CHECK(pfs_workspace_sync(ws, &err) == 0, "%s", err.text);
	make_names(ws);
	take_the_rest(dir);
	asked = ws;
	CHECK(pfs_workspace_sync(ws, &err) == PFS_E_NOSPACE, "there is room for %u names", NAMES);
	CHECK(!asked && pthread_join(asker, NULL) == 0, "the room was not needed");
	CHECK(answer == PFS_E_NOSPACE, "beside a flush that fails all is said to be written down");
	preview(ws, st);
	CHECK(make_name(ws, root, NAMES) == PFS_E_NOSPACE, "one more is made");
	remove_files(ws, root);
	CHECK(pfs_workspace_tick(ws, 0, &err) == PFS_E_NOSPACE, "all of them are written down");
	for (unsigned i = 0; i < NAMES; i++)
		CHECK(pfs_workspace_remove_name(ws, root, long_name_of(i), 199, true, &err) == 0,
		      "%s", err.text);
	CHECK(pfs_workspace_tick(ws, 0, &err) == 0, "of what came and went: %s", err.text);
	CHECK(free_bytes(dir) > REMOVED / 2 * FILE_SIZE, "removing files made no room");
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	for (unsigned i = 0; i < REMOVED; i++)
		CHECK(!is_whole(ws, root, i), "file %u is there again", i);
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	snprintf(path, sizeof(path), "%s/else", dir);
	CHECK(unlink(path) == 0, "%s", path);
}

/* What the journal's log has is more than what was set aside, and has to be moved first. */
static void a_long_log(const char *dir, struct pfs_store *st)
{
	struct pfs_root base = { .attrs.mode = 0755 };
	char folder[300], path[400];
	struct pfs_workspace *ws;
	struct pfs_node *root;
	struct stat log, db;

	snprintf(folder, sizeof(folder), "%s/log", dir);
	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	for (unsigned i = 0; i < REMOVED; i++)
		CHECK(write_file(ws, root, i) == 0, "%s", err.text);
	for (unsigned i = 0; i < LOGGED; i++)
		CHECK(make_name(ws, root, i) == 0, "%s", err.text);
	CHECK(pfs_workspace_sync(ws, &err) == 0, "%s", err.text);
	snprintf(path, sizeof(path), "%s/journal.db-wal", folder);
	CHECK(stat(path, &log) == 0 && log.st_size > RESERVE * 3 / 2, "the log has %ld bytes",
	      (long)log.st_size);
	snprintf(path, sizeof(path), "%s/journal.db", folder);
	CHECK(stat(path, &db) == 0 && db.st_size < log.st_size / 2, "it was moved");
	take_the_rest(dir);
	remove_files(ws, root);
	CHECK(pfs_workspace_tick(ws, 0, &err) == 0, "after removing: %s", err.text);
	CHECK(free_bytes(dir) > REMOVED / 2 * FILE_SIZE, "removing files made no room");
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	snprintf(path, sizeof(path), "%s/else", dir);
	CHECK(unlink(path) == 0, "%s", path);
}

static void set_attributes(struct pfs_workspace *ws, struct pfs_node *root, unsigned i)
{
	const char *name = name_of(i);
	struct pfs_node *n;

	CHECK(pfs_workspace_lookup(ws, root, name, strlen(name), &n, &err) == 0, "%s", err.text);
	scratch_fill(bytes, SET_SIZE, 1000 + i);
	CHECK(pfs_workspace_set_xattr(ws, n, "user.waits", bytes, SET_SIZE, PFS_XATTR_ANY, &err) ==
		      0,
	      "%s", err.text);
	pfs_node_unref(&n);
}

/* The store has to write sets of attributes down before the journal may name them. */
static void attributes_that_wait(const char *dir)
{
	struct pfs_root base = { .attrs.mode = 0755 };
	char folder[300], path[400];
	struct pfs_workspace *ws;
	struct pfs_store *st;
	struct pfs_node *root;

	snprintf(folder, sizeof(folder), "%s/store", dir);
	CHECK(pfs_store_open(folder, &st, &err) == 0, "%s", err.text);
	snprintf(folder, sizeof(folder), "%s/sets", dir);
	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	for (unsigned i = 0; i < REMOVED + 10; i++)
		CHECK(write_file(ws, root, i) == 0, "%s", err.text);
	CHECK(pfs_workspace_sync(ws, &err) == 0, "%s", err.text);
	for (unsigned i = REMOVED; i < REMOVED + 10; i++)
		set_attributes(ws, root, i);
	take_the_rest(dir);
	CHECK(pfs_store_sync(st, &err) == PFS_E_NOSPACE, "there is room for them");
	remove_files(ws, root);
	CHECK(pfs_workspace_tick(ws, 0, &err) == 0, "after removing: %s", err.text);
	CHECK(free_bytes(dir) > REMOVED / 2 * FILE_SIZE, "removing files made no room");
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	pfs_store_close(&st);
	snprintf(path, sizeof(path), "%s/else", dir);
	CHECK(unlink(path) == 0, "%s", path);
}

static int begin_empty(void *arg, struct pfs_root *out, struct pfs_error *e)
{
	(void)arg;
	(void)e;
	*out = (struct pfs_root){ .attrs.mode = 0755 };
	return 0;
}

/* A workspace that nobody uses is closed after a while, but not with what could not be written down. */
static void nobody_uses_it(const char *dir, struct pfs_store *st)
{
	struct pfs_seats seats;
	struct pfs_seat *seat;
	struct pfs_node *root, *n;
	char path[400];
	bool opened;

	pfs_seats_init(&seats, dir, st);
	CHECK(pfs_seats_take(&seats, "unused", begin_empty, NULL, &seat, &opened, &err) == 0, "%s",
	      err.text);
	make_names(seat->ws);
	take_the_rest(dir);
	pfs_seats_drop(&seats, &seat);
	CHECK(pfs_seats_tick(&seats, 0, 0, &err) == PFS_E_NOSPACE, "all of them are written down");
	snprintf(path, sizeof(path), "%s/else", dir);
	CHECK(unlink(path) == 0, "%s", path);
	CHECK(pfs_seats_take(&seats, "unused", begin_empty, NULL, &seat, &opened, &err) == 0, "%s",
	      err.text);
	CHECK(!opened, "it was closed");
	pfs_seats_drop(&seats, &seat);
	CHECK(pfs_seats_tick(&seats, 0, 0, &err) == 0, "%s", err.text);
	CHECK(pfs_seats_take(&seats, "unused", begin_empty, NULL, &seat, &opened, &err) == 0, "%s",
	      err.text);
	CHECK(opened, "it stays open");
	root = pfs_workspace_root(seat->ws);
	CHECK(pfs_workspace_lookup(seat->ws, root, long_name_of(NAMES - 1), 199, &n, &err) == 0,
	      "%s", err.text);
	pfs_node_unref(&n);
	pfs_node_unref(&root);
	pfs_seats_drop(&seats, &seat);
	pfs_seats_doom(&seats, "unused");
	pfs_seats_fini(&seats);
}

int main(void)
{
	struct scratch dir = scratch_new();
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *ws;
	struct pfs_node *root;
	struct pfs_store *st;
	unsigned n = 0, i;
	char folder[300];
	int rc;

	if (!mount_small(dir.path)) {
		scratch_fini(&dir);
		return 77;
	}
	snprintf(folder, sizeof(folder), "%s/ws", dir.path);
	CHECK(pfs_store_open_mem(&st, &err) == 0, "%s", err.text);
	names_that_wait(dir.path, st);
	a_long_log(dir.path, st);
	attributes_that_wait(dir.path);
	nobody_uses_it(dir.path, st);
	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	ticked = ws;
	root = pfs_workspace_root(ws);
	while ((rc = write_file(ws, root, n)) == 0)
		n++;
	CHECK(rc == PFS_E_NOSPACE, "%s", err.text);
	CHECK(n > REMOVED + 5, "only %u files", n);
	CHECK(pfs_workspace_sync(ws, &err) == 0, "what was written before: %s", err.text);
	for (i = 0; i < n; i++)
		CHECK(is_whole(ws, root, i), "file %u, on a full disk", i);
	for (i = 0; (rc = make_name(ws, root, i)) == 0; i++)
		CHECK(i < NAMES, "so many names, and nothing was refused");
	CHECK(rc == PFS_E_NOSPACE, "%s", err.text);
	pfs_workspace_sync(ws, NULL);
	CHECK(reserve_of(folder) >= RESERVE / 2, "%u bytes are left", reserve_of(folder));
	CHECK(given_up > 0, "half of the room was not needed");
	expect_room(ws, folder);
	CHECK(tries > 1, "there was room for all of it");

	given_up = 0;
	remove_files(ws, root);
	CHECK(pfs_workspace_tick(ws, 0, &err) == 0, "after removing: %s", err.text);
	CHECK(given_up > 0, "the room was not needed");
	expect_room(ws, folder);
	for (i = 0; i < 3; i++)
		CHECK(write_file(ws, root, i) == 0, "write again: %s", err.text);
	CHECK(pfs_workspace_sync(ws, &err) == 0, "%s", err.text);
	pfs_node_unref(&root);
	ticked = NULL;
	pfs_workspace_close(&ws);

	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	for (i = 0; i < n; i++)
		CHECK(is_whole(ws, root, i) == (i < 3 || i >= REMOVED), "file %u, opened again", i);
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	pfs_store_close(&st);
	umount2(dir.path, MNT_DETACH);
	scratch_fini(&dir);
	return 0;
}
