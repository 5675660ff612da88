/*
 * What small files cost in a workspace, beside the file system below it.
 *
 *	bench_workspace [FILES]
 *
 * Folder: $TMPDIR or /tmp. Prints microseconds, files and bytes per second.
 */
#include "../scratch.h"
#include "base/clock.h"
#include "workspace/workspace.h"

#include <inttypes.h>
#include <unistd.h>

#define FILE_SIZE 1024u

static char bytes[FILE_SIZE];

static void must(int rc, const struct pfs_error *err)
{
	if (rc < 0) {
		fprintf(stderr, "%s\n", err->text);
		exit(1);
	}
}

/* Each file has bytes of its own, as files have. */
static void set_bytes(unsigned i)
{
	scratch_fill(bytes, sizeof(bytes), i + 1);
}

static double now_us(void)
{
	return (double)pfs_clock_ns() / 1000;
}

static double create_native(int dir, unsigned n)
{
	double spent = 0;

	for (unsigned i = 0; i < n; i++) {
		char name[32];
		double start;
		int fd;

		set_bytes(i);
		snprintf(name, sizeof(name), "file-%07u", i);
		start = now_us();
		fd = openat(dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
		if (fd < 0 || pwrite(fd, bytes, FILE_SIZE, 0) != (ssize_t)FILE_SIZE) {
			perror(name);
			exit(1);
		}
		close(fd);
		spent += now_us() - start;
	}
	return spent;
}

static double create_ours(struct pfs_workspace *ws, struct pfs_node *dir, unsigned n)
{
	struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_error err;
	double spent = 0;

	for (unsigned i = 0; i < n; i++) {
		struct pfs_node *node;
		struct pfs_open *o;
		char name[32];
		double start;

		set_bytes(i);
		snprintf(name, sizeof(name), "file-%07u", i);
		start = now_us();
		must(pfs_workspace_make(ws, dir, name, strlen(name), &make, &node, &err), &err);
		must(pfs_workspace_open_file(ws, node, true, false, &o, &err), &err);
		must(pfs_workspace_write(o, 0, bytes, FILE_SIZE, &err), &err);
		pfs_workspace_close_file(&o);
		pfs_node_unref(&node);
		spent += now_us() - start;
	}
	return spent;
}

static void change_one(struct pfs_workspace *ws, struct pfs_node *dir)
{
	struct pfs_node *node;
	struct pfs_error err;
	struct pfs_open *o;

	must(pfs_workspace_lookup(ws, dir, "file-0000500", 12, &node, &err), &err);
	must(pfs_workspace_open_file(ws, node, true, false, &o, &err), &err);
	must(pfs_workspace_write(o, 10, "changed", 7, &err), &err);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&node);
}

static void seal_and_settle(struct pfs_workspace *ws, const char *what, unsigned n)
{
	struct pfs_sealed sealed;
	struct pfs_error err;
	double start = now_us(), sealed_at, settled_at, saved_at;

	must(pfs_workspace_seal(ws, NULL, &sealed, &err), &err);
	sealed_at = now_us();
	must(pfs_workspace_settle(ws, &sealed, &err), &err);
	settled_at = now_us();
	must(pfs_workspace_sync(ws, &err), &err);
	saved_at = now_us();
	printf("%-28s seal %.1f ms", what, (sealed_at - start) / 1e3);
	if (n > 1)
		printf(" (%.0f files/s, %.1f MB/s)", n / (sealed_at - start) * 1e6,
		       n * (double)FILE_SIZE / (sealed_at - start));
	printf("  settle %.1f ms  journal %.1f ms\n", (settled_at - sealed_at) / 1e3,
	       (saved_at - settled_at) / 1e3);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
	struct scratch dir = scratch_new();
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *ws;
	struct pfs_node *root;
	struct pfs_store *st;
	struct pfs_error err;
	double ours, native, start;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/native", dir.path);
	must(pfs_io_mkdir_all(AT_FDCWD, path, &err), &err);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	native = create_native(fd, n);
	close(fd);

	snprintf(path, sizeof(path), "%s/store", dir.path);
	must(pfs_store_open(path, &st, &err), &err);
	snprintf(path, sizeof(path), "%s/ws", dir.path);
	must(pfs_workspace_open(path, st, &base, &ws, &err), &err);
	root = pfs_workspace_root(ws);
	ours = create_ours(ws, root, n);
	printf("%-28s ours %.1f us  native %.1f us  ratio %.2f\n", "make, write 1 KB, close",
	       ours / n, native / n, ours / native);
	start = now_us();
	must(pfs_workspace_sync(ws, &err), &err);
	printf("%-28s %.1f ms\n", "journal all of them", (now_us() - start) / 1e3);
	seal_and_settle(ws, "all of them", n);
	change_one(ws, root);
	seal_and_settle(ws, "one among them", 1);
	change_one(ws, root);
	seal_and_settle(ws, "one among them, again", 1);

	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
	pfs_store_close(&st);
	scratch_fini(&dir);
	return 0;
}
