#include "workspace/kept.h"
#include "base/endian.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE 9 /* form, size */

static size_t data_size(unsigned form, uint64_t size)
{
	return form == PFS_CONTENT_INLINE ? (size_t)size : PFS_ID_SIZE;
}

static struct pfs_kept *make(unsigned form, uint64_t size, const void *data)
{
	size_t len = data_size(form, size);
	struct pfs_kept *k = malloc(sizeof(*k) + len);

	if (!k)
		return NULL;
	atomic_init(&k->refs, 1);
	k->form = (uint8_t)form;
	k->size = size;
	if (len)
		memcpy(k->data, data, len);
	return k;
}

struct pfs_kept *pfs_kept_new(const struct pfs_content *content)
{
	return make(content->form, content->size,
		    content->form == PFS_CONTENT_INLINE ? content->bytes : content->id.bytes);
}

struct pfs_kept *pfs_kept_ref(struct pfs_kept *k)
{
	if (k)
		atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void pfs_kept_unref(struct pfs_kept **k)
{
	if (*k && atomic_fetch_sub_explicit(&(*k)->refs, 1, memory_order_acq_rel) == 1)
		free(*k);
	*k = NULL;
}

void pfs_kept_content(const struct pfs_kept *k, struct pfs_content *out)
{
	memset(out, 0, sizeof(*out));
	out->size = k->size;
	out->form = (enum pfs_content_form)k->form;
	memcpy(k->form == PFS_CONTENT_INLINE ? out->bytes : out->id.bytes, k->data,
	       data_size(k->form, k->size));
}

int pfs_kept_encode(const struct pfs_kept *k, struct pfs_buf *out, struct pfs_error *err)
{
	unsigned char head[HEAD_SIZE];
	int rc = pfs_buf_reserve(out, HEAD_SIZE + data_size(k->form, k->size), err);

	if (rc < 0)
		return rc;
	head[0] = k->form;
	pfs_put_le64(head + 1, k->size);
	pfs_buf_add(out, head, sizeof(head), NULL);
	pfs_buf_add(out, k->data, data_size(k->form, k->size), NULL);
	return 0;
}

int pfs_kept_decode(const void *data, size_t len, struct pfs_kept **out, struct pfs_error *err)
{
	const unsigned char *p = data;
	struct pfs_kept *k;
	uint64_t size;

	if (len < HEAD_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "a journaled content of %zu bytes is cut short",
				len);
	size = pfs_get_le64(p + 1);
	if (p[0] > PFS_CONTENT_SEQ || size > PFS_FILE_SIZE_MAX ||
	    (p[0] == PFS_CONTENT_INLINE && size > PFS_INLINE_SIZE_MAX) ||
	    len - HEAD_SIZE != data_size(p[0], size))
		return pfs_fail(err, PFS_E_CORRUPT,
				"a journaled content of form %u and %zu bytes makes no sense", p[0],
				len);
	k = make(p[0], size, p + HEAD_SIZE);
	if (!k)
		return pfs_fail_nomem(err, "a content");
	*out = k;
	return 0;
}
