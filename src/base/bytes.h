/*
 * Little-endian numbers and runs of bytes: writing them, and reading what
 * somebody else wrote. What is past the end is zero, and said once, at the end.
 *
 *	struct pfs_bytes b = { data, data + len };
 *	n = pfs_bytes_u32(&b);
 *	name = pfs_bytes_run(&b, pfs_bytes_u8(&b));
 *	if (b.bad) ...
 */
#ifndef PFS_BASE_BYTES_H
#define PFS_BASE_BYTES_H

#include "base/buf.h"
#include "base/endian.h"

struct pfs_bytes {
	const unsigned char *at, *end; /* borrowed */
	bool bad;                      /* something was asked for that is not there */
};

static inline size_t pfs_bytes_left(const struct pfs_bytes *b)
{
	return b->bad ? 0 : (size_t)(b->end - b->at);
}

/* NULL when there are fewer. */
static inline const unsigned char *pfs_bytes_run(struct pfs_bytes *b, uint64_t len)
{
	const unsigned char *at = b->at;

	if (len > pfs_bytes_left(b)) {
		b->bad = true;
		return NULL;
	}
	b->at += len;
	return at;
}

static inline uint8_t pfs_bytes_u8(struct pfs_bytes *b)
{
	const unsigned char *p = pfs_bytes_run(b, 1);

	return p ? *p : 0;
}

static inline uint32_t pfs_bytes_u32(struct pfs_bytes *b)
{
	const unsigned char *p = pfs_bytes_run(b, 4);

	return p ? pfs_get_le32(p) : 0;
}

static inline uint64_t pfs_bytes_u64(struct pfs_bytes *b)
{
	const unsigned char *p = pfs_bytes_run(b, 8);

	return p ? pfs_get_le64(p) : 0;
}

/* A count of things of `size` bytes at least: never more than can be there. */
static inline uint32_t pfs_bytes_count(struct pfs_bytes *b, size_t size)
{
	uint32_t n = pfs_bytes_u32(b);

	if (n > pfs_bytes_left(b) / size) {
		b->bad = true;
		return 0;
	}
	return n;
}

/* A run behind its length, of at most `max` bytes. */
static inline const unsigned char *pfs_bytes_long(struct pfs_bytes *b, size_t max, size_t *out_len)
{
	uint64_t len = pfs_bytes_u64(b);
	const unsigned char *run;

	if (len > max)
		b->bad = true;
	run = pfs_bytes_run(b, len);
	*out_len = run ? (size_t)len : 0;
	return run;
}

static inline int pfs_bytes_add_u32(struct pfs_buf *b, uint32_t v, struct pfs_error *err)
{
	unsigned char raw[4];

	pfs_put_le32(raw, v);
	return pfs_buf_add(b, raw, sizeof(raw), err);
}

static inline int pfs_bytes_add_u64(struct pfs_buf *b, uint64_t v, struct pfs_error *err)
{
	unsigned char raw[8];

	pfs_put_le64(raw, v);
	return pfs_buf_add(b, raw, sizeof(raw), err);
}

/* A run behind its length: of up to 255 bytes, and of any. */
static inline int pfs_bytes_add_short(struct pfs_buf *b, const void *run, uint8_t len,
				      struct pfs_error *err)
{
	int rc = pfs_buf_add_u8(b, len, err);

	return rc < 0 ? rc : pfs_buf_add(b, run, len, err);
}

static inline int pfs_bytes_add_long(struct pfs_buf *b, const void *run, size_t len,
				     struct pfs_error *err)
{
	int rc = pfs_bytes_add_u64(b, len, err);

	return rc < 0 ? rc : pfs_buf_add(b, run, len, err);
}

#endif
