/*
 * The record of a commit, pfs-commit(5): what a commit says of itself.
 *
 *	| fixed part, 184 bytes | repo | branch | message | error | source | source | ...
 *
 * Canonical: one record has one encoding, and what decode accepts encode writes
 * back byte for byte. The digest of a commit is the store's id of these bytes.
 * A record names the digests of its parent and sources, so no commit of the
 * past can be changed without changing every commit after it.
 *
 * Threads: any.
 */
#ifndef PFS_FORMAT_COMMITREC_H
#define PFS_FORMAT_COMMITREC_H

#include "format/room.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"

#define PFS_COMMITREC_FIXED_SIZE 184u
/* Everything at its longest. */
#define PFS_COMMITREC_SIZE_MAX                                                \
	(PFS_COMMITREC_FIXED_SIZE + PFS_REPO_NAME_MAX + PFS_BRANCH_NAME_MAX + \
	 2 * PFS_MESSAGE_SIZE_MAX + PFS_PROVENANCE_MAX * (1 + PFS_REPO_NAME_MAX + 16 + 32))

/* A commit that this one was computed from. */
struct pfs_commitrec_source {
	char repo[PFS_REPO_NAME_MAX + 1];
	struct pfs_commit_id id;
	struct pfs_id digest;
};

struct pfs_commitrec {
	struct pfs_commit_id id;
	bool has_parent;
	struct pfs_commit_id parent; /* these two: zero without a parent */
	struct pfs_id parent_digest;
	struct pfs_id root; /* directory; zero: empty */
	uint16_t root_mode; /* attributes of the root directory itself */
	uint32_t root_uid, root_gid;
	int64_t root_mtime_sec;
	uint32_t root_mtime_nsec;
	uint8_t origin; /* 1 user, 2 pipeline */
	int64_t started_ns, finished_ns;
	uint64_t number, files, bytes;
	char repo[PFS_REPO_NAME_MAX + 1];
	char branch[PFS_BRANCH_NAME_MAX + 1];
	const char *message; /* not terminated; decode borrows it from its input */
	size_t message_len;
	const char *error; /* likewise; NULL: all is well */
	size_t error_len;
	struct pfs_commitrec_source *sources; /* ascending by repo, then id, no two the same */
	size_t n_sources;
};

/* The order of sources in a record, for qsort. */
int pfs_commitrec_compare_sources(const void *a, const void *b);

/* Append to `out`. PFS_E_INVALID for a record that decode would refuse. */
int pfs_commitrec_encode(const struct pfs_commitrec *rec, struct pfs_buf *out,
			 struct pfs_error *err);

/* `out` owns its sources: pfs_commitrec_fini. */
int pfs_commitrec_decode(const void *data, size_t len, struct pfs_commitrec *out,
			 struct pfs_error *err);
void pfs_commitrec_fini(struct pfs_commitrec *rec);

#endif
