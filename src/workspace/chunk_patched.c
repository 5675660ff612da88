/* The content of a patched file: its content with splices where the spool file has bytes. */
#include "workspace/chunk_i.h"
#include "base/io.h"
#include "tree/content.h"
#include "tree/splice.h"
#include "workspace/sealing_i.h"

#include <stdlib.h>
#include <string.h>

#define HOLES_SIZE_MIN (1u << 20) /* in longer ranges holes are looked for */

/* The image of a patched file, while its content is made. */
struct source {
	struct pfs_patched_image image;
	struct pfs_content base;
	struct pfs_content_reader *reader;
	int fd;
};

struct splices PFS_VEC(struct pfs_splice);
PFS_VEC_DEFINE(push_splice, struct splices, struct pfs_splice, "a seal")

static int read_source(void *arg, uint64_t off, void *data, size_t len, struct pfs_error *err)
{
	struct source *src = arg;
	unsigned char *p = data;

	while (len > 0) {
		struct pfs_patched_piece piece;
		size_t n = len, got = len;
		int rc = 0;

		if (!pfs_patched_map_look(&src->image.map, off, &piece))
			return pfs_fail(err, PFS_E_CORRUPT, "a patched file has no byte %llu",
					(unsigned long long)off);
		if (n > piece.end - off)
			got = n = (size_t)(piece.end - off);
		if (piece.from == PFS_PATCHED_ZEROS)
			memset(p, 0, n);
		else if (piece.from == PFS_PATCHED_SPOOL)
			rc = pfs_io_pread(src->fd, p, n, off, &got, err);
		else
			rc = pfs_content_read(src->reader, off, p, n, &got, err);
		if (rc == 0 && got != n)
			rc = pfs_fail(err, PFS_E_CORRUPT, "a patched file is cut short at %llu",
				      (unsigned long long)(off + got));
		if (rc < 0)
			return rc;
		p += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* New bytes [off, end) in place of as much of the base as is there; behind its end they are added. */
static int add_piece(struct splices *list, const struct source *src, uint64_t off, uint64_t end,
		     bool zeros, struct pfs_error *err)
{
	uint64_t size = src->base.size;
	struct pfs_splice s = { .off = off < size ? off : size,
				.new_len = end - off,
				.zeros = zeros };

	if (off < size)
		s.old_len = end < size ? end - off : size - off;
	return push_splice(list, s, err);
}

/* A range of the spool file: data, and where it is long, holes. */
static int add_range(struct splices *list, const struct source *src, uint64_t off, uint64_t end,
		     struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0 && end - off >= HOLES_SIZE_MIN) {
		uint64_t data, upto;

		pfs_io_next_data(src->fd, off, end, &data, &upto);
		if (data > off)
			rc = add_piece(list, src, off, data, true, err);
		if (rc == 0 && data < upto)
			rc = add_piece(list, src, data, upto, false, err);
		off = upto;
	}
	return rc == 0 && off < end ? add_piece(list, src, off, end, false, err) : rc;
}

/* What differs from the content: the ranges, and zeros where it was cut. */
static int list_splices(const struct source *src, struct splices *list, struct pfs_error *err)
{
	const struct pfs_patched_map *m = &src->image.map;
	struct pfs_patched_piece piece;
	int rc = 0;

	for (uint64_t off = 0; rc == 0 && pfs_patched_map_look(m, off, &piece); off = piece.end) {
		if (piece.from == PFS_PATCHED_SPOOL)
			rc = add_range(list, src, off, piece.end, err);
		else if (piece.from == PFS_PATCHED_ZEROS)
			rc = add_piece(list, src, off, piece.end, true, err);
	}
	if (rc == 0 && m->size < src->base.size)
		rc = push_splice(
			list,
			(struct pfs_splice){ .off = m->size, .old_len = src->base.size - m->size },
			err);
	return rc;
}

static int splice(struct pfs_workspace *ws, struct source *src, struct pfs_content *out,
		  struct pfs_error *err)
{
	struct splices list = { 0 };
	int rc = list_splices(src, &list, err);

	if (rc == 0)
		rc = pfs_content_reader_open(ws->store, &src->base, &src->reader, err);
	if (rc == 0)
		rc = pfs_content_splice(ws->sealing->store, &src->base, list.items, list.n,
					read_source, src, out, err);
	pfs_content_reader_close(&src->reader);
	free(list.items);
	return rc;
}

int pfs_chunk_patched(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_kept **out,
		      struct pfs_error *err)
{
	struct pfs_spooled *s = NULL;
	struct pfs_content content;
	struct source src = { 0 };
	int fd, rc = 0;

	pfs_rwlock_write(&ws->lock);
	if (n->file.state == PFS_FILE_PATCHED)
		rc = pfs_spooled_use(n, &s, err);
	pfs_rwlock_unlock(&ws->lock);
	if (!s)
		return rc;
	rc = pfs_patched_take_image(s->patch, ws->seals, &src.image, err);
	if (rc == 0) {
		src.fd = s->fd;
		pfs_kept_content(src.image.base, &src.base);
		rc = splice(ws, &src, &content, err);
		pfs_patched_image_fini(&src.image);
		if (rc == 0)
			rc = pfs_chunk_keep(&content, out, err);
	} else if (rc == PFS_E_CONFLICT) {
		rc = 0;
	}
	pfs_rwlock_write(&ws->lock);
	fd = pfs_spooled_unuse(n, s);
	pfs_rwlock_unlock(&ws->lock);
	pfs_fd_close(&fd);
	return rc;
}
