#include "store/packwriter.h"
#include "format/bundle.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_SIZE  (1u << 20)                              /* write when so much is buffered */
#define BUFFER_SIZE (WRITE_SIZE + 2u * PFS_OBJECT_SIZE_MAX) /* room for any record on top */
#define NOTE_SIZE   16u
#define START_SIZE \
	(4u << 20) /* send to the disk when so much was written: the flush has less to wait for */

static uint64_t data_target = PFS_PACK_DATA_TARGET;
static uint64_t meta_target = PFS_PACK_META_TARGET;

void pfs_packwriter_set_targets(uint64_t data, uint64_t meta)
{
	data_target = data;
	meta_target = meta;
}

uint64_t pfs_packwriter_target(uint8_t kind)
{
	return kind == PFS_PACK_META ? meta_target : data_target;
}

static void note_path(const unsigned char uuid[PFS_UUID_SIZE], char out[PFS_PACK_PATH_SIZE])
{
	char text[PFS_PACK_TEXT_SIZE];

	snprintf(out, PFS_PACK_PATH_SIZE, "open/%s.len", pfs_pack_format(uuid, text));
}

/* Not flushed: an old or missing note only lets recovery trust less. */
static void note_durable(const struct pfs_packwriter *w)
{
	unsigned char raw[NOTE_SIZE];

	__atomic_store_n(&w->pack->durable, w->durable, __ATOMIC_RELEASE);
	memcpy(raw, "VLEN", 4);
	pfs_put_le64(raw + 4, w->durable);
	pfs_put_le32(raw + 12, pfs_crc32c(0, raw, 12));
	if (w->len_fd >= 0)
		pfs_io_pwrite(w->len_fd, raw, sizeof(raw), 0, NULL);
}

uint64_t pfs_packwriter_load_durable(int dir, const unsigned char uuid[PFS_UUID_SIZE])
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	char path[PFS_PACK_PATH_SIZE];
	unsigned char raw[NOTE_SIZE];
	size_t got;

	note_path(uuid, path);
	fd = pfs_io_open_file(dir, path, O_RDONLY, NULL);
	if (fd < 0 || pfs_io_pread(fd, raw, sizeof(raw), 0, &got, NULL) < 0 || got < sizeof(raw))
		return 0;
	if (memcmp(raw, "VLEN", 4) != 0 || pfs_crc32c(0, raw, 12) != pfs_get_le32(raw + 12))
		return 0;
	return pfs_get_le64(raw + 4);
}

void pfs_packwriter_remove_durable(int dir, const unsigned char uuid[PFS_UUID_SIZE])
{
	char path[PFS_PACK_PATH_SIZE];

	note_path(uuid, path);
	unlinkat(dir, path, 0);
}

static int new_writer(int dir, const struct pfs_packhdr *h, struct pfs_packwriter **out,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_packwriter_free) struct pfs_packwriter *w = calloc(1, sizeof(*w));
	char path[PFS_PACK_PATH_SIZE];

	if (!w)
		return pfs_fail_nomem(err, "a pack");
	w->dir = dir;
	w->fd = -1;
	note_path(h->pack_uuid, path);
	w->len_fd = pfs_io_open(dir, path, O_WRONLY | O_CREAT, 0600, NULL);
	w->version = h->version;
	w->seq = h->seq;
	pfs_packhdr_encode(h, w->header);
	pfs_packfooter_init(&w->footer, h->kind);
	w->buf = malloc(BUFFER_SIZE);
	if (!w->buf)
		return pfs_fail_nomem(err, "the buffer of a pack");
	*out = w;
	w = NULL;
	return 0;
}

/*
 * Durable before any record is. So a pack with records and no header was damaged,
 * and is not one that a power cut left half flushed.
 */
static int write_header(struct pfs_packwriter *w, struct pfs_error *err)
{
	int rc = pfs_io_pwrite(w->fd, w->header, PFS_PACKHDR_SIZE, 0, err);

	if (rc == 0)
		rc = pfs_io_fdatasync(w->fd, "the header of a pack", err);
	if (rc < 0)
		return rc;
	w->written = w->started = PFS_PACKHDR_SIZE;
	return 0;
}

int pfs_packwriter_create(int dir, const struct pfs_packhdr *h, struct pfs_packwriter **out,
			  int *out_fd, struct pfs_error *err)
{
	PFS_AUTO(pfs_packwriter_free) struct pfs_packwriter *w = NULL;
	char path[PFS_PACK_PATH_SIZE];
	int rc = pfs_fault("packwriter.create", err);

	if (rc == 0)
		rc = new_writer(dir, h, &w, err);
	if (rc < 0)
		return rc;
	pfs_pack_path(h->pack_uuid, h->kind, false, path);
	w->fd = pfs_io_open(dir, path, O_RDWR | O_CREAT | O_EXCL, 0600, err);
	rc = w->fd < 0 ? w->fd : write_header(w, err);
	if (rc < 0) {
		if (w->fd >= 0)
			unlinkat(dir, path, 0);
		pfs_fd_close(&w->fd);
		pfs_packwriter_remove_durable(dir, h->pack_uuid);
		return rc;
	}
	*out_fd = w->fd;
	*out = w;
	w = NULL;
	return 0;
}

