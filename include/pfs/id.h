/*
 * Names of things that never change.
 *
 * Content is named by the SHA-256 of a domain block and its bytes (pfs-pack(5));
 * a commit by a random UUID, which all commits computed from it share.
 *
 * Threads: any.
 */
#ifndef PFS_ID_H
#define PFS_ID_H

#include <pfs/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PFS_ID_SIZE     32
#define PFS_ID_HEX_SIZE (2 * PFS_ID_SIZE + 1)

/* The id of a chunk, a tree node or another stored object. */
struct pfs_id {
	unsigned char bytes[PFS_ID_SIZE];
};

#define PFS_COMMIT_ID_SIZE     16
#define PFS_COMMIT_ID_HEX_SIZE (2 * PFS_COMMIT_ID_SIZE + 1)

/* The id of a commit, written as 32 hexadecimal digits without dashes. */
struct pfs_commit_id {
	unsigned char bytes[PFS_COMMIT_ID_SIZE];
};

/* Write the lower-case hexadecimal text, terminated, to `out`; returns `out`. */
PFS_API char *pfs_id_format(const struct pfs_id *id, char out[PFS_ID_HEX_SIZE]);
PFS_API char *pfs_commit_id_format(const struct pfs_commit_id *id,
				   char out[PFS_COMMIT_ID_HEX_SIZE]);

/* Exactly the full text; PFS_E_INVALID otherwise. */
PFS_API int pfs_id_parse(const char *text, struct pfs_id *out, struct pfs_error *err);
PFS_API int pfs_commit_id_parse(const char *text, struct pfs_commit_id *out, struct pfs_error *err);

PFS_API bool pfs_id_equal(const struct pfs_id *a, const struct pfs_id *b);
PFS_API int pfs_id_compare(const struct pfs_id *a, const struct pfs_id *b);
PFS_API bool pfs_commit_id_equal(const struct pfs_commit_id *a, const struct pfs_commit_id *b);

/* All bytes zero: "no such object", the empty directory, "no parent". */
PFS_API bool pfs_id_is_zero(const struct pfs_id *id);
PFS_API bool pfs_commit_id_is_zero(const struct pfs_commit_id *id);

#ifdef __cplusplus
}
#endif
#endif
