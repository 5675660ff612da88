/*
 * One bit of a store turns over, somewhere: check tells of it, or the store
 * refuses to open. Never is it unnoticed, and never are wrong bytes read.
 */
#include "store/packwriter.h"
#include "store/store.h"
#include "../scratch.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define OBJECTS 60
#define FLIPS   8000

static size_t fill(unsigned char *data, unsigned i)
{
	size_t len = 1 + i * 37 % 700;

	scratch_fill(data, len, i + 1);
	if (i % 3 == 0)
		memset(data, 'z', len);
	return len;
}

static enum pfs_kind kind_of(unsigned i)
{
	return i % 2 ? PFS_KIND_CHUNK : PFS_KIND_DIRNODE;
}

/* A sealed pack and an open one: padding objects push the first past its target. */
static void make_store(const char *path)
{
	static unsigned char big[60000];
	struct pfs_store *st = NULL;
	unsigned char data[700];
	struct pfs_id id;

	CHECK(pfs_store_open(path, &st, NULL) == 0, "open");
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (i == OBJECTS / 2)
			for (unsigned k = 0; k < 7; k++) {
				scratch_fill(big, sizeof(big), 900 + k);
				CHECK(pfs_store_put(st, PFS_KIND_DIRNODE, big, sizeof(big), &id,
						    NULL) == 0,
				      "put");
			}
		CHECK(pfs_store_put(st, kind_of(i), data, fill(data, i), &id, NULL) == 0, "put");
	}
	CHECK(pfs_store_sync(st, NULL) == 0, "sync");
	pfs_store_close(&st);
}

static void count_damage(void *arg, const char *damage)
{
	++*(unsigned *)arg;
}

/* Nothing read may be wrong; what is not damaged is still there. */
static void read_all(struct pfs_store *st, unsigned *unreadable)
{
	unsigned char data[700];

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
		CHECK(unreadable <= 1, "%s byte %llu: %u objects gone", file,
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
	n = list_files(dir.path, files, 0);
	for (unsigned i = 0; i < n; i++)
		sealed += strstr(files[i], "/packs/") != NULL;
	CHECK(n >= 3 && sealed == 1, "%u files, %u of them sealed packs", n, sealed);
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
