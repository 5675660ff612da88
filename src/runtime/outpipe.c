#include "runtime/outpipe.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE  65536
#define ROUNDS 64 /* pieces in one go, so that a torrent does not keep us from the clock */

int pfs_outpipe_open(struct pfs_outpipe *p, const char *state_dir, const char *id,
		     struct pfs_error *err)
{
	int n = snprintf(p->path, sizeof(p->path), "%s/%s.out", state_dir, id);

	if (n < 0 || (size_t)n >= sizeof(p->path))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "state folder %s: the path is too long",
				state_dir);
	if (unlink(p->path) < 0 && errno != ENOENT)
		return pfs_fail_errno(err, errno, "remove %s", p->path);
	if (mkfifo(p->path, 0600) < 0)
		return pfs_fail_errno(err, errno, "make the pipe %s", p->path);
	p->fd = pfs_io_open(AT_FDCWD, p->path, O_RDONLY | O_NONBLOCK, 0, err);
	return p->fd < 0 ? p->fd : 0;
}

void pfs_outpipe_close(struct pfs_outpipe *p)
{
	if (p->fd < 0)
		return;
	pfs_fd_close(&p->fd);
	unlink(p->path);
}

bool pfs_outpipe_pump(struct pfs_outpipe *p, int wait_ms,
		      void (*output)(void *arg, const void *data, size_t len), void *arg)
{
	struct pollfd poll_fd = { .fd = p->fd, .events = POLLIN };
	char data[PIECE];

	if (poll(&poll_fd, 1, wait_ms) <= 0)
		return true;
	for (int i = 0; i < ROUNDS; i++) {
		ssize_t n = read(p->fd, data, sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		output(arg, data, (size_t)n);
	}
	return true;
}
