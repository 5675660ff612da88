#include "workspace/spool.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define COPY_MAX (64u << 20) /* at a time */

#define RESERVE_NAME ".reserve"
#define RESERVE_SIZE (1u << 20) /* some thousand rows of the journal */
#define RESERVE_MIN  (1u << 16)

/* Above this many files one flush of the whole file system is cheaper than one each. */
#define SYNC_EACH_MAX 8

const char *pfs_spool_format(const struct pfs_spool_name *name, char out[PFS_SPOOL_NAME_SIZE])
{
	snprintf(out, PFS_SPOOL_NAME_SIZE, "%016" PRIx64 "-%" PRIu64, name->ino, name->serial);
	return out;
}

static bool parse_name(const char *text, struct pfs_spool_name *out)
{
	char again[PFS_SPOOL_NAME_SIZE];

	if (sscanf(text, "%16" SCNx64 "-%" SCNu64, &out->ino, &out->serial) != 2)
		return false;
	return strcmp(pfs_spool_format(out, again), text) == 0;
}

int pfs_spool_open(int folder, struct pfs_spool *s, struct pfs_error *err)
{
	int rc = pfs_io_mkdir_all(folder, "spool", err);

	if (rc < 0)
		return rc;
	rc = pfs_io_open(folder, "spool", O_RDONLY | O_DIRECTORY, 0, err);
	if (rc < 0)
		return rc;
	s->dir = rc;
	atomic_init(&s->next_serial, 1);
	atomic_init(&s->names_unsynced, false);
	atomic_init(&s->reserved, 0);
	return 0;
}

void pfs_spool_close(struct pfs_spool *s)
{
	pfs_fd_close(&s->dir);
}

/*
 * Somebody who opens files without end must not take the last descriptors: the
 * rest of the process needs some to answer, and to commit. The lowest free
 * number is the one that is given, so the number tells how many there are.
 */
int pfs_spool_spare(int fd, struct pfs_error *err)
{
	struct rlimit limit;
	rlim_t spare;

	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return fd;
	spare = limit.rlim_cur / 4 < PFS_SPARE_FILES_MAX ? limit.rlim_cur / 4 : PFS_SPARE_FILES_MAX;
	if ((rlim_t)fd < limit.rlim_cur - spare)
		return fd;
	pfs_fd_close(&fd);
	return pfs_fail(
		err, PFS_E_LIMIT,
		"too many files are open: of %llu descriptors %llu are kept for other things",
		(unsigned long long)limit.rlim_cur, (unsigned long long)spare);
}

int pfs_spool_create(struct pfs_spool *s, uint64_t ino, struct pfs_spool_name *out,
		     struct pfs_error *err)
{
	struct pfs_spool_name name = { ino, atomic_fetch_add(&s->next_serial, 1) };
	char text[PFS_SPOOL_NAME_SIZE];
	int fd = pfs_fault("spool.create", err);

	if (fd < 0)
		return fd;
	fd = pfs_io_open(s->dir, pfs_spool_format(&name, text), O_RDWR | O_CREAT | O_EXCL, 0600,
			 err);
	if (fd < 0)
		return pfs_wrap(err, fd, "spool");
	fd = pfs_spool_spare(fd, err);
	if (fd < 0) {
		pfs_spool_unlink(s, &name);
		return pfs_wrap(err, fd, "spool");
	}
	atomic_store(&s->names_unsynced, true);
	*out = name;
	return fd;
}

int pfs_spool_reopen(struct pfs_spool *s, const struct pfs_spool_name *name, struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE];
	int fd = pfs_io_open(s->dir, pfs_spool_format(name, text), O_RDWR | O_NOFOLLOW, 0, err);

	if (fd == PFS_E_NOTFOUND)
		return pfs_fail(err, PFS_E_CORRUPT, "spool file %s is gone", text);
	return fd < 0 ? pfs_wrap(err, fd, "spool") : fd;
}

int pfs_spool_stat(struct pfs_spool *s, const struct pfs_spool_name *name, int fd,
		   struct pfs_spool_stat *out, struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE];
	struct stat st;
	int rc;

	if (fd >= 0)
		rc = fstat(fd, &st);
	else
		rc = fstatat(s->dir, pfs_spool_format(name, text), &st, AT_SYMLINK_NOFOLLOW);
	if (rc < 0 && errno == ENOENT)
		return pfs_fail(err, PFS_E_CORRUPT, "spool file %s is missing", text);
	if (rc < 0)
		return pfs_fail_errno(err, errno, "look at a spool file");
	out->size = (uint64_t)st.st_size;
	out->blocks = (uint64_t)st.st_blocks;
	out->links = (uint64_t)st.st_nlink;
	out->mtime_sec = st.st_mtim.tv_sec;
	out->mtime_nsec = (uint32_t)st.st_mtim.tv_nsec;
	return 0;
}

