#include "store/store.h"
#include "base/fault.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

/* A release build has no places to fail at. */
static void need_faults(void)
{
#ifdef NDEBUG
	cr_skip_test("no fault points in this build");
#endif
}

static struct pfs_id put(struct pfs_store *st, unsigned i, size_t len)
{
	static unsigned char data[1 << 20];
	struct pfs_error err = { 0 };
	struct pfs_id id;

	scratch_fill(data, len, i + 1);
	cr_assert_eq(pfs_store_put(st, PFS_KIND_DIRNODE, data, len, &id, &err), 0, "%s", err.text);
	return id;
}

static bool readable(struct pfs_store *st, unsigned i, size_t len)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	static unsigned char data[1 << 20];
	struct pfs_id id;

	scratch_fill(data, len, i + 1);
	pfs_store_id(st, PFS_KIND_DIRNODE, data, len, &id);
	if (pfs_store_get(st, PFS_KIND_DIRNODE, &id, &o, NULL) < 0)
		return false;
	cr_assert(o->len == len && memcmp(o->data, data, len) == 0);
	return true;
}

static struct pfs_store *must_open(const struct scratch *dir)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_open(dir->path, &st, &err), 0, "%s", err.text);
	return st;
}

/* The one open pack of a small store. */
static void open_pack_of(const struct scratch *dir, char out[600])
{
	char folder[300];
	struct dirent *e;
	DIR *d;

	snprintf(folder, sizeof(folder), "%s/open", dir->path);
	d = opendir(folder);
	out[0] = 0;
	while ((e = readdir(d)))
		if (strstr(e->d_name, ".pk"))
			snprintf(out, 600, "%s/%s", folder, e->d_name);
	closedir(d);
	cr_assert(out[0]);
}

/* The one sealed metadata pack. */
static void sealed_pack_of(const struct scratch *dir, char out[600])
{
	char pattern[400];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/packs/m/*/*.pk", dir->path);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	cr_assert_eq(found.gl_pathc, 1);
	snprintf(out, 600, "%s", found.gl_pathv[0]);
	globfree(&found);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void print_damage(void *arg, const char *damage)
{
	snprintf(arg, 1000, "%s", damage);
}

static int check(struct pfs_store *st, char text[1000])
{
	text[0] = 0;
	return pfs_store_check(st, print_damage, text, NULL);
}

Test(pack, cuts_a_torn_tail_at_every_byte_and_goes_on)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	uint64_t before, after;
	char path[600], text[1000];

	put(st, 1, 100);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	open_pack_of(&dir, path);
	before = size_of(path);
	put(st, 2, 333);
	pfs_store_close(&st); /* written, never promised */
	after = size_of(path);
	for (uint64_t cut = after; cut > before; cut -= 3) {
		cr_assert_eq(truncate(path, (off_t)cut), 0);
		st = must_open(&dir);
		cr_expect(readable(st, 1, 100));
		cr_expect(cut == after || !readable(st, 2, 333));
		cr_expect_eq(check(st, text), 0, "%s", text);
		put(st, 2, 333);
		cr_expect(readable(st, 2, 333));
		pfs_store_close(&st);
		cr_expect_eq(size_of(path), after, "did not go on in the same pack");
	}
	scratch_fini(&dir);
}

