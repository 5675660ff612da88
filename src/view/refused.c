#include "view/view_i.h"

#include <stdlib.h>
#include <string.h>

/*
 * Commits through a control file that failed. close(2) says so, and shells do
 * not look; so that the id of the commit before is not taken for the new one,
 * the branch is remembered until it is committed or asked again.
 */

/* A branch deleted meanwhile leaves its note: more than this many, and the oldest goes. */
#define NOTES_MAX 256

struct refused {
	char repo[PFS_NAME_TEXT_SIZE];
	int64_t created_ns; /* of the branch, which keeps it when it is renamed */
	bool had_head;
	struct pfs_commit_id head; /* a commit by another way moves it */
	struct pfs_error why;
	struct refused *next;
};

/* Take the note about a branch out of the list; view->lock is held. */
static struct refused *take(struct pfs_view *v, const struct pfs_branch *b)
{
	for (struct refused **at = &v->refused; *at; at = &(*at)->next) {
		struct refused *r = *at;

		if (r->created_ns == b->created_ns && strcmp(r->repo, b->repo) == 0) {
			*at = r->next;
			return r;
		}
	}
	return NULL;
}

/* The oldest is the last one; view->lock is held. */
static struct refused *take_surplus(struct pfs_view *v)
{
	struct refused **at = &v->refused;
	struct refused *r;

	for (unsigned n = 0; *at && n < NOTES_MAX; n++)
		at = &(*at)->next;
	r = *at;
	if (r)
		*at = NULL;
	return r;
}

void pfs_refused_note(struct pfs_view *v, const struct pfs_branch *b, const struct pfs_error *why)
{
	struct refused *fresh = calloc(1, sizeof(*fresh));
	struct refused *old, *surplus;

	if (!fresh)
		return;
	memcpy(fresh->repo, b->repo, sizeof(fresh->repo));
	fresh->created_ns = b->created_ns;
	fresh->had_head = b->has_head;
	fresh->head = b->head;
	fresh->why = *why;
	pfs_lock(&v->lock);
	old = take(v, b);
	fresh->next = v->refused;
	v->refused = fresh;
	surplus = take_surplus(v);
	pfs_unlock(&v->lock);
	free(old);
	free(surplus);
}

void pfs_refused_clear(struct pfs_view *v, const struct pfs_branch *b)
{
	struct refused *old;

	pfs_lock(&v->lock);
	old = take(v, b);
	pfs_unlock(&v->lock);
	free(old);
}

static bool still_at(const struct refused *r, const struct pfs_branch *b)
{
	return r->had_head == b->has_head &&
	       (!b->has_head || memcmp(&r->head, &b->head, sizeof(b->head)) == 0);
}

int pfs_refused_check(struct pfs_view *v, const struct pfs_branch *b, struct pfs_error *err)
{
	struct refused *r, *done = NULL;
	struct pfs_error why = { 0 };

	pfs_lock(&v->lock);
	r = take(v, b);
	if (r && still_at(r, b)) {
		why = r->why;
		r->next = v->refused;
		v->refused = r;
	} else {
		done = r;
	}
	pfs_unlock(&v->lock);
	free(done);
	if (why.code == 0)
		return 0;
	return pfs_fail(err, why.code, "the last commit of \"%s@%s\" failed: %s", b->repo, b->name,
			why.text);
}

void pfs_refused_free(struct pfs_view *v)
{
	while (v->refused) {
		struct refused *r = v->refused;

		v->refused = r->next;
		free(r);
	}
}
