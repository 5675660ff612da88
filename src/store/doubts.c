#include "store/doubts.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/publish.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME  "damaged"
#define MAGIC      "VDM1"
#define VERSION    1u
#define HEAD_SIZE  64u
#define ROW_SIZE   56u
#define SIZE_OF(n) (HEAD_SIZE + (size_t)(n)*ROW_SIZE + 4)

_Static_assert(sizeof(struct pfs_doubt) == PFS_UUID_SIZE + 8 + PFS_ID_SIZE,
	       "a row has no holes: it is the key of a map");

void pfs_doubts_init(struct pfs_doubts *d)
{
	pfs_lock_init(&d->file, PFS_RANK_DOUBTS_FILE);
	pfs_lock_init(&d->lock, PFS_RANK_DOUBTS);
	pfs_map_init(&d->rows);
}

void pfs_doubts_fini(struct pfs_doubts *d)
{
	struct pfs_doubt *row;
	size_t pos = 0;

	while ((row = pfs_map_next(&d->rows, &pos)))
		free(row);
	pfs_map_fini(&d->rows);
	pfs_lock_fini(&d->file);
	pfs_lock_fini(&d->lock);
}

/* --- rows ------------------------------------------------------------------ */

size_t pfs_doubts_count(const struct pfs_doubts *d)
{
	return __atomic_load_n(&d->n, __ATOMIC_ACQUIRE);
}

static void note_change(struct pfs_doubts *d)
{
	__atomic_store_n(&d->n, d->rows.len, __ATOMIC_RELEASE);
	__atomic_store_n(&d->changed, 1, __ATOMIC_RELEASE);
}

bool pfs_doubts_has(struct pfs_doubts *d, const struct pfs_doubt *row)
{
	bool has;

	if (pfs_doubts_count(d) == 0)
		return false;
	pfs_lock(&d->lock);
	has = pfs_map_find(&d->rows, row, sizeof(*row)) != NULL;
	pfs_unlock(&d->lock);
	return has;
}

bool pfs_doubts_tell_of(struct pfs_doubts *d, const unsigned char *pack)
{
	const struct pfs_doubt *row;
	size_t pos = 0;
	bool found = false;

	if (pfs_doubts_count(d) == 0)
		return false;
	pfs_lock(&d->lock);
	while (!found && (row = pfs_map_next(&d->rows, &pos)))
		found = memcmp(row->pack, pack, sizeof(row->pack)) == 0;
	pfs_unlock(&d->lock);
	return found;
}

static void add_locked(struct pfs_doubts *d, const struct pfs_doubt *row)
{
	struct pfs_doubt *copy;

	if (pfs_map_find(&d->rows, row, sizeof(*row)))
		return;
	copy = d->rows.len < PFS_DOUBTS_MAX ? malloc(sizeof(*copy)) : NULL;
	if (copy) {
		*copy = *row;
		if (pfs_map_set(&d->rows, copy, sizeof(*copy), copy, NULL) == 0) {
			note_change(d);
			return;
		}
	}
	free(copy);
	d->left_out++;
}

void pfs_doubts_add(struct pfs_doubts *d, const struct pfs_doubt *row)
{
	pfs_lock(&d->lock);
	add_locked(d, row);
	pfs_unlock(&d->lock);
}

void pfs_doubts_remove(struct pfs_doubts *d, const struct pfs_doubt *row)
{
	struct pfs_doubt *gone;

	if (pfs_doubts_count(d) == 0)
		return;
	pfs_lock(&d->lock);
	gone = pfs_map_remove(&d->rows, row, sizeof(*row));
	if (gone)
		note_change(d);
	pfs_unlock(&d->lock);
	free(gone);
}

static size_t copy_rows(const struct pfs_doubts *d, const unsigned char *pack,
			struct pfs_doubt *out)
{
	const struct pfs_doubt *row;
	size_t pos = 0, n = 0;

	while ((row = pfs_map_next(&d->rows, &pos)))
		if (!pack || memcmp(row->pack, pack, sizeof(row->pack)) == 0)
			out[n++] = *row;
	return n;
}

int pfs_doubts_list(struct pfs_doubts *d, const unsigned char *pack, struct pfs_doubt **out,
		    size_t *out_n, struct pfs_error *err)
{
	struct pfs_doubt *list;

	pfs_lock(&d->lock);
	list = calloc(d->rows.len + 1, sizeof(*list));
	if (list)
		*out_n = copy_rows(d, pack, list);
	pfs_unlock(&d->lock);
	if (!list)
		return pfs_fail_nomem(err, "a list of damages");
	*out = list;
	return 0;
}

/* --- the file -------------------------------------------------------------- */

static void encode_row(const struct pfs_doubt *row, unsigned char *p)
{
	memcpy(p, row->pack, PFS_UUID_SIZE);
	pfs_put_le64(p + 16, row->off);
	memcpy(p + 24, row->id.bytes, PFS_ID_SIZE);
}

static struct pfs_doubt decode_row(const unsigned char *p)
{
	struct pfs_doubt row = { .off = pfs_get_le64(p + 16) };

	memcpy(row.pack, p, PFS_UUID_SIZE);
	memcpy(row.id.bytes, p + 24, PFS_ID_SIZE);
	return row;
}

/* How many rows there are in these bytes. */
static int decode(const unsigned char *raw, size_t len,
		  const unsigned char store_uuid[PFS_UUID_SIZE], uint32_t *out_n,
		  struct pfs_error *err)
{
	uint32_t n;

