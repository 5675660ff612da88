#include "store/indexrun.h"
#include "base/endian.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH_PAGES 64u /* read at once where pages follow each other */

struct pfs_indexrun {
	int refs; /* atomic */
	int fd;   /* owned */
	struct pfs_idxrun what;
	struct pfs_idxhdr h;
	uint32_t first_page;  /* with records */
	uint32_t n_pages;     /* with records */
	unsigned char *bloom; /* owned; blocks one behind the other */
	uint32_t *fences;     /* owned; one a page with records */
};

void pfs_indexrun_path(uint64_t number, char out[PFS_INDEXRUN_PATH_SIZE])
{
	snprintf(out, PFS_INDEXRUN_PATH_SIZE, "index/%016" PRIx64 ".ix", number);
}

static int wrap(const struct pfs_indexrun *run, int rc, struct pfs_error *err)
{
	char path[PFS_INDEXRUN_PATH_SIZE];

	pfs_indexrun_path(run->what.number, path);
	return rc < 0 ? pfs_wrap(err, rc, "%s", path) : rc;
}

static int read_pages(const struct pfs_indexrun *run, uint32_t page, uint32_t n, unsigned char *raw,
		      struct pfs_error *err)
{
	size_t len = (size_t)n * PFS_IDXPAGE_SIZE, got;
	int rc = pfs_io_pread(run->fd, raw, len, (uint64_t)page * PFS_IDXPAGE_SIZE, &got, err);

	if (rc == 0 && got < len)
		return pfs_fail(err, PFS_E_CORRUPT, "ends before page %" PRIu32, page + n);
	for (uint32_t i = 0; i < n && rc == 0; i++)
		rc = pfs_idxpage_check(raw + (size_t)i * PFS_IDXPAGE_SIZE, run->what.number,
				       page + i, err);
	return rc;
}

/* Copy what `n` pages hold, `room` bytes of each, one behind the other: `size` bytes in all. */
static int gather(const struct pfs_indexrun *run, uint32_t page, uint32_t n, size_t room,
		  unsigned char *out, size_t size, struct pfs_error *err)
{
	unsigned char *raw = malloc((size_t)BATCH_PAGES * PFS_IDXPAGE_SIZE);
	int rc = raw ? 0 : pfs_fail_nomem(err, "a run of the index");

	for (uint32_t i = 0; i < n && rc == 0;) {
		uint32_t some = n - i < BATCH_PAGES ? n - i : BATCH_PAGES;

		rc = read_pages(run, page + i, some, raw, err);
		for (uint32_t k = 0; k < some && rc == 0; k++, i++) {
			size_t len = size < room ? size : room;

			memcpy(out, raw + (size_t)k * PFS_IDXPAGE_SIZE, len);
			out += len;
			size -= len;
		}
	}
	free(raw);
	return rc;
}

static int check_header(struct pfs_indexrun *run, const unsigned char *store_uuid,
			struct pfs_error *err)
{
	unsigned char raw[PFS_IDXPAGE_SIZE];
	struct stat st;
	int rc = read_pages(run, 0, 1, raw, err);

	if (rc == 0)
		rc = pfs_idxhdr_decode(raw, &run->h, err);
	if (rc < 0)
		return rc;
	if (memcmp(run->h.store_uuid, store_uuid, PFS_UUID_SIZE) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "belongs to another store");
	if (run->h.records != run->what.records || run->h.level != run->what.level)
		return pfs_fail(err, PFS_E_CORRUPT, "is not the run that the manifest tells of");
	if (fstat(run->fd, &st) < 0)
		return pfs_fail_errno(err, errno, "look at a run of the index");
	if ((uint64_t)st.st_size != pfs_indexrun_bytes(run))
		return pfs_fail(err, PFS_E_CORRUPT, "is %llu bytes long instead of %llu",
				(unsigned long long)st.st_size,
				(unsigned long long)pfs_indexrun_bytes(run));
	return 0;
}

