/*
 * A workspace on a disk that is really full: writing says so, what was written can
 * be flushed, nothing is lost, and removing files makes room again, though the journal
 * needs room itself to say that they are gone: new names never take all that was set
 * aside for that.
 *
 * Mounts a small file system in a namespace of its own; 77 where that is not
 * permitted.
 */
#include "../scratch.h"
#include "workspace/workspace.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE 50000u
#define REMOVED   20u
#define RESERVE   (1u << 20)
#define NAMES     2500u /* with what is needed to say so, more than half of it */

static struct pfs_error err;
static char bytes[FILE_SIZE];

static bool mount_small(const char *path)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWNS | CLONE_NEWUSER) < 0)
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("tmpfs", path, "tmpfs", 0, "size=3m") == 0;
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

/* Names without bytes, more than half of the room has place for. */
static void make_names(struct pfs_workspace *ws, struct pfs_node *root)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_DIR, .mode = 0755 };

	for (unsigned i = 0; i < NAMES; i++) {
		struct pfs_node *d;
		char name[200];

		snprintf(name, sizeof(name), "%0199u", i);
		CHECK(pfs_workspace_make(ws, root, name, strlen(name), &make, &d, &err) == 0, "%s",
		      err.text);
		pfs_node_unref(&d);
	}
}

int main(void)
{
	struct scratch dir = scratch_new();
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *ws;
	struct pfs_node *root;
	struct pfs_store *st;
	unsigned n = 0;
	char folder[300];
	int rc;

	if (!mount_small(dir.path)) {
		scratch_fini(&dir);
		return 77;
	}
	snprintf(folder, sizeof(folder), "%s/ws", dir.path);
	CHECK(pfs_store_open_mem(&st, &err) == 0, "%s", err.text);
	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	while ((rc = write_file(ws, root, n)) == 0)
		n++;
	CHECK(rc == PFS_E_NOSPACE, "%s", err.text);
	CHECK(n > REMOVED + 5, "only %u files", n);
	CHECK(pfs_workspace_sync(ws, &err) == 0, "what was written before: %s", err.text);
	for (unsigned i = 0; i < n; i++)
		CHECK(is_whole(ws, root, i), "file %u, on a full disk", i);
	make_names(ws, root);
	CHECK(pfs_workspace_sync(ws, &err) == PFS_E_NOSPACE, "names took more than half");
	CHECK(reserve_of(folder) >= RESERVE / 2, "%u bytes are left", reserve_of(folder));

	for (unsigned i = 0; i < REMOVED; i++)
		CHECK(pfs_workspace_remove_name(ws, root, name_of(i), strlen(name_of(i)), false,
						&err) == 0,
		      "remove %u: %s", i, err.text);
	CHECK(pfs_workspace_tick(ws, 0, &err) == 0, "after removing: %s", err.text);
	for (unsigned i = 0; i < 3; i++)
		CHECK(write_file(ws, root, i) == 0, "write again: %s", err.text);
	CHECK(pfs_workspace_sync(ws, &err) == 0, "%s", err.text);
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);

	CHECK(pfs_workspace_open(folder, st, &base, &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	for (unsigned i = 0; i < n; i++)
		CHECK(is_whole(ws, root, i) == (i < 3 || i >= REMOVED), "file %u, opened again", i);
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	pfs_store_close(&st);
	umount2(dir.path, MNT_DETACH);
	scratch_fini(&dir);
	return 0;
}
