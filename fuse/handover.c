#include "fuse/handover.h"

#include "base/bytes.h"
#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC         "pfs-hold"
#define MAGIC_SIZE    8u
#define CRC_AT        12u
#define SIZE_AT       16u
#define DEVICE_AT     24u
#define HEADER_SIZE   32u
#define PATH_SIZE_MAX 4096u

enum { IMMUTABLE = 1, VOLATILE = 2, WATCHED = 4, THROUGH = 8, ALL = 15 };

void pfs_handover_fini(struct pfs_handover *h)
{
	free(h->inodes);
	free(h->opens);
	*h = (struct pfs_handover){ 0 };
}

/* ---- writing ---- */

static int add_inode(struct pfs_buf *out, const struct pfs_handover_inode *i, struct pfs_error *err)
{
	int rc = pfs_bytes_add_u32(out, i->number, err);

	if (rc == 0)
		rc = pfs_bytes_add_u32(out, i->generation, err);
	if (rc == 0)
		rc = pfs_bytes_add_u64(out, i->n_lookups, err);
	if (rc == 0)
		rc = pfs_buf_add_u8(out,
				    (i->immutable ? IMMUTABLE : 0) | (i->volatile_ ? VOLATILE : 0) |
					    (i->watched ? WATCHED : 0) | (i->through ? THROUGH : 0),
				    err);
	if (rc < 0 || !i->through)
		return rc;
	rc = pfs_bytes_add_u32(out, i->backing_id, err);
	if (rc == 0)
		rc = pfs_bytes_add_u64(out, i->backing_dev, err);
	return rc < 0 ? rc : pfs_bytes_add_u64(out, i->backing_ino, err);
}

