/*
 * One operation on a file fails, once: any open, write, truncation, rename, fsync
 * of ours or of SQLite's, and any read, by any error. Whoever asked for something
 * hears of it or it is done; trying again works; nothing that was acknowledged is
 * lost, not even when the power goes afterwards, where an fsync that failed may
 * have lost what was written before it.
 *
 *	PFS_IOERROR_STEP   every how manyth operation, 1 for all, instead of the usual
 */
#include "powercut.h"
#include "powerstory.h"
#include "../scratch.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS  2
#define WORKERS 2
#define STEP    5

struct job {
	const char *name;
	int sys; /* 0: the operation is done, but half */
	bool reads;
};

static const struct job jobs[] = {
	{ "EIO", EIO, false },     { "ENOSPC", ENOSPC, false },  { "EDQUOT", EDQUOT, false },
	{ "EINTR", EINTR, false }, { "short writes", 0, false }, { "EIO of reads", EIO, true },
};

static unsigned number_of(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* How many operations there were. */
static unsigned tell(struct powerstory *s, const char *folder, const struct job *job, unsigned at,
		     unsigned *out_end)
{
	unsigned *told = powercut_alloc(2 * sizeof(*told));
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		alarm(60);
		powercut_record(folder);
		powercut_fail(at, job->sys, job->reads);
		powerstory_tell(s, folder, ROUNDS);
		told[0] = powercut_operations();
		told[1] = powercut_now();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0,
	      "%s at operation %u: the story ends with status %x, in %s", job->name, at, status,
	      folder);
	*out_end = told[1];
	return told[0];
}

static void look(const struct powerstory *s, const char *folder, unsigned moment,
		 const struct job *job, unsigned at)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		alarm(60);
		powerstory_check(s, folder, moment);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0,
	      "%s at operation %u: status %x, look at %s", job->name, at, status, folder);
}

/* One operation fails; then what is there is looked at, and what a power cut leaves of it. */
static unsigned fail_one(const struct job *job, unsigned at, unsigned *out_errors)
{
	struct scratch dir = scratch_new();
	struct powerdisk *d = powerdisk_new();
	struct powerstory *s;
	unsigned n, end;
	char disk[300];

	powercut_forget();
	s = powerstory_new();
	n = tell(s, dir.path, job, at, &end);
	powerdisk_make(d, end, at, (snprintf(disk, sizeof(disk), "%s-cut", dir.path), disk));
	look(s, dir.path, POWERSTORY_END, job, at);
	look(s, disk, end, job, at);
	*out_errors += powerstory_errors(s) > 0;
	powerdisk_free(&d);
	pfs_io_remove_all(AT_FDCWD, disk, NULL);
	scratch_fini(&dir);
	return n;
}

static void work(unsigned worker, unsigned step, const unsigned *counts, unsigned *told)
{
	for (unsigned k = 0; k < sizeof(jobs) / sizeof(*jobs); k++)
		for (unsigned at = 1 + (k + worker * step) % (WORKERS * step); at <= counts[k];
		     at += WORKERS * step) {
			unsigned errors = 0;

			fail_one(&jobs[k], at, &errors);
			told[2 * k]++;
			told[2 * k + 1] += errors;
		}
}

int main(void)
{
	unsigned step = number_of("PFS_IOERROR_STEP", STEP), n_jobs = sizeof(jobs) / sizeof(*jobs);
	unsigned counts[sizeof(jobs) / sizeof(*jobs)], unused = 0;
	unsigned *told[WORKERS];
	int status, bad = 0;

	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	for (unsigned k = 0; k < n_jobs; k++)
		counts[k] = fail_one(&jobs[k], 0, &unused);
	for (unsigned i = 0; i < WORKERS; i++) {
		pid_t pid;

		told[i] = powercut_share(2 * n_jobs * sizeof(**told));
		pid = fork();
		CHECK(pid >= 0, "fork");
		if (pid == 0) {
			work(i, step, counts, told[i]);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		bad += status != 0;
	for (unsigned k = 0; k < n_jobs; k++)
		printf("%s: %u of %u operations failed, %u times somebody heard of it\n",
		       jobs[k].name, told[0][2 * k] + told[1][2 * k], counts[k],
		       told[0][2 * k + 1] + told[1][2 * k + 1]);
	CHECK(!bad, "an error was not met well");
	return 0;
}