Test(pack, cuts_nothing_that_was_durable)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	unsigned char byte = 0;
	char path[600], text[1000];
	uint64_t size;
	int fd;

	for (unsigned i = 0; i < 5; i++)
		put(st, i, 500);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	pfs_store_close(&st);
	open_pack_of(&dir, path);
	size = size_of(path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, &byte, 1, 64 + 2), 1); /* in the first record's magic */
	close(fd);
	st = must_open(&dir);
	cr_expect_not(readable(st, 0, 500));
	for (unsigned i = 1; i < 5; i++)
		cr_expect(readable(st, i, 500), "%u was cut off", i);
	cr_expect_eq(check(st, text), 1);
	cr_expect(strstr(text, "at 64"), "%s", text);
	put(st, 0, 500); /* what is damaged can be stored again */
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	pfs_store_close(&st);
	cr_expect_eq(size_of(path), size, "the damaged pack was touched");
	st = must_open(&dir);
	for (unsigned i = 0; i < 5; i++)
		cr_expect(readable(st, i, 500), "%u after the repair", i);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, is_sealed_at_its_size_and_read_by_its_footer)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_store_stats stats, again;
	char text[1000];

	for (unsigned i = 0; i < 40; i++)
		put(st, i, 1 << 20);
	put(st, 100, 10);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	pfs_store_stats(st, &stats);
	cr_expect_eq(stats.packs, 3, "%llu packs", (unsigned long long)stats.packs);
	pfs_store_close(&st);
	st = must_open(&dir);
	pfs_store_stats(st, &again);
	cr_expect(again.objects == 41 && again.packs == 3 &&
		  again.object_bytes == stats.object_bytes && again.pack_bytes == stats.pack_bytes);
	for (unsigned i = 0; i < 40; i++)
		cr_expect(readable(st, i, 1 << 20));
	cr_expect(readable(st, 100, 10));
	cr_expect_eq(check(st, text), 0, "%s", text);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, is_one_file_and_one_flush_for_a_small_commit)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_store_stats stats;
	struct pfs_id id;

	need_faults();
	cr_assert_eq(pfs_store_put(st, PFS_KIND_CHUNK, "bytes", 5, &id, NULL), 0);
	put(st, 1, 1000);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	pfs_store_stats(st, &stats);
	cr_expect_eq(stats.packs, 1);
	put(st, 2, 1000);
	pfs_fault_arm(PFS_FAULT_FAIL, 1000);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	cr_expect_eq(pfs_fault_count(), 3, "write, flush, note: %u points", pfs_fault_count());
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	cr_expect_eq(pfs_fault_count(), 3, "a sync with nothing to do did something");
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, refuses_a_second_process)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir), *second = NULL;
	struct pfs_error err = { 0 };

	cr_expect_eq(pfs_store_open(dir.path, &second, &err), PFS_E_BUSY);
	cr_expect(strstr(err.text, "another process") && strstr(err.text, dir.path), "%s",
		  err.text);
	pfs_store_close(&st);
	st = must_open(&dir);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, moves_to_another_pack_when_a_flush_fails)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_store_stats stats;
	struct pfs_error err = { 0 };
	char first[600], text[1000];

	need_faults();
	put(st, 1, 1000);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	open_pack_of(&dir, first);
	put(st, 2, 1000);
	pfs_fault_arm(PFS_FAULT_FAIL, 2); /* 1 the write, 2 the flush */
	cr_expect_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	pfs_store_stats(st, &stats);
	cr_expect_eq(stats.packs, 2);
	pfs_store_close(&st);
	/* What the failed flush left is as if the power had gone. */
	cr_assert_eq(truncate(first, 64 + 1056), 0);
	st = must_open(&dir);
	cr_expect(readable(st, 1, 1000) && readable(st, 2, 1000));
	cr_expect_eq(check(st, text), 0, "%s", text);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, goes_on_elsewhere_when_it_cannot_be_written)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_store_stats stats;
	struct pfs_error err = { 0 };
	char text[1000];

	need_faults();
	put(st, 0, 1000);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	put(st, 1, 1 << 20);
	/* No put fails, and what is in the buffer can be read as before. */
	pfs_fault_arm(PFS_FAULT_FAIL, 1);
	put(st, 2, 1 << 20);
	cr_expect_geq(pfs_fault_count(), 1);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	for (unsigned i = 0; i < 3; i++)
		cr_expect(readable(st, i, i ? 1 << 20 : 1000), "%u", i);
	cr_expect_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
	pfs_store_stats(st, &stats);
	cr_expect_eq(stats.packs, 2);
	pfs_store_close(&st);
	st = must_open(&dir);
	for (unsigned i = 0; i < 3; i++)
		cr_expect(readable(st, i, i ? 1 << 20 : 1000), "%u after a restart", i);
	cr_expect_eq(check(st, text), 0, "%s", text);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, says_so_until_what_was_lost_is_put_again)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_error err = { 0 };
	char path[600], text[1000];
	struct pfs_id lost;

	need_faults();
	put(st, 1, 1000);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	open_pack_of(&dir, path);
	lost = put(st, 2, 1000);
	cr_expect_eq(check(st, text), 0);           /* writes the buffer out */
	cr_assert_eq(truncate(path, 64 + 1056), 0); /* ... and the disk forgets it */
	pfs_fault_arm(PFS_FAULT_FAIL, 1);
	cr_expect_lt(pfs_store_sync(st, &err), 0);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	cr_expect_not(pfs_store_has(st, PFS_KIND_DIRNODE, &lost));
	cr_expect_not(readable(st, 2, 1000));
	cr_expect(readable(st, 1, 1000));
	put(st, 3, 10);
	cr_expect_eq(pfs_store_sync(st, &err), PFS_E_IO);
	cr_expect(strstr(err.text, "put them again"), "%s", err.text);
	put(st, 2, 1000);
	cr_expect_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
	cr_expect(readable(st, 2, 1000) && readable(st, 3, 10));
	pfs_store_close(&st);
	st = must_open(&dir);
	cr_expect(readable(st, 1, 1000) && readable(st, 2, 1000) && readable(st, 3, 10));
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, stores_anew_what_was_found_damaged)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	char path[600], text[1000];
	struct pfs_id id;
	int fd;

	id = put(st, 1, 1000);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	open_pack_of(&dir, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "damage", 6, 64 + 56 + 500), 6);
	close(fd);
	cr_expect(pfs_store_has(st, PFS_KIND_DIRNODE, &id), "nobody has looked yet");
	cr_expect_not(readable(st, 1, 1000));
	cr_expect_not(pfs_store_has(st, PFS_KIND_DIRNODE, &id));
	put(st, 1, 1000);
	cr_expect(pfs_store_has(st, PFS_KIND_DIRNODE, &id));
	cr_expect(readable(st, 1, 1000));
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	cr_expect_eq(check(st, text), 1, "the damaged copy is still there");
	pfs_store_close(&st);
	st = must_open(&dir);
	cr_expect(readable(st, 1, 1000));
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(pack, reads_the_newest_copy_after_a_repair_and_a_restart)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	char path[600];
	int fd;

	put(st, 1, 1000);
	for (unsigned i = 0; i < 17; i++) /* the pack fills up and is sealed */
		put(st, 100 + i, 1 << 20);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	pfs_store_close(&st);
	sealed_pack_of(&dir, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "damage", 6, 64 + 56 + 500), 6);
	close(fd);
	for (int restart = 0; restart < 3; restart++) {
		st = must_open(&dir);
		cr_expect_eq(readable(st, 1, 1000), restart > 0, "restart %d", restart);
		put(st, 1, 1000);
		cr_assert_eq(pfs_store_sync(st, NULL), 0);
		cr_expect(readable(st, 1, 1000));
		pfs_store_close(&st);
	}
	scratch_fini(&dir);
}

