/* Which commits came from which. */
#include "history/history_i.h"

#include <stdlib.h>
#include <string.h>

void pfs_sources_fini(struct pfs_sources *s)
{
	free(s->list);
	s->list = NULL;
	s->n = 0;
}

static int find_source(struct pfs_history *h, const struct pfs_provenance *on,
		       struct pfs_commitrec_source *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	struct pfs_repo_row repo;
	int rc;

	if (memchr(on->repo, 0, sizeof(on->repo)) == NULL)
		return pfs_fail(err, PFS_E_INVALID, "provenance: a repo name without an end");
	rc = pfs_meta_find_repo(h->meta, on->repo, &repo, err);
	if (rc == 0)
		rc = pfs_meta_find_commit(h->meta, repo.id, &on->id, &row, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "provenance on repo \"%s\"", on->repo);
	memcpy(out->repo, repo.name, sizeof(out->repo));
	out->id = row.id;
	out->digest = row.digest;
	return 0;
}

/* A source named twice counts once. */
static size_t drop_doubles(struct pfs_commitrec_source *list, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (kept == 0 || pfs_commitrec_compare_sources(&list[kept - 1], &list[i]) != 0)
			list[kept++] = list[i];
	return kept;
}

int pfs_sources_find(struct pfs_history *h, const struct pfs_provenance *list, size_t n,
		     struct pfs_sources *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_sources_fini) struct pfs_sources found = { 0 };
	int rc = 0;

	if (n > PFS_PROVENANCE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a commit from %zu others, at most %u", n,
				PFS_PROVENANCE_MAX);
	found.list = calloc(n + 1, sizeof(*found.list));
	if (!found.list)
		return pfs_fail_nomem(err, "provenance");
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = find_source(h, &list[i], &found.list[i], err);
	if (rc < 0)
		return rc;
	qsort(found.list, n, sizeof(*found.list), pfs_commitrec_compare_sources);
	found.n = drop_doubles(found.list, n);
	*out = found;
	found.list = NULL;
	return 0;
}

int pfs_sources_add(struct pfs_txn *txn, const struct pfs_commit_row *row,
		    const struct pfs_sources *sources, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < sources->n && rc == 0; i++) {
		struct pfs_provenance_row on = { .id = sources->list[i].id };

		memcpy(on.repo, sources->list[i].repo, sizeof(on.repo));
		rc = pfs_txn_add_provenance(txn, row->repo, &row->id, &on, err);
	}
	return rc;
}

int pfs_provenance_list(struct pfs_history *h, int64_t repo, const struct pfs_commit_id *id,
			struct pfs_provenance **out, size_t *out_n, struct pfs_error *err)
{
	struct pfs_provenance_row *rows = NULL;
	struct pfs_provenance *list = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_provenance(h->meta, repo, id, &rows, &n, err);

	if (rc == 0 && n && !(list = calloc(n, sizeof(*list))))
		rc = pfs_fail_nomem(err, "provenance");
	for (size_t i = 0; i < n && rc == 0; i++) {
		memcpy(list[i].repo, rows[i].repo, sizeof(list[i].repo));
		list[i].id = rows[i].id;
	}
	free(rows);
	if (rc < 0)
		return rc;
	*out = list;
	*out_n = n;
	return 0;
}
