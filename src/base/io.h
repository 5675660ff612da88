/*
 * Files: all of it or an error, EINTR handled once, everything close-on-exec.
 *
 * `dir` is a directory descriptor or AT_FDCWD. Names in messages are as given.
 * Threads: any.
 */
#ifndef PFS_BASE_IO_H
#define PFS_BASE_IO_H

#include "base/buf.h"
#include "base/error.h"
#include <sys/types.h>

/* Close *fd when it is not negative and store -1: a destroyer for PFS_AUTO. */
void pfs_fd_close(int *fd);

/* open with O_CLOEXEC; the descriptor, or negative. */
int pfs_io_open(int dir, const char *name, int flags, mode_t mode, struct pfs_error *err);

/*
 * The same for a file that is ours and was there before: what is no regular file in its place is
 * PFS_E_CORRUPT. Never waits, as an open of a FIFO would.
 */
int pfs_io_open_file(int dir, const char *name, int flags, struct pfs_error *err);

int pfs_io_write(int fd, const void *data, size_t len, struct pfs_error *err);
int pfs_io_pwrite(int fd, const void *data, size_t len, uint64_t off, struct pfs_error *err);

/* Reads until `len` bytes or the end of the file; *out_len tells how many came. */
int pfs_io_pread(int fd, void *data, size_t len, uint64_t off, size_t *out_len,
		 struct pfs_error *err);

/*
 * Where data begins in [off, end) of a file, and where it ends; both are `end` when there is none.
 * What the kernel cannot tell counts as data: a hole that is none would be bytes lost.
 */
void pfs_io_next_data(int fd, uint64_t off, uint64_t end, uint64_t *out_start, uint64_t *out_end);

/* Append a whole file to `out`; PFS_E_LIMIT past the buffer's limit. */
int pfs_io_load(int dir, const char *name, struct pfs_buf *out, struct pfs_error *err);

/* The same for what pfs_io_open_file() opens. */
int pfs_io_load_file(int dir, const char *name, struct pfs_buf *out, struct pfs_error *err);

int pfs_io_fsync(int fd, const char *what, struct pfs_error *err);
int pfs_io_fdatasync(int fd, const char *what, struct pfs_error *err);

/* Make the name of a file durable: fsync of the folder it is in. */
int pfs_io_sync_folder(int dir, const char *name, struct pfs_error *err);

/* Begin to write these bytes to the disk, so that a flush later has less to wait for. Promises nothing. */
void pfs_io_start_writeback(int fd, uint64_t off, uint64_t len);

/* mkdir -p of `path` below `dir`, mode 0700 for what is new; each new name is made durable. */
int pfs_io_mkdir_all(int dir, const char *path, struct pfs_error *err);

/* Remove a file or a whole folder; what is not there is not an error. Does not follow symlinks. */
int pfs_io_remove_all(int dir, const char *name, struct pfs_error *err);

#endif
