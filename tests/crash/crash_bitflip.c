/*
 * One bit of a store turns over, somewhere: check tells of it, or the store
 * refuses to open. Never is it unnoticed, and never are wrong bytes read.
 */
#include "store/adoption.h"
#include "store/bundler.h"
#include "store/packlog.h"
#include "store/recover.h"
#include "store/superblock.h"
#include "../scratch.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

/* Objects by number: alone, pieces of an adopted file, a base and what leans on it, in a bundle. */
#define ALONE   60
#define PIECES  64
#define BASE    64
#define DELTAS  67
#define OBJECTS 77
#define SIZE    3000
#define FLIPS   8000

static size_t fill(unsigned char *data, unsigned i)
{
	size_t len = 1 + i * 37 % 700;

	if (i >= ALONE && i < DELTAS) {
		scratch_fill(data, SIZE, i < BASE ? i + 1 : BASE + 1);
		memset(data + 100, 'z', i > BASE ? 10 * (i - BASE) : 0);
		return SIZE;
	}

	scratch_fill(data, len, i + 1);
	if (i % 3 == 0)
		memset(data, 'z', len);
	return len;
}

static enum pfs_kind kind_of(unsigned i)
{
	return i >= ALONE || i % 2 ? PFS_KIND_CHUNK : PFS_KIND_DIRNODE;
}

static void adopt(struct pfs_store *st, const char *path)
{
	struct pfs_adoption *a = NULL;
	unsigned char data[SIZE];
	char file[400];
	int fd;

	snprintf(file, sizeof(file), "%s/incoming", path);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && pfs_adoption_begin(st, &a, NULL) == 0, "%s", file);
	for (unsigned i = ALONE; i < PIECES; i++) {
		struct pfs_store_item item = { .data = data, .len = fill(data, i) };

		CHECK(write(fd, data, SIZE) == SIZE, "write");
		CHECK(pfs_adoption_add(a, (uint64_t)(i - ALONE) * SIZE, &item, 1, NULL) == 0,
		      "add");
	}
	close(fd);
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, file, NULL) == 0, "adopt");
	CHECK(unlink(file) == 0, "%s", file);
}

static void put_deltas(struct pfs_store *st)
{
	unsigned char data[SIZE];
	struct pfs_id base;

	CHECK(pfs_store_put(st, PFS_KIND_CHUNK, data, fill(data, BASE), &base, NULL) == 0, "put");
	CHECK(pfs_store_sync(st, NULL) == 0, "sync");
	for (unsigned i = BASE + 1; i < DELTAS; i++) {
		struct pfs_store_item item = { data, fill(data, i), &base };

		CHECK(pfs_store_put_batch(st, PFS_KIND_CHUNK, &item, 1, NULL) == 0, "put");
	}
}

/* What lies in the packs by itself goes into one record, as sweep does it. */
static void bundle(const char *path)
{
	PFS_AUTO(pfs_bundler_fini) struct pfs_bundler b = { 0 };
	struct pfs_move moves[OBJECTS - DELTAS];
	struct pfs_packset *set = NULL;
	struct pfs_packlog *log = NULL;
	struct pfs_hasher *hasher = NULL;
	struct pfs_superblock super;
	struct pfs_store_keys keys;
	struct pfs_packrec rec;
	unsigned char data[SIZE], *payload;
	uint32_t seq = 1;
	int dir = pfs_io_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, NULL);

	CHECK(pfs_superblock_load(dir, &super, NULL) == 0, "superblock");
	CHECK(pfs_hasher_derive(super.secret, &keys, NULL) == 0, "keys");
	CHECK(pfs_hasher_new(keys.id_key, &hasher, NULL) == 0, "hasher");
	CHECK(pfs_packset_new(dir, super.uuid, &set, NULL) == 0, "packs");
	CHECK(pfs_recover_sealed(dir, set, super.uuid, &seq, NULL) == 0, "packs");
	CHECK(pfs_packlog_new(dir, set, hasher, super.uuid, seq, &log, NULL) == 0, "log");
	CHECK(pfs_recover_open(dir, set, super.uuid, log, NULL) == 0, "packs");
	pfs_bundler_init(&b);
	for (unsigned i = DELTAS; i < OBJECTS; i++) {
		struct pfs_move *m = &moves[i - DELTAS];
		size_t len = fill(data, i);

		CHECK(pfs_hasher_id(hasher, kind_of(i), data, len, &m->id, NULL) == 0, "id");
		CHECK(pfs_packset_find(set, &m->id, &m->from), "object %u", i);
		CHECK(pfs_bundler_add(&b, kind_of(i), &m->id, data, len, NULL) == 0, "add");
	}
	CHECK(pfs_bundler_make(&b, hasher, &rec, &payload, NULL) == 0, "bundle");
	CHECK(pfs_packlog_move(log, &rec, payload, moves, OBJECTS - DELTAS, NULL) == 1, "move");
	CHECK(pfs_packlog_sync(log, NULL) == 0, "sync");
	free(payload);
	pfs_packlog_free(&log);
	pfs_packset_free(&set);
	pfs_hasher_free(&hasher);
	pfs_fd_close(&dir);
}

