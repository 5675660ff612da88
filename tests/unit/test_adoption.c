#include "store/adoption.h"
#include "store/pack.h"
#include "base/fault.h"
#include "base/limits.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECES 20u
#define LEN    70001u /* no multiple of anything */

/* A release build has no places to fail at. */
static void need_faults(void)
{
#ifdef NDEBUG
	cr_skip_test("no fault points in this build");
#endif
}

static struct pfs_store *must_open(const struct scratch *dir)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/store", dir->path);
	cr_assert_eq(pfs_store_open(path, &st, &err), 0, "%s", err.text);
	return st;
}

static const unsigned char *piece(unsigned i)
{
	static unsigned char data[LEN];

	scratch_fill(data, LEN, 7000 + i);
	return data;
}

/* File "file" of the folder: `n` pieces, of which the first has number `first`. */
static struct pfs_adoption *survey(struct pfs_store *st, const char *path, unsigned first,
				   unsigned n)
{
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert(fd >= 0, "%s", path);
	cr_assert_eq(pfs_adoption_begin(st, &a, NULL), 0);
	for (unsigned i = 0; i < n; i++) {
		struct pfs_store_item item = { .data = piece(first + i), .len = LEN };

		cr_assert_eq(pwrite(fd, item.data, LEN, (off_t)i * LEN), LEN);
		cr_assert_eq(pfs_adoption_add(a, (uint64_t)i * LEN, &item, 1, &err), 0, "%s",
			     err.text);
	}
	close(fd);
	return a;
}

static void file_of(const struct scratch *dir, char out[300])
{
	snprintf(out, 300, "%s/file", dir->path);
}

/* Survey and commit; the file's own name goes, as its owner would do. */
static int adopt(struct pfs_store *st, const struct scratch *dir, unsigned first, unsigned n,
		 struct pfs_error *err)
{
	struct pfs_adoption *a;
	char path[300];
	int rc;

	file_of(dir, path);
	a = survey(st, path, first, n);
	rc = pfs_adoption_commit(&a, AT_FDCWD, path, err);
	unlink(path);
	return rc;
}

static unsigned readable(struct pfs_store *st, unsigned first, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = first; i < first + n; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		struct pfs_id id;

		pfs_store_id(st, PFS_KIND_CHUNK, piece(i), LEN, &id);
		if (pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, NULL) < 0)
			continue;
		cr_assert(o->len == LEN && memcmp(o->data, piece(i), LEN) == 0, "wrong bytes");
		found++;
	}
	return found;
}

/* The first file of this kind, "pk", "pt" or "new", among adopted packs; how many there are. */
static size_t adopted_files(const struct scratch *dir, const char *suffix, char out[600])
{
	char pattern[400];
	glob_t found;
	size_t n = 0;

	snprintf(pattern, sizeof(pattern), "%s/store/packs/a/*/*.%s", dir->path, suffix);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	n = found.gl_pathc;
	snprintf(out, 600, "%s", found.gl_pathv[0]);
	globfree(&found);
	return n;
}

static void give_other_end(const struct scratch *dir, const char *suffix, const char *end)
{
	char path[600], to[600];

	cr_assert_eq(adopted_files(dir, suffix, path), 1);
	snprintf(to, sizeof(to), "%.*s%s", (int)(strrchr(path, '.') - path), path, end);
	cr_assert_eq(rename(path, to), 0);
}

static void last_damage(void *arg, const char *damage)
{
	snprintf(arg, 1000, "%s", damage);
}

static int check(struct pfs_store *st, char text[1000])
{
	text[0] = 0;
	return pfs_store_check(st, last_damage, text, NULL);
}

static void must_sync(struct pfs_store *st)
{
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
}

Test(adoption, makes_the_file_itself_a_pack)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_adoption *a;
	struct stat mine, theirs;
	char path[300], pack[600], table[600], text[1000];

	file_of(&dir, path);
	a = survey(st, path, 0, PIECES);
	cr_assert_eq(pfs_adoption_commit(&a, AT_FDCWD, path, NULL), 0);
	cr_assert_eq(adopted_files(&dir, "new", pack), 1);
	cr_assert(stat(path, &mine) == 0 && stat(pack, &theirs) == 0);
	cr_expect(mine.st_ino == theirs.st_ino && mine.st_nlink == 2, "it was copied");
	cr_expect_eq(adopted_files(&dir, "pt", table), 0, "a table before the bytes are durable");
	cr_expect_eq(readable(st, 0, PIECES), PIECES);
	must_sync(st);
	cr_expect_eq(adopted_files(&dir, "pt", table), 1);
	cr_expect_eq(adopted_files(&dir, "pk", pack), 1);
	cr_expect_eq(adopted_files(&dir, "new", table), 0);
	cr_assert_eq(unlink(path), 0);
	for (int restart = 0; restart < 2; restart++) {
		cr_expect_eq(readable(st, 0, PIECES), PIECES);
		cr_expect_eq(check(st, text), 0, "%s", text);
		pfs_store_close(&st);
		st = must_open(&dir);
	}
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(adoption, promises_nothing_before_a_sync)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	char path[600];

	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	pfs_store_close(&st);
	cr_expect_eq(adopted_files(&dir, "*", path), 0, "%s is left", path);
	/* As a crash leaves it: a file, and a table that was half written. */
	st = must_open(&dir);
	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	must_sync(st);
	pfs_store_close(&st);
	give_other_end(&dir, "pt", ".pt.new");
	give_other_end(&dir, "pk", ".new");
	st = must_open(&dir);
	cr_expect_eq(readable(st, 0, PIECES), 0);
	cr_expect_eq(adopted_files(&dir, "*", path), 0, "%s is left", path);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(adoption, with_its_table_a_file_is_there_whatever_it_is_called)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	char path[600], text[1000];

	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	must_sync(st);
	pfs_store_close(&st);
	give_other_end(&dir, "pk", ".new");
	st = must_open(&dir);
	cr_expect_eq(readable(st, 0, PIECES), PIECES);
	cr_expect_eq(adopted_files(&dir, "pk", path), 1);
	cr_expect_eq(check(st, text), 0, "%s", text);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

