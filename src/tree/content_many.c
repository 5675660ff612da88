/* Many short files at once: what needs no cut goes to the store together. */
#include "tree/chunker.h"
#include "tree/content.h"

#include <stdlib.h>
#include <string.h>

static int from_one(struct pfs_store *st, struct pfs_content_item *item, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	int rc = pfs_content_writer_open(st, &w, err);

	if (rc < 0)
		return rc;
	if (item->old)
		pfs_content_writer_near(w, item->old);
	rc = pfs_content_write(w, item->data, item->len, err);
	return rc < 0 ? rc : pfs_content_finish(w, &item->out, err);
}

static bool is_one_chunk(const struct pfs_content_item *item)
{
	return item->len > PFS_INLINE_SIZE_MAX && item->len < PFS_CHUNK_SINGLE;
}

static int put_chunks(struct pfs_store *st, struct pfs_content_item *items, size_t n,
		      struct pfs_store_item *put, struct pfs_error *err)
{
	size_t n_put = 0;
	int rc;

	for (size_t i = 0; i < n; i++) {
		const struct pfs_content *old = items[i].old;

		if (!is_one_chunk(&items[i]))
			continue;
		put[n_put++] = (struct pfs_store_item){
			.data = items[i].data,
			.len = items[i].len,
			.near = old && old->form == PFS_CONTENT_CHUNK ? &old->id : NULL,
		};
	}
	rc = n_put ? pfs_store_put_batch(st, PFS_KIND_CHUNK, put, n_put, err) : 0;
	n_put = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!is_one_chunk(&items[i]))
			continue;
		items[i].out = (struct pfs_content){ .size = items[i].len,
						     .form = PFS_CONTENT_CHUNK,
						     .id = put[n_put++].id };
	}
	return rc;
}

int pfs_content_from_many(struct pfs_store *st, struct pfs_content_item *items, size_t n,
			  struct pfs_error *err)
{
	struct pfs_store_item *put = reallocarray(NULL, n ? n : 1, sizeof(*put));
	int rc = put ? put_chunks(st, items, n, put, err) : pfs_fail_nomem(err, "many files");

	free(put);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!is_one_chunk(&items[i]))
			rc = from_one(st, &items[i], err);
	return rc;
}
