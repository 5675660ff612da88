#include "store/adoption.h"
#include "store/doubts.h"
#include "store/health.h"
#include "store/pack.h"
#include "base/limits.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECES 3u
#define LEN    70001u

static struct scratch dir;
static struct pfs_store *st;

static void must_open(void)
{
	struct pfs_error err = { 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/store", dir.path);
	cr_assert_eq(pfs_store_open(path, &st, &err), 0, "%s", err.text);
}

static void reopen(void)
{
	pfs_store_close(&st);
	must_open();
}

static void setup(void)
{
	dir = scratch_new();
	must_open();
}

static void teardown(void)
{
	pfs_store_close(&st);
	scratch_fini(&dir);
}

TestSuite(doubts, .init = setup, .fini = teardown, .timeout = 120);

static const unsigned char *piece(unsigned i)
{
	static unsigned char data[LEN];

	scratch_fill(data, LEN, 7000 + i);
	return data;
}

static struct pfs_id id_of(unsigned i)
{
	struct pfs_id id;

	pfs_store_id(st, PFS_KIND_CHUNK, piece(i), LEN, &id);
	return id;
}

static void put(unsigned i)
{
	struct pfs_error err = { 0 };
	struct pfs_id id;

	cr_assert_eq(pfs_store_put(st, PFS_KIND_CHUNK, piece(i), LEN, &id, &err), 0, "%s",
		     err.text);
	cr_assert_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
}

static void adopt(void)
{
	struct pfs_adoption *a = NULL;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/file", dir.path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert(fd >= 0, "%s", path);
	cr_assert_eq(pfs_adoption_begin(st, &a, NULL), 0);
	for (unsigned i = 0; i < PIECES; i++) {
		struct pfs_store_item item = { .data = piece(i), .len = LEN };

		cr_assert_eq(pwrite(fd, item.data, LEN, (off_t)i * LEN), LEN);
		cr_assert_eq(pfs_adoption_add(a, (uint64_t)i * LEN, &item, 1, NULL), 0);
	}
	close(fd);
	cr_assert_eq(pfs_adoption_commit(&a, AT_FDCWD, path, NULL), 0);
	unlink(path);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
}

/* Turn a bit of a piece in the one adopted file, over or back. */
static void flip(unsigned i)
{
	char pattern[400];
	unsigned char byte;
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/store/packs/a/*/*.pk", dir.path);
	cr_assert(glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1);
	fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
	cr_assert(fd >= 0 && pread(fd, &byte, 1, (off_t)i * LEN + 100) == 1);
	byte ^= 1;
	cr_assert_eq(pwrite(fd, &byte, 1, (off_t)i * LEN + 100), 1);
	close(fd);
	globfree(&found);
}

static bool has(unsigned i)
{
	struct pfs_id id = id_of(i);

	return pfs_store_has(st, PFS_KIND_CHUNK, &id);
}

static int get(unsigned i)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_id id = id_of(i);
	int rc = pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, NULL);

	if (rc == 0)
		cr_assert(o->len == LEN && memcmp(o->data, piece(i), LEN) == 0, "wrong bytes");
	return rc;
}

struct told {
	unsigned reports, lost;
	char text[2000];
};

static void report(void *arg, const char *damage)
{
	struct told *t = arg;

	t->reports++;
	snprintf(t->text + strlen(t->text), sizeof(t->text) - strlen(t->text), "%s\n", damage);
}

static void lost(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	((struct told *)arg)->lost++;
}

static int examine(bool thorough, struct told *t)
{
	const struct pfs_examination x = {
		.thorough = thorough, .index = true, .report = report, .lost = lost, .arg = t
	};

	memset(t, 0, sizeof(*t));
	return pfs_store_examine(st, &x, NULL);
}

static void damaged_path(char out[400])
{
	snprintf(out, 400, "%s/store/damaged", dir.path);
}

static bool is_written(void)
{
	char path[400];

	damaged_path(path);
	return access(path, F_OK) == 0;
}

Test(doubts, damage_that_a_check_found_is_known_after_a_restart)
{
	struct told t;

	adopt();
	reopen();
	cr_expect_eq(examine(true, &t), 0, "%s", t.text);
	cr_expect_not(is_written(), "nothing was found");
	flip(1);
	cr_expect_eq(examine(true, &t), 1);
	for (int i = 0; i < 2; i++) {
		reopen();
		cr_expect(has(0) && !has(1) && has(2));
		cr_expect(pfs_store_knows_damage(st));
		cr_expect_eq(examine(false, &t), 1, "a quick look tells of it");
		cr_expect(t.reports == 1 && t.lost == 1 && strstr(t.text, " at 70001: "), "%s",
			  t.text);
	}
	put(1);
	cr_expect_eq(get(1), 0);
	reopen();
	cr_expect(has(1));
	cr_expect_eq(get(1), 0);
	cr_expect_not(pfs_store_knows_damage(st), "nobody comes upon it");
	cr_expect_eq(examine(false, &t), 0, "%s", t.text);
}

Test(doubts, damage_that_a_read_found_is_written_before_the_process_ends)
{
	struct stat before, after;
	char path[400];

	adopt();
	flip(2);
	reopen(); /* out of the cache */
	cr_expect(has(2));
	cr_expect_eq(get(2), PFS_E_CORRUPT);
	damaged_path(path);
	cr_assert_eq(stat(path, &before), 0);
	cr_expect_eq(before.st_size, 64 + 56 + 4);
	cr_expect_eq(get(2), PFS_E_CORRUPT);
	cr_assert_eq(stat(path, &after), 0);
	cr_expect_eq(before.st_ino, after.st_ino, "it is written once");
	reopen();
	cr_expect_not(has(2));
}

/* The pack that is being written is older than the adopted file, by its number. */
Test(doubts, a_whole_copy_in_an_older_pack_is_found_after_a_restart)
{
	put(100);
	adopt();
	flip(0);
	reopen();
	cr_expect_eq(get(0), PFS_E_CORRUPT);
	put(0);
	cr_expect_eq(get(0), 0);
	for (int i = 0; i < 3; i++) {
		reopen();
		cr_expect(has(0));
		cr_expect_eq(get(0), 0);
		cr_assert_eq(pfs_store_rebuild_index(st, NULL), 0);
		cr_expect(has(0));
		cr_expect_eq(get(0), 0);
	}
}

Test(doubts, an_index_made_anew_makes_nothing_whole)
{
	adopt();
	flip(0);
	reopen();
	cr_expect_eq(get(0), PFS_E_CORRUPT);
	cr_assert_eq(pfs_store_rebuild_index(st, NULL), 0);
	cr_expect_not(has(0));
	reopen();
	cr_expect_not(has(0));
	cr_assert_eq(pfs_store_rebuild_index(st, NULL), 0);
	cr_expect_not(has(0));
	cr_expect(has(1));
}

Test(doubts, bytes_that_are_back_are_believed_again)
{
	struct told t;

	adopt();
	flip(0);
	cr_expect_eq(examine(true, &t), 1);
	flip(0);
	reopen();
	cr_expect_not(has(0));
	cr_expect_eq(examine(true, &t), 0, "%s", t.text);
	cr_expect(has(0));
	reopen();
	cr_expect(has(0));
	cr_expect_not(pfs_store_knows_damage(st));
}

Test(doubts, a_pack_that_is_gone_takes_them_along)
{
	char command[600];
	struct told t;

	adopt();
	flip(0);
	cr_expect_eq(examine(true, &t), 1);
	cr_expect(pfs_store_knows_damage(st));
	pfs_store_close(&st);
	snprintf(command, sizeof(command), "rm -rf %s/store/packs/a", dir.path);
	cr_assert_eq(system(command), 0);
	must_open();
	cr_expect_not(pfs_store_knows_damage(st));
}

Test(doubts, a_disk_that_takes_nothing_fails_no_read)
{
	char path[400];

	adopt();
	flip(0);
	reopen();
	damaged_path(path);
	memcpy(path + strlen(path), ".new", 5);
	cr_assert_eq(mkdir(path, 0700), 0); /* in the way of the temporary file */
	cr_expect_eq(get(0), PFS_E_CORRUPT);
	cr_expect_not(has(0), "it is known in memory");
	cr_expect_eq(get(1), 0);
	cr_expect_not(is_written());
	rmdir(path);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	cr_expect(is_written(), "and is written when the disk takes it");
}

static void spoil(long at, int c)
{
	char path[400];
	FILE *f;

	damaged_path(path);
	f = fopen(path, "r+");
	cr_assert(f);
	fseek(f, at, SEEK_SET);
	fputc(c, f);
	fclose(f);
}

Test(doubts, a_list_that_is_damaged_itself_is_told_and_put_away)
{
	static const long places[] = { 0, 4, 7, 10, 24, 30, 70, 122 };
	struct told t;

	adopt();
	flip(0);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		cr_assert_eq(examine(true, &t), 1);
		pfs_store_close(&st);
		spoil(places[i], 0xee);
		must_open();
		cr_expect(has(0), "what it said is not known");
		cr_expect_eq(examine(false, &t), 1);
		cr_expect(strstr(t.text, "damaged was put away"), "byte %ld: %s", places[i],
			  t.text);
		cr_expect_eq(examine(false, &t), 0, "%s", t.text);
	}
}

