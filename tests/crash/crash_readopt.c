/*
 * An adopted file whose table was lost, or is damaged, is adopted once more, and
 * that is cut off at its n-th fault point for every n: by the process ending
 * there, by an I/O error, by a full disk. Its bytes stay, the next one comes to
 * the end, and then nothing is left of the first.
 */
#include "../cutoff.h"
#include "store/readopt.h"
#include "tree/content.h"
#include "base/io.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 700000u

static unsigned char bytes[SIZE];

static void must(int rc, const struct pfs_error *err)
{
	CHECK(rc >= 0, "%s", err->text);
}

static struct pfs_store *open_store(const char *dir)
{
	struct pfs_error err = { 0 };
	struct pfs_store *st = NULL;
	char path[300];

	snprintf(path, sizeof(path), "%.250s/store", dir);
	must(pfs_store_open(path, &st, &err), &err);
	return st;
}

static struct pfs_content adopt(const char *dir)
{
	struct pfs_store *st = open_store(dir);
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	struct pfs_content c;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%.250s/file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(pfs_io_pwrite(fd, bytes, SIZE, 0, &err), &err);
	must(pfs_adoption_begin(st, &a, &err), &err);
	must(pfs_content_survey_fd(st, fd, SIZE, NULL, a, &c, &err), &err);
	close(fd);
	must(pfs_adoption_commit(&a, AT_FDCWD, path, &err), &err);
	must(pfs_store_sync(st, &err), &err);
	unlink(path);
	pfs_store_close(&st);
	return c;
}

/* How many files end so; the first is damaged when `lose` says how. */
static size_t files(const char *dir, const char *end, void (*lose)(const char *path))
{
	char pattern[400];
	glob_t found;
	size_t n;

	snprintf(pattern, sizeof(pattern), "%.250s/store/packs/a/*/*.%s", dir, end);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	n = found.gl_pathc;
	if (lose)
		lose(found.gl_pathv[0]);
	globfree(&found);
	return n;
}

static void remove_table(const char *path)
{
	CHECK(unlink(path) == 0, "%s", path);
}

static void damage_table(const char *path)
{
	FILE *f = fopen(path, "r+");

	CHECK(f && fseek(f, 100, SEEK_SET) == 0 && fputs("bad", f) >= 0, "%s", path);
	fclose(f);
}

static int survey(void *arg, int fd, uint64_t size, struct pfs_adoption *a, struct pfs_error *err)
{
	struct pfs_content c;

	return pfs_content_survey_fd(arg, fd, size, NULL, a, &c, err);
}

static void ignore(void *arg, const char *damage)
{
}

/* What was damaged is found out by a look. */
static int readopt(struct pfs_store *st, struct pfs_error *err)
{
	const struct pfs_readoption how = { .survey = survey, .arg = st };
	int rc = pfs_store_check(st, ignore, NULL, err);

	return rc < 0 ? rc : pfs_store_readopt(st, &how, err);
}

static void check_after(const char *dir, const struct pfs_content *c)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	static unsigned char got[SIZE];
	struct pfs_store *st = open_store(dir);
	struct pfs_error err = { 0 };
	size_t n = 0;

	must(readopt(st, &err), &err);
	for (int again = 0; again < 2; again++) {
		CHECK(pfs_store_check(st, ignore, NULL, &err) == 0, "adopted, and there is damage");
		must(pfs_content_reader_open(st, c, &r, &err), &err);
		must(pfs_content_read(r, 0, got, SIZE, &n, &err), &err);
		CHECK(n == SIZE && memcmp(got, bytes, SIZE) == 0, "other bytes");
		pfs_content_reader_close(&r);
		pfs_store_close(&st);
		st = open_store(dir);
	}
	pfs_store_close(&st);
	/* Or none, when it could not be flushed and its pieces went to packs of our own. */
	CHECK(files(dir, "pk", NULL) <= 1 && files(dir, "pt", NULL) == files(dir, "pk", NULL) &&
		      files(dir, "*", NULL) == 2 * files(dir, "pk", NULL),
	      "%zu files are left", files(dir, "*", NULL));
}

/* In the child. A failure is met by trying again. */
static void tell(void *dir, int fd)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	unsigned tries = 0;
	char path[300];

	snprintf(path, sizeof(path), "%.250s/store", (char *)dir);
	while (pfs_store_open(path, &st, &err) < 0)
		CHECK(++tries < 3, "does not open again: %s", err.text);
	for (int i = 0; i < 2; i++)
		readopt(st, &err);
	pfs_store_close(&st);
}

/* True while the story did reach fault point `at`. */
static bool story(void (*lose)(const char *path), bool indexed, enum pfs_fault_mode mode,
		  unsigned at)
{
	struct scratch dir = scratch_new();
	struct pfs_content c = adopt(dir.path);
	struct pfs_error err = { 0 };
	bool reached;

	if (indexed) {
		struct pfs_store *st = open_store(dir.path);

		must(pfs_store_rebuild_index(st, &err), &err);
		pfs_store_close(&st);
	}
	CHECK(files(dir.path, "pt", lose) == 1, "no table");
	reached = cutoff(mode, at, tell, dir.path, NULL);
	check_after(dir.path, &c);
	scratch_fini(&dir);
	return reached;
}

int main(void)
{
#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	scratch_fill(bytes, SIZE, 17);
	for (size_t m = 0; m < CUTOFF_MODES; m++) {
		for (unsigned how = 0; how < 4; how++) {
			unsigned at = 1;

			while (story(how & 1 ? remove_table : damage_table, how & 2,
				     cutoff_modes[m].mode, at))
				at++;
			printf("%s, table %s, index %s: %u points\n", cutoff_modes[m].name,
			       how & 1 ? "lost" : "damaged", how & 2 ? "there" : "none", at - 1);
			CHECK(at > 10, "hardly any fault points");
		}
	}
	return 0;
}
