#include "base/io.h"
#include "base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void pfs_fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int pfs_io_open(int dir, const char *name, int flags, mode_t mode, struct pfs_error *err)
{
	int fd;

	do
		fd = openat(dir, name, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	return fd >= 0 ? fd : pfs_fail_errno(err, errno, "open %s", name);
}

static int check_is_file(int fd, const char *name, struct pfs_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pfs_fail_errno(err, errno, "look at %s", name);
	return S_ISREG(st.st_mode) ? 0 : pfs_fail(err, PFS_E_CORRUPT, "%s is no file", name);
}

int pfs_io_open_file(int dir, const char *name, int flags, struct pfs_error *err)
{
	int fd, rc;

	/* EAGAIN: somebody has a lease on it, and was told just now to give it back. */
	do
		fd = openat(dir, name, flags | O_CLOEXEC | O_NONBLOCK);
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && sched_yield() == 0)));
	/* A folder, a FIFO or a socket to be written to, a link that is not to be followed. */
	if (fd < 0 && (errno == EISDIR || errno == ENXIO || errno == ELOOP))
		return pfs_fail(err, PFS_E_CORRUPT, "%s is no file", name);
	if (fd < 0)
		return pfs_fail_errno(err, errno, "open %s", name);
	rc = check_is_file(fd, name, err);
	if (rc < 0)
		pfs_fd_close(&fd);
	return rc < 0 ? rc : fd;
}

int pfs_io_write(int fd, const void *data, size_t len, struct pfs_error *err)
{
	const unsigned char *p = data;
	int rc = pfs_fault("io.write", err);

	if (rc < 0)
		return rc;
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "write %zu bytes", len);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pfs_io_pwrite(int fd, const void *data, size_t len, uint64_t off, struct pfs_error *err)
{
	const unsigned char *p = data;
	int rc = pfs_fault("io.pwrite", err);

	if (rc < 0)
		return rc;
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "write %zu bytes at %llu", len,
					      (unsigned long long)off);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int pfs_io_pread(int fd, void *data, size_t len, uint64_t off, size_t *out_len,
		 struct pfs_error *err)
{
	unsigned char *p = data;
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, p + got, len - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "read %zu bytes at %llu", len,
					      (unsigned long long)off);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*out_len = got;
	return 0;
}

void pfs_io_next_data(int fd, uint64_t off, uint64_t end, uint64_t *out_start, uint64_t *out_end)
{
	off_t data = lseek(fd, (off_t)off, SEEK_DATA), hole;

	*out_start = *out_end = end;
	if (data < 0 && errno == ENXIO)
		return;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (data < 0)
		*out_start = off;
	else if ((uint64_t)data < end)
		*out_start = (uint64_t)data;
	if (hole > data && (uint64_t)hole < end)
		*out_end = (uint64_t)hole;
}

/* Appends the rest of a file. */
static int load(int fd, const char *name, struct pfs_buf *out, struct pfs_error *err)
{
	size_t before = out->len;

	for (;;) {
		unsigned char piece[16384];
		ssize_t n = read(fd, piece, sizeof(piece));
		int rc = 0;

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = pfs_fail_errno(err, errno, "read %s", name);
		else
			rc = pfs_buf_add(out, piece, (size_t)n, err);
		if (rc < 0) {
			out->len = before;
			return pfs_wrap(err, rc, "load %s", name);
		}
	}
}

int pfs_io_load(int dir, const char *name, struct pfs_buf *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open(dir, name, O_RDONLY, 0, err);

	return fd < 0 ? fd : load(fd, name, out, err);
}

int pfs_io_load_file(int dir, const char *name, struct pfs_buf *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open_file(dir, name, O_RDONLY, err);

	return fd < 0 ? fd : load(fd, name, out, err);
}

int pfs_io_fsync(int fd, const char *what, struct pfs_error *err)
{
	int rc = pfs_fault("io.fsync", err);

	if (rc < 0)
		return rc;
	return fsync(fd) == 0 ? 0 : pfs_fail_errno(err, errno, "flush %s", what);
}

int pfs_io_fdatasync(int fd, const char *what, struct pfs_error *err)
{
	int rc = pfs_fault("io.fdatasync", err);

	if (rc < 0)
		return rc;
	return fdatasync(fd) == 0 ? 0 : pfs_fail_errno(err, errno, "flush the data of %s", what);
}

void pfs_io_start_writeback(int fd, uint64_t off, uint64_t len)
{
	sync_file_range(fd, (off_t)off, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

int pfs_io_sync_folder(int dir, const char *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int folder = -1;
	char up[PATH_MAX];
	char *slash;

	if (snprintf(up, sizeof(up), "%s", name) >= (int)sizeof(up))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "a name of %zu bytes", strlen(name));
	slash = strrchr(up, '/');
	if (!slash)
		strcpy(up, ".");
	else if (slash == up)
		up[1] = 0;
	else
		*slash = 0;
	folder = pfs_io_open(dir, up, O_RDONLY | O_DIRECTORY, 0, err);
	return folder < 0 ? folder : pfs_io_fsync(folder, up, err);
}

static bool is_empty(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	unsigned n = 0;

	if (!d) {
		pfs_fd_close(&fd);
		return false;
	}
	while (n <= 2 && (e = readdir(d)))
		n++; /* it and the one above it */
	closedir(d);
	return n <= 2;
}

/* One that is there and empty was perhaps made by a process that was killed before it was durable;
 * where something is in it, somebody got further. */
static int mkdir_durable(int dir, const char *path, struct pfs_error *err)
{
	if (mkdirat(dir, path, 0700) < 0) {
		if (errno != EEXIST)
			return pfs_fail_errno(err, errno, "make folder %s", path);
		if (!is_empty(dir, path))
			return 0;
	}
	return pfs_io_sync_folder(dir, path, err);
}

int pfs_io_mkdir_all(int dir, const char *path, struct pfs_error *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "folder name of %zu bytes", len);
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		int rc;

		if (part[i] != '/' && part[i] != 0)
			continue;
		part[i] = 0;
		rc = mkdir_durable(dir, part, err);
		if (rc < 0)
			return rc;
		if (i < len)
			part[i] = '/';
	}
	return 0;
}

static int remove_folder(int dir, const char *name, struct pfs_error *err)
{
	int fd = pfs_io_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int rc = 0;

	if (fd < 0)
		return fd;
	if (!d) {
		rc = pfs_fail_errno(err, errno, "list %s", name);
		pfs_fd_close(&fd);
		return rc;
	}
	while (rc == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = pfs_io_remove_all(fd, e->d_name, err);
	closedir(d);
	if (rc == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		rc = pfs_fail_errno(err, errno, "remove folder %s", name);
	return rc;
}

int pfs_io_remove_all(int dir, const char *name, struct pfs_error *err)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return pfs_fail_errno(err, errno, "remove %s", name);
	return remove_folder(dir, name, err);
}
