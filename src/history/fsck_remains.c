/*
 * Names come back from records, and a record may outlive what it tells of: a
 * repo that was deleted and collected stays away, as long as nothing can be
 * read in it.
 */
#include "history/fsck_i.h"
#include "store/health.h"
#include "tree/reach.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct remains {
	char repo[PFS_REPO_NAME_MAX + 1];
	uint64_t commits; /* that are not empty */
	bool some;        /* of one of them all is there, or of one the bytes of a file */
};

void pfs_remains_fini(struct pfs_remains *r)
{
	struct remains *x;
	size_t pos = 0;

	while ((x = pfs_map_next(&r->repos, &pos)))
		free(x);
	pfs_map_fini(&r->repos);
}

static int find_or_add(struct pfs_remains *r, const char *repo, struct remains **out,
		       struct pfs_error *err)
{
	struct remains *x = pfs_map_find(&r->repos, repo, strlen(repo));
	int rc = 0;

	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x)
			return pfs_fail_nomem(err, "a list of repos");
		memcpy(x->repo, repo, strlen(repo) + 1);
		rc = pfs_map_set(&r->repos, x->repo, strlen(x->repo), x, err);
		if (rc < 0)
			free(x);
	}
	if (rc == 0)
		*out = x;
	return rc;
}

struct search {
	struct pfs_store *st;
	bool bytes, lacks;
};

/* Bytes of a file end the walk: there is something. */
static int search_object(void *arg, enum pfs_kind kind, const struct pfs_id *id,
			 struct pfs_error *err)
{
	struct search *s = arg;

	if (!pfs_store_is_whole(s->st, kind, id)) {
		s->lacks = true;
		return 0;
	}
	s->bytes = kind == PFS_KIND_CHUNK;
	return s->bytes ? PFS_E_EXISTS : 1;
}

static int search_broken(void *arg, enum pfs_kind kind, const struct pfs_id *id,
			 const struct pfs_error *why, struct pfs_error *err)
{
	((struct search *)arg)->lacks = true;
	return 0;
}

int pfs_remains_look(struct pfs_fsck *f, struct pfs_remains *r, const struct pfs_commitrec *rec,
		     struct pfs_error *err)
{
	struct search s = { .st = f->h->store };
	struct pfs_reach reach = {
		.st = f->h->store, .visit = search_object, .broken = search_broken, .arg = &s
	};
	struct remains *x = NULL;
	int rc = find_or_add(r, rec->repo, &x, err);

	if (rc < 0 || pfs_id_is_zero(&rec->root))
		return rc;
	x->commits++;
	if (x->some)
		return 0;
	rc = pfs_reach_dir(&reach, &rec->root, err);
	pfs_reach_fini(&reach);
	x->some = s.bytes || (rc >= 0 && !s.lacks);
	return s.bytes || rc >= 0 ? 0 : rc;
}

bool pfs_remains_nothing(const struct pfs_remains *r, const char *repo)
{
	const struct remains *x = pfs_map_find(&r->repos, repo, strlen(repo));

	return x && x->commits > 0 && !x->some;
}

void pfs_remains_tell(struct pfs_fsck *f, const struct pfs_remains *r)
{
	const struct remains *x;
	size_t pos = 0;

	while ((x = pfs_map_next(&r->repos, &pos)))
		if (pfs_remains_nothing(r, x->repo))
			pfs_fsck_tell(f, PFS_FINDING_NOTE,
				      "repo %s is not restored: it has %" PRIu64
				      " commit%s, of which the store has not one file, as when a "
				      "repo was deleted and collected",
				      x->repo, x->commits, x->commits == 1 ? "" : "s");
}

/* --- what came back and is not whole ------------------------------------------- */

int pfs_fsck_note_lacking(struct pfs_fsck *f, int64_t repo, struct pfs_error *err)
{
	int64_t *list;

	for (size_t i = f->n_lacking; i-- > 0;)
		if (f->lacking[i] == repo)
			return 0;
	list = reallocarray(f->lacking, f->n_lacking + 1, sizeof(*list));
	if (!list)
		return pfs_fail_nomem(err, "a list of repos");
	f->lacking = list;
	f->lacking[f->n_lacking++] = repo;
	return 0;
}

void pfs_fsck_tell_lacking(struct pfs_fsck *f, const struct pfs_fsck *again)
{
	char repo[PFS_ROW_NAME_SIZE];

	for (size_t i = 0; i < again->n_lacking; i++)
		if (pfs_meta_read_repo_name(f->h->meta, again->lacking[i], repo, NULL) == 0)
			pfs_fsck_tell(
				f, PFS_FINDING_NOTE,
				"repo %s was restored and is not whole: if it had been "
				"deleted before, `pfs delete repo %s --force` removes it again",
				repo, repo);
}
