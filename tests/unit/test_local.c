/* Content that is a local file: when it is given out, and when not. */
#include "store/adoption.h"
#include "store/store.h"
#include "tree/content.h"
#include "base/io.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (3u << 20)

static struct scratch dir;
static struct pfs_store *st;
static unsigned char *bytes;
static struct pfs_error err;

#define OK(call) cr_assert_eq((call), 0, "%s", err.text)

static void open_store(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/store", dir.path);
	OK(pfs_store_open(path, &st, &err));
}

static void reopen(void)
{
	pfs_store_close(&st);
	open_store();
}

static void setup(void)
{
	dir = scratch_new();
	open_store();
	bytes = malloc(SIZE);
	scratch_fill(bytes, SIZE, 11);
}

static void teardown(void)
{
	free(bytes);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

TestSuite(local, .init = setup, .fini = teardown, .timeout = 60);

/* A file of these bytes, with a hole before and behind them, becomes part of the store. */
static struct pfs_content adopt(size_t before, size_t len, size_t behind)
{
	struct pfs_adoption *a = NULL;
	struct pfs_content c;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/file", dir.path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	OK(pfs_io_pwrite(fd, bytes, len, before, &err));
	OK(ftruncate(fd, (off_t)(before + len + behind)));
	OK(pfs_adoption_begin(st, &a, &err));
	OK(pfs_content_survey_fd(st, fd, before + len + behind, NULL, a, &c, &err));
	close(fd);
	OK(pfs_adoption_commit(&a, AT_FDCWD, path, &err));
	OK(pfs_store_sync(st, &err));
	OK(unlink(path));
	return c;
}

static void read_all(const struct pfs_content *c, size_t before, size_t len)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	unsigned char *got = malloc(len);
	size_t n;

	OK(pfs_content_reader_open(st, c, &r, &err));
	OK(pfs_content_read(r, before, got, len, &n, &err));
	cr_assert_eq(memcmp(got, bytes, len), 0);
	free(got);
}

static void expect_file(const struct pfs_content *c, size_t before, size_t len)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_content_local(st, c);
	unsigned char *got = malloc(len);
	struct stat s;
	size_t n;

	cr_assert_geq(fd, 0, "there is no file");
	OK(fstat(fd, &s));
	cr_expect_eq((uint64_t)s.st_size, c->size);
	OK(pfs_io_pread(fd, got, len, before, &n, &err));
	cr_expect(n == len && memcmp(got, bytes, len) == 0, "other bytes");
	free(got);
}

static void expect_none(const struct pfs_content *c, const char *why)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_content_local(st, c);

	cr_expect_eq(fd, -1, "%s", why);
}

