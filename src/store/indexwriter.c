#include "store/indexrun.h"
#include "base/endian.h"
#include "base/fault.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_PAGES 64u /* written at once */

/*
 * Two streams of pages grow side by side: an id's Bloom block and its place
 * among the records both rise with the id.
 */
struct stream {
	unsigned char *pages; /* owned; BATCH_PAGES */
	uint32_t page;        /* in the file: the one being filled */
	uint32_t held;        /* whole pages before it that are not written yet */
};

struct pfs_indexwriter {
	int dir, fd;
	struct pfs_idxrun what;
	struct pfs_idxhdr h;
	struct stream bloom, records;
	uint32_t *fences; /* owned */
	size_t n_fences, fences_cap;
	struct pfs_id last;
};

static unsigned char *page_of(const struct stream *s)
{
	return s->pages + (size_t)s->held * PFS_IDXPAGE_SIZE;
}

static int stream_init(struct stream *s, uint32_t page, struct pfs_error *err)
{
	s->page = page;
	s->pages = malloc((size_t)BATCH_PAGES * PFS_IDXPAGE_SIZE);
	if (!s->pages)
		return pfs_fail_nomem(err, "writing a run of the index");
	memset(s->pages, 0, PFS_IDXPAGE_SIZE);
	return 0;
}

static int write_held(struct pfs_indexwriter *w, struct stream *s, struct pfs_error *err)
{
	size_t len = (size_t)s->held * PFS_IDXPAGE_SIZE;
	uint64_t off = (uint64_t)(s->page - s->held) * PFS_IDXPAGE_SIZE;
	int rc = len ? pfs_io_pwrite(w->fd, s->pages, len, off, err) : 0;

	if (rc < 0)
		return rc;
	/* On its way to the disk, so that the flush at the end finds little to do. */
	if (len)
		(void)sync_file_range(w->fd, (off_t)off, (off_t)len, SYNC_FILE_RANGE_WRITE);
	s->held = 0;
	return 0;
}

/* The page being filled is whole; start the next one. */
static int turn_page(struct pfs_indexwriter *w, struct stream *s, struct pfs_error *err)
{
	int rc = 0;

	pfs_idxpage_seal(page_of(s), w->what.number, s->page++);
	if (++s->held == BATCH_PAGES)
		rc = write_held(w, s, err);
	if (rc == 0)
		memset(page_of(s), 0, PFS_IDXPAGE_SIZE);
	return rc;
}

static void free_writer(struct pfs_indexwriter **w)
{
	if (!*w)
		return;
	pfs_fd_close(&(*w)->fd);
	free((*w)->bloom.pages);
	free((*w)->records.pages);
	free((*w)->fences);
	free(*w);
	*w = NULL;
}

void pfs_indexwriter_abort(struct pfs_indexwriter **w)
{
	char path[PFS_INDEXRUN_PATH_SIZE];

	if (*w && (*w)->fd >= 0) {
		pfs_indexrun_path((*w)->what.number, path);
		unlinkat((*w)->dir, path, 0);
	}
	free_writer(w);
}

int pfs_indexwriter_create(int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
			   const struct pfs_idxrun *expected, struct pfs_indexwriter **out,
			   struct pfs_error *err)
{
	PFS_AUTO(pfs_indexwriter_abort) struct pfs_indexwriter *w = calloc(1, sizeof(*w));
	char path[PFS_INDEXRUN_PATH_SIZE];
	int rc;

