/* Reading repos, branches and cursors. */
#include "meta/meta_i.h"

#include <string.h>

#define REPO_COLUMNS   "id, name, owner, created_ns"
#define BRANCH_COLUMNS "id, repo, name, head, folder, owner, created_ns"

static int decode_repo(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_repo_row *r = row;

	r->id = pfs_query_i64(q);
	pfs_query_text(q, r->name, sizeof(r->name));
	pfs_query_text(q, r->owner, sizeof(r->owner));
	r->created_ns = pfs_query_i64(q);
	return pfs_query_check(q, err);
}

static int decode_branch(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_branch_row *b = row;

	b->id = pfs_query_i64(q);
	b->repo = pfs_query_i64(q);
	pfs_query_text(q, b->name, sizeof(b->name));
	b->has_head = pfs_query_blob(q, b->head.bytes, sizeof(b->head.bytes));
	pfs_query_text(q, b->folder, sizeof(b->folder));
	pfs_query_text(q, b->owner, sizeof(b->owner));
	b->created_ns = pfs_query_i64(q);
	return pfs_query_check(q, err);
}

int pfs_meta_find_repo(struct pfs_meta *m, const char *name, struct pfs_repo_row *out,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_repo_row row = { 0 };
	int rc = pfs_read_begin(&r, m, "SELECT " REPO_COLUMNS " FROM repos WHERE name = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, name);
	rc = pfs_query_one(&r.q, decode_repo, &row, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "repo \"%.80s\" does not exist", name);
	if (rc < 0)
		return rc;
	*out = row;
	return 0;
}

int pfs_meta_list_repos(struct pfs_meta *m, struct pfs_repo_row **out, size_t *out_n,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	void *list;
	int rc = pfs_read_begin(&r, m, "SELECT " REPO_COLUMNS " FROM repos ORDER BY name", err);

	if (rc == 0)
		rc = pfs_query_all(&r.q, sizeof(**out), decode_repo, NULL, &list, out_n, err);
	if (rc == 0)
		*out = list;
	return rc;
}

static int decode_counts(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_repo_counts *c = row;

	c->branches = (uint64_t)pfs_query_i64(q);
	c->commits = (uint64_t)pfs_query_i64(q);
	return 0;
}

int pfs_meta_count_repo(struct pfs_meta *m, int64_t repo, struct pfs_repo_counts *out,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT (SELECT count(*) FROM branches WHERE repo = ?1),"
				" (SELECT count(*) FROM commits WHERE repo = ?1)",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&r.q, repo);
	rc = pfs_query_one(&r.q, decode_counts, out, err);
	return rc < 0 ? rc : 0;
}

static int count(struct pfs_meta *m, const char *sql, const int64_t *repo, uint64_t *out,
		 struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m, sql, err);

	if (rc < 0)
		return rc;
	if (repo)
		pfs_query_bind_i64(&r.q, *repo);
	rc = pfs_query_next(&r.q, err);
	if (rc < 0)
		return rc;
	*out = (uint64_t)pfs_query_i64(&r.q);
	return 0;
}

int pfs_meta_count_repos(struct pfs_meta *m, uint64_t *out, struct pfs_error *err)
{
	return count(m, "SELECT count(*) FROM repos", NULL, out, err);
}

int pfs_meta_count_branches(struct pfs_meta *m, int64_t repo, uint64_t *out, struct pfs_error *err)
{
	return count(m, "SELECT count(*) FROM branches WHERE repo = ?", &repo, out, err);
}

static int decode_name(struct pfs_query *q, void *row, struct pfs_error *err)
{
	pfs_query_text(q, row, PFS_ROW_NAME_SIZE);
	return pfs_query_check(q, err);
}

int pfs_meta_find_repo_user(struct pfs_meta *m, const char *name, char out[PFS_ROW_NAME_SIZE],
			    struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT name FROM pipelines WHERE name = ?1 OR repo = ?1"
				" UNION SELECT owner FROM repos WHERE name = ?1 AND owner <> ''"
				" ORDER BY 1 LIMIT 1",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, name);
	return pfs_query_one(&r.q, decode_name, out, err);
}

int pfs_meta_read_repo_name(struct pfs_meta *m, int64_t repo, char out[PFS_ROW_NAME_SIZE],
			    struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m, "SELECT name FROM repos WHERE id = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&r.q, repo);
	rc = pfs_query_one(&r.q, decode_name, out, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "a repo that was deleted");
	return rc < 0 ? rc : 0;
}

int pfs_meta_find_branch(struct pfs_meta *m, int64_t repo, const char *name,
			 struct pfs_branch_row *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_branch_row row = { 0 };
	int rc = pfs_read_begin(
		&r, m, "SELECT " BRANCH_COLUMNS " FROM branches WHERE repo = ? AND name = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&r.q, repo);
	pfs_query_bind_text(&r.q, name);
	rc = pfs_query_one(&r.q, decode_branch, &row, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "branch \"%.80s\" does not exist", name);
	if (rc < 0)
		return rc;
	*out = row;
	return 0;
}

int pfs_meta_list_branches(struct pfs_meta *m, int64_t repo, struct pfs_branch_row **out,
			   size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	void *list;
	int rc = pfs_read_begin(
		&r, m,
		repo ? "SELECT " BRANCH_COLUMNS " FROM branches WHERE repo = ? ORDER BY name"
		     : "SELECT " BRANCH_COLUMNS " FROM branches ORDER BY repo, name",
		err);

	if (rc < 0)
		return rc;
	if (repo)
		pfs_query_bind_i64(&r.q, repo);
	rc = pfs_query_all(&r.q, sizeof(**out), decode_branch, NULL, &list, out_n, err);
	if (rc == 0)
		*out = list;
	return rc;
}

int pfs_meta_has_folder(struct pfs_meta *m, const char *folder, bool *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m, "SELECT 1 FROM branches WHERE folder = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, folder);
	rc = pfs_query_next(&r.q, err);
	if (rc < 0)
		return rc;
	*out = rc == 1;
	return 0;
}

int pfs_meta_read_cursor(struct pfs_meta *m, const char *name, uint64_t *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m, "SELECT number FROM cursors WHERE name = ?", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, name);
	rc = pfs_query_next(&r.q, err);
	if (rc < 0)
		return rc;
	*out = rc == 1 ? (uint64_t)pfs_query_i64(&r.q) : 0;
	return 0;
}