static int add_open(struct pfs_buf *out, const struct pfs_handover_open *o, struct pfs_error *err)
{
	int rc = pfs_bytes_add_u32(out, o->number, err);

	if (rc == 0)
		rc = pfs_bytes_add_u32(out, o->inode, err);
	if (rc == 0)
		rc = pfs_buf_add_u8(out, (uint8_t)o->kind, err);
	if (rc == 0)
		rc = pfs_buf_add_u8(out, o->mode, err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(out, o->flags, err);
	if (rc == 0)
		rc = pfs_bytes_add_u64(out, o->ino, err);
	return rc < 0 ? rc : pfs_bytes_add_long(out, o->data, o->len, err);
}

static int add_tables(struct pfs_buf *out, const struct pfs_handover *h, struct pfs_error *err)
{
	int rc = pfs_bytes_add_u32(out, (uint32_t)h->n_inodes, err);

	for (size_t i = 0; rc == 0 && i < h->n_inodes; i++)
		rc = add_inode(out, &h->inodes[i], err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(out, (uint32_t)h->n_opens, err);
	for (size_t i = 0; rc == 0 && i < h->n_opens; i++)
		rc = add_open(out, &h->opens[i], err);
	return rc;
}

static uint32_t checksum(const unsigned char *data, size_t len)
{
	return pfs_crc32c(0, data + SIZE_AT, len - SIZE_AT);
}

int pfs_handover_encode(const struct pfs_handover *h, struct pfs_buf *out, struct pfs_error *err)
{
	static const unsigned char rest[HEADER_SIZE - MAGIC_SIZE];
	size_t start = out->len;
	int rc = pfs_buf_add(out, MAGIC, MAGIC_SIZE, err);

	if (rc == 0)
		rc = pfs_buf_add(out, rest, sizeof(rest), err);
	if (rc == 0)
		rc = pfs_bytes_add_long(out, h->mountpoint, h->mountpoint_len, err);
	if (rc == 0)
		rc = pfs_bytes_add_long(out, h->hello, h->hello_len, err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(out, h->features, err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(out, h->generation, err);
	if (rc == 0)
		rc = pfs_bytes_add_long(out, h->places, h->places_len, err);
	if (rc == 0)
		rc = add_tables(out, h, err);
	if (rc < 0)
		return rc;
	pfs_put_le32(out->data + start + MAGIC_SIZE, PFS_HANDOVER_VERSION);
	pfs_put_le64(out->data + start + SIZE_AT, out->len - start);
	pfs_put_le64(out->data + start + DEVICE_AT, h->device);
	pfs_put_le32(out->data + start + CRC_AT, checksum(out->data + start, out->len - start));
	return 0;
}

/* ---- reading ---- */

#define INODE_SIZE_MIN 17u
#define OPEN_SIZE_MIN  30u

static void take_inode(struct pfs_bytes *b, struct pfs_handover_inode *i)
{
	uint8_t flags;

	i->number = pfs_bytes_u32(b);
	i->generation = pfs_bytes_u32(b);
	i->n_lookups = pfs_bytes_u64(b);
	flags = pfs_bytes_u8(b);
	i->immutable = flags & IMMUTABLE;
	i->volatile_ = flags & VOLATILE;
	i->watched = flags & WATCHED;
	i->through = flags & THROUGH;
	if (i->through) {
		i->backing_id = pfs_bytes_u32(b);
		i->backing_dev = pfs_bytes_u64(b);
		i->backing_ino = pfs_bytes_u64(b);
	}
	if ((flags & ~ALL) || !i->generation || !i->n_lookups)
		b->bad = true;
}

static void take_open(struct pfs_bytes *b, struct pfs_handover_open *o)
{
	uint8_t kind;

	o->number = pfs_bytes_u32(b);
	o->inode = pfs_bytes_u32(b);
	kind = pfs_bytes_u8(b);
	o->kind = kind == PFS_HANDOVER_DIR ? PFS_HANDOVER_DIR : PFS_HANDOVER_FILE;
	o->mode = pfs_bytes_u8(b);
	o->flags = pfs_bytes_u32(b);
	o->ino = pfs_bytes_u64(b);
	o->data = pfs_bytes_long(b, SIZE_MAX, &o->len);
	if (kind != o->kind)
		b->bad = true;
}

static int take_tables(struct pfs_bytes *b, struct pfs_handover *h, struct pfs_error *err)
{
	uint32_t n = pfs_bytes_count(b, INODE_SIZE_MIN);

	h->inodes = calloc(n + 1u, sizeof(*h->inodes));
	for (; h->inodes && h->n_inodes < n && !b->bad; h->n_inodes++)
		take_inode(b, &h->inodes[h->n_inodes]);
	n = pfs_bytes_count(b, OPEN_SIZE_MIN);
	h->opens = calloc(n + 1u, sizeof(*h->opens));
	for (; h->opens && h->n_opens < n && !b->bad; h->n_opens++)
		take_open(b, &h->opens[h->n_opens]);
	return h->inodes && h->opens ? 0 : pfs_fail_nomem(err, "what is handed over");
}

static int check_header(const unsigned char *data, size_t len, struct pfs_error *err)
{
	uint32_t version;

	if (len < HEADER_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "what is handed over is not from a pfsd");
	version = pfs_get_le32(data + MAGIC_SIZE);
	if (version != PFS_HANDOVER_VERSION)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"what is handed over has version %u, this pfsd reads %u", version,
				PFS_HANDOVER_VERSION);
	if (pfs_get_le64(data + SIZE_AT) != len ||
	    pfs_get_le32(data + CRC_AT) != checksum(data, len))
		return pfs_fail(err, PFS_E_CORRUPT, "what is handed over is damaged: %zu bytes",
				len);
	return 0;
}

static int take_all(const unsigned char *data, size_t len, struct pfs_handover *h,
		    struct pfs_error *err)
{
	struct pfs_bytes b = { data + HEADER_SIZE, data + len, false };
	int rc;

	h->device = pfs_get_le64(data + DEVICE_AT);
	h->mountpoint = pfs_bytes_long(&b, PATH_SIZE_MAX, &h->mountpoint_len);
	h->hello = pfs_bytes_long(&b, PFS_HANDOVER_HELLO_MAX, &h->hello_len);
	h->features = pfs_bytes_u32(&b);
	h->generation = pfs_bytes_u32(&b);
	h->places = pfs_bytes_long(&b, SIZE_MAX, &h->places_len);
	rc = take_tables(&b, h, err);
	if (rc < 0)
		return rc;
	if (b.bad || b.at != b.end || !h->mountpoint_len ||
	    memchr(h->mountpoint, 0, h->mountpoint_len))
		return pfs_fail(err, PFS_E_CORRUPT, "what is handed over does not make sense");
	return 0;
}

int pfs_handover_decode(const void *data, size_t len, struct pfs_handover *out,
			struct pfs_error *err)
{
	struct pfs_handover h = { 0 };
	int rc = check_header(data, len, err);

	if (rc == 0)
		rc = take_all(data, len, &h, err);
	if (rc < 0) {
		pfs_handover_fini(&h);
		return rc;
	}
	*out = h;
	return 0;
}
