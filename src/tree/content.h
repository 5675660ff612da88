/*
 * The bytes of a file: cut into chunks, named, read back at any offset.
 *
 * Cuts depend on nearby bytes only (pfs-tree(5), "local maximum"), so two
 * versions share what they have in common wherever it moved to.
 *
 * Threads: any; a writer and a reader belong to one thread at a time.
 */
#ifndef PFS_TREE_CONTENT_H
#define PFS_TREE_CONTENT_H

#include "tree/entry.h"
#include "base/idset.h"
#include "store/store.h"

struct pfs_adoption;

/*
 * Feed bytes in order, get a content. Holes of the source may be given as
 * holes; written zeros come out the same.
 */
struct pfs_content_writer;
int pfs_content_writer_open(struct pfs_store *st, struct pfs_content_writer **out,
			    struct pfs_error *err);
void pfs_content_writer_close(struct pfs_content_writer **w); /* gives up what was not finished */

/*
 * What the file held before; `old` is borrowed until finish. New chunks are
 * kept as deltas against its chunks when that pays; the result is the same.
 */
void pfs_content_writer_near(struct pfs_content_writer *w, const struct pfs_content *old);
int pfs_content_write(struct pfs_content_writer *w, const void *data, size_t len,
		      struct pfs_error *err);
int pfs_content_write_hole(struct pfs_content_writer *w, uint64_t len, struct pfs_error *err);
int pfs_content_finish(struct pfs_content_writer *w, struct pfs_content *out,
		       struct pfs_error *err);

/* Bytes in memory. */
int pfs_content_from_bytes(struct pfs_store *st, const void *data, size_t len,
			   struct pfs_content *out, struct pfs_error *err);

/* Short files in memory, many together: each has its content in the end, or none has. */
struct pfs_content_item {
	const void *data;
	size_t len;
	const struct pfs_content *old; /* as in pfs_content_writer_near(), or NULL */
	struct pfs_content out;
};
int pfs_content_from_many(struct pfs_store *st, struct pfs_content_item *items, size_t n,
			  struct pfs_error *err);

/*
 * The first `size` bytes of a local file (short files end there), asking the
 * kernel for its holes. The file may change meanwhile: what was read counts.
 * The descriptor's offset is moved. `old`: as in pfs_content_writer_near(), or NULL.
 */
int pfs_content_from_fd(struct pfs_store *st, int fd, uint64_t size, const struct pfs_content *old,
			struct pfs_content *out, struct pfs_error *err);

/*
 * The same for a file that `a` is to take in as it is: chunks are named there
 * and not put, and told what they resemble of `old`; nodes are put. The file must
 * not change any more, and is on its way to the disk when this returns.
 */
int pfs_content_survey_fd(struct pfs_store *st, int fd, uint64_t size,
			  const struct pfs_content *old, struct pfs_adoption *a,
			  struct pfs_content *out, struct pfs_error *err);

/*
 * Name what the file is made of, and store of it what is wanted and not had: for
 * who has lost it. *out_put is how many objects that was.
 */
int pfs_content_refill_fd(struct pfs_store *st, int fd, uint64_t size,
			  const struct pfs_idset *wanted, uint64_t *out_put, struct pfs_error *err);

/*
 * Random access. A reader remembers where it was: sequential reads descend no
 * tree. `content` is copied.
 */
struct pfs_content_reader;
int pfs_content_reader_open(struct pfs_store *st, const struct pfs_content *content,
			    struct pfs_content_reader **out, struct pfs_error *err);
void pfs_content_reader_close(struct pfs_content_reader **r);

/* Up to `len` bytes at `off`; *out_len is shorter at the end of the file only. */
int pfs_content_read(struct pfs_content_reader *r, uint64_t off, void *data, size_t len,
		     size_t *out_len, struct pfs_error *err);

/*
 * A local file that holds this content and no more, to read from: a descriptor,
 * the caller's, or -1. What is read from it is not checked again, see
 * store/local.h.
 */
int pfs_content_local(struct pfs_store *st, const struct pfs_content *content);

/*
 * Where the first data at or after `off` begins, or the first hole; the end of
 * the file when there is none. Data is found in O(log n); a hole by walking the
 * leaves up to it.
 */
int pfs_content_map(struct pfs_content_reader *r, uint64_t off, bool hole, uint64_t *out,
		    struct pfs_error *err);

/*
 * How many bytes are data, for who shows how much room a file takes: exact for
 * most files, too many rather than too few for large ones with very many holes.
 * A few nodes are read, however large the file is.
 */
int pfs_content_data_size(struct pfs_content_reader *r, uint64_t *out, struct pfs_error *err);

/*
 * Write the first `size` bytes of a content to a local file at 0, leaving holes
 * as holes; what the file held there is gone. A longer file keeps its rest.
 */
int pfs_content_to_fd(struct pfs_store *st, const struct pfs_content *content, uint64_t size,
		      int fd, struct pfs_error *err);

#endif