/* Whoever opens a FIFO waits for somebody at its other end. */
Test(adoption, what_is_no_file_in_the_place_of_one_is_damage, .timeout = 30)
{
	static const char *const ends[] = { "pt", "pk" };

	for (int i = 0; i < 2; i++) {
		struct scratch dir = scratch_new();
		struct pfs_store *st = must_open(&dir);
		char path[600], text[1000];

		cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
		must_sync(st);
		pfs_store_close(&st);
		cr_assert_eq(adopted_files(&dir, ends[i], path), 1);
		cr_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0, "%s", path);
		st = must_open(&dir);
		cr_expect_eq(check(st, text), 1, "%s", ends[i]);
		cr_expect_eq(readable(st, 0, PIECES), 0);
		pfs_store_close(&st);
		scratch_fini(&dir);
	}
}

/* Nothing that only looks removes what may be the last copy. */
Test(adoption, a_file_that_lost_its_table_is_damage_and_is_kept)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	char path[600], text[1000];

	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	must_sync(st);
	pfs_store_close(&st);
	cr_assert_eq(adopted_files(&dir, "pt", path), 1);
	cr_assert_eq(unlink(path), 0);
	for (int again = 0; again < 2; again++) {
		st = must_open(&dir);
		cr_expect_eq(check(st, text), 1);
		cr_expect(strstr(text, ".pt"), "%s", text);
		pfs_store_close(&st);
		cr_expect_eq(adopted_files(&dir, "pk", path), 1, "it was removed");
	}
	scratch_fini(&dir);
}

Test(adoption, copies_what_is_new_of_a_file_that_is_mostly_known)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_store_stats before, after;
	char path[600], text[1000];

	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	must_sync(st);
	pfs_store_stats(st, &before);
	cr_assert_eq(adopt(st, &dir, PIECES / 2 - 1, PIECES, NULL), 0);
	must_sync(st);
	pfs_store_stats(st, &after);
	cr_expect_eq(adopted_files(&dir, "pk", path), 1, "a file of known pieces was adopted");
	cr_expect_eq(after.objects, before.objects + PIECES / 2 - 1);
	cr_expect_eq(readable(st, 0, PIECES + PIECES / 2 - 1), PIECES + PIECES / 2 - 1);
	cr_assert_eq(adopt(st, &dir, PIECES, PIECES, NULL), 0);
	must_sync(st);
	cr_expect_eq(adopted_files(&dir, "pk", path), 2, "half of it is new");
	cr_expect_eq(check(st, text), 0, "%s", text);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(adoption, copies_a_file_of_another_file_system)
{
	struct scratch dir = scratch_new(), elsewhere = { "/dev/shm/pfs-test-XXXXXX" };
	struct pfs_store *st = must_open(&dir);
	struct stat here, there;
	char path[600];

	if (!mkdtemp(elsewhere.path) || stat(dir.path, &here) < 0 ||
	    stat(elsewhere.path, &there) < 0 || here.st_dev == there.st_dev)
		cr_skip_test("there is no other file system");
	cr_assert_eq(adopt(st, &elsewhere, 0, PIECES, NULL), 0);
	cr_expect_eq(adopted_files(&dir, "pk", path), 0);
	cr_expect_eq(readable(st, 0, PIECES), PIECES);
	must_sync(st);
	pfs_store_close(&st);
	scratch_fini(&elsewhere);
	scratch_fini(&dir);
}

