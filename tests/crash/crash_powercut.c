/*
 * The power goes at any moment of a story on store, metadata and workspaces, and
 * the disk keeps what powercut.h says it may. Thousands of such disks are opened.
 *
 *	PFS_POWERCUT_CUTS   how many, instead of the usual number
 *	PFS_POWERCUT_SEED   which ones, instead of the clock's
 *	PFS_POWERCUT_ONE    only this number of them, which a failure has told
 */
#include "powercut.h"
#include "powerstory.h"
#include "../scratch.h"
#include "base/clock.h"

#include <sys/wait.h>
#include <unistd.h>

#define CUTS    1600
#define ROUNDS  8
#define WORKERS 2

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* The story is told by a child, so that this process never has a thread or a lock of it. */
static unsigned tell(struct powerstory *s, const char *folder)
{
	unsigned *end = powercut_alloc(sizeof(*end));
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		powercut_record(folder);
		powerstory_tell(s, folder, ROUNDS);
		*end = powercut_now();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the story: status %x", status);
	return *end;
}

/* Cut number `i` of `n`: moments only grow, and all have their turn. */
static unsigned moment_of(uint64_t i, uint64_t n, unsigned end)
{
	return (unsigned)((i * end + end / 2) / n);
}

static bool look(const struct powerstory *s, const char *folder, unsigned moment)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		alarm(60);
		powerstory_check(s, folder, moment);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid, "wait");
	if (status != 0)
		fprintf(stderr, "a cut after %u operations: status %x, disk left in %s\n", moment,
			status, folder);
	return status == 0;
}

static int work(const struct powerstory *s, unsigned worker, uint64_t cuts, uint64_t seed,
		unsigned end)
{
	struct scratch dir = scratch_new();
	struct powerdisk *d = powerdisk_new();
	uint64_t one = number_of("PFS_POWERCUT_ONE", UINT64_MAX);
	char folder[300];
	int bad = 0;

	for (uint64_t i = worker; i < cuts && bad < 3; i += WORKERS) {
		unsigned moment = moment_of(i, cuts, end);

		if (one != UINT64_MAX && i != one)
			continue;
		snprintf(folder, sizeof(folder), "%s/%u", dir.path, bad);
		powerdisk_make(d, moment, seed + i, folder);
		if (look(s, folder, moment))
			continue;
		fprintf(stderr,
			"again: PFS_POWERCUT_SEED=%llu PFS_POWERCUT_CUTS=%llu "
			"PFS_POWERCUT_ONE=%llu\n",
			(unsigned long long)seed, (unsigned long long)cuts, (unsigned long long)i);
		bad++;
	}
	powerdisk_free(&d);
	if (!bad)
		scratch_fini(&dir);
	return bad != 0;
}

int main(void)
{
	uint64_t cuts = number_of("PFS_POWERCUT_CUTS", CUTS);
	uint64_t seed = number_of("PFS_POWERCUT_SEED", (uint64_t)pfs_clock_ns());
	struct powerstory *s;
	struct scratch dir;
	int status, bad = 0;
	unsigned end;

	/* What becomes of bytes is the model's business: waiting for a disk would prove nothing. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	dir = scratch_new();
	s = powerstory_new();
	end = tell(s, dir.path);
	scratch_fini(&dir);
	printf("%u operations, %u flushes, %u promises; seed %llu\n", end, powercut_flushes(),
	       powerstory_promises(s), (unsigned long long)seed);
	fflush(stdout);
	for (unsigned i = 0; i < WORKERS; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0, "fork");
		if (pid == 0)
			_exit(work(s, i, cuts, seed, end));
	}
	while (wait(&status) > 0)
		bad += status != 0;
	CHECK(!bad, "not all disks were whole");
	printf("%llu cuts: all whole\n", (unsigned long long)cuts);
	return 0;
}
