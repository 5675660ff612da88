/*
 * The story of an index, cut off at its n-th fault point for every n: packs are
 * sealed one after the other, runs are written and merged, one pack is dropped,
 * the store is opened again. Whatever packs there are afterwards, all that is in
 * them is found, it is counted right, and no file of the index looks damaged.
 *
 * Then each file of a whole index is removed, cut short and changed: again all
 * is found, and it is told of.
 */
#include "store/packset.h"
#include "store/recover.h"
#include "../cutoff.h"
#include "../footpack.h"

#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACKS    11u
#define OWN      60u /* objects of a pack, and some of the pack before it */
#define SHARED   7u
#define DROPPED  3u /* all that is in it is in HOLDER too */
#define HOLDER   7u
#define REOPENED 4u
#define BATCH    60u
#define IDS      (PACKS * OWN)

static const unsigned char store_uuid[PFS_UUID_SIZE] = "a crashed store";

static struct pfs_id id_of(unsigned i)
{
	struct pfs_id id;

	scratch_fill(&id, sizeof(id), i + 1);
	return id;
}

static bool holds(unsigned p, unsigned i)
{
	unsigned from = p * OWN;

	if (p == HOLDER && i >= DROPPED * OWN - SHARED && i < (DROPPED + 1) * OWN)
		return true;
	return i + (p ? SHARED : 0) >= from && i < from + OWN;
}

static void uuid_of(unsigned p, unsigned char uuid[PFS_UUID_SIZE])
{
	scratch_fill(uuid, PFS_UUID_SIZE, p + 500);
}

/* Packs are made beforehand, in a store of their own: writing them is not the story. */
static void make_packs(int dir)
{
	for (unsigned p = 0; p < PACKS; p++) {
		unsigned char uuid[PFS_UUID_SIZE];
		struct pfs_packfooter f;

		uuid_of(p, uuid);
		pfs_packfooter_init(&f, PFS_PACK_DATA);
		for (unsigned i = 0; i < IDS; i++) {
			struct pfs_id id = id_of(i);

			if (holds(p, i))
				footpack_add(&f, &id);
		}
		footpack_write(dir, uuid, store_uuid, p + 1, &f);
		pfs_packfooter_fini(&f);
	}
}

static void path_of(unsigned p, char out[PFS_PACK_PATH_SIZE])
{
	unsigned char uuid[PFS_UUID_SIZE];

	uuid_of(p, uuid);
	pfs_pack_path(uuid, PFS_PACK_DATA, true, out);
}

/* Let the store have this pack; no fault points are passed. */
static uint64_t bring(int from, int dir, unsigned p)
{
	char path[PFS_PACK_PATH_SIZE], folder[PFS_PACK_PATH_SIZE];
	struct stat st;

	path_of(p, path);
	snprintf(folder, sizeof(folder), "%.10s", path);
	mkdirat(dir, "packs", 0700);
	mkdirat(dir, "packs/d", 0700);
	mkdirat(dir, folder, 0700);
	CHECK(linkat(from, path, dir, path, 0) == 0, "%s", path);
	CHECK(fstatat(dir, path, &st, 0) == 0, "%s", path);
	return (uint64_t)st.st_size;
}

static struct pfs_packset *open_set(int dir)
{
	struct pfs_packset *set = NULL;
	struct pfs_error err = { 0 };
	uint32_t seq;

	for (unsigned tries = 0;; tries++) {
		CHECK(pfs_packset_new(dir, store_uuid, &set, &err) == 0, "%s", err.text);
		if (pfs_recover_sealed(dir, set, store_uuid, &seq, &err) == 0)
			return set;
		pfs_packset_free(&set);
		CHECK(tries < 2, "does not open again: %s", err.text);
	}
}

static struct pfs_pack *add_pack(struct pfs_packset *set, unsigned p, uint64_t size)
{
	unsigned char uuid[PFS_UUID_SIZE];
	struct pfs_pack *pack;
	uint32_t n = 0;

