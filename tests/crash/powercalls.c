/* The names under which others call what the recorder notes. */
#undef _FILE_OFFSET_BITS /* both open and open64 are to be defined here */
#undef _FORTIFY_SOURCE
#include "powercut_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wnonnull"

static unsigned mode_of(int flags, va_list ap)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, unsigned) : 0;
}

#define OPEN(name, dir_parameter, dir)                           \
	int name(dir_parameter const char *path, int flags, ...) \
	{                                                        \
		unsigned mode;                                   \
		va_list ap;                                      \
                                                                 \
		va_start(ap, flags);                             \
		mode = mode_of(flags, ap);                       \
		va_end(ap);                                      \
		return powercut_do_open(dir, path, flags, mode); \
	}
#define A_DIR int dir,
OPEN(open, , AT_FDCWD)
OPEN(open64, , AT_FDCWD)
OPEN(openat, A_DIR, dir)
OPEN(openat64, A_DIR, dir)

int creat(const char *path, mode_t mode)
{
	return powercut_do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
	return creat(path, mode);
}

int __open_2(const char *path, int flags)
{
	return powercut_do_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
	return powercut_do_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir, const char *path, int flags)
{
	return powercut_do_open(dir, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags)
{
	return powercut_do_open(dir, path, flags, 0);
}

ssize_t write(int fd, const void *data, size_t len)
{
	return powercut_do_write(fd, data, len, -1);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t off)
{
	return powercut_do_write(fd, data, len, off);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t off)
{
	return powercut_do_write(fd, data, len, off);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	return powercut_busy() ? powercut_do_writev(fd, iov, n, -1) : syscall(SYS_writev, fd, iov, n);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	return powercut_do_writev(fd, iov, n, off);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t off)
{
	return powercut_do_writev(fd, iov, n, off);
}

ssize_t read(int fd, void *data, size_t len)
{
	return powercut_do_read(fd, data, len, -1);
}

ssize_t pread(int fd, void *data, size_t len, off_t off)
{
	return powercut_do_read(fd, data, len, off);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t off)
{
	return powercut_do_read(fd, data, len, off);
}

int ftruncate(int fd, off_t size)
{
	return powercut_do_ftruncate(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	return powercut_do_ftruncate(fd, size);
}

int truncate(const char *path, off_t size)
{
	return powercut_do_truncate(path, size);
}

int truncate64(const char *path, off64_t size)
{
	return powercut_do_truncate(path, size);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	return powercut_do_fallocate(fd, mode, off, len);
}

int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
	return powercut_do_fallocate(fd, mode, off, len);
}

int posix_fallocate(int fd, off_t off, off_t len)
{
	return powercut_do_fallocate(fd, 0, off, len) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t off, off64_t len)
{
	return posix_fallocate(fd, off, len);
}

int fsync(int fd)
{
	return powercut_do_fsync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return powercut_do_fsync(fd, SYS_fdatasync);
}

int syncfs(int fd)
{
	return powercut_do_syncfs(fd);
}

int sync_file_range(int fd, off64_t off, off64_t len, unsigned flags)
{
	return 0;
}

int unlink(const char *path)
{
	return powercut_do_unlink(AT_FDCWD, path, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	return powercut_do_unlink(dir, path, flags);
}

int rmdir(const char *path)
{
	return powercut_do_unlink(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
	return powercut_do_mkdir(AT_FDCWD, path, mode);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	return powercut_do_mkdir(dir, path, mode);
}

int rename(const char *path, const char *to_path)
{
	return powercut_do_rename(AT_FDCWD, path, AT_FDCWD, to_path, 0);
}

int renameat(int dir, const char *path, int to, const char *to_path)
{
	return powercut_do_rename(dir, path, to, to_path, 0);
}

int renameat2(int dir, const char *path, int to, const char *to_path, unsigned flags)
{
	return powercut_do_rename(dir, path, to, to_path, flags);
}

int link(const char *path, const char *to_path)
{
	return powercut_do_link(AT_FDCWD, path, AT_FDCWD, to_path, 0);
}

int linkat(int dir, const char *path, int to, const char *to_path, int flags)
{
	return powercut_do_link(dir, path, to, to_path, flags);
}

ssize_t copy_file_range(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
			unsigned flags)
{
	return powercut_do_copy(in, in_off, out, out_off, len, flags);
}
