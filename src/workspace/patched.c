#include "workspace/patched.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"
#include "tree/content.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int pfs_patched_new(struct pfs_kept *base, uint64_t version, struct pfs_patched **out,
		    struct pfs_error *err)
{
	struct pfs_patched *p = calloc(1, sizeof(*p));

	if (!p || pfs_cond_init(&p->cond) != 0) {
		free(p);
		return pfs_fail_nomem(err, "a patched file");
	}
	pfs_lock_init(&p->lock, PFS_RANK_WORKSPACE_PATCH);
	p->base = pfs_kept_ref(base);
	p->version = version;
	p->map.keep = p->map.size = base->size;
	p->rewrite = true;
	*out = p;
	return 0;
}

void pfs_patched_free(struct pfs_patched **patch)
{
	struct pfs_patched *p = *patch;

	*patch = NULL;
	if (!p)
		return;
	pfs_ranges_fini(&p->map.ranges);
	pfs_ranges_fini(&p->later);
	pfs_kept_unref(&p->base);
	pthread_cond_destroy(&p->cond);
	pfs_lock_fini(&p->lock);
	free(p);
}

/* --- changes ------------------------------------------------------------- */

static int fail_closed(struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_CONFLICT, "the file is not patched any more");
}

static int begin_change(struct pfs_patched *p, struct pfs_error *err)
{
	int rc;

	assert(pfs_held(&p->lock));
	while (p->filling)
		pfs_cond_wait(&p->cond, &p->lock, -1);
	if (p->closed)
		return fail_closed(err);
	/* Only when thinning fails over and over. */
	if (p->map.ranges.n >= 2 * PFS_PATCHED_RANGES_MAX)
		return pfs_fail(
			err, PFS_E_LIMIT,
			"a committed file was changed in %zu places, at most %u are kept apart: "
			"commit first",
			p->map.ranges.n, 2 * PFS_PATCHED_RANGES_MAX);
	rc = pfs_ranges_reserve(&p->map.ranges, p->writing + 1, err);
	if (rc == 0)
		rc = pfs_ranges_reserve(&p->later, p->writing + 1, err);
	if (rc == 0)
		p->writing++;
	return rc;
}

/* The journal has something else; true when it is to be told. */
static bool note_unsaved(struct pfs_patched *p)
{
	bool news = !p->queued;

	p->queued = true;
	return news;
}

static bool set_size(struct pfs_patched *p, uint64_t size)
{
	struct pfs_patched_map *m = &p->map;

	if (size == m->size)
		return false;
	if (size < m->size) {
		pfs_ranges_cut(&m->ranges, size);
		pfs_ranges_cut(&p->later, size);
		m->keep = m->keep < size ? m->keep : size;
		p->later_keep = p->later_keep < size ? p->later_keep : size;
		p->rewrite = true;
	}
	m->size = size;
	return note_unsaved(p);
}

/* What lies in a range was written, or nothing was when it is empty. */
static bool end_change(struct pfs_patched *p, uint64_t off, uint64_t end, bool grow)
{
	bool news = false;

	if (grow && end > p->map.size)
		news = set_size(p, end);
	if (end > p->map.size)
		end = p->map.size;
	if (off < end) {
		if (p->image)
			pfs_ranges_add(&p->later, off, end);
		if (pfs_ranges_add(&p->map.ranges, off, end) && note_unsaved(p))
			news = true;
	}
	if (--p->writing == 0)
		pthread_cond_broadcast(&p->cond);
	return news;
}

int pfs_patched_write(struct pfs_patched *p, int fd, uint64_t off, const void *data, size_t len,
		      bool *out_news, struct pfs_error *err)
{
	int rc;

	pfs_lock(&p->lock);
	rc = begin_change(p, err);
	pfs_unlock(&p->lock);
	if (rc < 0)
		return rc;
	rc = pfs_io_pwrite(fd, data, len, off, err);
	pfs_lock(&p->lock);
	*out_news = end_change(p, off, rc == 0 ? off + len : off, rc == 0 && len);
	pfs_unlock(&p->lock);
	return rc;
}