static int load_bloom(struct pfs_indexrun *run, struct pfs_error *err)
{
	size_t size = (size_t)run->h.blocks * PFS_IDXBLOOM_SIZE;

	run->bloom = aligned_alloc(PFS_IDXBLOOM_SIZE, size);
	if (!run->bloom)
		return pfs_fail_nomem(err, "a run of the index");
	return gather(run, 1, pfs_idxhdr_bloom_pages(&run->h),
		      (size_t)PFS_IDXBLOOM_PER * PFS_IDXBLOOM_SIZE, run->bloom, size, err);
}

static int load_fences(struct pfs_indexrun *run, struct pfs_error *err)
{
	uint32_t page = run->first_page + run->n_pages;
	size_t size = (size_t)run->n_pages * PFS_IDXFENCE_SIZE;
	int rc;

	run->fences = malloc(size);
	if (!run->fences)
		return pfs_fail_nomem(err, "a run of the index");
	rc = gather(run, page, (uint32_t)(pfs_idxhdr_pages(&run->h) - page),
		    (size_t)PFS_IDXFENCE_PER * PFS_IDXFENCE_SIZE, (unsigned char *)run->fences,
		    size, err);
	for (uint32_t i = 0; i < run->n_pages && rc == 0; i++)
		run->fences[i] = le32toh(run->fences[i]);
	return rc;
}

int pfs_indexrun_open(int dir, const struct pfs_idxrun *what,
		      const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_indexrun **out,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_indexrun_unref) struct pfs_indexrun *run = calloc(1, sizeof(*run));
	char path[PFS_INDEXRUN_PATH_SIZE];
	int rc;

	if (!run)
		return pfs_fail_nomem(err, "a run of the index");
	run->refs = 1;
	run->what = *what;
	pfs_indexrun_path(what->number, path);
	run->fd = pfs_io_open_file(dir, path, O_RDONLY, err);
	if (run->fd < 0)
		return run->fd;
	rc = check_header(run, store_uuid, err);
	if (rc == 0) {
		run->first_page = 1 + pfs_idxhdr_bloom_pages(&run->h);
		run->n_pages = pfs_idxhdr_record_pages(&run->h);
		rc = load_bloom(run, err);
	}
	if (rc == 0)
		rc = load_fences(run, err);
	if (rc < 0)
		return wrap(run, rc, err);
	*out = run;
	run = NULL;
	return 0;
}

struct pfs_indexrun *pfs_indexrun_ref(struct pfs_indexrun *run)
{
	__atomic_add_fetch(&run->refs, 1, __ATOMIC_RELAXED);
	return run;
}