	uuid_of(p, uuid);
	CHECK(pfs_packset_add_pack(set, uuid, PFS_PACK_DATA, true, size, -1, &pack, NULL) == 0,
	      "pack %u", p);
	pack->seq = p + 1;
	for (unsigned i = 0; i < IDS; i++) {
		struct pfs_id id = id_of(i);

		if (!holds(p, i))
			continue;
		CHECK(pfs_packset_reserve(set, 1, NULL) == 0, "memory");
		pfs_packset_set(set, &id,
				&(struct pfs_place){ .pack = pack->number,
						     .off = footpack_off(n++),
						     .clen = FOOTPACK_CLEN,
						     .ulen = FOOTPACK_CLEN,
						     .type = 1 });
	}
	pfs_packset_complete(set, pack);
	return pack;
}

/* As sweep does it; what fails is left for another time. */
static void drop(struct pfs_packset *set, int dir)
{
	unsigned char uuid[PFS_UUID_SIZE];
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_pack *pack;
	size_t pos = 0;

	uuid_of(DROPPED, uuid);
	while ((pack = pfs_packset_next(set, &pos)) && memcmp(pack->uuid, uuid, sizeof(uuid)) != 0)
		;
	CHECK(pack, "the pack to be dropped");
	pfs_packset_condemn(set, pack, true);
	if (pfs_packset_drop_pack(set, pack, NULL) < 0 || pfs_packset_publish(set, NULL) < 0)
		return;
	path_of(DROPPED, path);
	CHECK(unlinkat(dir, path, 0) == 0, "%s", path);
}

struct places {
	int from, dir;
};

static void tell(void *arg, int fd)
{
	const struct places *places = arg;
	int from = places->from, dir = places->dir;
	struct pfs_packset *set = open_set(dir);

	for (unsigned p = 0; p < PACKS; p++) {
		add_pack(set, p, bring(from, dir, p));
		while (pfs_packset_tidy(set, NULL) == 1)
			;
		if (p == HOLDER + 1)
			drop(set, dir);
		if (p == REOPENED) {
			pfs_packset_free(&set);
			set = open_set(dir);
		}
	}
	pfs_packset_free(&set);
}

static void count_damage(void *arg, const char *what, const char *text)
{
	fprintf(stderr, "%s: %s\n", what, text);
	++*(unsigned *)arg;
}

/* All that is in packs is found in one of them, and counted. How many damages were told. */
static unsigned check_all(int dir, struct pfs_packset *set)
{
	struct pfs_packset_totals totals;
	struct pfs_error err = { 0 };
	unsigned there = 0, damages = 0;

	for (unsigned i = 0; i < IDS; i++) {
		struct pfs_id id = id_of(i);
		struct pfs_place place;
		unsigned in = 0;

		for (unsigned p = 0; p < PACKS; p++) {
			char path[PFS_PACK_PATH_SIZE];

			path_of(p, path);
			in += holds(p, i) && faccessat(dir, path, F_OK, 0) == 0;
		}
		CHECK(pfs_packset_find(set, &id, &place) == (in > 0), "object %u is in %u packs", i,
		      in);
		there += in > 0;
		if (in > 0) {
			const struct pfs_pack *pack = pfs_packset_pack(set, place.pack);

			CHECK(pack && !pack->dropped, "object %u in no pack", i);
			CHECK(holds(pack->seq - 1, i), "object %u in the wrong pack", i);
		}
	}
	pfs_packset_count(set, &totals);
	CHECK(totals.objects == there, "%llu counted, %u there", (unsigned long long)totals.objects,
	      there);
	CHECK(pfs_packset_check(set, true, count_damage, count_damage, &damages, &err) >= 0, "%s",
	      err.text);
	return damages;
}

