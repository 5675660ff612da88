/* Reading commits. */
#include "history/history_i.h"

#include <stdlib.h>
#include <string.h>

void pfs_commit_fini(struct pfs_commit *c)
{
	free(c->message);
	free(c->error);
	free(c->provenance);
	c->message = NULL;
	c->error = NULL;
	c->provenance = NULL;
	c->n_provenance = 0;
}

void pfs_commits_free(struct pfs_commit **list, size_t n)
{
	for (size_t i = 0; *list && i < n; i++)
		pfs_commit_fini(&(*list)[i]);
	free(*list);
	*list = NULL;
}

int pfs_commit_from_row(struct pfs_history *h, const char *repo, struct pfs_commit_row *row,
			struct pfs_commit *out, struct pfs_error *err)
{
	struct pfs_commit c = {
		.id = row->id,
		.has_parent = row->has_parent,
		.parent = row->parent,
		.origin = (enum pfs_commit_origin)row->origin,
		.started_ns = row->started_ns,
		.finished_ns = row->finished_ns,
		.root = row->root,
		.digest = row->digest,
		.files = row->files,
		.size_bytes = row->bytes,
	};
	int rc = pfs_provenance_list(h, row->repo, &row->id, &c.provenance, &c.n_provenance, err);

	if (rc < 0)
		return rc;
	memcpy(c.repo, repo, strlen(repo) + 1);
	memcpy(c.branch, row->branch, sizeof(c.branch));
	c.message = row->message;
	c.error = row->error;
	row->message = NULL;
	row->error = NULL;
	*out = c;
	return 0;
}

int pfs_commit_inspect(struct pfs_history *h, const char *repo, const char *rev,
		       struct pfs_commit *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	struct pfs_repo_row in;
	struct pfs_commit_id id;
	int rc = pfs_meta_find_repo(h->meta, repo, &in, err);

	if (rc == 0)
		rc = pfs_rev_find(h, &in, rev, &id, err);
	if (rc == 0)
		rc = pfs_meta_find_commit(h->meta, in.id, &id, &row, err);
	if (rc == 0)
		rc = pfs_commit_from_row(h, in.name, &row, out, err);
	return rc;
}

/* `repo` NULL: each row's own. Takes the texts of the rows. */
static int convert(struct pfs_history *h, const char *repo, struct pfs_commit_row *rows, size_t n,
		   struct pfs_commit **out, size_t *out_n, struct pfs_error *err)
{
	struct pfs_commit *list = calloc(n + 1, sizeof(*list));
	char name[PFS_ROW_NAME_SIZE];
	size_t done = 0;
	int rc = list ? 0 : pfs_fail_nomem(err, "a list of commits");

	while (rc == 0 && done < n) {
		if (!repo)
			rc = pfs_meta_read_repo_name(h->meta, rows[done].repo, name, err);
		if (rc == 0)
			rc = pfs_commit_from_row(h, repo ? repo : name, &rows[done], &list[done],
						 err);
		if (rc == 0)
			done++;
	}
	if (rc < 0) {
		pfs_commits_free(&list, done);
		return rc;
	}
	*out = list;
	*out_n = n;
	return 0;
}

int pfs_commit_list(struct pfs_history *h, const char *repo, const char *rev, size_t max,
		    struct pfs_commit **out, size_t *out_n, struct pfs_error *err)
{
	struct pfs_commit_row *rows = NULL;
	struct pfs_commit_id id;
	struct pfs_repo_row in;
	size_t n = 0;
	int rc = pfs_meta_find_repo(h->meta, repo, &in, err);

	if (rc == 0 && rev)
		rc = pfs_rev_find(h, &in, rev, &id, err);
	if (rc < 0)
		return rc;
	rc = rev ? pfs_meta_list_ancestors(h->meta, in.id, &id, max, &rows, &n, err)
		 : pfs_meta_list_commits(h->meta, in.id, max, &rows, &n, err);
	if (rc == 0)
		rc = convert(h, in.name, rows, n, out, out_n, err);
	pfs_commit_rows_free(&rows, n);
	return rc;
}

int pfs_commit_set(struct pfs_history *h, const struct pfs_commit_id *id, struct pfs_commit **out,
		   size_t *out_n, struct pfs_error *err)
{
	struct pfs_commit_row *rows = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_commit_set(h->meta, id, &rows, &n, err);

	if (rc == 0)
		rc = convert(h, NULL, rows, n, out, out_n, err);
	pfs_commit_rows_free(&rows, n);
	return rc;
}

int pfs_history_commit_root(struct pfs_history *h, const char *repo, const struct pfs_commit_id *id,
			    struct pfs_root *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	struct pfs_repo_row in;
	int rc = pfs_meta_find_repo(h->meta, repo, &in, err);

	if (rc == 0)
		rc = pfs_meta_find_commit(h->meta, in.id, id, &row, err);
	if (rc == 0)
		pfs_root_from_row(&row, out);
	return rc < 0 ? pfs_wrap(err, rc, "repo \"%s\"", repo) : 0;
}
