/* Repos, branches and commits of a store of their own. */
#ifndef PFS_HISTORY_FIXTURE_H
#define PFS_HISTORY_FIXTURE_H

#include "house.h"
#include "base/clock.h"
#include "format/commitrec.h"
#include "meta/txn.h"
#include <pfs/commit.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void house_open(struct house *s)
{
	house_make(s, false);
}

static inline void put(struct house *s, const char *repo, const char *branch, const char *path,
		       const char *text)
{
	struct pfs_error err = { 0 };

	must(world_write(&s->w, repo, branch, path, text, &err), &err);
}

static inline struct pfs_commit_id commit(struct house *s, const char *repo, const char *branch)
{
	struct pfs_commit_id id = { { 0 } };
	struct pfs_error err = { 0 };

	must(pfs_commit_branch(s->h, repo, branch, NULL, &id, &err), &err);
	return id;
}

static inline void make(struct house *s, const char *repo, const char *branch)
{
	struct pfs_error err = { 0 };
	int rc = pfs_repo_create(s->h, repo, &err);

	cr_assert(rc == 0 || rc == PFS_E_EXISTS, "%s", err.text);
	must(pfs_branch_create(s->h, repo, branch, NULL, &err), &err);
}

static inline void expect_text(struct house *s, const char *repo, const struct pfs_commit_id *id,
			       const char *path, const char *want)
{
	char got[256] = "";
	struct pfs_error err = { 0 };
	int rc = world_read(&s->w, repo, id, path, got, sizeof(got), &err);

	cr_expect_eq(rc, want ? 0 : PFS_E_NOTFOUND, "%s: %d %s", path, rc, err.text);
	cr_expect_str_eq(got, want ? want : "", "%s", path);
}

/* "+a -b Mc/d" of a list. */
static inline void expect_changes(struct pfs_change *list, size_t n, const char *want, const char *why)
{
	char got[1024] = "";
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%c%s%s", i ? " " : "",
					list[i].op, list[i].path, list[i].is_dir ? "/" : "");
	cr_expect_str_eq(got, want, "%s: %s", why, got);
	pfs_changes_free(&list, n);
}

#endif
