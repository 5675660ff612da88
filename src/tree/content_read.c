/*
 * Bytes of a content at any offset: a path of sequence nodes that stays where
 * the last read was, so that reading on takes the next entry of a leaf.
 */
#include "tree/content.h"
#include "tree/seqwalk.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pfs_content_reader {
	struct pfs_store *st;
	struct pfs_content content;
	struct pfs_seqwalk walk;        /* when the content is a sequence */
	const struct pfs_object *chunk; /* read last, or NULL */
	struct pfs_id chunk_id;
};

/* A stretch of the file that is one chunk or one hole. */
struct extent {
	uint64_t start, end;
	bool hole;
	struct pfs_id id;
};

int pfs_content_reader_open(struct pfs_store *st, const struct pfs_content *content,
			    struct pfs_content_reader **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	int rc;

	if (content->form > PFS_CONTENT_SEQ || content->size > PFS_FILE_SIZE_MAX ||
	    (content->form == PFS_CONTENT_INLINE && content->size > PFS_INLINE_SIZE_MAX))
		return pfs_fail(err, PFS_E_INVALID, "content of %" PRIu64 " bytes in form %d",
				content->size, content->form);
	r = calloc(1, sizeof(*r));
	if (!r)
		return pfs_fail_nomem(err, "a reader");
	r->st = st;
	r->content = *content;
	if (content->form == PFS_CONTENT_SEQ) {
		rc = pfs_seqwalk_init(&r->walk, st, &content->id, content->size, err);
		if (rc < 0)
			return rc;
	}
	*out = r;
	r = NULL;
	return 0;
}

void pfs_content_reader_close(struct pfs_content_reader **r)
{
	if (!*r)
		return;
	pfs_seqwalk_fini(&(*r)->walk);
	pfs_object_unref(&(*r)->chunk);
	free(*r);
	*r = NULL;
}

/* The chunk or hole that holds byte `off`; not for inline contents. */
static int find_extent(struct pfs_content_reader *r, uint64_t off, struct extent *out,
		       struct pfs_error *err)
{
	const struct pfs_seqnode_entry *e = pfs_seqwalk_item(&r->walk, 0);
	int rc;

	if (r->content.form != PFS_CONTENT_SEQ) {
		*out = (struct extent){ .start = 0, .end = r->content.size, .id = r->content.id };
		return 0;
	}
	rc = pfs_seqwalk_seek(&r->walk, 0, off, err);
	if (rc < 0)
		return rc;
	*out = (struct extent){ .start = pfs_seqwalk_start(&r->walk, 0),
				.end = pfs_seqwalk_end(&r->walk, 0),
				.hole = e->kind == PFS_SEQNODE_HOLE,
				.id = e->id };
	return 0;
}

/* r->chunk is the chunk of this extent. */
static int load_chunk(struct pfs_content_reader *r, const struct extent *x, struct pfs_error *err)
{
	char hex[PFS_ID_HEX_SIZE];
	const struct pfs_object *o;
	int rc;

	if (r->chunk && pfs_id_equal(&r->chunk_id, &x->id) && r->chunk->len == x->end - x->start)
		return 0;
	rc = pfs_store_need(r->st, PFS_KIND_CHUNK, &x->id, &o, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "chunk %s", pfs_id_format(&x->id, hex));
	pfs_object_unref(&r->chunk);
	r->chunk = o;
	r->chunk_id = x->id;
	if (o->len == x->end - x->start)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "chunk %s has %zu bytes, the file counts on %" PRIu64,
			pfs_id_format(&x->id, hex), o->len, x->end - x->start);
}

int pfs_content_read(struct pfs_content_reader *r, uint64_t off, void *data, size_t len,
		     size_t *out_len, struct pfs_error *err)
{
	unsigned char *p = data;
	uint64_t size = r->content.size;
	size_t done = 0;

	if (off >= size)
		len = 0;
	else if (len > size - off)
		len = (size_t)(size - off);
	if (r->content.form == PFS_CONTENT_INLINE && len > 0) {
		memcpy(p, r->content.bytes + off, len);
		done = len;
	}
	while (done < len) {
		struct extent x;
		size_t n = len - done;
		int rc = find_extent(r, off + done, &x, err);

		if (rc == 0 && !x.hole)
			rc = load_chunk(r, &x, err);
		if (rc < 0)
			return rc;
		if (n > x.end - (off + done))
			n = (size_t)(x.end - (off + done));
		if (x.hole)
			memset(p + done, 0, n);
		else
			memcpy(p + done, r->chunk->data + (off + done - x.start), n);
		done += n;
	}
	*out_len = done;
	return 0;
}

int pfs_content_map(struct pfs_content_reader *r, uint64_t off, bool hole, uint64_t *out,
		    struct pfs_error *err)
{
	uint64_t size = r->content.size;