/* A sealed pack, open ones and an adopted file: padding objects push the first past its target. */
static void make_store(const char *path)
{
	static unsigned char big[60000];
	struct pfs_store *st = NULL;
	unsigned char data[SIZE];
	struct pfs_id id;

	CHECK(pfs_store_open(path, &st, NULL) == 0, "open");
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (i >= ALONE && i < DELTAS)
			continue;
		if (i == ALONE / 2)
			for (unsigned k = 0; k < 7; k++) {
				scratch_fill(big, sizeof(big), 900 + k);
				CHECK(pfs_store_put(st, PFS_KIND_DIRNODE, big, sizeof(big), &id,
						    NULL) == 0,
				      "put");
			}
		CHECK(pfs_store_put(st, kind_of(i), data, fill(data, i), &id, NULL) == 0, "put");
	}
	adopt(st, path);
	put_deltas(st);
	CHECK(pfs_store_sync(st, NULL) == 0, "sync");
	pfs_store_close(&st);
	bundle(path);
}

/* The story is nothing without all ways to keep an object. */
static void expect_all_kinds(const char *path)
{
	struct pfs_store *st = NULL;
	struct pfs_store_stats stats;

	CHECK(pfs_store_open(path, &st, NULL) == 0, "open");
	pfs_store_stats(st, &stats);
	CHECK(stats.deltas == DELTAS - BASE - 1 && stats.bundled == OBJECTS - DELTAS &&
		      stats.adopted_files == 1,
	      "%llu deltas, %llu bundled, %llu adopted", (unsigned long long)stats.deltas,
	      (unsigned long long)stats.bundled, (unsigned long long)stats.adopted_files);
	CHECK(pfs_store_check(st, NULL, NULL, NULL) == 0, "it is damaged from the start");
	pfs_store_close(&st);
}

static void count_damage(void *arg, const char *damage)
{
	++*(unsigned *)arg;
}

/* Nothing read may be wrong; what is not damaged is still there. */
static void read_all(struct pfs_store *st, unsigned *unreadable)
{
	unsigned char data[SIZE];

	for (unsigned i = 0; i < OBJECTS; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		size_t len = fill(data, i);
		struct pfs_id id;

		pfs_store_id(st, kind_of(i), data, len, &id);
		if (pfs_store_get(st, kind_of(i), &id, &o, NULL) < 0)
			++*unreadable;
		else
			CHECK(o->len == len && memcmp(o->data, data, len) == 0, "wrong bytes of %u",
			      i);
	}
}

static void flip_and_look(const char *path, const char *file, uint64_t at, unsigned bit)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	struct pfs_store *st = NULL;
	unsigned damages = 0, unreadable = 0;
	unsigned char byte, flipped;

	CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1, "%s", file);
	flipped = byte ^ (unsigned char)(1u << bit);
	CHECK(pwrite(fd, &flipped, 1, (off_t)at) == 1, "%s", file);
	if (pfs_store_open(path, &st, NULL) == 0) {
		read_all(st, &unreadable);
		CHECK(pfs_store_check(st, count_damage, &damages, NULL) == 1 && damages > 0,
		      "%s byte %llu bit %u: unnoticed", file, (unsigned long long)at, bit);
		/* One object, a base and what leans on it, all pieces, all of a bundle. */
		CHECK(unreadable <= OBJECTS - DELTAS, "%s byte %llu: %u objects gone", file,
		      (unsigned long long)at, unreadable);
		pfs_store_close(&st);
	}
	CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1, "%s", file);
	close(fd);
}

/* Every file that holds something: STORE and all packs. */
static unsigned list_files(const char *folder, char files[][400], unsigned n)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	CHECK(d, "%s", folder);
	while ((e = readdir(d))) {
		char path[400];
		struct stat st;

		if (e->d_name[0] == '.' || strstr(e->d_name, ".len") ||
		    strcmp(e->d_name, "LOCK") == 0)
			continue;
		CHECK(snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) < (int)sizeof(path),
		      "path");
		CHECK(stat(path, &st) == 0, "%s", path);
		if (S_ISDIR(st.st_mode))
			n = list_files(path, files, n);
		else
			memcpy(files[n++], path, sizeof(path));
		CHECK(n < 16, "too many files");
	}
	closedir(d);
	return n;
}

/* Half anywhere, half in the first and last bytes, where the structure is dense. */
static uint64_t pick(uint64_t size, uint64_t random)
{
	uint64_t edge = size < 4096 ? size : 4096;

	switch (random % 4) {
	case 0:
		return (random >> 8) % edge;
	case 1:
		return size - 1 - (random >> 8) % edge;
	default:
		return (random >> 8) % size;
	}
}

int main(void)
{
	struct scratch dir = scratch_new();
	static char files[16][400];
	unsigned n, sealed = 0;

	pfs_packwriter_set_targets(300000, 400000);
	make_store(dir.path);
	expect_all_kinds(dir.path);
	n = list_files(dir.path, files, 0);
	for (unsigned i = 0; i < n; i++)
		sealed += strstr(files[i], "/packs/") != NULL;
	CHECK(n >= 5 && sealed == 3, "%u files, %u of them below packs/", n, sealed);
	for (unsigned i = 0; i < FLIPS; i++) {
		const char *file = files[i % n];
		uint64_t random;
		struct stat st;

		CHECK(stat(file, &st) == 0, "%s", file);
		scratch_fill(&random, sizeof(random), i + 7);
		flip_and_look(dir.path, file, pick((uint64_t)st.st_size, random),
			      (unsigned)(random & 7));
	}
	printf("%d flips in %u files: all noticed\n", FLIPS, n);
	scratch_fini(&dir);
	return 0;
}