/* True while the story did reach fault point `at`. */
static bool story(int from, enum pfs_fault_mode mode, unsigned at)
{
	struct scratch scratch = scratch_new();
	int dir = pfs_io_open(AT_FDCWD, scratch.path, O_RDONLY | O_DIRECTORY, 0, NULL);
	struct places places = { from, dir };
	struct pfs_packset *set;
	bool reached;

	CHECK(dir >= 0, "folder");
	reached = cutoff(mode, at, tell, &places, NULL);
	set = open_set(dir);
	CHECK(check_all(dir, set) == 0, "point %u: damage", at);
	while (pfs_packset_tidy(set, NULL) == 1)
		;
	CHECK(check_all(dir, set) == 0, "point %u: damage after tidying", at);
	pfs_packset_free(&set);
	pfs_fd_close(&dir);
	scratch_fini(&scratch);
	return reached;
}

static void harm(const char *path, unsigned how)
{
	unsigned char byte;
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
	if (how == 0) {
		CHECK(unlink(path) == 0, "%s", path);
	} else if (how == 1) {
		CHECK(ftruncate(fd, st.st_size / 2) == 0, "%s", path);
	} else {
		off_t at = st.st_size * (off_t)(how - 2) / 3 + 3;

		CHECK(pread(fd, &byte, 1, at) == 1, "%s", path);
		byte ^= 16;
		CHECK(pwrite(fd, &byte, 1, at) == 1, "%s", path);
	}
	close(fd);
}

/* Harm one file of the index; with `open`, behind the back of an open store. */
static bool harm_one(int from, size_t file, unsigned how, bool behind)
{
	struct scratch scratch = scratch_new();
	int dir = pfs_io_open(AT_FDCWD, scratch.path, O_RDONLY | O_DIRECTORY, 0, NULL);
	struct pfs_packset *set;
	char pattern[300];
	glob_t found;
	bool done;

	CHECK(dir >= 0, "folder");
	tell(&(struct places){ from, dir }, -1);
	snprintf(pattern, sizeof(pattern), "%s/index/*", scratch.path);
	CHECK(glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 1, "no index");
	done = file < found.gl_pathc;
	if (done) {
		const char *path = found.gl_pathv[file];
		bool manifest = strstr(path, "manifest");
		unsigned damages;

		set = behind ? open_set(dir) : NULL;
		harm(path, how);
		if (!set)
			set = open_set(dir);
		damages = check_all(dir, set);
		/* Without a manifest there is no index; an open file lives on without its name. */
		CHECK(damages > 0 || (how == 0 && (manifest || behind)), "%s: harm %u unnoticed",
		      path, how);
		CHECK(check_all(dir, set) == 0, "%s: still damaged", path);
		pfs_packset_free(&set);
		set = open_set(dir);
		CHECK(check_all(dir, set) == 0 || (how == 0 && behind && !manifest),
		      "%s: damaged when opened again", path);
		pfs_packset_free(&set);
	}
	globfree(&found);
	pfs_fd_close(&dir);
	scratch_fini(&scratch);
	return done;
}

int main(void)
{
	size_t n_modes = CUTOFF_MODES;
	struct scratch packs;
	int from;

	footpack_in_memory();
	packs = scratch_new();
	from = pfs_io_open(AT_FDCWD, packs.path, O_RDONLY | O_DIRECTORY, 0, NULL);

	CHECK(from >= 0, "folder");
	make_packs(from);
	pfs_packset_set_batch(BATCH);
	for (int behind = 0; behind < 2; behind++)
		for (unsigned how = 0; how < 5; how++)
			for (size_t file = 0; harm_one(from, file, how, behind); file++)
				;
	printf("each file of an index was harmed, and all was found\n");
#ifdef NDEBUG
	n_modes = 0; /* a release build has no fault points */
#endif
	for (size_t m = 0; m < n_modes; m++) {
		unsigned at = 1;

		while (story(from, cutoff_modes[m].mode, at))
			at++;
		printf("%s: %u points, all found\n", cutoff_modes[m].name, at - 1);
		CHECK(at > 50, "the story has hardly any fault points");
	}
	pfs_fd_close(&from);
	scratch_fini(&packs);
	return 0;
}
