#include "runner/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *path, int sys, struct pfs_error *err)
{
	/* Never "not found": what is missing is this machine's mount, not the job's file. */
	pfs_fail(err, PFS_E_IO, "mount source %s: %s", path, strerror(sys));
	return PFS_E_IO;
}

void sources_close(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++)
		close(s->fds[i]);
	free(s->fds);
	*s = (struct sources){ 0 };
}

int sources_open(const struct job *job, struct sources *out, struct pfs_error *err)
{
	struct sources s = { .fds = calloc(job->n_mounts + 1, sizeof(*s.fds)) };

	if (!s.fds)
		return pfs_fail_nomem(err, "the mounts of a job");
	for (; s.n < job->n_mounts; s.n++) {
		s.fds[s.n] = open(job->mounts[s.n].source, O_PATH | O_CLOEXEC);
		if (s.fds[s.n] < 0) {
			int sys = errno;

			fail(job->mounts[s.n].source, sys, err);
			sources_close(&s);
			return PFS_E_IO;
		}
	}
	*out = s;
	return 0;
}

int sources_check(const struct sources *s, const struct job *job, struct pfs_error *err)
{
	struct statx st;

	for (size_t i = 0; i < s->n; i++)
		/* Forced, because the kernel may have cached the answer for ever. */
		if (statx(s->fds[i], "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_TYPE, &st) <
			    0 &&
		    (errno == ENOTCONN || errno == ECONNABORTED || errno == ECONNREFUSED ||
		     errno == EIO))
			return fail(job->mounts[i].source, errno, err);
	return 0;
}
