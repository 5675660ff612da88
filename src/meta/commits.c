/* Reading commits and their provenance. */
#include "meta/meta_i.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_COLUMNS                                                                       \
	"c.seq, c.repo, c.id, c.branch, c.number, c.parent, c.origin, c.started_ns, "        \
	"c.finished_ns,"                                                                     \
	" c.root, c.root_mode, c.root_uid, c.root_gid, c.root_mtime_sec, c.root_mtime_nsec," \
	" c.digest, c.files, c.bytes, c.message, c.error"

static void fini_commit(void *row)
{
	pfs_commit_row_fini(row);
}

static void decode_root(struct pfs_query *q, struct pfs_commit_row *c)
{
	pfs_query_blob(q, c->root.bytes, sizeof(c->root.bytes));
	c->root_mode = (uint16_t)pfs_query_i64(q);
	c->root_uid = (uint32_t)pfs_query_i64(q);
	c->root_gid = (uint32_t)pfs_query_i64(q);
	c->root_mtime_sec = pfs_query_i64(q);
	c->root_mtime_nsec = (uint32_t)pfs_query_i64(q);
}

static int decode_commit(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_commit_row *c = row;
	int rc;

	c->seq = pfs_query_i64(q);
	c->repo = pfs_query_i64(q);
	pfs_query_blob(q, c->id.bytes, sizeof(c->id.bytes));
	pfs_query_text(q, c->branch, sizeof(c->branch));
	c->number = (uint64_t)pfs_query_i64(q);
	c->has_parent = pfs_query_blob(q, c->parent.bytes, sizeof(c->parent.bytes));
	c->origin = (int)pfs_query_i64(q);
	c->started_ns = pfs_query_i64(q);
	c->finished_ns = pfs_query_i64(q);
	decode_root(q, c);
	pfs_query_blob(q, c->digest.bytes, sizeof(c->digest.bytes));
	c->files = (uint64_t)pfs_query_i64(q);
	c->bytes = (uint64_t)pfs_query_i64(q);
	rc = pfs_query_check(q, err);
	if (rc < 0)
		return rc;
	c->message = pfs_query_dup(q);
	if (!c->message)
		return pfs_fail_nomem(err, "a commit message");
	c->error = pfs_query_dup(q);
	return 0;
}

static int fail_unknown(const struct pfs_commit_id *id, struct pfs_error *err)
{
	char text[PFS_COMMIT_ID_HEX_SIZE];

	return pfs_fail(err, PFS_E_NOTFOUND, "commit %s does not exist",
			pfs_commit_id_format(id, text));
}

int pfs_meta_find_commit(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			 struct pfs_commit_row *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_commit_row row = { 0 };
	int rc = pfs_read_begin(
		&r, m, "SELECT " COMMIT_COLUMNS " FROM commits c WHERE c.id = ? AND c.repo = ?",
		err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&r.q, id);
	pfs_query_bind_i64(&r.q, repo);
	rc = pfs_query_one(&r.q, decode_commit, &row, err);
	if (rc == 0)
		return fail_unknown(id, err);
	if (rc < 0)
		return rc;
	*out = row;
	return 0;
}

bool pfs_meta_has_commit(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m, "SELECT 1 FROM commits WHERE id = ? AND repo = ?", NULL);

	if (rc < 0)
		return false;
	pfs_query_bind_commit(&r.q, id);
	pfs_query_bind_i64(&r.q, repo);
	return pfs_query_next(&r.q, NULL) == 1;
}

/* The lowest and the highest id that begin with these digits. */
static int prefix_range(const char *prefix, struct pfs_commit_id *low, struct pfs_commit_id *high,
			struct pfs_error *err)
{
	char digits[PFS_COMMIT_ID_HEX_SIZE];
	size_t len = strlen(prefix);
	int rc;

	if (len >= sizeof(digits))
		return pfs_fail(err, PFS_E_INVALID, "\"%.80s\" is too long for a commit id",
				prefix);
	memset(digits, '0', sizeof(digits) - 1);
	digits[sizeof(digits) - 1] = 0;
	memcpy(digits, prefix, len);
	rc = pfs_commit_id_parse(digits, low, err);
	if (rc < 0)
		return rc;
	memset(digits + len, 'f', sizeof(digits) - 1 - len);
	return pfs_commit_id_parse(digits, high, err);
}

