#include "pipeline/task.h"

#include "pipeline/jobrow.h"
#include "pipeline/pipelines_i.h"

#include <stdlib.h>
#include <string.h>

void pfs_task_fini(struct pfs_task *t)
{
	for (size_t i = 0; i < t->n_steps; i++) {
		free(t->steps[i].image);
		free(t->steps[i].line);
	}
	for (size_t i = 0; i < t->n_inputs; i++) {
		free(t->inputs[i].name);
		free(t->inputs[i].path);
	}
	free(t->steps);
	free(t->inputs);
	*t = (struct pfs_task){ 0 };
}

int pfs_task_load(struct pfs_pipelines *p, const struct pfs_job_row *row, struct pfs_pachfile *out,
		  struct pfs_error *err)
{
	char *text = NULL;
	int rc;

	rc = pfs_meta_find_pipeline_text(p->meta, row->pipeline, row->version, &text, err);
	if (rc == 0)
		rc = pfs_pachfile_parse(text, strlen(text), out, err);
	free(text);
	return rc < 0 ? pfs_wrap(err, rc, "version %u of the pipeline", row->version) : 0;
}

static void take_step(struct pfs_pachfile_step *from, struct pfs_task_step *to)
{
	*to = (struct pfs_task_step){ .image = from->image, .line = from->line };
	from->image = from->line = NULL;
}

static void take_input(const struct pfs_job_row *row, struct pfs_pachfile_input *from,
		       struct pfs_task_input *to)
{
	const char *repo = from->kind == PFS_PACHFILE_PIPELINE ? from->name : row->repo;

	*to = (struct pfs_task_input){ .name = from->name, .path = from->path, .commit = row->id };
	memcpy(to->repo, repo, strlen(repo) + 1);
	from->name = from->path = NULL;
}

int pfs_task_make(const struct pfs_job_row *row, struct pfs_pachfile *pf, struct pfs_task *out,
		  struct pfs_error *err)
{
	struct pfs_task t = { 0 };

	t.steps = calloc(pf->n_steps, sizeof(*t.steps));
	t.inputs = calloc(pf->n_inputs ? pf->n_inputs : 1, sizeof(*t.inputs));
	if (!t.steps || !t.inputs) {
		pfs_task_fini(&t);
		return pfs_fail_nomem(err, "a task");
	}
	for (; t.n_steps < pf->n_steps; t.n_steps++)
		take_step(&pf->steps[t.n_steps], &t.steps[t.n_steps]);
	for (; t.n_inputs < pf->n_inputs; t.n_inputs++)
		take_input(row, &pf->inputs[t.n_inputs], &t.inputs[t.n_inputs]);
	pfs_jobrow_show(row, &t.job);
	memcpy(t.out_repo, row->pipeline, sizeof(t.out_repo));
	memcpy(t.out_branch, row->branch, sizeof(t.out_branch));
	*out = t;
	return 0;
}