	if (!w)
		return pfs_fail_nomem(err, "writing a run of the index");
	w->dir = dir;
	w->fd = -1;
	w->what = *expected;
	w->h.level = expected->level;
	w->h.blocks = pfs_idxbloom_blocks(expected->records);
	memcpy(w->h.store_uuid, store_uuid, PFS_UUID_SIZE);
	rc = stream_init(&w->bloom, 1, err);
	if (rc == 0)
		rc = stream_init(&w->records, 1 + pfs_idxhdr_bloom_pages(&w->h), err);
	if (rc == 0)
		rc = pfs_fault("indexwriter.create", err);
	if (rc < 0)
		return rc;
	pfs_indexrun_path(expected->number, path);
	w->fd = pfs_io_open(dir, path, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
	if (w->fd < 0)
		return w->fd;
	*out = w;
	w = NULL;
	return 0;
}

static int add_fence(struct pfs_indexwriter *w, const struct pfs_id *id, struct pfs_error *err)
{
	if (w->n_fences == w->fences_cap) {
		size_t cap = w->fences_cap ? 2 * w->fences_cap : 4096;
		uint32_t *wider = realloc(w->fences, cap * sizeof(*wider));

		if (!wider)
			return pfs_fail_nomem(err, "writing a run of the index");
		w->fences = wider;
		w->fences_cap = cap;
	}
	w->fences[w->n_fences++] = pfs_idxfence(id);
	return 0;
}

int pfs_indexwriter_add(struct pfs_indexwriter *w, const struct pfs_idxrec *rec,
			struct pfs_error *err)
{
	uint32_t block = pfs_idxbloom_block(&rec->id, w->h.blocks);
	uint32_t slot = w->h.records % PFS_IDXREC_PER;
	int rc = 0;

	if (w->h.records && pfs_id_compare(&w->last, &rec->id) >= 0)
		return pfs_fail(err, PFS_E_CORRUPT, "records of the index are out of order");
	w->last = rec->id;
	while (w->bloom.page - 1 < block / PFS_IDXBLOOM_PER && rc == 0)
		rc = turn_page(w, &w->bloom, err);
	if (slot == 0 && w->h.records && rc == 0)
		rc = turn_page(w, &w->records, err);
	if (slot == 0 && rc == 0)
		rc = add_fence(w, &rec->id, err);
	if (rc < 0)
		return rc;
	pfs_idxbloom_add(page_of(&w->bloom) +
				 (size_t)(block % PFS_IDXBLOOM_PER) * PFS_IDXBLOOM_SIZE,
			 &rec->id);
	pfs_idxrec_encode(rec, page_of(&w->records) + (size_t)slot * PFS_IDXREC_SIZE);
	w->h.records++;
	return 0;
}

/* What is left of both streams, and the fences behind the records. */
static int write_rest(struct pfs_indexwriter *w, struct pfs_error *err)
{
	int rc = 0;

	while (w->bloom.page - 1 < pfs_idxhdr_bloom_pages(&w->h) && rc == 0)
		rc = turn_page(w, &w->bloom, err);
	if (rc == 0)
		rc = write_held(w, &w->bloom, err);
	if (rc == 0)
		rc = turn_page(w, &w->records, err);
	for (size_t i = 0; i < w->n_fences && rc == 0; i++) {
		size_t slot = i % PFS_IDXFENCE_PER;

		pfs_put_le32(page_of(&w->records) + slot * PFS_IDXFENCE_SIZE, w->fences[i]);
		if (slot + 1 == PFS_IDXFENCE_PER || i + 1 == w->n_fences)
			rc = turn_page(w, &w->records, err);
	}
	return rc < 0 ? rc : write_held(w, &w->records, err);
}

static int write_header(struct pfs_indexwriter *w, struct pfs_error *err)
{
	unsigned char raw[PFS_IDXPAGE_SIZE];

	pfs_idxhdr_encode(&w->h, raw);
	pfs_idxpage_seal(raw, w->what.number, 0);
	return pfs_io_pwrite(w->fd, raw, sizeof(raw), 0, err);
}

int pfs_indexwriter_finish(struct pfs_indexwriter **taken, struct pfs_idxrun *out,
			   struct pfs_error *err)
{
	PFS_AUTO(pfs_indexwriter_abort) struct pfs_indexwriter *w = *taken;
	int rc;

	*taken = NULL;
	w->what.records = w->h.records;
	if (w->h.records == 0) {
		*out = w->what;
		return 0;
	}
	rc = write_rest(w, err);
	if (rc == 0)
		rc = write_header(w, err);
	if (rc == 0)
		rc = pfs_io_fdatasync(w->fd, "a run of the index", err);
	if (rc < 0)
		return rc;
	*out = w->what;
	free_writer(&w);
	return 0;
}