int pfs_meta_find_commit_prefix(struct pfs_meta *m, int64_t repo, const char *prefix,
				struct pfs_commit_id *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_commit_id low, high, found;
	int rc = prefix_range(prefix, &low, &high, err);

	if (rc == 0)
		rc = pfs_read_begin(&r, m,
				    "SELECT id FROM commits WHERE id BETWEEN ? AND ?"
				    " AND repo = ? LIMIT 2",
				    err);
	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&r.q, &low);
	pfs_query_bind_commit(&r.q, &high);
	pfs_query_bind_i64(&r.q, repo);
	rc = pfs_query_next(&r.q, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "no commit begins with %s", prefix);
	if (rc < 0)
		return rc;
	pfs_query_blob(&r.q, found.bytes, sizeof(found.bytes));
	rc = pfs_query_next(&r.q, err);
	if (rc == 1)
		return pfs_fail(err, PFS_E_CONFLICT, "more than one commit begins with %s", prefix);
	if (rc == 0)
		*out = found;
	return rc;
}

/* A line of parents, down to the number that is asked for. */
#define LINE_OF_PARENTS                                                            \
	"WITH RECURSIVE line (seq, id, parent, number) AS ("                       \
	" SELECT seq, id, parent, number FROM commits WHERE id = ?1 AND repo = ?2" \
	" UNION ALL"                                                               \
	" SELECT p.seq, p.id, p.parent, p.number FROM line JOIN commits p"         \
	" ON p.id = line.parent AND p.repo = ?2 WHERE line.number > ?3 LIMIT ?4) "

int pfs_meta_find_ancestor(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			   uint64_t number, struct pfs_commit_id *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	char text[PFS_COMMIT_ID_HEX_SIZE];
	int rc =
		pfs_read_begin(&r, m, LINE_OF_PARENTS "SELECT id FROM line WHERE number = ?3", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&r.q, id);
	pfs_query_bind_i64(&r.q, repo);
	pfs_query_bind_i64(&r.q, (int64_t)number);
	pfs_query_bind_i64(&r.q, -1);
	rc = pfs_query_next(&r.q, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "commit %s has no ancestor number %llu",
				pfs_commit_id_format(id, text), (unsigned long long)number);
	if (rc < 0)
		return rc;
	pfs_query_blob(&r.q, out->bytes, sizeof(out->bytes));
	return 0;
}

static int64_t limit_of(size_t max)
{
	return max ? (int64_t)max : -1; /* SQL's "no limit" */
}

static int read_commits(struct pfs_query *q, struct pfs_commit_row **out, size_t *out_n,
			struct pfs_error *err)
{
	void *list;
	int rc = pfs_query_all(q, sizeof(**out), decode_commit, fini_commit, &list, out_n, err);

	if (rc == 0)
		*out = list;
	return rc;
}

int pfs_meta_list_commits(struct pfs_meta *m, int64_t repo, size_t max, struct pfs_commit_row **out,
			  size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT " COMMIT_COLUMNS " FROM commits c WHERE c.repo = ?"
				" ORDER BY c.seq DESC LIMIT ?",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&r.q, repo);
	pfs_query_bind_i64(&r.q, limit_of(max));
	return read_commits(&r.q, out, out_n, err);
}

int pfs_meta_list_ancestors(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			    size_t max, struct pfs_commit_row **out, size_t *out_n,
			    struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				LINE_OF_PARENTS
				"SELECT " COMMIT_COLUMNS
				" FROM line JOIN commits c ON c.seq = line.seq ORDER BY c.seq DESC",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&r.q, id);
	pfs_query_bind_i64(&r.q, repo);
	pfs_query_bind_i64(&r.q, 0);
	pfs_query_bind_i64(&r.q, limit_of(max));
	return read_commits(&r.q, out, out_n, err);
}

int pfs_meta_list_commit_set(struct pfs_meta *m, const struct pfs_commit_id *id,
			     struct pfs_commit_row **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(
		&r, m, "SELECT " COMMIT_COLUMNS " FROM commits c WHERE c.id = ? ORDER BY c.seq",
		err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&r.q, id);
	return read_commits(&r.q, out, out_n, err);
}