static int begin_append(struct pfs_patched *p, uint64_t *out_off, struct pfs_error *err)
{
	int rc;

	pfs_lock(&p->lock);
	while (p->appending)
		pfs_cond_wait(&p->cond, &p->lock, -1);
	rc = begin_change(p, err);
	if (rc == 0) {
		p->appending = true;
		*out_off = p->map.size;
	}
	pfs_unlock(&p->lock);
	return rc;
}

int pfs_patched_append(struct pfs_patched *p, int fd, const void *data, size_t len, bool *out_news,
		       struct pfs_error *err)
{
	uint64_t off = 0;
	int rc = begin_append(p, &off, err);

	if (rc < 0)
		return rc;
	if (len > PFS_FILE_SIZE_MAX - off)
		rc = pfs_fail(err, PFS_E_LIMIT, "%zu bytes behind %llu: a file has at most %llu",
			      len, (unsigned long long)off, (unsigned long long)PFS_FILE_SIZE_MAX);
	else
		rc = pfs_io_pwrite(fd, data, len, off, err);
	pfs_lock(&p->lock);
	p->appending = false;
	*out_news = end_change(p, off, rc == 0 ? off + len : off, rc == 0);
	pthread_cond_broadcast(&p->cond);
	pfs_unlock(&p->lock);
	return rc;
}

/* A hole that the file reaches over: a range never ends behind the spool file. */
static int punch(int fd, uint64_t off, uint64_t len, struct pfs_error *err)
{
	int rc = pfs_fault("spool.punch", err);

	if (rc == 0)
		rc = pfs_io_pwrite(fd, "", 1, off + len - 1, err);
	if (rc < 0)
		return rc;
	do
		rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
			       (off_t)len);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return pfs_fail_errno(err, errno, "punch %llu bytes at %llu",
				      (unsigned long long)len, (unsigned long long)off);
	return 0;
}

int pfs_patched_zero(struct pfs_patched *p, int fd, uint64_t off, uint64_t len, bool grow,
		     bool *out_news, struct pfs_error *err)
{
	uint64_t size;
	int rc;

	pfs_lock(&p->lock);
	rc = begin_change(p, err);
	size = p->map.size;
	pfs_unlock(&p->lock);
	if (rc < 0)
		return rc;
	if (!grow)
		len = off < size ? (len < size - off ? len : size - off) : 0;
	if (len)
		rc = punch(fd, off, len, err);
	pfs_lock(&p->lock);
	*out_news = end_change(p, off, rc == 0 ? off + len : off, rc == 0 && grow);
	pfs_unlock(&p->lock);
	return rc;
}

static int change_size(struct pfs_patched *p, uint64_t size, bool shrink, bool *out_news,
		       struct pfs_error *err)
{
	int rc = 0;

	pfs_lock(&p->lock);
	while (p->filling)
		pfs_cond_wait(&p->cond, &p->lock, -1);
	if (p->closed)
		rc = fail_closed(err);
	else
		*out_news = (shrink || size > p->map.size) && set_size(p, size);
	pfs_unlock(&p->lock);
	return rc;
}

int pfs_patched_resize(struct pfs_patched *p, uint64_t size, bool *out_news, struct pfs_error *err)
{
	return change_size(p, size, true, out_news, err);
}

int pfs_patched_grow(struct pfs_patched *p, uint64_t size, bool *out_news, struct pfs_error *err)
{
	return change_size(p, size, false, out_news, err);
}

uint64_t pfs_patched_size(struct pfs_patched *p)
{
	uint64_t size;

	pfs_lock(&p->lock);
	size = p->map.size;
	pfs_unlock(&p->lock);
	return size;
}

void pfs_patched_close(struct pfs_patched *p)
{
	pfs_lock(&p->lock);
	p->closed = true;
	pfs_unlock(&p->lock);
}

/* --- where bytes are ----------------------------------------------------- */

bool pfs_patched_map_look(const struct pfs_patched_map *m, uint64_t off,
			  struct pfs_patched_piece *out)
{
	uint64_t end;

