#include "meta/rows.h"

#include <stdlib.h>

void pfs_commit_row_fini(struct pfs_commit_row *row)
{
	free(row->message);
	free(row->error);
	row->message = NULL;
	row->error = NULL;
}

void pfs_commit_rows_free(struct pfs_commit_row **list, size_t n)
{
	for (size_t i = 0; *list && i < n; i++)
		pfs_commit_row_fini(&(*list)[i]);
	free(*list);
	*list = NULL;
}

void pfs_pipeline_row_fini(struct pfs_pipeline_row *row)
{
	free(row->text);
	row->text = NULL;
}

void pfs_pipeline_rows_free(struct pfs_pipeline_row **list, size_t n)
{
	for (size_t i = 0; *list && i < n; i++)
		pfs_pipeline_row_fini(&(*list)[i]);
	free(*list);
	*list = NULL;
}
