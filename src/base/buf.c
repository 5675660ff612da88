#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pfs_buf_init(struct pfs_buf *b, size_t limit)
{
	*b = (struct pfs_buf)PFS_BUF_INIT(limit);
}

void pfs_buf_fini(struct pfs_buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void pfs_buf_clear(struct pfs_buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = 0;
}

int pfs_buf_reserve(struct pfs_buf *b, size_t more, struct pfs_error *err)
{
	unsigned char *p;
	size_t cap;

	if (more > b->limit - b->len)
		return pfs_fail(err, PFS_E_LIMIT,
				"buffer of %zu and %zu more bytes passes its limit of %zu", b->len,
				more, b->limit);
	if (b->len + more + 1 <= b->cap)
		return 0;
	cap = b->cap ? b->cap : 64;
	while (cap < b->len + more + 1)
		cap += cap / 2 + 32;
	p = realloc(b->data, cap);
	if (!p)
		return pfs_fail_nomem(err, "a buffer");
	b->data = p;
	b->cap = cap;
	return 0;
}

int pfs_buf_add(struct pfs_buf *b, const void *data, size_t len, struct pfs_error *err)
{
	int rc = pfs_buf_reserve(b, len, err);

	if (rc < 0)
		return rc;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = 0;
	return 0;
}

int pfs_buf_add_str(struct pfs_buf *b, const char *s, struct pfs_error *err)
{
	return pfs_buf_add(b, s, strlen(s), err);
}

int pfs_buf_add_u8(struct pfs_buf *b, uint8_t v, struct pfs_error *err)
{
	return pfs_buf_add(b, &v, 1, err);
}

int pfs_buf_printf(struct pfs_buf *b, struct pfs_error *err, const char *fmt, ...)
{
	va_list ap;
	int need, rc;

	va_start(ap, fmt);
	need = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (need < 0)
		return pfs_fail(err, PFS_E_INVALID, "text that cannot be formatted");
	rc = pfs_buf_reserve(b, (size_t)need, err);
	if (rc < 0)
		return rc;
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)need + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)need;
	return 0;
}

char *pfs_buf_take(struct pfs_buf *b)
{
	char *p = b->data ? (char *)b->data : calloc(1, 1);

	b->data = NULL;
	b->len = b->cap = 0;
	return p;
}