int pfs_packwriter_resume(int dir, const struct pfs_packhdr *h, int fd, uint64_t end,
			  uint64_t durable, struct pfs_packfooter *found,
			  struct pfs_packwriter **out, struct pfs_error *err)
{
	struct pfs_packwriter *w = NULL;
	int rc = new_writer(dir, h, &w, err);

	if (rc < 0)
		return rc;
	w->fd = fd;
	w->written = end;
	w->durable = durable < end ? durable : end;
	w->started = end;
	w->footer = *found;
	pfs_packfooter_init(found, h->kind);
	*out = w;
	return 0;
}

void pfs_packwriter_free(struct pfs_packwriter **w)
{
	if (!*w)
		return;
	pfs_fd_close(&(*w)->len_fd);
	pfs_packfooter_fini(&(*w)->footer);
	free((*w)->buf);
	free(*w);
	*w = NULL;
}

uint64_t pfs_packwriter_end(const struct pfs_packwriter *w)
{
	return w->written + w->buf_len;
}

bool pfs_packwriter_full(const struct pfs_packwriter *w)
{
	/* Where the objects of an open pack are is all in memory. */
	return pfs_packwriter_end(w) >= pfs_packwriter_target(w->pack->kind) ||
	       pfs_packfooter_objects(&w->footer) >= PFS_PACK_OBJECTS_TARGET;
}

/* The footer has to fit as well. */
static int check_room(const struct pfs_packwriter *w, uint64_t extent, struct pfs_error *err)
{
	uint64_t size = pfs_packwriter_end(w) + extent + pfs_packfooter_size(&w->footer) +
			PFS_BUNDLE_TABLE_MAX + PFS_PACKENTRY_SIZE + PFS_PACKTRAILER_SIZE;

	if (size <= PFS_PACK_SIZE_MAX)
		return 0;
	return pfs_fail(err, PFS_E_LIMIT, "a pack of %llu bytes, at most %llu are allowed",
			(unsigned long long)size, PFS_PACK_SIZE_MAX);
}

void pfs_packwriter_count(const struct pfs_packwriter *w)
{
	__atomic_store_n(&w->pack->deltas, pfs_packfooter_deltas(&w->footer), __ATOMIC_RELAXED);
	__atomic_store_n(&w->pack->members,
			 (uint32_t)(w->footer.members.len / PFS_BUNDLE_MEMBER_SIZE),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&w->pack->counted, 1, __ATOMIC_RELEASE);
}

int pfs_packwriter_append(struct pfs_packwriter *w, const struct pfs_packrec *rec,
			  const void *payload, uint64_t *out_off, struct pfs_error *err)
{
	uint64_t extent = pfs_packrec_extent(rec->clen);
	uint64_t off = pfs_packwriter_end(w);
	unsigned char *p;
	int rc = check_room(w, extent, err);

	/* Before the record is in, so that a full disk fails this put and no other. */
	if (rc == 0 && w->buf_len >= WRITE_SIZE)
		rc = pfs_packwriter_write(w, err);
	if (rc == 0)
		rc = pfs_packfooter_add(&w->footer, rec, off, payload, err);
	if (rc < 0)
		return rc;
	assert(w->buf_len + extent <= BUFFER_SIZE);
	p = w->buf + w->buf_len;
	memset(p + extent - PFS_PACK_ALIGN, 0,
	       PFS_PACK_ALIGN); /* the padding; the rest is overwritten */
	pfs_packrec_encode(rec, p);
	if (rec->clen)
		memcpy(p + PFS_PACKREC_SIZE, payload, rec->clen);
	w->buf_len += extent;
	*out_off = off;
	pfs_packwriter_count(w);
	return 0;
}

int pfs_packwriter_write(struct pfs_packwriter *w, struct pfs_error *err)
{
	int rc;

	if (w->buf_len == 0)
		return 0;
	rc = pfs_io_pwrite(w->fd, w->buf, w->buf_len, w->written, err);
	if (rc < 0)
		return rc;
	w->written += w->buf_len;
	w->buf_len = 0;
	__atomic_store_n(&w->pack->size, w->written, __ATOMIC_RELEASE);
	if (w->written - w->started >= START_SIZE) {
		pfs_io_start_writeback(w->fd, w->started, w->written - w->started);
		w->started = w->written;
	}
	return 0;
}

