/*
 * Growable bytes with a limit from birth; also how strings are built.
 *
 *	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_HTTP_JSON_MAX);
 *	rc = pfs_buf_add(&b, data, len, err);
 *	rc = pfs_buf_printf(&b, err, "%s\n", name);
 *
 * Adding past the limit is PFS_E_LIMIT and leaves the buffer as it was. The
 * bytes are always followed by one NUL that `len` does not count.
 */
#ifndef PFS_BASE_BUF_H
#define PFS_BASE_BUF_H

#include "base/error.h"

struct pfs_buf {
	unsigned char *data; /* owned; NULL while nothing was added */
	size_t len;
	size_t cap;
	size_t limit;
};

#define PFS_BUF_INIT(limit_bytes)      \
	{                              \
		.limit = (limit_bytes) \
	}

void pfs_buf_init(struct pfs_buf *b, size_t limit);
void pfs_buf_fini(struct pfs_buf *b);  /* safe on zeroes and twice */
void pfs_buf_clear(struct pfs_buf *b); /* keeps the memory */

int pfs_buf_reserve(struct pfs_buf *b, size_t more, struct pfs_error *err);
int pfs_buf_add(struct pfs_buf *b, const void *data, size_t len, struct pfs_error *err);
int pfs_buf_add_str(struct pfs_buf *b, const char *s, struct pfs_error *err);
int pfs_buf_add_u8(struct pfs_buf *b, uint8_t v, struct pfs_error *err);
int pfs_buf_printf(struct pfs_buf *b, struct pfs_error *err, const char *fmt, ...) PFS_PRINTF(3, 4);

/* Hand the bytes to the caller (free() them), who gets "" when there were none; NULL without memory. */
char *pfs_buf_take(struct pfs_buf *b);

static inline const char *pfs_buf_str(const struct pfs_buf *b)
{
	return b->data ? (const char *)b->data : "";
}

#endif
