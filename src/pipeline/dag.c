#include "pipeline/dag.h"

#include "base/buf.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

/* One pipeline on the way up from where the search started. */
struct step {
	struct pfs_row_name name;
	struct step *below; /* which reads it; NULL for the first */
	struct step *next;  /* in the list of all, oldest first */
};

struct search {
	struct pfs_map seen; /* name -> step */
	struct step *first, *last;
};

static void search_fini(struct search *s)
{
	while (s->first) {
		struct step *gone = s->first;

		s->first = gone->next;
		free(gone);
	}
	pfs_map_fini(&s->seen);
}

/* Remember a pipeline to look above; one that was seen is not looked at twice. */
static int add_step(struct search *s, const char *name, struct step *below, struct pfs_error *err)
{
	struct step *fresh;

	if (pfs_map_find(&s->seen, name, strlen(name)))
		return 0;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return pfs_fail_nomem(err, "the graph of pipelines");
	memcpy(fresh->name.name, name, strlen(name) + 1);
	fresh->below = below;
	if (s->last)
		s->last->next = fresh;
	else
		s->first = fresh;
	s->last = fresh;
	return pfs_map_set(&s->seen, fresh->name.name, strlen(name), fresh, err);
}

static int add_upstream(struct pfs_meta *m, struct search *s, struct step *at,
			struct pfs_error *err)
{
	struct pfs_row_name *names = NULL;
	size_t n = 0;
	int rc;

	rc = pfs_meta_list_upstream(m, at->name.name, &names, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = add_step(s, names[i].name, at, err);
	free(names);
	return rc;
}

/* The message reads in the direction of the data: a -> b -> a. */
static int complain(const struct step *at, const char *name, struct pfs_error *err)
{
	struct pfs_buf path = PFS_BUF_INIT(512);
	int rc;

	(void)pfs_buf_printf(&path, NULL, "%s", name);
	for (; at; at = at->below)
		if (pfs_buf_printf(&path, NULL, " -> %s", at->name.name) < 0)
			break;
	(void)pfs_buf_printf(&path, NULL, "%s -> %s", at ? " ..." : "", name);
	rc = pfs_fail(err, PFS_E_CONFLICT, "it would feed itself: %s", pfs_buf_str(&path));
	pfs_buf_fini(&path);
	return rc;
}

/* Breadth first, so that the cycle in the message is a shortest one. */
static int refuse_cycle(struct pfs_meta *m, const char *name, const struct pfs_pachfile *pf,
			struct pfs_error *err)
{
	PFS_AUTO(search_fini) struct search s = { 0 };
	int rc = 0;

	pfs_map_init(&s.seen);
	for (size_t i = 0; rc == 0 && i < pf->n_inputs; i++)
		if (pf->inputs[i].kind == PFS_PACHFILE_PIPELINE)
			rc = add_step(&s, pf->inputs[i].name, NULL, err);
	for (struct step *at = s.first; rc == 0 && at; at = at->next) {
		if (strcmp(at->name.name, name) == 0)
			return complain(at->below, name, err);
		rc = add_upstream(m, &s, at, err);
	}
	return rc;
}

static int check_input(struct pfs_meta *m, const struct pfs_pipeline_row *row,
		       const struct pfs_pachfile_input *in, struct pfs_error *err)
{
	struct pfs_pipeline_row up = { 0 };
	int rc;

	rc = pfs_meta_find_pipeline(m, in->name, &up, err);
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, rc, "line %u: there is no pipeline \"%s\" to read from",
				in->line_number, in->name);
	if (rc == 0 && (strcmp(up.repo, row->repo) != 0 || strcmp(up.branch, row->branch) != 0))
		rc = pfs_fail(
			err, PFS_E_INVALID,
			"line %u: pipeline %s runs for commits on %s@%s, not on %s@%s; the two "
			"would never see the same commit",
			in->line_number, in->name, up.repo, up.branch, row->repo, row->branch);
	pfs_pipeline_row_fini(&up);
	return rc;
}

int pfs_dag_check_inputs(struct pfs_meta *m, const struct pfs_pipeline_row *row,
			 const struct pfs_pachfile *pf, struct pfs_error *err)
{
	int rc;

	rc = refuse_cycle(m, row->name, pf, err);
	for (size_t i = 0; rc == 0 && i < pf->n_inputs; i++)
		if (pf->inputs[i].kind == PFS_PACHFILE_PIPELINE)
			rc = check_input(m, row, &pf->inputs[i], err);
	return rc;
}

int pfs_dag_check_readers(struct pfs_meta *m, const struct pfs_pipeline_row *row,
			  struct pfs_error *err)
{
	struct pfs_row_name *names = NULL;
	struct pfs_pipeline_row old = { 0 };
	size_t n = 0;
	int rc;

	rc = pfs_meta_find_pipeline(m, row->name, &old, err);
	if (rc == 0)
		rc = pfs_meta_list_downstream(m, row->name, &names, &n, err);
	if (rc == 0 && n &&
	    (strcmp(old.repo, row->repo) != 0 || strcmp(old.branch, row->branch) != 0))
		rc = pfs_fail(
			err, PFS_E_BUSY,
			"pipeline %s reads its output for commits on %s@%s; it cannot move to "
			"%s@%s before that one is deleted",
			names[0].name, old.repo, old.branch, row->repo, row->branch);
	free(names);
	pfs_pipeline_row_fini(&old);
	return rc;
}