int pfs_spool_set_mtime(struct pfs_spool *s, const struct pfs_spool_name *name, int fd,
			const struct pfs_attrs *attrs, struct pfs_error *err)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = attrs->mtime_sec, .tv_nsec = (long)attrs->mtime_nsec },
	};
	char text[PFS_SPOOL_NAME_SIZE];
	int rc;

	if (fd >= 0)
		rc = futimens(fd, times);
	else
		rc = utimensat(s->dir, pfs_spool_format(name, text), times, AT_SYMLINK_NOFOLLOW);
	return rc < 0 ? pfs_fail_errno(err, errno, "set the time of a spool file") : 0;
}

int pfs_spool_copy(int from, uint64_t max, int to, uint64_t *out_size, struct pfs_error *err)
{
	off_t in = 0, out = 0;
	int rc = pfs_fault("spool.copy", err);

	while (rc == 0 && (uint64_t)in < max) {
		uint64_t left = max - (uint64_t)in;
		size_t len = left < COPY_MAX ? (size_t)left : COPY_MAX;
		ssize_t n = copy_file_range(from, &in, to, &out, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "copy a spool file");
		if (n == 0)
			break;
	}
	if (rc == 0)
		*out_size = (uint64_t)out;
	return rc;
}

/* The times of a spool file are the file's own, so fsync and not fdatasync. */
static int sync_one(struct pfs_spool *s, const struct pfs_spool_name *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	char text[PFS_SPOOL_NAME_SIZE];

	fd = openat(s->dir, pfs_spool_format(name, text), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0; /* removed meanwhile: the journal will not name it either */
	if (fd < 0)
		return pfs_fail_errno(err, errno, "open spool file %s", text);
	return pfs_io_fsync(fd, "a spool file", err);
}

static int sync_all(struct pfs_spool *s, struct pfs_error *err)
{
	int rc = pfs_fault("spool.syncfs", err);

	if (rc < 0)
		return rc;
	atomic_store(&s->names_unsynced, false);
	if (syncfs(s->dir) == 0)
		return 0;
	atomic_store(&s->names_unsynced, true);
	return pfs_fail_errno(err, errno, "flush the file system of the spool");
}

int pfs_spool_sync(struct pfs_spool *s, const struct pfs_spool_name *names, size_t n,
		   struct pfs_error *err)
{
	int rc = 0;

	if (n > SYNC_EACH_MAX)
		return sync_all(s, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = sync_one(s, &names[i], err);
	if (rc == 0 && n && atomic_exchange(&s->names_unsynced, false)) {
		rc = pfs_io_fsync(s->dir, "the spool folder", err);
		if (rc < 0)
			atomic_store(&s->names_unsynced, true);
	}
	return rc;
}

void pfs_spool_reserve(struct pfs_spool *s)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	unsigned have = atomic_load_explicit(&s->reserved, memory_order_relaxed);

	if (have == RESERVE_SIZE)
		return;
	fd = openat(s->dir, RESERVE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (unsigned size = RESERVE_SIZE; fd >= 0 && size > have && size >= RESERVE_MIN;
	     size /= 2) {
		if (fallocate(fd, 0, 0, size) < 0)
			continue;
		atomic_store(&s->reserved, size);
		return;
	}
}

bool pfs_spool_release(struct pfs_spool *s)
{
	atomic_store(&s->reserved, 0);
	return unlinkat(s->dir, RESERVE_NAME, 0) == 0;
}

uint64_t pfs_spool_free_bytes(const struct pfs_spool *s)
{
	struct statvfs st;

	return fstatvfs(s->dir, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : 0;
}

void pfs_spool_unlink(struct pfs_spool *s, const struct pfs_spool_name *name)
{
	char text[PFS_SPOOL_NAME_SIZE];

	unlinkat(s->dir, pfs_spool_format(name, text), 0);
}

static void sweep_one(struct pfs_spool *s, const char *text,
		      bool (*wanted)(void *arg, const struct pfs_spool_name *name), void *arg)
{
	struct pfs_spool_name name;

	if (!parse_name(text, &name))
		return; /* not ours to judge */
	if (name.serial >= atomic_load(&s->next_serial))
		atomic_store(&s->next_serial, name.serial + 1);
	if (!wanted(arg, &name))
		unlinkat(s->dir, text, 0);
}

int pfs_spool_sweep(struct pfs_spool *s,
		    bool (*wanted)(void *arg, const struct pfs_spool_name *name), void *arg,
		    struct pfs_error *err)
{
	int fd = pfs_io_open(s->dir, ".", O_RDONLY | O_DIRECTORY, 0, err);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (fd < 0)
		return fd;
	if (!d) {
		int sys = errno;

		pfs_fd_close(&fd);
		return pfs_fail_errno(err, sys, "list the spool");
	}
	while ((e = readdir(d)))
		sweep_one(s, e->d_name, wanted, arg);
	closedir(d);
	return 0;
}
