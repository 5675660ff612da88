/*
 * What is missing, by path: each path once, with the commits it is missing from.
 */
#include "history/fsck_i.h"
#include "base/map.h"
#include "tree/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct affected {
	char *key; /* "repo:path" */
	size_t repo_len;
	struct pfs_commit_id first, last;
	uint64_t commits;
};

struct tracing {
	struct pfs_fsck *f;
	struct pfs_trace trace;
	struct pfs_map by_key;
	struct affected **list; /* in the order in which they were found */
	size_t n;
	uint64_t unlisted; /* paths that are counted only */
	size_t repo_len;   /* of f->who */
};

static void tracing_fini(struct tracing *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->list[i]->key);
		free(t->list[i]);
	}
	free(t->list);
	pfs_map_fini(&t->by_key);
	pfs_trace_fini(&t->trace);
}

static int add(struct tracing *t, const char *key, struct pfs_error *err)
{
	struct affected *a = calloc(1, sizeof(*a));

	if (a)
		a->key = strdup(key);
	if (!a || !a->key || pfs_map_set(&t->by_key, a->key, strlen(a->key), a, NULL) < 0) {
		if (a)
			free(a->key);
		free(a);
		return pfs_fail_nomem(err, "a list of paths");
	}
	a->repo_len = t->repo_len;
	a->first = a->last = t->f->row->id;
	a->commits = 1;
	t->list[t->n++] = a;
	return 0;
}

static int note_path(void *arg, const char *path, const struct pfs_id *id, struct pfs_error *err)
{
	struct tracing *t = arg;
	struct affected *a;
	char *key = NULL;
	int rc = 0;

	if (asprintf(&key, "%.*s:/%s", (int)t->repo_len, t->f->who, path) < 0)
		return pfs_fail_nomem(err, "a list of paths");
	a = pfs_map_find(&t->by_key, key, strlen(key));
	if (!a) {
		t->f->out->affected++;
		if (t->n < PFS_FSCK_PATHS_MAX)
			rc = add(t, key, err);
		else
			t->unlisted++;
	} else if (!pfs_commit_id_equal(&a->last, &t->f->row->id)) {
		a->last = t->f->row->id;
		a->commits++;
	}
	free(key);
	return rc;
}

static int trace_commit(struct pfs_fsck *f, void *arg, struct pfs_error *err)
{
	struct tracing *t = arg;

	t->repo_len = (size_t)(strchr(f->who, '@') - f->who);
	return pfs_trace_dir(&t->trace, &f->row->root, err);
}

static void report(struct pfs_fsck *f, const struct affected *a)
{
	char first[PFS_COMMIT_ID_HEX_SIZE], last[PFS_COMMIT_ID_HEX_SIZE];
	char repo[PFS_ROW_NAME_SIZE];
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(1 << 20);
	struct pfs_finding finding = { .kind = PFS_FINDING_AFFECTED,
				       .repo = repo,
				       .path = a->key + a->repo_len + 2,
				       .first = a->first,
				       .last = a->last,
				       .commits = a->commits };
	int rc;

	snprintf(repo, sizeof(repo), "%.*s", (int)a->repo_len, a->key);
	pfs_commit_id_format(&a->first, first);
	pfs_commit_id_format(&a->last, last);
	if (a->commits == 1)
		rc = pfs_buf_printf(&text, NULL, "%s@%s:/%s cannot be read whole", repo, first,
				    finding.path);
	else
		rc = pfs_buf_printf(&text, NULL,
				    "%s@%s:/%s cannot be read whole, nor in %" PRIu64
				    " commit%s before, down to %s",
				    repo, last, finding.path, a->commits - 1,
				    a->commits == 2 ? "" : "s", first);
	finding.text = rc == 0 ? pfs_buf_str(&text) : finding.path;
	if (f->how->report)
		f->how->report(f->how->arg, &finding);
}

int pfs_fsck_trace(struct pfs_fsck *f, struct pfs_error *err)
{
	PFS_AUTO(tracing_fini)
	struct tracing t = { .f = f,
			     .list = calloc(PFS_FSCK_PATHS_MAX, sizeof(struct affected *)) };
	int rc;

	if (!t.list)
		return pfs_fail_nomem(err, "a list of paths");
	pfs_map_init(&t.by_key);
	t.trace = (struct pfs_trace){
		.st = f->h->store, .wanted = &f->lost, .found = note_path, .arg = &t
	};
	rc = pfs_fsck_each_commit(f, trace_commit, &t, err);
	for (size_t i = 0; rc == 0 && i < t.n; i++)
		report(f, t.list[i]);
	if (rc == 0 && t.unlisted > 0)
		pfs_fsck_tell(f, PFS_FINDING_NOTE, "and %" PRIu64 " more path%s", t.unlisted,
			      t.unlisted == 1 ? "" : "s");
	return rc;
}
