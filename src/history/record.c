/* The record of a commit, pfs-commit(5), from its row. */
#include "history/history_i.h"

#include <string.h>

static void fill(const char *repo, const struct pfs_commit_row *parent,
		 const struct pfs_sources *sources, const struct pfs_commit_row *row,
		 struct pfs_commitrec *rec)
{
	*rec = (struct pfs_commitrec){
		.id = row->id,
		.root = row->root,
		.root_mode = row->root_mode,
		.root_uid = row->root_uid,
		.root_gid = row->root_gid,
		.root_mtime_sec = row->root_mtime_sec,
		.root_mtime_nsec = row->root_mtime_nsec,
		.origin = (uint8_t)row->origin,
		.started_ns = row->started_ns,
		.finished_ns = row->finished_ns,
		.number = parent ? parent->number + 1 : 1,
		.files = row->files,
		.bytes = row->bytes,
		.message = row->message,
		.message_len = strlen(row->message),
		.error = row->error,
		.error_len = row->error ? strlen(row->error) : 0,
		.sources = sources->list,
		.n_sources = sources->n,
	};
	memcpy(rec->repo, repo, strlen(repo) + 1);
	memcpy(rec->branch, row->branch, sizeof(rec->branch));
	if (!parent)
		return;
	rec->has_parent = true;
	rec->parent = parent->id;
	rec->parent_digest = parent->digest;
}

int pfs_record_encode(const char *repo, const struct pfs_commit_row *parent,
		      const struct pfs_sources *sources, const struct pfs_commit_row *row,
		      struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_commitrec rec;

	fill(repo, parent, sources, row, &rec);
	return pfs_commitrec_encode(&rec, out, err);
}

int pfs_record_put(struct pfs_history *h, const char *repo, const struct pfs_commit_row *parent,
		   const struct pfs_sources *sources, struct pfs_commit_row *row,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf bytes = PFS_BUF_INIT(PFS_COMMITREC_SIZE_MAX);
	int rc = pfs_record_encode(repo, parent, sources, row, &bytes, err);

	if (rc == 0)
		rc = pfs_store_put(h->store, PFS_KIND_COMMIT, bytes.data, bytes.len, &row->digest,
				   err);
	return rc;
}
