/*
 * Figures of the index by itself: how fast objects go in, what of them stays in
 * memory, how long a look-up takes, how long a store takes to open. Packs are
 * there with their footers only, and are sealed a thousand objects at a time,
 * as they are with chunks of 64 KiB.
 *
 *	bench_packset [FOLDER [MILLIONS]]
 */
#include "store/packset.h"
#include "store/recover.h"
#include "../footpack.h"

#include <malloc.h>
#include <time.h>
#include <unistd.h>

#define PER_PACK 1000u
#define LOOKUPS  500000u

static const unsigned char store_uuid[PFS_UUID_SIZE] = "a store to meas";

struct moment {
	double wall, cpu;
};

static double read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct moment now(void)
{
	return (struct moment){ read_clock(CLOCK_MONOTONIC), read_clock(CLOCK_PROCESS_CPUTIME_ID) };
}

static void each(const char *name, double n, struct moment from)
{
	struct moment to = now();

	printf("%-44s %9.3f us wall %9.3f us cpu\n", name, (to.wall - from.wall) / n * 1e6,
	       (to.cpu - from.cpu) / n * 1e6);
}

static void all(const char *name, struct moment from)
{
	struct moment to = now();

	printf("%-44s %9.1f ms wall %9.1f ms cpu\n", name, (to.wall - from.wall) * 1e3,
	       (to.cpu - from.cpu) * 1e3);
}

/* What is ours alone; pages of files in the system's cache do not count, whoever reads them. */
static void tell_memory(const char *when)
{
	char line[256];
	unsigned long anonymous = 0, resident = 0, most = 0;
	FILE *f = fopen("/proc/self/status", "r");

	malloc_trim(0);
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "RssAnon: %lu", &anonymous);
		sscanf(line, "VmRSS: %lu", &resident);
		sscanf(line, "VmHWM: %lu", &most);
	}
	if (f)
		fclose(f);
	printf("%-44s %9.1f MB private %6.1f MB resident %6.1f MB at most\n", when,
	       (double)anonymous / 1024, (double)resident / 1024, (double)most / 1024);
}

static struct pfs_id id_of(uint64_t i)
{
	struct pfs_id id;
	uint64_t x = i + 1;

	for (int w = 0; w < 4; w++) {
		x += 0x9e3779b97f4a7c15u;
		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
		x = (x ^ x >> 27) * 0x94d049bb133111ebu;
		x ^= x >> 31;
		memcpy(id.bytes + 8 * w, &x, 8);
	}
	return id;
}

struct spent {
	double writing; /* of files that are no part of the index */
	double slowest; /* step of tidy */
	unsigned steps;
};

static void tidy(struct pfs_packset *set, struct spent *spent)
{
	struct pfs_error err = { 0 };
	int rc;

	do {
		double from = read_clock(CLOCK_PROCESS_CPUTIME_ID), took;

		rc = pfs_packset_tidy(set, &err);
		CHECK(rc >= 0, "%s", err.text);
		took = read_clock(CLOCK_PROCESS_CPUTIME_ID) - from;
		spent->steps += rc;
		if (took > spent->slowest)
			spent->slowest = took;
	} while (rc == 1);
}

static void fill_pack(int dir, struct pfs_packset *set, uint32_t p, struct spent *spent)
{
	unsigned char uuid[PFS_UUID_SIZE];
	struct pfs_packfooter f;
	struct pfs_pack *pack;
	double from;

	scratch_fill(uuid, sizeof(uuid), p + 1);
	pfs_packfooter_init(&f, PFS_PACK_DATA);
	CHECK(pfs_packset_add_pack(set, uuid, PFS_PACK_DATA, false, 0, -1, &pack, NULL) == 0,
	      "pack");
	pack->seq = p + 1;
	for (uint32_t i = 0; i < PER_PACK; i++) {
		struct pfs_id id = id_of((uint64_t)p * PER_PACK + i);
		const struct pfs_place place = {
			.pack = pack->number,
			.off = footpack_off(i),
			.clen = FOOTPACK_CLEN,
			.ulen = FOOTPACK_CLEN,
			.type = 1,
		};

		CHECK(!pfs_packset_has(set, &id), "has");
		CHECK(pfs_packset_reserve(set, 1, NULL) == 0, "reserve");
		pfs_packset_set(set, &id, &place);
	}
	from = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	for (uint32_t i = 0; i < PER_PACK; i++) {
		struct pfs_id id = id_of((uint64_t)p * PER_PACK + i);

		footpack_add(&f, &id);
	}
	pack->size = footpack_write(dir, uuid, store_uuid, p + 1, &f);
	pack->sealed = 1;
	pfs_packfooter_fini(&f);
	spent->writing += read_clock(CLOCK_PROCESS_CPUTIME_ID) - from;
	pfs_packset_complete(set, pack);
}

