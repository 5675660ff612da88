/*
 * The power goes at any moment of a story on store, metadata and workspaces, and
 * the disk keeps what powercut.h says it may. Thousands of such disks are opened;
 * of some, the power goes again while they are recovered.
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

#define CUTS    (1000 / PFS_FEWER)
#define ROUNDS  8
#define WORKERS 2
#define EVERY   8 /* how manyth cut has second ones, as many as ... */
#define AGAIN   3

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

static bool look(const struct powerstory *s, const char *folder, unsigned moment,
		 const struct powerstory_onward *before)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		alarm(60);
		powerstory_check_on(s, folder, moment, before, NULL);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid, "wait");
	if (status != 0)
		fprintf(stderr, "a cut after %u operations: status %x, disk left in %s\n", moment,
			status, folder);
	return status == 0;
}

/* What the first process after a cut does is recorded too; *from and *end are moments of that. */
static bool look_recorded(const struct powerstory *s, const char *folder, unsigned moment,
			  struct powerstory_onward *onward, unsigned *from, unsigned *end)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		alarm(60);
		powercut_record(folder);
		*from = powercut_now();
		powerstory_check_on(s, folder, moment, NULL, onward);
		*end = powercut_now();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid, "wait");
	return status == 0;
}

/* The power goes again while that process is at work, or soon after. */
static bool cut_again(const struct powerstory *s, const char *folder, unsigned moment,
		      uint64_t seed)
{
	struct powercut_tape *first = powercut_swap(NULL);
	struct powerstory_onward *onward = powercut_alloc(sizeof(*onward));
	unsigned *from = powercut_alloc(sizeof(*from)), *end = powercut_alloc(sizeof(*end));
	struct powerdisk *d = powerdisk_new();
	bool good = look_recorded(s, folder, moment, onward, from, end);
	char again[320];

	if (!good)
		fprintf(stderr, "a cut after %u operations: disk left in %s\n", moment, folder);
	snprintf(again, sizeof(again), "%s-again", folder);
	for (unsigned i = 0; i < AGAIN && good; i++) {
		unsigned then =
			*from + (unsigned)((*end - *from) * (seed % 7 + 7 * i) / (7 * AGAIN));

		powerdisk_make(d, then, seed + i, again);
		good = look(s, again, moment,
			    onward->acked && onward->acked <= then ? onward : NULL);
		if (!good)
			fprintf(stderr,
				"that was the second cut, %u of %u operations after a first\n",
				then - *from, *end - *from);
	}
	powerdisk_free(&d);
	powercut_forget();
	powercut_swap(first);
	return good;
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
		if (i % EVERY < WORKERS ? cut_again(s, folder, moment, seed + i)
					: look(s, folder, moment, NULL))
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
	struct powerstory_work done;
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
	done = powerstory_work(s);
	printf("%u operations, %u flushes, %u promises; packs: %u adopted, %u repacked, %u "
	       "collected; seed %llu\n",
	       end, powercut_flushes(), powerstory_promises(s), done.adopted, done.repacked,
	       done.collected, (unsigned long long)seed);
	CHECK(done.adopted && done.repacked && done.collected, "the story is not what it was");
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
