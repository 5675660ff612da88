/*
 * An OCI image layout inside a tar file: which blob lies where.
 *
 * Nothing is unpacked: the headers are read once, the bytes when asked for, so
 * entries may stand in any order. ustar, pax and GNU long names are understood.
 * Everything in the file is somebody's claim: PFS_E_CORRUPT.
 *
 * Threads: one at a time per archive.
 */
#ifndef PFS_RUNTIME_ARCHIVE_H
#define PFS_RUNTIME_ARCHIVE_H

#include "runtime/room.h"
#include "base/buf.h"
#include "runtime/digest.h"

struct pfs_archive;

/* Where a file's bytes are in the tar. */
struct pfs_archive_place {
	uint64_t off;
	uint64_t size;
};

int pfs_archive_open(const char *path, struct pfs_archive **out, struct pfs_error *err);
void pfs_archive_close(struct pfs_archive **a);

/* The file called `name` ("index.json"); PFS_E_NOTFOUND. The last of a name counts, as for tar. */
int pfs_archive_find(const struct pfs_archive *a, const char *name, struct pfs_archive_place *out,
		     struct pfs_error *err);

/* The blob with this digest, when it has this size. */
int pfs_archive_find_blob(const struct pfs_archive *a, const char *digest, int64_t size,
			  struct pfs_archive_place *out, struct pfs_error *err);

/* Bytes [off, off + len) of a file, all of them. */
int pfs_archive_read(const struct pfs_archive *a, const struct pfs_archive_place *place,
		     uint64_t off, void *out, size_t len, struct pfs_error *err);

/* Append a whole file, bounded by the buffer's limit. */
int pfs_archive_load(const struct pfs_archive *a, const struct pfs_archive_place *place,
		     struct pfs_buf *out, struct pfs_error *err);

/* The same for a blob, whose bytes must have that digest. */
int pfs_archive_load_blob(const struct pfs_archive *a, const char *digest, int64_t size,
			  struct pfs_buf *out, struct pfs_error *err);

#endif