Test(pack, does_not_give_new_keys_to_packs_without_their_superblock)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_error err = { 0 };
	char path[300];

	pfs_store_close(&st);
	snprintf(path, sizeof(path), "%s/STORE", dir.path);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(pfs_store_open(dir.path, &st, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "STORE"), "%s", err.text);
	scratch_fini(&dir);
}

Test(pack, opens_from_either_copy_of_the_superblock)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	char path[300], text[1000];

	put(st, 1, 100);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	pfs_store_close(&st);
	snprintf(path, sizeof(path), "%s/STORE", dir.path);
	for (off_t copy = 0; copy < 2; copy++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		unsigned char byte, damaged;

		cr_assert_eq(pread(fd, &byte, 1, copy * 4096 + 70), 1);
		damaged = byte ^ 4;
		cr_assert_eq(pwrite(fd, &damaged, 1, copy * 4096 + 70), 1);
		st = must_open(&dir);
		cr_expect(readable(st, 1, 100));
		cr_expect_eq(check(st, text), 1);
		cr_expect(strstr(text, copy ? "copy B" : "copy A"), "%s", text);
		pfs_store_close(&st);
		cr_assert_eq(pwrite(fd, &byte, 1, copy * 4096 + 70), 1);
		close(fd);
	}
	scratch_fini(&dir);
}
