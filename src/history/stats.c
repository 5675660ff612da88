/* What there is, in figures. */
#include "history/history_i.h"
#include "workspace/reach.h"
#include <pfs/admin.h>

#include <stdio.h>
#include <stdlib.h>

static int add_head(struct pfs_history *h, const struct pfs_branch_row *b, struct pfs_stats *s,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	int rc;

	if (!b->has_head)
		return 0;
	rc = pfs_meta_find_commit(h->meta, b->repo, &b->head, &row, err);
	/* Deleted since the branches were listed. */
	if (rc == PFS_E_NOTFOUND)
		return 0;
	if (rc == 0)
		s->head_bytes += row.bytes;
	return rc;
}

static int add_workspace(struct pfs_history *h, const struct pfs_branch_row *b, struct pfs_stats *s,
			 struct pfs_error *err)
{
	uint64_t bytes = 0;
	char *path = NULL;
	int rc;

	if (asprintf(&path, "%s/%s", h->workspaces, b->folder) < 0)
		return pfs_fail_nomem(err, "the name of a workspace");
	rc = pfs_workspace_disk_bytes(path, &bytes, err);
	free(path);
	s->workspace_bytes += bytes;
	return rc;
}

static int add_branches(struct pfs_history *h, struct pfs_stats *s, struct pfs_error *err)
{
	struct pfs_branch_row *list = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_branches(h->meta, 0, &list, &n, err);

	s->branches = n;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = add_head(h, &list[i], s, err);
		if (rc == 0)
			rc = add_workspace(h, &list[i], s, err);
	}
	free(list);
	return rc;
}

static int add_repos(struct pfs_history *h, struct pfs_stats *s, struct pfs_error *err)
{
	struct pfs_repo_row *list = NULL;
	size_t n = 0;
	int rc = pfs_meta_list_repos(h->meta, &list, &n, err);

	s->repos = n;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct pfs_repo_counts counts;

		rc = pfs_meta_count_repo(h->meta, list[i].id, &counts, err);
		if (rc == 0)
			s->commits += counts.commits;
	}
	free(list);
	return rc;
}

static void add_store(struct pfs_history *h, struct pfs_stats *s)
{
	struct pfs_store_stats st;

	pfs_store_stats(h->store, &st);
	s->objects = st.objects;
	s->object_bytes = st.object_bytes;
	s->deltas = st.deltas;
	s->bundled = st.bundled;
	s->packs = st.packs;
	s->pack_bytes = st.pack_bytes;
	s->adopted_files = st.adopted_files;
	s->adopted_bytes = st.adopted_bytes;
	s->known_damages = st.known_damages;
	s->index_bytes = st.index_bytes;
	s->index_memory = st.index_memory;
	s->index_rebuilds = st.index_rebuilds;
}

int pfs_stats_read(struct pfs_history *h, struct pfs_stats *out, struct pfs_error *err)
{
	struct pfs_stats s = { 0 };
	int rc = add_repos(h, &s, err);

	if (rc == 0)
		rc = add_branches(h, &s, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "statistics");
	add_store(h, &s);
	*out = s;
	return 0;
}