Test(doubts, a_list_that_goes_or_rots_under_an_open_store_is_written_anew)
{
	char path[400];
	struct told t;

	adopt();
	flip(0);
	cr_assert_eq(examine(true, &t), 1);
	damaged_path(path);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(examine(false, &t), 1);
	cr_expect(t.reports == 2 && strstr(t.text, "damaged is written anew"), "%s", t.text);
	cr_expect(is_written());
	spoil(70, 0xee);
	cr_expect_eq(examine(false, &t), 1);
	cr_expect(t.reports == 2 && strstr(t.text, "checksum"), "%s", t.text);
	reopen();
	cr_expect_not(has(0));
	cr_expect_eq(examine(false, &t), 1);
	cr_expect_eq(t.reports, 1, "%s", t.text);
}

static void tell(void *arg, const char *what, const char *text)
{
	report(arg, text);
}

Test(doubts, there_are_so_many_and_no_more)
{
	static const unsigned char uuid[PFS_UUID_SIZE] = "this store";
	struct pfs_doubt row = { .pack = "some pack" };
	struct pfs_doubts d = { .n = 0 }, again = { .n = 0 };
	struct told t = { 0 };
	int fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	pfs_doubts_init(&d);
	pfs_doubts_init(&again);
	for (uint64_t i = 0; i <= PFS_DOUBTS_MAX; i++) {
		if (i == PFS_DOUBTS_MAX) {
			pfs_doubts_check(&d, fd, uuid, tell, &t);
			cr_expect_eq(t.reports, 0, "%s", t.text);
		}
		row.off = i;
		pfs_doubts_add(&d, &row);
		pfs_doubts_add(&d, &row);
	}
	cr_expect_eq(pfs_doubts_count(&d), PFS_DOUBTS_MAX);
	cr_expect_not(pfs_doubts_has(&d, &row));
	pfs_doubts_check(&d, fd, uuid, tell, &t);
	cr_expect(t.reports == 1 && strstr(t.text, "more damage"), "%s", t.text);
	pfs_doubts_load(&again, fd, uuid);
	cr_expect_eq(pfs_doubts_count(&again), PFS_DOUBTS_MAX);
	row.off = 77;
	cr_expect(pfs_doubts_has(&again, &row));
	pfs_doubts_fini(&d);
	pfs_doubts_fini(&again);
	close(fd);
}
