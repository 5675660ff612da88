/*
 * Put every file of a folder into a fresh store, by our own code, for a reader
 * that was made from the pages: make_tree STORE FOLDER prints the root's id.
 *
 * Files are put flat, with their mode and mtime, and the directory is edited a
 * few names at a time, so that its tree has seen changes.
 */
#include "../scratch.h"
#include "store/store.h"
#include "tree/content.h"
#include "tree/tree.h"

#include <dirent.h>
#include <sys/stat.h>

static void put_file(struct pfs_store *st, int dir, const char *name, struct pfs_id *root)
{
	PFS_AUTO(pfs_fd_close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct pfs_entry e = { .type = PFS_ENTRY_FILE };
	struct pfs_edit edit = { name, strlen(name), &e };
	struct pfs_error err = { 0 };
	struct stat sb;

	CHECK(fd >= 0 && fstat(fd, &sb) == 0, "%s", name);
	e.attrs.mode = sb.st_mode & 07777;
	e.attrs.mtime_sec = sb.st_mtim.tv_sec;
	e.attrs.mtime_nsec = (uint32_t)sb.st_mtim.tv_nsec;
	CHECK(pfs_content_from_fd(st, fd, (uint64_t)sb.st_size, NULL, &e.content, &err) == 0, "%s",
	      err.text);
	CHECK(pfs_tree_edit(st, root, &edit, 1, root, &err) == 0, "%s", err.text);
}

int main(int argc, char **argv)
{
	PFS_AUTO(pfs_store_close) struct pfs_store *st = NULL;
	struct pfs_id root = { 0 };
	struct pfs_error err = { 0 };
	char hex[PFS_ID_HEX_SIZE];
	struct dirent *d;
	DIR *dir;

	CHECK(argc == 3, "make_tree STORE FOLDER");
	CHECK(pfs_store_open(argv[1], &st, &err) == 0, "%s", err.text);
	dir = opendir(argv[2]);
	CHECK(dir, "%s", argv[2]);
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.')
			put_file(st, dirfd(dir), d->d_name, &root);
	closedir(dir);
	CHECK(pfs_store_sync(st, &err) == 0, "%s", err.text);
	puts(pfs_id_format(&root, hex));
	return 0;
}
