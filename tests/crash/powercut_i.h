/* The inside of the recorder: the calls that it notes, each once, whatever names the C library has for them. */
#ifndef PFS_TESTS_POWERCUT_I_H
#define PFS_TESTS_POWERCUT_I_H

#include "powercut.h"

#include <sys/types.h>
#include <sys/uio.h>

/* Whether anything is noted or made to fail: otherwise the kernel is asked and nobody else. */
bool powercut_busy(void);

/* With -1 and errno, as the C library's; an offset of -1: where the file stands. */
int powercut_do_open(int dir, const char *path, int flags, unsigned mode);
ssize_t powercut_do_write(int fd, const void *data, size_t len, off_t off);
ssize_t powercut_do_writev(int fd, const struct iovec *iov, int n_iov, off_t off);
ssize_t powercut_do_read(int fd, void *data, size_t len, off_t off);
int powercut_do_ftruncate(int fd, off_t size);
int powercut_do_truncate(const char *path, off_t size);
int powercut_do_fallocate(int fd, int mode, off_t off, off_t len);
int powercut_do_fsync(int fd, long number);
int powercut_do_syncfs(int fd);
int powercut_do_unlink(int dir, const char *path, int flags);
int powercut_do_mkdir(int dir, const char *path, unsigned mode);
int powercut_do_rename(int dir, const char *path, int to, const char *to_path, unsigned flags);
int powercut_do_link(int dir, const char *path, int to, const char *to_path, int flags);
ssize_t powercut_do_copy(int in, off_t *in_off, int out, off_t *out_off, size_t len,
			 unsigned flags);

#endif