static void look_up(struct pfs_packset *set, const char *name, uint64_t n, bool there,
		    bool in_order)
{
	struct moment from = now();

	for (uint64_t i = 0; i < LOOKUPS; i++) {
		uint64_t which = in_order ? n / 3 + i : i * 2654435761u % n;
		struct pfs_id id = id_of(there ? which % n : which + n);

		CHECK(pfs_packset_has(set, &id) == there, "%llu", (unsigned long long)which);
	}
	each(name, LOOKUPS, from);
}

static struct pfs_packset *open_set(int dir, const char *name)
{
	struct pfs_packset *set = NULL;
	struct moment from = now();
	struct pfs_error err = { 0 };
	uint32_t seq;

	CHECK(pfs_packset_new(dir, store_uuid, &set, &err) == 0, "%s", err.text);
	CHECK(pfs_recover_sealed(dir, set, store_uuid, &seq, &err) == 0, "%s", err.text);
	all(name, from);
	return set;
}

int main(int argc, char **argv)
{
	struct scratch scratch = { "" };
	uint64_t n = (uint64_t)(argc > 2 ? atoi(argv[2]) : 10) * 1000000;
	struct pfs_packset_totals totals;
	struct spent spent = { 0 };
	struct pfs_packset *set;
	struct moment from;
	int dir;

	if (argc < 2)
		scratch = scratch_new();
	dir = pfs_io_open(AT_FDCWD, argc > 1 ? argv[1] : scratch.path, O_RDONLY | O_DIRECTORY, 0,
			  NULL);
	CHECK(dir >= 0, "folder");
	set = open_set(dir, "open an empty store");
	tell_memory("... has");
	from = now();
	for (uint32_t p = 0; p < n / PER_PACK; p++) {
		fill_pack(dir, set, p, &spent);
		if (pfs_packset_is_due(set))
			tidy(set, &spent);
	}
	from.cpu += spent.writing;
	each("look up and set one, runs and merges in it", (double)n, from);
	printf("%-44s %9u, the longest %.1f ms cpu\n", "steps of tidy", spent.steps,
	       spent.slowest * 1e3);
	tell_memory("filled");
	pfs_packset_count(set, &totals);
	CHECK(totals.objects == n, "%llu objects", (unsigned long long)totals.objects);
	printf("%-44s %9llu runs, %llu MB, %llu objects in memory\n", "the index has",
	       (unsigned long long)totals.index_runs, (unsigned long long)totals.index_bytes >> 20,
	       (unsigned long long)totals.in_memory);
	from = now();
	tidy(set, &spent);
	all("what was left to merge", from);
	look_up(set, "look up what is there, anywhere", n, true, false);
	look_up(set, "... in the order of packs", n, true, true);
	look_up(set, "look up what is not there", n, false, false);
	tell_memory("after look-ups");
	from = now();
	pfs_packset_free(&set);
	all("close", from);
	set = open_set(dir, "open");
	tell_memory("... has");
	look_up(set, "look up what is there, anywhere", n, true, false);
	from = now();
	CHECK(pfs_packset_rebuild(set, NULL) == 0, "rebuild");
	all("make the index anew", from);
	tell_memory("... has");
	look_up(set, "look up what is there, anywhere", n, true, false);
	look_up(set, "look up what is not there", n, false, false);
	pfs_packset_free(&set);
	CHECK(pfs_io_remove_all(dir, "index", NULL) == 0, "remove");
	set = open_set(dir, "open without an index");
	tell_memory("... has");
	pfs_packset_free(&set);
	pfs_fd_close(&dir);
	scratch_fini(&scratch);
	return 0;
}
