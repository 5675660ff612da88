#include "store/indexbatch.h"
#include "store/indexmerge.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned char store_uuid[PFS_UUID_SIZE] = "some store uuid";

struct world {
	struct scratch dir;
	int fd;
};

static struct world world_new(void)
{
	struct world w = { .dir = scratch_new() };

	w.fd = pfs_io_open(AT_FDCWD, w.dir.path, O_RDONLY | O_DIRECTORY, 0, NULL);
	cr_assert_eq(pfs_io_mkdir_all(w.fd, "index", NULL), 0);
	return w;
}

static void world_fini(struct world *w)
{
	pfs_fd_close(&w->fd);
	scratch_fini(&w->dir);
}

/* With `alike` all ids start with the same eight bytes: nothing but the whole id tells them apart. */
static struct pfs_idxrec record(unsigned i, uint32_t pack, bool alike)
{
	struct pfs_idxrec r = {
		.pack = pack, .off = 8ull * i, .clen = i % 1000, .ulen = 1000, .type = 1
	};

	scratch_fill(&r.id, sizeof(r.id), i + 1);
	if (alike)
		memset(r.id.bytes, 0xab, 8);
	return r;
}

/* A run of records from, from + by, ... below `to`. */
static struct pfs_indexrun *make_run(struct world *w, uint64_t number, unsigned from, unsigned to,
				     unsigned by, uint32_t pack, bool alike)
{
	struct pfs_indexrun *run = NULL;
	struct pfs_indexbatch b = { 0 };
	struct pfs_error err = { 0 };
	struct pfs_idxrun what;

	for (unsigned i = from; i < to; i += by) {
		struct pfs_idxrec r = record(i, pack, alike);

		cr_assert_eq(pfs_indexbatch_add(&b, &r, NULL), 0);
	}
	cr_assert_eq(pfs_indexbatch_sort(&b, NULL), 0);
	cr_assert_eq(pfs_indexbatch_write(&b, w->fd, store_uuid, number, 0, &what, &err), 0, "%s",
		     err.text);
	cr_assert_eq(pfs_indexrun_open(w->fd, &what, store_uuid, &run, &err), 0, "%s", err.text);
	pfs_indexbatch_fini(&b);
	return run;
}

static void expect_found(const struct pfs_indexrun *run, unsigned i, uint32_t pack, bool alike)
{
	struct pfs_idxrec want = record(i, pack, alike), got;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_indexrun_find(run, &want.id, &got, &err), 1, "%u: %s", i, err.text);
	cr_assert(got.pack == pack && got.off == want.off && got.clen == want.clen);
}

Test(indexrun, finds_all_that_was_added_and_nothing_else)
{
	static const struct {
		unsigned n;
		bool alike;
		const char *why;
	} cases[] = {
		{ 1, false, "the smallest run" },
		{ 85, false, "a page, full" },
		{ 86, false, "and one on the next" },
		{ 85 * 1020, false, "a fence page, full" },
		{ 85 * 1020 + 1, false, "and one on the next" },
		{ 1000, true, "fences all alike" },
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		struct world w = world_new();
		unsigned n = cases[c].n;
		struct pfs_indexrun *run = make_run(&w, 1, 0, 2 * n, 2, 7, cases[c].alike);
		struct pfs_error err = { 0 };

		cr_assert_eq(pfs_indexrun_what(run)->records, n);
		for (unsigned i = 0; i < n; i++) {
			struct pfs_idxrec absent = record(2 * i + 1, 7, cases[c].alike), got;

			expect_found(run, 2 * i, 7, cases[c].alike);
			cr_assert_eq(pfs_indexrun_find(run, &absent.id, &got, NULL), 0, "%s",
				     cases[c].why);
		}
		cr_expect_eq(pfs_indexrun_check(run, &err), 0, "%s: %s", cases[c].why, err.text);
		pfs_indexrun_unref(&run);
		world_fini(&w);
	}
}

