/*
 * A commit record that is lost is made anew from its row: the metadata has a
 * copy of every field, and the digest tells whether it came out the same.
 */
#include "history/fsck_i.h"
#include "store/health.h"

#include <stdlib.h>
#include <string.h>

static int find_sources(struct pfs_fsck *f, struct pfs_sources *out, struct pfs_error *err)
{
	struct pfs_provenance *list = NULL;
	size_t n = 0;
	int rc = pfs_provenance_list(f->h, f->row->repo, &f->row->id, &list, &n, err);

	if (rc == 0)
		rc = pfs_sources_find(f->h, list, n, out, err);
	free(list);
	return rc;
}

static int encode(struct pfs_fsck *f, struct pfs_buf *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row parent = { 0 };
	PFS_AUTO(pfs_sources_fini) struct pfs_sources sources = { 0 };
	char repo[PFS_ROW_NAME_SIZE];
	struct pfs_id id;
	int rc = pfs_meta_read_repo_name(f->h->meta, f->row->repo, repo, err);

	if (rc == 0 && f->row->has_parent)
		rc = pfs_meta_find_commit(f->h->meta, f->row->repo, &f->row->parent, &parent, err);
	if (rc == 0)
		rc = find_sources(f, &sources, err);
	if (rc == 0)
		rc = pfs_record_encode(repo, f->row->has_parent ? &parent : NULL, &sources, f->row,
				       out, err);
	if (rc < 0)
		return rc;
	pfs_store_id(f->h->store, PFS_KIND_COMMIT, out->data, out->len, &id);
	if (!pfs_id_equal(&id, &f->row->digest))
		return pfs_fail(err, PFS_E_CONFLICT,
				"what it says of the commit has another digest");
	return 0;
}

static int mend_record(struct pfs_fsck *f, void *arg, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf bytes = PFS_BUF_INIT(PFS_COMMITREC_SIZE_MAX);
	const struct pfs_id *digest = &f->row->digest;
	struct pfs_error why = { 0 };
	struct pfs_id id;
	int rc;

	if (!pfs_idset_has(&f->lost, digest) ||
	    pfs_store_is_whole(f->h->store, PFS_KIND_COMMIT, digest))
		return 0;
	rc = encode(f, &bytes, &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "a commit record");
	if (rc < 0) {
		pfs_fsck_tell(f, PFS_FINDING_NOTE,
			      "%s: its record cannot be made anew from the database: %s", f->who,
			      why.text);
		return 0;
	}
	rc = pfs_store_put(f->h->store, PFS_KIND_COMMIT, bytes.data, bytes.len, &id, err);
	if (rc == 0)
		pfs_fsck_tell(f, PFS_FINDING_MENDED,
			      "%s: its record was made anew from the database", f->who);
	return rc;
}

int pfs_fsck_mend_records(struct pfs_fsck *f, struct pfs_error *err)
{
	return f->lost.len ? pfs_fsck_each_commit(f, mend_record, NULL, err) : 0;
}