	if (len < SIZE_OF(0) || memcmp(raw, MAGIC, 4) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "no list of damages");
	if (pfs_crc32c(0, raw, len - 4) != pfs_get_le32(raw + len - 4))
		return pfs_fail(err, PFS_E_CORRUPT, "checksum does not match");
	if (pfs_get_le16(raw + 4) != VERSION)
		return pfs_fail(err, PFS_E_CORRUPT, "version %u, this program knows %u",
				pfs_get_le16(raw + 4), VERSION);
	n = pfs_get_le32(raw + 24);
	if (n > PFS_DOUBTS_MAX || len != SIZE_OF(n))
		return pfs_fail(err, PFS_E_CORRUPT, "%zu bytes, not those of %" PRIu32 " rows", len,
				n);
	for (size_t i = 6; i < HEAD_SIZE; i++)
		if ((i < 8 || i >= 28) && raw[i])
			return pfs_fail(err, PFS_E_CORRUPT, "reserved bytes are not zero");
	if (memcmp(raw + 8, store_uuid, PFS_UUID_SIZE) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "belongs to another store");
	*out_n = n;
	return 0;
}

static int read_file(int dir, const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_buf *raw,
		     uint32_t *out_n, struct pfs_error *err)
{
	int rc = pfs_io_load_file(dir, FILE_NAME, raw, err);

	if (rc == PFS_E_LIMIT)
		rc = pfs_fail(err, PFS_E_CORRUPT, "longer than any list of damages");
	return rc < 0 ? rc : decode(raw->data, raw->len, store_uuid, out_n, err);
}

void pfs_doubts_load(struct pfs_doubts *d, int dir, const unsigned char store_uuid[PFS_UUID_SIZE])
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf raw = PFS_BUF_INIT(SIZE_OF(PFS_DOUBTS_MAX));
	struct pfs_error why = { 0 };
	uint32_t n = 0;
	int rc;

	pfs_lock(&d->file);
	rc = read_file(dir, store_uuid, &raw, &n, &why);
	if (rc < 0 && rc != PFS_E_NOTFOUND)
		snprintf(d->trouble, sizeof(d->trouble), "%s", why.text);
	d->there = rc == 0;
	pfs_lock(&d->lock);
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		struct pfs_doubt row = decode_row(raw.data + HEAD_SIZE + (size_t)i * ROW_SIZE);

		add_locked(d, &row);
	}
	__atomic_store_n(&d->changed, 0, __ATOMIC_RELEASE);
	pfs_unlock(&d->lock);
	pfs_unlock(&d->file);
}

static int write_rows(int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		      const struct pfs_doubt *rows, size_t n, struct pfs_error *err)
{
	size_t size = SIZE_OF(n);
	unsigned char *raw = calloc(1, size);
	int rc;

	if (!raw)
		return pfs_fail_nomem(err, "a list of damages");
	memcpy(raw, MAGIC, 4);
	pfs_put_le16(raw + 4, VERSION);
	memcpy(raw + 8, store_uuid, PFS_UUID_SIZE);
	pfs_put_le32(raw + 24, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		encode_row(&rows[i], raw + HEAD_SIZE + i * ROW_SIZE);
	pfs_put_le32(raw + size - 4, pfs_crc32c(0, raw, size - 4));
	rc = pfs_fault("doubts.save", err);
	if (rc == 0)
		rc = pfs_publish(dir, FILE_NAME, raw, size, 0600, err);
	free(raw);
	return rc;
}

static int save_locked(struct pfs_doubts *d, int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		       struct pfs_error *err)
{
	struct pfs_doubt *rows = NULL;
	size_t n = 0;
	int rc;

	/* Before they are listed: what comes meanwhile is for the next time. */
	if (!__atomic_exchange_n(&d->changed, 0, __ATOMIC_ACQ_REL))
		return 0;
	rc = pfs_doubts_list(d, NULL, &rows, &n, err);
	if (rc == 0)
		rc = write_rows(dir, store_uuid, rows, n, err);
	free(rows);
	if (rc < 0)
		__atomic_store_n(&d->changed, 1, __ATOMIC_RELEASE);
	d->there |= rc == 0;
	return rc;
}

int pfs_doubts_save(struct pfs_doubts *d, int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		    struct pfs_error *err)
{
	int rc;

	if (!__atomic_load_n(&d->changed, __ATOMIC_ACQUIRE))
		return 0;
	pfs_lock(&d->file);
	rc = save_locked(d, dir, store_uuid, err);
	pfs_unlock(&d->file);
	return rc;
}

static uint64_t count_left_out(struct pfs_doubts *d)
{
	uint64_t n;

	pfs_lock(&d->lock);
	n = d->left_out;
	pfs_unlock(&d->lock);
	return n;
}

void pfs_doubts_check(struct pfs_doubts *d, int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		      void (*tell)(void *arg, const char *what, const char *text), void *arg)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf raw = PFS_BUF_INIT(SIZE_OF(PFS_DOUBTS_MAX));
	struct pfs_error why = { 0 };
	uint32_t n;
	int rc;

	pfs_lock(&d->file);
	rc = read_file(dir, store_uuid, &raw, &n, &why);
	if (d->trouble[0])
		tell(arg, "the file " FILE_NAME " was put away", d->trouble);
	else if (rc < 0 && (rc != PFS_E_NOTFOUND || d->there))
		tell(arg, "the file " FILE_NAME " is written anew", why.text);
	if (d->trouble[0] || (rc < 0 && d->there))
		__atomic_store_n(&d->changed, 1, __ATOMIC_RELEASE);
	d->trouble[0] = 0;
	save_locked(d, dir, store_uuid, NULL);
	pfs_unlock(&d->file);
	if (count_left_out(d))
		tell(arg, FILE_NAME,
		     "there is more damage than the file holds; the rest is forgotten when the "
		     "store is closed");
}
