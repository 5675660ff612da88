/*
 * The story of a damage that is found by reading, put anew, and outlives it all,
 * cut off at its n-th fault point for every n: by the process ending there, by an
 * I/O error, by a full disk. What a sync promised is whole afterwards; and once
 * the damage was known durably, a put is never told that the bytes are there.
 */
#include "store/health.h"
#include "store/packwriter.h"
#include "../cutoff.h"

#include <glob.h>
#include <unistd.h>

#define OBJECTS 4
#define SIZE    9000

static size_t fill(unsigned char *data, unsigned i)
{
	scratch_fill(data, SIZE, 100 + i);
	return SIZE;
}

static int put_all(struct pfs_store *st, unsigned from, struct pfs_error *err)
{
	unsigned char data[SIZE];
	struct pfs_id id;
	int rc = 0;

	for (unsigned i = from; i < from + OBJECTS && rc == 0; i++)
		rc = pfs_store_put(st, PFS_KIND_CHUNK, data, fill(data, i), &id, err);
	return rc < 0 ? rc : pfs_store_sync(st, err);
}

static int get(struct pfs_store *st, unsigned i)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	unsigned char data[SIZE];
	struct pfs_id id;
	int rc;

	pfs_store_id(st, PFS_KIND_CHUNK, data, fill(data, i), &id);
	rc = pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, NULL);
	CHECK(rc < 0 || (o->len == SIZE && memcmp(o->data, data, SIZE) == 0), "other bytes");
	return rc;
}

/* Turn a bit of an object in the first pack that has it. */
static void damage(const char *store, unsigned i)
{
	static unsigned char all[1 << 20];
	unsigned char data[SIZE], *at = NULL;
	char pattern[400];
	glob_t found;

	fill(data, i);
	snprintf(pattern, sizeof(pattern), "%s/packs/?/*/*.pk", store);
	CHECK(glob(pattern, 0, NULL, &found) == 0, "no pack");
	for (size_t k = 0; k < found.gl_pathc && !at; k++) {
		FILE *f = fopen(found.gl_pathv[k], "r+");
		size_t n = f ? fread(all, 1, sizeof(all), f) : 0;

		at = memmem(all, n, data, SIZE);
		if (at) {
			fseek(f, at - all + 50, SEEK_SET);
			fputc(at[50] ^ 1, f);
		}
		if (f)
			fclose(f);
	}
	globfree(&found);
	CHECK(at, "object %u is in no pack", i);
}

static struct pfs_store *must_open(const char *path)
{
	struct pfs_error err = { 0 };
	struct pfs_store *st = NULL;
	unsigned tries = 0;

	while (pfs_store_open(path, &st, &err) < 0)
		CHECK(++tries < 3, "does not open again: %s", err.text);
	return st;
}

static void must_put(struct pfs_store *st, unsigned from)
{
	struct pfs_error err = { 0 };
	unsigned tries = 0;

	while (put_all(st, from, &err) < 0)
		CHECK(++tries < 3, "does not work again: %s", err.text);
}

static void promise(int fd, char what)
{
	CHECK(write(fd, &what, 1) == 1, "pipe");
}

/* In the child. The whole copy comes into the pack that has the damage, or into a newer one. */
static void tell(void *path, int fd)
{
	struct pfs_store *st = must_open(path);

	CHECK(get(st, 1) == PFS_E_CORRUPT, "the damage is found");
	/* A save that failed is made up for by the sync. */
	must_put(st, 100);
	promise(fd, 'd');
	CHECK(get(st, 1) == PFS_E_CORRUPT, "it is still found");
	pfs_store_close(&st);
	st = must_open(path);
	must_put(st, 0);
	promise(fd, 'p');
	CHECK(get(st, 1) == 0, "a put stored it anew");
	pfs_store_close(&st);
	st = must_open(path);
	CHECK(get(st, 1) == 0, "it is found");
	pfs_store_close(&st);
}

static void check_after(const char *path, const char *promised, size_t n)
{
	unsigned char data[SIZE];
	struct pfs_store *st = must_open(path);
	struct pfs_id id;

	pfs_store_id(st, PFS_KIND_CHUNK, data, fill(data, 1), &id);
	for (unsigned i = 0; i < OBJECTS; i++)
		CHECK(i == 1 || get(st, i) == 0, "object %u", i);
	for (unsigned i = 100; n > 0 && i < 100 + OBJECTS; i++)
		CHECK(get(st, i) == 0, "object %u", i);
	if (n > 1)
		CHECK(get(st, 1) == 0, "it was stored anew, durably");
	else if (n > 0)
		CHECK(!pfs_store_has(st, PFS_KIND_CHUNK, &id) || get(st, 1) == 0,
		      "the damage is forgotten");
	must_put(st, 0);
	if (n > 0)
		CHECK(get(st, 1) == 0, "what is put is whole");
	pfs_store_close(&st);
	st = must_open(path);
	CHECK(n == 0 || get(st, 1) == 0, "also after that");
	pfs_store_close(&st);
}

static int story(enum pfs_fault_mode mode, unsigned at)
{
	struct scratch dir = scratch_new();
	char store[300], promised[2];
	struct pfs_store *st;
	struct cutoff_heard heard = { promised, sizeof(promised), 0 };
	bool reached;

	snprintf(store, sizeof(store), "%s/store", dir.path);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	st = must_open(store);
	must_put(st, 0);
	pfs_store_close(&st);
	damage(store, 1);
	reached = cutoff(mode, at, tell, store, &heard);
	if (mode != PFS_FAULT_STOP)
		CHECK(heard.len == sizeof(promised), "point %u: only %zu promises", at, heard.len);
	check_after(store, promised, heard.len);
	scratch_fini(&dir);
	return reached;
}

int main(void)
{
#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	pfs_packwriter_set_targets(20000, 20000);
	for (size_t m = 0; m < CUTOFF_MODES; m++) {
		unsigned at = 1;

		while (story(cutoff_modes[m].mode, at))
			at++;
		printf("%s: %u points\n", cutoff_modes[m].name, at - 1);
		CHECK(at > 5, "the story has hardly any fault points");
	}
	return 0;
}
