#include "daemon/background.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_pipe = -1; /* of pfsd, until it is ready */
static int log_file = -1;   /* where standard error goes then */

static void wait_for(pid_t child, int pipe_end)
{
	int status = 0;
	char byte;
	ssize_t n;

	do {
		n = read(pipe_end, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status)
						       : pfs_code_exit(PFS_E_FAILED));
}

int pfs_background_enter(struct pfs_error *err)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return pfs_fail_errno(err, errno, "a pipe");
	child = fork();
	if (child < 0)
		return pfs_fail_errno(err, errno, "fork");
	if (child > 0) {
		close(ends[1]);
		wait_for(child, ends[0]);
	}
	close(ends[0]);
	ready_pipe = ends[1];
	setsid();
	return 0;
}

int pfs_background_log_to(const char *path, struct pfs_error *err)
{
	log_file = pfs_io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0640, err);
	if (log_file < 0)
		return log_file;
	/* What goes wrong at the start is for whoever waits. */
	if (ready_pipe < 0)
		dup2(log_file, STDERR_FILENO);
	return 0;
}

void pfs_background_ready(void)
{
	PFS_AUTO(pfs_fd_close) int null = -1;

	if (ready_pipe < 0)
		return;
	null = pfs_io_open(AT_FDCWD, "/dev/null", O_RDWR, 0, NULL);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(log_file >= 0 ? log_file : null, STDERR_FILENO);
	}
	if (write(ready_pipe, "", 1) != 1)
		(void)!errno; /* nobody waits any more */
	pfs_fd_close(&ready_pipe);
}