	if (off >= m->size)
		return false;
	out->from = PFS_PATCHED_ZEROS;
	if (pfs_ranges_find(&m->ranges, off, &end)) {
		out->from = PFS_PATCHED_SPOOL;
	} else if (off < m->keep) {
		out->from = PFS_PATCHED_CONTENT;
		end = end < m->keep ? end : m->keep;
	}
	out->end = end < m->size ? end : m->size;
	out->base = NULL;
	return true;
}

bool pfs_patched_look(struct pfs_patched *p, uint64_t off, struct pfs_patched_piece *out)
{
	bool found;

	pfs_lock(&p->lock);
	found = pfs_patched_map_look(&p->map, off, out);
	if (found && out->from == PFS_PATCHED_CONTENT) {
		out->base = pfs_kept_ref(p->base);
		out->version = p->version;
	}
	pfs_unlock(&p->lock);
	return found;
}

/* --- fewer ranges -------------------------------------------------------- */

#define COPY_SIZE (256u * 1024)

bool pfs_patched_is_crowded(struct pfs_patched *p)
{
	bool crowded;

	pfs_lock(&p->lock);
	crowded = p->map.ranges.n > PFS_PATCHED_RANGES_MAX || p->later.n > PFS_PATCHED_RANGES_MAX;
	pfs_unlock(&p->lock);
	return crowded;
}

static int compare_sizes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The size that half of the gaps do not exceed. */
static int median_gap(const struct pfs_ranges *r, uint64_t *out, struct pfs_error *err)
{
	size_t n = r->n - 1;
	uint64_t *sizes = malloc(n * sizeof(*sizes));

	if (!sizes)
		return pfs_fail_nomem(err, "the ranges of a file");
	for (size_t i = 0; i < n; i++)
		sizes[i] = r->items[i + 1].off - r->items[i].end;
	qsort(sizes, n, sizeof(*sizes), compare_sizes);
	*out = sizes[n / 2];
	free(sizes);
	return 0;
}

/* What the gap shows, into the spool file: bytes of the content up to `keep`, zeros behind. */
static int fill_gap(struct pfs_content_reader *r, uint64_t keep, uint64_t off, uint64_t end,
		    void *buf, int fd, struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0 && off < end && off < keep) {
		uint64_t upto = end < keep ? end : keep;
		size_t len = upto - off < COPY_SIZE ? (size_t)(upto - off) : COPY_SIZE, got;

		rc = pfs_content_read(r, off, buf, len, &got, err);
		if (rc == 0)
			rc = pfs_io_pwrite(fd, buf, got, off, err);
		off += len;
	}
	return rc == 0 && off < end ? punch(fd, off, end - off, err) : rc;
}

/*
 * Nobody writes or cuts meanwhile. A commit may come in between: what a gap
 * shows is the same in it.
 */
static int fill_gaps(struct pfs_patched *p, struct pfs_store *st,
		     const struct pfs_patched_image *is, int fd, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	const struct pfs_ranges *ranges = &is->map.ranges;
	struct pfs_content content;
	void *buf = malloc(COPY_SIZE);
	uint64_t limit = 0;
	int rc = buf ? median_gap(ranges, &limit, err) : pfs_fail_nomem(err, "a copy");

	pfs_kept_content(is->base, &content);
	if (rc == 0)
		rc = pfs_content_reader_open(st, &content, &r, err);
	for (size_t i = 0; rc == 0 && i + 1 < ranges->n; i++) {
		uint64_t off = ranges->items[i].end, end = ranges->items[i + 1].off;

		if (end - off > limit)
			continue;
		rc = fill_gap(r, is->map.keep, off, end, buf, fd, err);
		if (rc < 0)
			break;
		pfs_lock(&p->lock);
		rc = pfs_ranges_reserve(&p->map.ranges, 1, err);
		if (rc == 0)
			pfs_ranges_add(&p->map.ranges, off, end);
		pfs_unlock(&p->lock);
	}
	free(buf);
	return rc;
}