void pfs_packwriter_shrink(struct pfs_packwriter *w)
{
	assert(w->buf_len == 0);
	free(w->buf);
	w->buf = NULL;
}

bool pfs_packwriter_copy(const struct pfs_packwriter *w, uint64_t off, size_t len, void *out)
{
	if (off < w->written || off - w->written > w->buf_len ||
	    len > w->buf_len - (off - w->written))
		return false;
	memcpy(out, w->buf + (off - w->written), len);
	return true;
}

static int flush_folder(int dir, const char *path, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open(dir, path, O_RDONLY | O_DIRECTORY, 0, err);

	return fd < 0 ? fd : pfs_io_fsync(fd, path, err);
}

/* Somebody cleared the data folder away: a file without a name takes all bytes and keeps none. */
static int check_named(const struct pfs_packwriter *w, struct pfs_error *err)
{
	struct stat st;

	if (fstat(w->fd, &st) < 0)
		return pfs_fail_errno(err, errno, "look at a pack");
	if (st.st_nlink)
		return 0;
	return pfs_fail(err, PFS_E_IO, "a pack was removed from the data folder while in use");
}

int pfs_packwriter_flush(struct pfs_packwriter *w, struct pfs_error *err)
{
	int rc = check_named(w, err);

	if (rc == 0 && w->flush_to > w->durable)
		rc = pfs_io_fdatasync(w->fd, "a pack", err);
	if (rc == 0 && !w->named)
		rc = flush_folder(w->dir, "open", err);
	if (rc < 0)
		return rc;
	w->named = true;
	if (w->flush_to > w->durable) {
		w->durable = w->flush_to;
		note_durable(w);
	}
	return 0;
}

static int write_footer(struct pfs_packwriter *w, uint64_t *out_size, struct pfs_error *err)
{
	unsigned char *footer;
	size_t len;
	int rc = pfs_pack_make_footer(w->header, &w->footer, w->written, &footer, &len, err);

	if (rc < 0)
		return rc;
	rc = pfs_io_pwrite(w->fd, footer, len, w->written, err);
	free(footer);
	if (rc == 0)
		*out_size = w->written + len;
	return rc;
}

/* Half a footer goes away; should that fail, the next open cuts it off. */
static void cut_back(struct pfs_packwriter *w)
{
	int rc;

	do
		rc = ftruncate(w->fd, (off_t)w->written);
	while (rc < 0 && errno == EINTR);
}

/* Into packs/; 1 when it is there and will be after a power cut, 0 when it stays. */
static int move_sealed(struct pfs_packwriter *w, struct pfs_error *err)
{
	char from[PFS_PACK_PATH_SIZE], to[PFS_PACK_PATH_SIZE], folder[PFS_PACK_PATH_SIZE];
	int rc;

	pfs_pack_path(w->pack->uuid, w->pack->kind, false, from);
	pfs_pack_path(w->pack->uuid, w->pack->kind, true, to);
	snprintf(folder, sizeof(folder), "%.10s", to); /* packs/d/xx */
	if (pfs_io_mkdir_all(w->dir, folder, NULL) < 0 || pfs_fault("pack.rename", NULL) < 0 ||
	    renameat(w->dir, from, w->dir, to) < 0)
		return 0;
	__atomic_store_n(&w->pack->sealed, 1, __ATOMIC_RELEASE);
	rc = flush_folder(w->dir, folder, err);
	if (rc == 0)
		rc = flush_folder(w->dir, "open", err);
	if (rc < 0)
		return rc;
	pfs_packwriter_remove_durable(w->dir, w->pack->uuid);
	return 1;
}

int pfs_packwriter_seal(struct pfs_packwriter *w, struct pfs_error *err)
{
	uint64_t size = w->written;
	int rc = write_footer(w, &size, NULL);
	bool whole = rc == 0;

	assert(w->buf_len == 0);
	if (!whole)
		cut_back(w);
	w->flush_to = w->written;
	rc = pfs_io_fdatasync(w->fd, "a pack", err);
	if (rc == 0 && !w->named && !whole)
		rc = flush_folder(w->dir, "open", err);
	if (rc < 0)
		return rc;
	if (whole)
		rc = move_sealed(w, err);
	if (rc == 0 && whole && !w->named)
		rc = flush_folder(w->dir, "open", err);
	if (rc == 1) {
		__atomic_store_n(&w->pack->size, size, __ATOMIC_RELEASE);
		__atomic_store_n(&w->pack->unsettled, 0, __ATOMIC_RELEASE);
	}
	if (rc == 0) {
		w->durable = w->flush_to;
		note_durable(w);
	}
	return rc;
}