	if (r->content.form != PFS_CONTENT_SEQ) {
		*out = hole || off > size ? size : off;
		return 0;
	}
	while (off < size) {
		struct extent x;
		int rc = find_extent(r, off, &x, err);

		if (rc < 0)
			return rc;
		if (x.hole == hole)
			break;
		off = x.end;
	}
	*out = off < size ? off : size;
	return 0;
}

#define DATA_NODES_MAX 32u /* looked into by one call: some 400 MB of data */

/*
 * The item that begins at `off`, on the lowest level that we still look at.
 * Who went into a node before has to go through to its end.
 */
static int find_item(struct pfs_content_reader *r, uint64_t off, unsigned *nodes,
		     unsigned *out_level, struct pfs_error *err)
{
	unsigned level = r->walk.root_level;
	int rc = pfs_seqwalk_seek(&r->walk, level, off, err);

	while (rc == 0 && pfs_seqwalk_item(&r->walk, level)->kind == PFS_SEQNODE_CHILD) {
		if (off == pfs_seqwalk_start(&r->walk, level) && ++*nodes > DATA_NODES_MAX)
			break;
		rc = pfs_seqwalk_seek(&r->walk, --level, off, err);
	}
	*out_level = level;
	return rc;
}

/* What it can have of data at most. */
static uint64_t data_of(const struct pfs_seqnode_entry *e)
{
	if (e->kind == PFS_SEQNODE_HOLE)
		return 0;
	if (e->chunks >= e->bytes / PFS_CHUNK_SIZE_MAX)
		return e->bytes;
	return e->chunks * PFS_CHUNK_SIZE_MAX;
}

int pfs_content_data_size(struct pfs_content_reader *r, uint64_t *out, struct pfs_error *err)
{
	unsigned nodes = 0, level;
	uint64_t data = 0;

	if (r->content.form != PFS_CONTENT_SEQ) {
		*out = r->content.size;
		return 0;
	}
	for (uint64_t off = 0; off < r->content.size; off = pfs_seqwalk_end(&r->walk, level)) {
		int rc = find_item(r, off, &nodes, &level, err);

		if (rc < 0)
			return rc;
		data += data_of(pfs_seqwalk_item(&r->walk, level));
	}
	*out = data;
	return 0;
}

/* --- to local files ----------------------------------------------------- */

/* Make [start, end) read as zeros; what lies past the end of the file does already. */
static int write_hole(int fd, uint64_t file_size, uint64_t start, uint64_t end,
		      struct pfs_error *err)
{
	static const unsigned char zeros[65536];
	int rc = 0;

	if (end > file_size)
		end = file_size;
	if (start >= end || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
				      (off_t)(end - start)) == 0)
		return 0;
	for (; rc == 0 && start < end; start += sizeof(zeros))
		rc = pfs_io_pwrite(fd, zeros,
				   end - start < sizeof(zeros) ? (size_t)(end - start)
							       : sizeof(zeros),
				   start, err);
	return rc;
}

static int write_extents(struct pfs_content_reader *r, uint64_t size, int fd, uint64_t file_size,
			 struct pfs_error *err)
{
	for (uint64_t off = 0; off < size;) {
		struct extent x;
		uint64_t end;
		int rc = find_extent(r, off, &x, err);

		if (rc < 0)
			return rc;
		end = x.end < size ? x.end : size;
		if (!x.hole)
			rc = load_chunk(r, &x, err);
		if (rc == 0 && x.hole)
			rc = write_hole(fd, file_size, off, end, err);
		else if (rc == 0)
			rc = pfs_io_pwrite(fd, r->chunk->data, (size_t)(end - off), off, err);
		if (rc < 0)
			return rc;
		off = end;
	}
	return 0;
}

int pfs_content_to_fd(struct pfs_store *st, const struct pfs_content *content, uint64_t size,
		      int fd, struct pfs_error *err)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	struct stat sb;
	int rc;

	if (size > content->size)
		size = content->size;
	rc = pfs_content_reader_open(st, content, &r, err);
	if (rc < 0)
		return rc;
	if (fstat(fd, &sb) < 0)
		return pfs_fail_errno(err, errno, "size of a file");
	if (content->form == PFS_CONTENT_INLINE)
		rc = pfs_io_pwrite(fd, content->bytes, (size_t)size, 0, err);
	else
		rc = write_extents(r, size, fd, (uint64_t)sb.st_size, err);
	if (rc < 0)
		return rc;
	/* A hole at the end wrote nothing. */
	if ((uint64_t)sb.st_size < size && ftruncate(fd, (off_t)size) < 0)
		return pfs_fail_errno(err, errno, "size of a file");
	return 0;
}