static int decode_content(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_commit_content_row *c = row;

	c->seq = pfs_query_i64(q);
	c->repo = pfs_query_i64(q);
	pfs_query_blob(q, c->root.bytes, sizeof(c->root.bytes));
	pfs_query_blob(q, c->digest.bytes, sizeof(c->digest.bytes));
	return pfs_query_check(q, err);
}

int pfs_meta_list_contents(struct pfs_meta *m, int64_t after, size_t max,
			   struct pfs_commit_content_row **out, size_t *out_n,
			   struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	void *list;
	int rc = pfs_read_begin(&r, m,
				"SELECT seq, repo, root, digest FROM commits"
				" WHERE seq > ? ORDER BY seq LIMIT ?",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&r.q, after);
	pfs_query_bind_i64(&r.q, limit_of(max));
	rc = pfs_query_all(&r.q, sizeof(**out), decode_content, NULL, &list, out_n, err);
	if (rc == 0)
		*out = list;
	return rc;
}

int pfs_meta_list_commits_after(struct pfs_meta *m, int64_t after, size_t max,
				struct pfs_commit_row **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT " COMMIT_COLUMNS
				" FROM commits c WHERE c.seq > ? ORDER BY c.seq LIMIT ?",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&r.q, after);
	pfs_query_bind_i64(&r.q, limit_of(max));
	return read_commits(&r.q, out, out_n, err);
}

static int decode_provenance(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_provenance_row *p = row;

	pfs_query_text(q, p->repo, sizeof(p->repo));
	pfs_query_blob(q, p->id.bytes, sizeof(p->id.bytes));
	return pfs_query_check(q, err);
}

static int read_provenance(struct pfs_query *q, struct pfs_provenance_row **out, size_t *out_n,
			   struct pfs_error *err)
{
	void *list;
	int rc = pfs_query_all(q, sizeof(**out), decode_provenance, NULL, &list, out_n, err);

	if (rc == 0)
		*out = list;
	return rc;
}

int pfs_meta_list_provenance(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
			     struct pfs_provenance_row **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT on_repo, on_id FROM provenance WHERE id = ? AND repo = ?"
				" ORDER BY on_repo, on_id",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&r.q, id);
	pfs_query_bind_i64(&r.q, repo);
	return read_provenance(&r.q, out, out_n, err);
}

int pfs_meta_list_derived(struct pfs_meta *m, const char *repo, const struct pfs_commit_id *id,
			  struct pfs_provenance_row **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT repos.name, p.id FROM provenance p"
				" JOIN repos ON repos.id = p.repo"
				" WHERE p.on_id = ? AND p.on_repo = ? ORDER BY repos.name, p.id",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_commit(&r.q, id);
	pfs_query_bind_text(&r.q, repo);
	return read_provenance(&r.q, out, out_n, err);
}

static int read_number(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
		       uint64_t *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	int rc = pfs_meta_find_commit(m, repo, id, &row, err);

	if (rc == 0)
		*out = row.number;
	return rc;
}

/* A line of parents has one commit of each number: the one of ours is ours or another. */
static int leads_to(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *head,
		    const struct pfs_commit_id *id, uint64_t number, struct pfs_error *err)
{
	struct pfs_commit_id found;
	int rc = pfs_meta_find_ancestor(m, repo, head, number, &found, err);

	if (rc == PFS_E_NOTFOUND)
		return 0; /* a shorter line */
	return rc < 0 ? rc : pfs_commit_id_equal(&found, id);
}

int pfs_meta_reachable(struct pfs_meta *m, int64_t repo, const struct pfs_commit_id *id,
		       int64_t but_branch, bool *out, struct pfs_error *err)
{
	struct pfs_branch_row *branches = NULL;
	size_t n = 0;
	uint64_t number = 0;
	int rc = read_number(m, repo, id, &number, err);

	if (rc == 0)
		rc = pfs_meta_list_branches(m, repo, &branches, &n, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		if (branches[i].has_head && branches[i].id != but_branch)
			rc = leads_to(m, repo, &branches[i].head, id, number, err);
	free(branches);
	if (rc < 0)
		return rc;
	*out = rc == 1;
	return 0;
}
