/*
 * A story that is cut off: told in a child, which ends or fails at its n-th fault
 * point, while we hear what it promises on the way.
 *
 *	child: arm ── tell ── promise, promise, ... ── x
 *	we:                    └── heard ──▶ what has to be true afterwards
 */
#ifndef PFS_TESTS_CUTOFF_H
#define PFS_TESTS_CUTOFF_H

#include "scratch.h"
#include "base/fault.h"

#include <sys/wait.h>
#include <unistd.h>

static const struct cutoff_mode {
	enum pfs_fault_mode mode;
	const char *name;
} cutoff_modes[] = { { PFS_FAULT_STOP, "stop" },
		     { PFS_FAULT_FAIL, "fail" },
		     { PFS_FAULT_NOSPACE, "nospace" } };

#define CUTOFF_MODES (sizeof(cutoff_modes) / sizeof(*cutoff_modes))

/* What a story promises, as it wrote it to its descriptor. */
struct cutoff_heard {
	void *bytes; /* room for `size` of them */
	size_t size, len;
};

static inline void cutoff_hear(int fd, struct cutoff_heard *heard)
{
	ssize_t got;

	while (heard && heard->len < heard->size &&
	       (got = read(fd, (char *)heard->bytes + heard->len, heard->size - heard->len)) > 0)
		heard->len += (size_t)got;
}

/* True while the story did reach fault point `at`. `heard` may be NULL. */
static inline bool cutoff(enum pfs_fault_mode mode, unsigned at, void (*tell)(void *arg, int fd),
			  void *arg, struct cutoff_heard *heard)
{
	int ends[2], status;
	pid_t child;

	CHECK(pipe(ends) == 0, "pipe");
	child = fork();
	CHECK(child >= 0, "fork");
	if (child == 0) {
		close(ends[0]);
		pfs_fault_arm(mode, at);
		tell(arg, ends[1]);
		_exit(pfs_fault_count() >= at ? 1 : 0);
	}
	close(ends[1]);
	cutoff_hear(ends[0], heard);
	close(ends[0]);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status), "point %u: killed", at);
	CHECK(WEXITSTATUS(status) == (mode == PFS_FAULT_STOP ? PFS_FAULT_EXIT : 1) ||
		      WEXITSTATUS(status) == 0,
	      "point %u: exit %d", at, WEXITSTATUS(status));
	return WEXITSTATUS(status) != 0;
}

static inline void cutoff_copy_folder(const char *from, const char *to)
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0, "fork");
	if (child == 0) {
		execlp("cp", "cp", "-a", "--", from, to, (char *)NULL);
		_exit(127);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0, "cp %s", from);
}

#endif