Test(adoption, tells_of_damage_and_is_repaired_by_a_put)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_error err = { 0 };
	const struct pfs_object *o = NULL;
	char path[600], text[1000];
	struct pfs_id id;
	int fd;

	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	must_sync(st);
	cr_assert_eq(adopted_files(&dir, "pk", path), 1);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "damage", 6, 3 * LEN + 1000), 6);
	close(fd);
	pfs_store_id(st, PFS_KIND_CHUNK, piece(3), LEN, &id);
	cr_expect_eq(pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "at 210003"), "%s", err.text);
	cr_expect_eq(readable(st, 0, PIECES), PIECES - 1);
	cr_expect_eq(check(st, text), 1);
	cr_expect(strstr(text, "at 210003"), "%s", text);
	cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &id));
	cr_assert_eq(pfs_store_put(st, PFS_KIND_CHUNK, piece(3), LEN, &id, NULL), 0);
	must_sync(st);
	for (int restart = 0; restart < 2; restart++) {
		cr_expect_eq(readable(st, 0, PIECES), PIECES);
		pfs_store_close(&st);
		st = must_open(&dir);
	}
	/* Without its table nothing of the file is known; check says so for a lost file too. */
	pfs_store_close(&st);
	cr_assert_eq(unlink(path), 0);
	st = must_open(&dir);
	cr_expect_eq(readable(st, 0, PIECES), 1);
	cr_expect_eq(check(st, text), 1);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(adoption, goes_to_packs_of_our_own_when_its_file_cannot_be_flushed)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_error err = { 0 };
	char path[600], text[1000];

	need_faults();
	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	pfs_fault_arm(PFS_FAULT_FAIL, 1);
	cr_expect_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	cr_expect_eq(adopted_files(&dir, "*", path), 0, "%s is left", path);
	for (int restart = 0; restart < 2; restart++) {
		cr_expect_eq(readable(st, 0, PIECES), PIECES);
		cr_expect_eq(check(st, text), 0, "%s", text);
		pfs_store_close(&st);
		st = must_open(&dir);
	}
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(adoption, tries_again_to_write_its_table)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_error err = { 0 };
	char path[600];

	need_faults();
	for (unsigned point = 2; point < 6; point++) { /* 1 is the file's flush */
		cr_assert_eq(adopt(st, &dir, point * PIECES, PIECES, NULL), 0);
		pfs_fault_arm(PFS_FAULT_NOSPACE, point);
		cr_expect_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
		cr_expect_geq(pfs_fault_count(), point + 3, "point %u was not reached", point);
		pfs_fault_arm(PFS_FAULT_NONE, 0);
		cr_expect_eq(adopted_files(&dir, "pt", path), point - 1);
	}
	pfs_store_close(&st);
	st = must_open(&dir);
	cr_expect_eq(readable(st, 2 * PIECES, 4 * PIECES), 4 * PIECES);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(adoption, leaves_no_damage_when_its_removal_is_cut_off)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_pack pack = { .kind = PFS_PACK_ADOPTED, .sealed = 1 };
	char path[600], text[1000];
	int folder;

	need_faults();
	cr_assert_eq(adopt(st, &dir, 0, PIECES, NULL), 0);
	must_sync(st);
	pfs_store_close(&st);
	cr_assert_eq(adopted_files(&dir, "pk", path), 1);
	cr_assert(pfs_pack_parse_name(strrchr(path, '/') + 1, pack.uuid));
	snprintf(path, sizeof(path), "%s/store", dir.path);
	folder = pfs_io_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, NULL);
	pfs_fault_arm(PFS_FAULT_FAIL, 2);
	cr_expect_eq(pfs_pack_remove(folder, &pack, NULL), PFS_E_IO);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	cr_expect_eq(adopted_files(&dir, "pt", path), 0, "it is to go");
	cr_expect_eq(adopted_files(&dir, "pk", path), 1, "it has not gone");
	st = must_open(&dir);
	cr_expect_eq(check(st, text), 0, "%s", text);
	cr_expect_eq(adopted_files(&dir, "*", path), 0, "%s is left", path);
	cr_expect_eq(pfs_pack_remove(folder, &pack, NULL), 0, "what is not there is removed");
	pfs_store_close(&st);
	close(folder);
	scratch_fini(&dir);
}

Test(adoption, has_its_limits)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_store_item items[2] = { { piece(0), 10 }, { piece(0), 0 } };
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_adoption_begin(st, &a, NULL), 0);
	cr_expect_eq(pfs_adoption_add(a, PFS_ADOPTION_SIZE_MAX - 9, items, 1, &err), PFS_E_LIMIT);
	cr_expect(strstr(err.text, "1099511627777") && strstr(err.text, "1099511627776"), "%s",
		  err.text);
	cr_expect_eq(pfs_adoption_add(a, 0, items, 2, &err), PFS_E_LIMIT, "an empty piece");
	cr_expect_eq(pfs_adoption_add(a, PFS_ADOPTION_SIZE_MAX - 10, items, 1, &err), 0, "%s",
		     err.text);
	cr_expect_eq(pfs_adoption_commit(&a, AT_FDCWD, "/", &err), PFS_E_INVALID, "%s", err.text);
	cr_expect_null(a);
	pfs_store_close(&st);
	scratch_fini(&dir);
}