Test(indexrun, keeps_the_record_added_last_when_an_id_comes_again)
{
	struct world w = world_new();
	struct pfs_indexbatch b = { 0 };
	struct pfs_indexrun *run = NULL;
	struct pfs_idxrun what;

	for (uint32_t pack = 0; pack < 5; pack++)
		for (unsigned i = 0; i < 300; i += pack + 1) {
			struct pfs_idxrec r = record(i, pack, i % 3 == 0);

			cr_assert_eq(pfs_indexbatch_add(&b, &r, NULL), 0);
		}
	cr_assert_eq(pfs_indexbatch_sort(&b, NULL), 0);
	cr_expect_eq(b.n_order, 300);
	cr_assert_eq(pfs_indexbatch_write(&b, w.fd, store_uuid, 3, 0, &what, NULL), 0);
	cr_assert_eq(pfs_indexrun_open(w.fd, &what, store_uuid, &run, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t last = 0;

		for (uint32_t pack = 0; pack < 5; pack++)
			if (i % (pack + 1) == 0)
				last = pack;
		expect_found(run, i, last, i % 3 == 0);
	}
	pfs_indexrun_unref(&run);
	pfs_indexbatch_fini(&b);
	world_fini(&w);
}

/* Packs up to 1 have gone. */
static bool keep(void *arg, const struct pfs_idxrec *rec)
{
	return rec->pack > 1;
}

Test(indexrun, becomes_one_with_others_and_the_newest_that_is_wanted_stays)
{
	struct world w = world_new();
	struct pfs_indexrun *runs[] = {
		make_run(&w, 5, 0, 6000, 6, 1, false), /* the newest, of a pack that has gone */
		make_run(&w, 4, 0, 6000, 3, 2, false),
		make_run(&w, 3, 0, 6000, 2, 3, false),
		make_run(&w, 2, 0, 6000, 5, 0, false),
	};
	struct pfs_indexmerge *m = NULL;
	struct pfs_indexrun *run = NULL;
	struct pfs_error err = { 0 };
	struct pfs_idxrun what;
	struct pfs_idxrec got;
	unsigned steps = 0;
	int rc;

	cr_assert_eq(pfs_indexmerge_begin(w.fd, store_uuid, runs, 4, 6, 1, &m, &err), 0, "%s",
		     err.text);
	while ((rc = pfs_indexmerge_step(m, 100, keep, NULL, &err)) == 1)
		steps++;
	cr_assert_eq(rc, 0, "%s", err.text);
	cr_expect_gt(steps, 50);
	cr_assert_eq(pfs_indexmerge_finish(&m, &what, &err), 0, "%s", err.text);
	cr_expect_null(m);
	cr_assert_eq(pfs_indexrun_open(w.fd, &what, store_uuid, &run, &err), 0, "%s", err.text);
	cr_expect_eq(what.records, 2000 + 2000, "every third, and every second but every sixth");
	for (unsigned i = 0; i < 6000; i++) {
		struct pfs_idxrec r = record(i, 0, false);

		if (i % 3 == 0)
			expect_found(run, i, 2, false);
		else if (i % 2 == 0)
			expect_found(run, i, 3, false);
		else
			cr_assert_eq(pfs_indexrun_find(run, &r.id, &got, NULL), 0, "%u", i);
	}
	pfs_indexrun_unref(&run);
	for (size_t i = 0; i < 4; i++)
		pfs_indexrun_unref(&runs[i]);
	world_fini(&w);
}

/* A damaged byte is found when the run is opened, or when something is looked up, or by checking. */
Test(indexrun, is_never_believed_with_a_bit_turned)
{
	struct world w = world_new();
	struct pfs_indexrun *run = make_run(&w, 1, 0, 400, 1, 7, false);
	struct pfs_idxrun what = *pfs_indexrun_what(run);
	char path[PFS_INDEXRUN_PATH_SIZE];
	struct stat st;
	int fd;

	pfs_indexrun_unref(&run);
	pfs_indexrun_path(1, path);
	fd = pfs_io_open(w.fd, path, O_RDWR, 0, NULL);
	cr_assert_eq(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 97) {
		unsigned char byte, turned;
		struct pfs_error err = { 0 };
		int rc;

		cr_assert_eq(pread(fd, &byte, 1, at), 1);
		turned = byte ^ 8;
		cr_assert_eq(pwrite(fd, &turned, 1, at), 1);
		rc = pfs_indexrun_open(w.fd, &what, store_uuid, &run, &err);
		for (unsigned i = 0; i < 400 && rc == 0; i++) {
			struct pfs_idxrec r = record(i, 7, false), got;
			int found = pfs_indexrun_find(run, &r.id, &got, &err);

			cr_assert(found < 0 || (found == 1 && got.off == r.off), "byte %ld",
				  (long)at);
		}
		if (rc == 0)
			rc = pfs_indexrun_check(run, &err);
		cr_assert_lt(rc, 0, "byte %ld", (long)at);
		cr_assert(strstr(err.text, "index/0000000000000001.ix"), "%s", err.text);
		pfs_indexrun_unref(&run);
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
	world_fini(&w);
}

Test(indexrun, is_refused_when_it_is_another_than_the_manifest_tells)
{
	struct world w = world_new();
	struct pfs_indexrun *run = make_run(&w, 1, 0, 400, 1, 7, false), *other = NULL;
	struct pfs_idxrun what = *pfs_indexrun_what(run), wrong = what;
	char path[PFS_INDEXRUN_PATH_SIZE];

	cr_expect_eq(pfs_indexrun_open(w.fd, &what, (const unsigned char *)"another store...",
				       &other, NULL),
		     PFS_E_CORRUPT);
	wrong.records--;
	cr_expect_eq(pfs_indexrun_open(w.fd, &wrong, store_uuid, &other, NULL), PFS_E_CORRUPT);
	wrong = what;
	wrong.number = 2;
	cr_expect_eq(pfs_indexrun_open(w.fd, &wrong, store_uuid, &other, NULL), PFS_E_NOTFOUND);
	pfs_indexrun_path(1, path);
	cr_assert_eq(renameat(w.fd, path, w.fd, "index/0000000000000002.ix"), 0);
	cr_expect_eq(pfs_indexrun_open(w.fd, &wrong, store_uuid, &other, NULL), PFS_E_CORRUPT,
		     "another run under its name");
	pfs_indexrun_unref(&run);
	world_fini(&w);
}
