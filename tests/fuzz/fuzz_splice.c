/*
 * Any bytes, changed anywhere: spliced is the same as written anew. The bytes
 * are how many splices, for each gap, old and new length (u16, the top bit of
 * the last: zeros), then the file, and what is new from its end backwards.
 * Chunks and nodes are small here, as in splice_many.
 */
#include "tree/splice.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SPLICES_MAX 8u

struct file {
	unsigned char *d;
	size_t n;
};

static int read_file(void *arg, uint64_t off, void *data, size_t len, struct pfs_error *err)
{
	const struct file *f = arg;

	(void)err;
	if (off > f->n || len > f->n - off)
		abort();
	memcpy(data, f->d + off, len);
	return 0;
}

static size_t get16(const uint8_t *p)
{
	return (size_t)p[0] | (size_t)p[1] << 8;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void put(struct file *f, const uint8_t *d, size_t n)
{
	f->d = realloc(f->d, f->n + n + 1);
	if (!f->d)
		abort();
	if (d)
		memcpy(f->d + f->n, d, n);
	else
		memset(f->d + f->n, 0, n);
	f->n += n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t n = len ? data[0] % SPLICES_MAX : 0, pos = 0;
	const uint8_t *old = data + 1 + 6 * n;
	struct pfs_splice list[SPLICES_MAX];
	struct pfs_content base, got, want;
	struct file is = { 0 };
	struct pfs_store *st;
	size_t old_n;

	if (len < 1 + 6 * n || pfs_store_open_mem(&st, NULL) < 0)
		return 0;
	old_n = len - 1 - 6 * n;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = data + 1 + 6 * i;
		size_t gap = least(get16(p), old_n - pos), fresh = get16(p + 4) & 0x7fff;
		struct pfs_splice *x = &list[i];

		*x = (struct pfs_splice){ .off = pos + gap, .zeros = p[5] & 0x80 };
		x->old_len = least(get16(p + 2), old_n - pos - gap);
		x->new_len = x->zeros ? fresh : least(fresh, old_n);
		put(&is, old + pos, gap);
		put(&is, x->zeros ? NULL : old + old_n - x->new_len, x->new_len);
		pos = x->off + x->old_len;
	}
	put(&is, old + pos, old_n - pos);
	if (pfs_content_from_bytes(st, old, old_n, &base, NULL) < 0 ||
	    pfs_content_splice(st, &base, list, n, read_file, &is, &got, NULL) < 0 ||
	    pfs_content_from_bytes(st, is.d, is.n, &want, NULL) < 0 ||
	    !pfs_content_equal(&got, &want))
		abort();
	free(is.d);
	pfs_store_close(&st);
	return 0;
}
