/* Reading pipelines and who reads whom. */
#include "meta/meta_i.h"

#include <stdlib.h>

#define PIPELINE_COLUMNS "name, repo, branch, version, created_ns, updated_ns, text"

static void fini_pipeline(void *row)
{
	pfs_pipeline_row_fini(row);
}

static int decode_pipeline(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_pipeline_row *p = row;
	int rc;

	pfs_query_text(q, p->name, sizeof(p->name));
	pfs_query_text(q, p->repo, sizeof(p->repo));
	pfs_query_text(q, p->branch, sizeof(p->branch));
	p->version = (uint32_t)pfs_query_i64(q);
	p->created_ns = pfs_query_i64(q);
	p->updated_ns = pfs_query_i64(q);
	rc = pfs_query_check(q, err);
	if (rc < 0)
		return rc;
	p->text = pfs_query_dup(q);
	return p->text ? 0 : pfs_fail_nomem(err, "the text of a pipeline");
}

int pfs_meta_find_pipeline(struct pfs_meta *m, const char *name, struct pfs_pipeline_row *out,
			   struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_pipeline_row row = { 0 };
	int rc = pfs_read_begin(&r, m, "SELECT " PIPELINE_COLUMNS " FROM pipelines WHERE name = ?",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, name);
	rc = pfs_query_one(&r.q, decode_pipeline, &row, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "pipeline \"%.80s\" does not exist", name);
	if (rc < 0)
		return rc;
	*out = row;
	return 0;
}

static int read_pipelines(struct pfs_query *q, struct pfs_pipeline_row **out, size_t *out_n,
			  struct pfs_error *err)
{
	void *list;
	int rc = pfs_query_all(q, sizeof(**out), decode_pipeline, fini_pipeline, &list, out_n, err);

	if (rc == 0)
		*out = list;
	return rc;
}

int pfs_meta_list_pipelines(struct pfs_meta *m, struct pfs_pipeline_row **out, size_t *out_n,
			    struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m, "SELECT " PIPELINE_COLUMNS " FROM pipelines ORDER BY name",
				err);

	return rc < 0 ? rc : read_pipelines(&r.q, out, out_n, err);
}

int pfs_meta_list_pipelines_on(struct pfs_meta *m, const char *repo, const char *branch,
			       struct pfs_pipeline_row **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT " PIPELINE_COLUMNS " FROM pipelines"
				" WHERE repo = ? AND branch = ? ORDER BY name",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, repo);
	pfs_query_bind_text(&r.q, branch);
	return read_pipelines(&r.q, out, out_n, err);
}

static int decode_text(struct pfs_query *q, void *row, struct pfs_error *err)
{
	char **text = row;

	*text = pfs_query_dup(q);
	return *text ? 0 : pfs_fail_nomem(err, "the text of a pipeline");
}

int pfs_meta_find_pipeline_text(struct pfs_meta *m, const char *name, uint32_t version, char **out,
				struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	char *text = NULL;
	int rc = pfs_read_begin(
		&r, m, "SELECT text FROM pipeline_versions WHERE pipeline = ? AND version = ?",
		err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, name);
	pfs_query_bind_i64(&r.q, version);
	rc = pfs_query_one(&r.q, decode_text, &text, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "pipeline \"%.80s\" has no version %u", name,
				version);
	if (rc < 0)
		return rc;
	*out = text;
	return 0;
}

static int decode_row_name(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_row_name *n = row;

	pfs_query_text(q, n->name, sizeof(n->name));
	return pfs_query_check(q, err);
}

static int list_names(struct pfs_meta *m, const char *sql, const char *pipeline,
		      struct pfs_row_name **out, size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	void *list;
	int rc = pfs_read_begin(&r, m, sql, err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&r.q, pipeline);
	rc = pfs_query_all(&r.q, sizeof(**out), decode_row_name, NULL, &list, out_n, err);
	if (rc == 0)
		*out = list;
	return rc;
}

int pfs_meta_list_upstream(struct pfs_meta *m, const char *pipeline, struct pfs_row_name **out,
			   size_t *out_n, struct pfs_error *err)
{
	return list_names(m, "SELECT upstream FROM pipeline_inputs WHERE pipeline = ? ORDER BY 1",
			  pipeline, out, out_n, err);
}

int pfs_meta_list_downstream(struct pfs_meta *m, const char *pipeline, struct pfs_row_name **out,
			     size_t *out_n, struct pfs_error *err)
{
	return list_names(m, "SELECT pipeline FROM pipeline_inputs WHERE upstream = ? ORDER BY 1",
			  pipeline, out, out_n, err);
}
