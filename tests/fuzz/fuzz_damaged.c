/*
 * The list of damages of a store, as anything: it is believed or it is not, and
 * what was believed is the same after it was written and read again.
 *
 * The input is the file; its checksum is made right when the first byte says so.
 */
#include "../scratch.h"
#include "store/doubts.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char uuid[PFS_UUID_SIZE];
static struct scratch scratch;
static int dir = -1;

static void clean(void)
{
	pfs_fd_close(&dir);
	scratch_fini(&scratch);
}

static void begin(void)
{
	if (dir >= 0)
		return;
	scratch = scratch_new();
	dir = pfs_io_open(AT_FDCWD, scratch.path, O_RDONLY | O_DIRECTORY, 0, NULL);
	CHECK(dir >= 0, "%s", scratch.path);
	atexit(clean);
}

static void write_file(const uint8_t *data, size_t size, bool right)
{
	PFS_AUTO(pfs_fd_close)
	int fd = pfs_io_open(dir, "damaged", O_WRONLY | O_CREAT | O_TRUNC, 0600, NULL);
	unsigned char sum[4];

	CHECK(fd >= 0, "open");
	if (size < 4)
		right = false;
	pfs_put_le32(sum, pfs_crc32c(0, data, right ? size - 4 : 0));
	CHECK(pfs_io_write(fd, data, right ? size - 4 : size, NULL) == 0, "write");
	CHECK(!right || pfs_io_write(fd, sum, 4, NULL) == 0, "write");
}

static void tell(void *arg, const char *what, const char *text)
{
	CHECK(what && text[0], "told nothing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_doubts first = { 0 }, again = { 0 };
	struct pfs_doubt *rows = NULL;
	size_t n = 0;

	if (size == 0)
		return 0;
	begin();
	write_file(data + 1, size - 1, data[0] & 1);
	pfs_doubts_init(&first);
	pfs_doubts_init(&again);
	pfs_doubts_load(&first, dir, uuid);
	CHECK(pfs_doubts_list(&first, NULL, &rows, &n, NULL) == 0, "list");
	CHECK(n == pfs_doubts_count(&first), "%zu rows, %zu are listed", pfs_doubts_count(&first),
	      n);
	pfs_doubts_check(&first, dir, uuid, tell, NULL);
	pfs_doubts_load(&again, dir, uuid);
	CHECK(pfs_doubts_count(&again) == n, "%zu rows, %zu when read again", n,
	      pfs_doubts_count(&again));
	for (size_t i = 0; i < n; i++)
		CHECK(pfs_doubts_has(&again, &rows[i]), "a row is lost");
	free(rows);
	pfs_doubts_fini(&first);
	pfs_doubts_fini(&again);
	return 0;
}