/* 1 when there is something to do and nobody writes until end_filling. */
static int begin_filling(struct pfs_patched *p, struct pfs_patched_image *out,
			 struct pfs_error *err)
{
	int rc = 0;

	while (p->filling)
		pfs_cond_wait(&p->cond, &p->lock, -1);
	if (p->closed ||
	    (p->map.ranges.n <= PFS_PATCHED_RANGES_MAX && p->later.n <= PFS_PATCHED_RANGES_MAX))
		return 0;
	p->filling = true;
	while (p->writing)
		pfs_cond_wait(&p->cond, &p->lock, -1);
	out->map = (struct pfs_patched_map){ .keep = p->map.keep, .size = p->map.size };
	rc = pfs_ranges_copy(&p->map.ranges, &out->map.ranges, err);
	out->base = pfs_kept_ref(p->base);
	return rc < 0 ? rc : 1;
}

static void end_filling(struct pfs_patched *p)
{
	/* The spool file has all of `ranges`, so what is too much costs room and nothing else. */
	if (p->later.n > PFS_PATCHED_RANGES_MAX / 2)
		pfs_ranges_widen(&p->later, &p->map.ranges);
	p->filling = false;
	pthread_cond_broadcast(&p->cond);
}

int pfs_patched_thin(struct pfs_patched *p, struct pfs_store *st, int fd, struct pfs_error *err)
{
	struct pfs_patched_image is = { 0 };
	int rc;

	pfs_lock(&p->lock);
	rc = begin_filling(p, &is, err);
	pfs_unlock(&p->lock);
	if (rc == 0)
		return 0;
	if (rc > 0)
		rc = fill_gaps(p, st, &is, fd, err);
	pfs_lock(&p->lock);
	end_filling(p);
	pfs_unlock(&p->lock);
	pfs_patched_image_fini(&is);
	return rc;
}

/* --- commits ------------------------------------------------------------- */

int pfs_patched_take_image(struct pfs_patched *p, uint64_t seal, struct pfs_patched_image *out,
			   struct pfs_error *err)
{
	struct pfs_patched_image image = { 0 };
	int rc;

	pfs_lock(&p->lock);
	if (p->closed)
		rc = fail_closed(err);
	else
		rc = pfs_ranges_copy(&p->map.ranges, &image.map.ranges, err);
	if (rc == 0) {
		image.base = pfs_kept_ref(p->base);
		image.map.keep = p->map.keep;
		p->image_size = p->later_keep = image.map.size = p->map.size;
		p->image = seal;
		p->later.n = 0;
		*out = image;
	}
	pfs_unlock(&p->lock);
	return rc;
}

void pfs_patched_image_fini(struct pfs_patched_image *i)
{
	pfs_ranges_fini(&i->map.ranges);
	pfs_kept_unref(&i->base);
}

/* Who writes now has not said where yet. */
static bool is_as_in(const struct pfs_patched *p, uint64_t seal)
{
	return p->image == seal && !p->writing && !p->later.n && p->later_keep == p->image_size &&
	       p->map.size == p->image_size;
}

bool pfs_patched_is_as_in(struct pfs_patched *p, uint64_t seal)
{
	bool same;

	pfs_lock(&p->lock);
	same = is_as_in(p, seal);
	pfs_unlock(&p->lock);
	return same;
}

int pfs_patched_rebase(struct pfs_patched *p, uint64_t seal, struct pfs_kept *sealed,
		       uint64_t version)
{
	struct pfs_ranges before;
	bool same;

	pfs_lock(&p->lock);
	same = is_as_in(p, seal);
	if (same) {
		p->closed = true;
	} else if (p->image == seal) {
		pfs_kept_unref(&p->base);
		p->base = pfs_kept_ref(sealed);
		p->version = version;
		before = p->map.ranges;
		p->map.ranges = p->later;
		p->map.keep = p->later_keep;
		p->later = before;
		p->later.n = 0;
		p->image = 0;
		p->rewrite = p->queued = true;
	}
	pfs_unlock(&p->lock);
	return same;
}
