#include "page/pageroom.h"
#include "page/pagesum.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ROOM_MIN (512u << 10)
#define ROOM     (1u << 20)
#define STEP     (64u << 10) /* so much longer it is before it is tried again */

void pfs_pageroom_open(struct pfs_pageroom *r, sqlite3 *db)
{
	const char *name = sqlite3_db_filename(db, "main");

	if (!name || !*name)
		return;
	/* Locks, which closing a descriptor would drop, are on other files than the log. */
	r->fd = pfs_io_open_file(AT_FDCWD, sqlite3_filename_wal(name), O_RDWR, NULL);
	pfs_pageroom_keep(r);
}

void pfs_pageroom_keep(struct pfs_pageroom *r)
{
	struct stat st;
	uint64_t size;

	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		return;
	size = (uint64_t)st.st_size;
	/* What is cut off a file takes with it what lies behind its end. */
	if (size < r->size)
		r->end = r->again = 0;
	r->size = size;
	if (r->end >= size + ROOM_MIN || size < r->again)
		return;
	if (fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)size, ROOM) == 0)
		r->end = size + ROOM;
	else
		r->again = size + STEP;
}

/* With some that the next ones will need, as long as that is no question. */
int pfs_pageroom_ground(int fd, uint64_t n_pages, struct pfs_error *err)
{
	uint64_t end = n_pages * PFS_PAGE_SIZE, ahead = (end + STEP - 1) / STEP * STEP;
	struct stat st;
	off_t at;

	if (fd < 0 || fstat(fd, &st) < 0 || end <= (uint64_t)st.st_size)
		return 0;
	at = st.st_size;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, at, (off_t)ahead - at) == 0 ||
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, at, (off_t)end - at) == 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT
		       ? pfs_fail_errno(err, errno, "room for %llu pages",
					(unsigned long long)n_pages)
		       : 0;
}

void pfs_pageroom_close(struct pfs_pageroom *r)
{
	pfs_fd_close(&r->fd);
}