void pfs_indexrun_unref(struct pfs_indexrun **run)
{
	if (!*run)
		return;
	if (__atomic_sub_fetch(&(*run)->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		pfs_fd_close(&(*run)->fd);
		free((*run)->bloom);
		free((*run)->fences);
		free(*run);
	}
	*run = NULL;
}

const struct pfs_idxrun *pfs_indexrun_what(const struct pfs_indexrun *run)
{
	return &run->what;
}

uint64_t pfs_indexrun_bytes(const struct pfs_indexrun *run)
{
	return pfs_idxhdr_pages(&run->h) * PFS_IDXPAGE_SIZE;
}

uint64_t pfs_indexrun_memory(const struct pfs_indexrun *run)
{
	return sizeof(*run) + (uint64_t)run->h.blocks * PFS_IDXBLOOM_SIZE +
	       (uint64_t)run->n_pages * PFS_IDXFENCE_SIZE;
}

bool pfs_indexrun_may_hold(const struct pfs_indexrun *run, const struct pfs_id *id)
{
	size_t block = pfs_idxbloom_block(id, run->h.blocks);

	return pfs_idxbloom_may_hold(run->bloom + block * PFS_IDXBLOOM_SIZE, id);
}

/* The last page whose fence is not above `key`, or n_pages. */
static uint32_t page_of(const struct pfs_indexrun *run, uint32_t key)
{
	uint32_t low = 0, high = run->n_pages;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (run->fences[middle] <= key)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : run->n_pages;
}

static uint32_t records_on(const struct pfs_indexrun *run, uint32_t page)
{
	uint32_t left = run->h.records - page * PFS_IDXREC_PER;

	return left < PFS_IDXREC_PER ? left : PFS_IDXREC_PER;
}

static bool find_on(const unsigned char *raw, uint32_t n, const struct pfs_id *id,
		    struct pfs_idxrec *out)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(raw + (size_t)middle * PFS_IDXREC_SIZE, id, sizeof(*id));

		if (order == 0) {
			pfs_idxrec_decode(raw + (size_t)middle * PFS_IDXREC_SIZE, out);
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

int pfs_indexrun_find(const struct pfs_indexrun *run, const struct pfs_id *id,
		      struct pfs_idxrec *out, struct pfs_error *err)
{
	uint32_t key = pfs_idxfence(id);
	uint32_t page = pfs_indexrun_may_hold(run, id) ? page_of(run, key) : run->n_pages;

	while (page < run->n_pages) {
		unsigned char raw[PFS_IDXPAGE_SIZE];
		int rc = read_pages(run, run->first_page + page, 1, raw, err);

		if (rc < 0)
			return wrap(run, rc, err);
		if (find_on(raw, records_on(run, page), id, out))
			return 1;
		/* Ids that start alike may lie on both sides of the page's start. */
		if (run->fences[page] < key || page == 0)
			return 0;
		page--;
	}
	return 0;
}

int pfs_indexrun_check(const struct pfs_indexrun *run, struct pfs_error *err)
{
	unsigned char *raw = malloc((size_t)BATCH_PAGES * PFS_IDXPAGE_SIZE);
	uint32_t pages = (uint32_t)pfs_idxhdr_pages(&run->h);
	int rc = raw ? 0 : pfs_fail_nomem(err, "checking a run of the index");

	for (uint32_t i = 0; i < pages && rc == 0; i += BATCH_PAGES)
		rc = read_pages(run, i, pages - i < BATCH_PAGES ? pages - i : BATCH_PAGES, raw,
				err);
	free(raw);
	return wrap(run, rc, err);
}

int pfs_indexcursor_init(struct pfs_indexcursor *c, struct pfs_indexrun *run, struct pfs_error *err)
{
	*c = (struct pfs_indexcursor){
		.run = pfs_indexrun_ref(run),
		.pages = malloc((size_t)BATCH_PAGES * PFS_IDXPAGE_SIZE),
	};
	return c->pages ? 0 : pfs_fail_nomem(err, "reading a run of the index");
}

void pfs_indexcursor_fini(struct pfs_indexcursor *c)
{
	free(c->pages);
	c->pages = NULL;
	pfs_indexrun_unref(&c->run);
}

int pfs_indexcursor_next(struct pfs_indexcursor *c, struct pfs_idxrec *out, struct pfs_error *err)
{
	const struct pfs_indexrun *run = c->run;
	uint32_t page = c->next / PFS_IDXREC_PER, slot = c->next % PFS_IDXREC_PER;

	if (c->next >= run->h.records)
		return 0;
	if (slot == 0 && page % BATCH_PAGES == 0) {
		uint32_t left = run->n_pages - page;
		int rc = read_pages(run, run->first_page + page,
				    left < BATCH_PAGES ? left : BATCH_PAGES, c->pages, err);

		if (rc < 0)
			return wrap(run, rc, err);
	}
	pfs_idxrec_decode(c->pages + (size_t)(page % BATCH_PAGES) * PFS_IDXPAGE_SIZE +
				  (size_t)slot * PFS_IDXREC_SIZE,
			  out);
	c->next++;
	return 1;
}
