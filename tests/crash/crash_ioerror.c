/*
 * One operation on a file fails, once, or the process is killed in its place: any open, write, truncation, rename, fsync
 * of ours or of SQLite's, and any read, by any error. Whoever asked for something
 * hears of it or it is done; trying again works; nothing that was acknowledged is
 * lost, not even when the power goes afterwards, where an fsync that failed may
 * have lost what was written before it, and where another process has gone on with
 * what a killed one had not flushed.
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
#define STEP    (15 * PFS_FEWER)

struct job {
	const char *name;
	int sys; /* 0: the operation is done, but half */
	bool reads;
};

static const struct job jobs[] = {
	{ "EIO", EIO, false },
	{ "ENOSPC", ENOSPC, false },
	{ "EDQUOT", EDQUOT, false },
	{ "EINTR", EINTR, false },
	{ "short writes", 0, false },
	{ "EIO of reads", EIO, true },
	{ "killed", POWERCUT_DIE, false },
};

static unsigned number_of(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void expect_end(pid_t pid, const char *what, const char *folder, const struct job *job,
		       unsigned at)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid && status == 0,
	      "%s at operation %u: %s ends with status %x, in %s", job->name, at, what, status,
	      folder);
}

static pid_t start(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0)
		alarm(60);
	return pid;
}

/* How many operations there were. */
static unsigned tell(struct powerstory *s, const char *folder, const struct job *job, unsigned at)
{
	unsigned *told = powercut_alloc(sizeof(*told));
	pid_t pid = start();

	if (pid == 0) {
		powercut_record(folder);
		powercut_fail(at, job->sys, job->reads);
		powerstory_tell(s, folder, ROUNDS);
		*told = powercut_operations();
		_exit(0);
	}
	expect_end(pid, "the story", folder, job, at);
	return *told;
}

static void go_on(struct powerstory *s, const char *folder, const struct job *job, unsigned at)
{
	pid_t pid = start();

	if (pid == 0) {
		powercut_resume();
		powerstory_continue(s, folder);
		_exit(0);
	}
	expect_end(pid, "the next process", folder, job, at);
}

static void look(const struct powerstory *s, const char *folder, unsigned moment,
		 const struct job *job, unsigned at)
{
	pid_t pid = start();

	if (pid == 0) {
		powerstory_check(s, folder, moment);
		_exit(0);
	}
	expect_end(pid, "the check", folder, job, at);
}

/* What a power cut leaves of it, at the end and, when another process went on after `from`, at some
 * moments of that. */
static void cut(const struct powerstory *s, const char *path, unsigned from, const struct job *job,
		unsigned at)
{
	unsigned end = powercut_now(), n = end > from ? 4 : 1;
	struct powerdisk *d = powerdisk_new();
	char disk[300];

	snprintf(disk, sizeof(disk), "%s-cut", path);
	for (unsigned i = 1; i <= n; i++) {
		unsigned moment = from + (end - from) * i / n;

		powerdisk_make(d, moment, at * 8 + i, disk);
		look(s, disk, moment, job, at);
	}
	powerdisk_free(&d);
	pfs_io_remove_all(AT_FDCWD, disk, NULL);
}

/* One operation fails, or is the last; then what is there is looked at. */
static unsigned fail_one(const struct job *job, unsigned at, unsigned *out_errors)
{
	struct scratch dir = scratch_new();
	struct powerstory *s;
	unsigned n, from;

	powercut_forget();
	s = powerstory_new();
	n = tell(s, dir.path, job, at);
	from = powercut_now();
	if (job->sys == POWERCUT_DIE && at)
		go_on(s, dir.path, job, at);
	look(s, dir.path, POWERSTORY_END, job, at);
	cut(s, dir.path, from, job, at);
	*out_errors += powerstory_errors(s) > 0;
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