static void damage(off_t at)
{
	char pattern[300];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/store/packs/a/*/*.pk", dir.path);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	fd = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "bad", 3, at), 3);
	close(fd);
	globfree(&found);
}

Test(local, what_was_adopted_is_its_file)
{
	struct pfs_content c = adopt(0, SIZE, 0);

	expect_file(&c, 0, SIZE);
	expect_file(&c, 0, SIZE);
}

Test(local, holes_are_holes_of_the_file)
{
	struct pfs_content c = adopt(1 << 20, SIZE, 1 << 20);

	expect_file(&c, 1 << 20, SIZE);
}

Test(local, after_a_restart_all_of_it_is_read_first)
{
	struct pfs_content c = adopt(0, SIZE, 0);

	reopen();
	expect_none(&c, "nothing of it was checked");
	read_all(&c, 0, SIZE / 2);
	expect_none(&c, "half of it was checked");
	read_all(&c, 0, SIZE);
	expect_file(&c, 0, SIZE);
}

static void ignore(void *arg, const char *damage_text)
{
}

Test(local, a_check_of_the_store_reads_it_too)
{
	struct pfs_content c = adopt(0, SIZE, 0);

	reopen();
	cr_assert_eq(pfs_store_check(st, ignore, NULL, &err), 0);
	expect_file(&c, 0, SIZE);
}

Test(local, one_with_damage_is_not_given_out)
{
	struct pfs_content c = adopt(0, SIZE, 0);

	damage(SIZE / 2);
	cr_assert_eq(pfs_store_check(st, ignore, NULL, &err), 1);
	expect_none(&c, "it is damaged");
	reopen();
	expect_none(&c, "it still is");
}

Test(local, a_reader_who_finds_damage_is_enough)
{
	struct pfs_content c = adopt(0, SIZE, 0);
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	unsigned char *got = malloc(SIZE);
	size_t n;

	reopen();
	damage(SIZE / 2);
	OK(pfs_content_reader_open(st, &c, &r, &err));
	cr_expect_eq(pfs_content_read(r, 0, got, SIZE, &n, &err), PFS_E_CORRUPT);
	expect_none(&c, "it is damaged");
	free(got);
}

Test(local, other_content_with_the_same_beginning_is_not_that_file)
{
	struct pfs_content c = adopt(0, SIZE, 0), other;

	OK(pfs_content_from_bytes(st, bytes, SIZE - 100000, &other, &err));
	expect_none(&other, "it is shorter");
	bytes[SIZE - 1] ^= 1;
	OK(pfs_content_from_bytes(st, bytes, SIZE, &other, &err));
	expect_none(&other, "its last byte is another");
	bytes[SIZE - 1] ^= 1;
	expect_file(&c, 0, SIZE);
	expect_none(&other, "nor when the file is known");
}

Test(local, what_was_stored_piece_by_piece_is_no_file)
{
	struct pfs_content c;

	OK(pfs_content_from_bytes(st, bytes, SIZE, &c, &err));
	OK(pfs_store_sync(st, &err));
	expect_none(&c, "it is in packs");
	OK(pfs_content_from_bytes(st, bytes, 100, &c, &err));
	expect_none(&c, "it is inline");
}

/* --- what a file has several times -------------------------------------------- */

/* The second third and the last are the first. */
static void thrice(void)
{
	memcpy(bytes + SIZE / 3, bytes, SIZE / 3);
	memcpy(bytes + 2 * (SIZE / 3), bytes, SIZE / 3);
}

Test(local, of_what_a_file_has_several_times_one_place_is_read)
{
	struct pfs_content c;

	thrice();
	c = adopt(0, SIZE, 0);
	reopen();
	read_all(&c, 0, SIZE / 2);
	read_all(&c, 0, SIZE);
	expect_file(&c, 0, SIZE);
}

/* Chunks of a file that begins with one byte over and over are alike, the first of them, too. */
Test(local, a_file_may_begin_with_what_it_has_several_times)
{
	struct pfs_content c;

	memset(bytes, 'a', 2u << 20);
	c = adopt(0, SIZE, 0);
	reopen();
	for (int i = 0; i < 4; i++)
		read_all(&c, 0, SIZE);
	expect_file(&c, 0, SIZE);
}

/* An open waits for so many bytes only; the next ones read on. */
Test(local, places_that_nobody_read_are_read_some_at_a_time)
{
	const size_t len = SIZE + (12u << 20);
	unsigned char *more = malloc(len);
	struct pfs_content c;

	memset(more, 'a', len);
	memcpy(more, bytes, SIZE);
	free(bytes);
	bytes = more;
	c = adopt(0, len, 0);
	reopen();
	read_all(&c, 0, len);
	expect_none(&c, "there is more than one open reads");
	expect_none(&c, "there is more than two read");
	expect_file(&c, 0, len);
}

Test(local, damage_where_nobody_read_is_found_all_the_same)
{
	struct pfs_content c;

	thrice();
	c = adopt(0, SIZE, 0);
	reopen();
	read_all(&c, 0, SIZE);
	damage(SIZE - SIZE / 6);
	damage(SIZE / 2);
	damage(SIZE / 6);
	expect_none(&c, "one of its places is damaged");
}
