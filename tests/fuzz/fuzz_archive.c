/* Any file as an archive of an image: opened or refused, and what is found in it lies in it. */
#include "runtime/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_for(const struct pfs_archive *a, const char *name, size_t size)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	struct pfs_archive_place place;

	if (pfs_archive_find(a, name, &place, NULL) < 0)
		return;
	if (place.off > size || place.size > size - place.off)
		abort();
	pfs_archive_load(a, &place, &b, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct pfs_error err;
	char path[40];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (pfs_archive_open(path, &a, &err) == 0) {
		look_for(a, "index.json", size);
		look_for(a, "manifest.json", size);
		look_for(a, "a", size);
	} else if (a || !err.text[0]) {
		abort();
	}
	close(fd);
	return 0;
}
