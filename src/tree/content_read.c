/*
 * Bytes of a content at any offset: a path of sequence nodes that stays where
 * the last read was, so that reading on takes the next entry of a leaf.
 */
#include "tree/content.h"
#include "base/io.h"
#include "format/seqnode.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct frame {
	const struct pfs_object *hold;
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it;
	uint64_t start; /* of the node, in the file */
};

struct pfs_content_reader {
	struct pfs_store *st;
	struct pfs_content content;
	unsigned root_level;
	unsigned low; /* frames from here up to root_level are loaded */
	struct frame frames[PFS_TREE_LEVEL_MAX + 1]; /* by level */
	const struct pfs_object *chunk;              /* read last, or NULL */
	struct pfs_id chunk_id;
};

/* A stretch of the file that is one chunk or one hole. */
struct extent {
	uint64_t start, end;
	bool hole;
	struct pfs_id id;
};

static int name_the_node(struct pfs_error *err, int rc, const struct pfs_id *id)
{
	char hex[PFS_ID_HEX_SIZE];

	return pfs_wrap(err, rc, "sequence node %s", pfs_id_format(id, hex));
}

/* What a parent says about a node. */
struct expected {
	struct pfs_id id;
	uint64_t start; /* in the file */
	uint64_t bytes;
	/* These are not checked for a root, which has no parent. */
	uint64_t chunks, last_seed;
	unsigned level;
	bool root;
};

static int check_node(const struct pfs_seqnode *node, const struct expected *want,
		      struct pfs_error *err)
{
	struct pfs_seqnode_iter it;
	int rc;

	if (node->bytes != want->bytes ||
	    (!want->root && (node->level != want->level || node->chunks != want->chunks)))
		return pfs_fail(err, PFS_E_CORRUPT,
				"level %u with %" PRIu64 " bytes in %" PRIu64
				" chunks is not what its parent says",
				node->level, node->bytes, node->chunks);
	if (want->root)
		return 0;
	pfs_seqnode_iter_init(&it, node);
	rc = pfs_seqnode_iter_seek(&it, node->bytes - 1, err);
	if (rc == 0 && it.e.last_seed != want->last_seed)
		rc = pfs_fail(err, PFS_E_CORRUPT, "its last entry is not what its parent says");
	return rc;
}

static int load_node(struct pfs_content_reader *r, const struct expected *want,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_seqnode node;
	struct frame *f;
	int rc;

	rc = pfs_store_get(r->st, PFS_KIND_SEQNODE, &want->id, &o, err);
	if (rc == 0)
		rc = pfs_seqnode_open(o->data, o->len, &node, err);
	if (rc == 0)
		rc = check_node(&node, want, err);
	if (rc < 0)
		return name_the_node(err, rc, &want->id);
	f = &r->frames[node.level];
	pfs_object_unref(&f->hold);
	f->hold = o;
	o = NULL;
	f->node = node;
	f->start = want->start;
	pfs_seqnode_iter_init(&f->it, &f->node);
	r->low = node.level;
	return 0;
}

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
		struct expected root = { .id = content->id, .bytes = content->size, .root = true };

		rc = load_node(r, &root, err);
		if (rc < 0)
			return rc;
		r->root_level = r->low;
	}
	*out = r;
	r = NULL;
	return 0;
}

void pfs_content_reader_close(struct pfs_content_reader **r)
{
	if (!*r)
		return;
	for (unsigned i = 0; i <= PFS_TREE_LEVEL_MAX; i++)
		pfs_object_unref(&(*r)->frames[i].hold);
	pfs_object_unref(&(*r)->chunk);
	free(*r);
	*r = NULL;
}

static bool covers(const struct frame *f, uint64_t off)
{
	return off >= f->start && off - f->start < f->node.bytes;
}

/* Let the frame stand at the entry that holds `off`; the next one in a row costs no search. */
static int stand_at(struct frame *f, uint64_t off, struct pfs_error *err)
{
	uint64_t at = off - f->start;
	int rc;

	if (f->it.index > 0 && at >= f->it.start && at < f->it.next)
		return 0;
	if (at != f->it.next)
		return pfs_seqnode_iter_seek(&f->it, at, err);
	rc = pfs_seqnode_iter_next(&f->it, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_CORRUPT, "sequence node: ends early");
	return rc < 0 ? rc : 0;
}

/* From the item `f` stands at to the node it names, one level lower. */
static int descend(struct pfs_content_reader *r, const struct frame *f, struct pfs_error *err)
{
	struct expected want = { .id = f->it.e.id,
				 .start = f->start + f->it.start,
				 .bytes = f->it.e.bytes,
				 .chunks = f->it.e.chunks,
				 .last_seed = f->it.e.last_seed,
				 .level = f->node.level - 1 };

	return load_node(r, &want, err);
}

static int find_in_sequence(struct pfs_content_reader *r, uint64_t off, struct extent *out,
			    struct pfs_error *err)
{
	const struct pfs_seqnode_iter *it;

	while (r->low < r->root_level && !covers(&r->frames[r->low], off))
		r->low++;
	for (;;) {
		struct frame *f = &r->frames[r->low];
		int rc = stand_at(f, off, err);

		if (rc == 0 && r->low == 0)
			break;
		if (rc == 0)
			rc = descend(r, f, err);
		if (rc < 0)
			return rc;
	}
	it = &r->frames[0].it;
	out->start = r->frames[0].start + it->start;
	out->end = r->frames[0].start + it->next;
	out->hole = it->e.kind == PFS_SEQNODE_HOLE;
	out->id = it->e.id;
	return 0;
}

/* The chunk or hole that holds byte `off`; not for inline contents. */
static int find_extent(struct pfs_content_reader *r, uint64_t off, struct extent *out,
		       struct pfs_error *err)
{
	if (r->content.form == PFS_CONTENT_SEQ)
		return find_in_sequence(r, off, out, err);
	*out = (struct extent){ .start = 0, .end = r->content.size, .id = r->content.id };
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
	rc = pfs_store_get(r->st, PFS_KIND_CHUNK, &x->id, &o, err);
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
