/*
 * Revisions as text:
 *
 *	revision = name { "^" [ number ] | "." number }
 *	name     = branch | commit id | 8 or more digits that one commit id begins with
 */
#include "history/history_i.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define PREFIX_LEN_MIN 8

/* Decimal digits up to what a step can mean; *p moves past them. */
static int parse_number(const char **p, uint64_t *out, struct pfs_error *err)
{
	size_t len = strspn(*p, "0123456789");
	uint64_t n = 0;

	if (len == 0 || len > 18)
		return pfs_fail(err, PFS_E_INVALID, "a number is missing or too long at \"%.40s\"",
				*p);
	for (size_t i = 0; i < len; i++)
		n = n * 10 + (uint64_t)((*p)[i] - '0');
	*p += len;
	*out = n;
	return 0;
}

static bool all_hex(const char *s)
{
	return s[strspn(s, "0123456789abcdefABCDEF")] == 0;
}

/* A branch comes first: its name cannot be a whole id, but may well look like the start of one. */
static int find_name(struct pfs_history *h, int64_t repo, const char *name,
		     struct pfs_commit_id *out, struct pfs_error *err)
{
	struct pfs_branch_row branch;
	int rc = pfs_meta_find_branch(h->meta, repo, name, &branch, err);

	if (rc == 0 && !branch.has_head)
		return pfs_fail(err, PFS_E_NOTFOUND, "branch \"%s\" has no commit yet", name);
	if (rc == 0)
		*out = branch.head;
	if (rc != PFS_E_NOTFOUND)
		return rc;
	if (strlen(name) >= PREFIX_LEN_MIN && all_hex(name))
		return pfs_meta_find_commit_prefix(h->meta, repo, name, out, err);
	return pfs_fail(err, PFS_E_NOTFOUND, "no branch or commit \"%.80s\"", name);
}

static int read_number(struct pfs_history *h, int64_t repo, const struct pfs_commit_id *id,
		       uint64_t *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	int rc = pfs_meta_find_commit(h->meta, repo, id, &row, err);

	if (rc == 0)
		*out = row.number;
	return rc;
}

/* One "^", "^N" or ".N" at *p, from the commit in *id to another. */
static int take_step(struct pfs_history *h, int64_t repo, const char **p, struct pfs_commit_id *id,
		     struct pfs_error *err)
{
	bool up = *(*p)++ == '^';
	uint64_t n = 1, at = 0;
	int rc = up && !isdigit((unsigned char)**p) ? 0 : parse_number(p, &n, err);

	if (rc == 0)
		rc = read_number(h, repo, id, &at, err);
	if (rc < 0)
		return rc;
	if (up && n >= at)
		return pfs_fail(err, PFS_E_NOTFOUND,
				"it has %" PRIu64 " commits before it, not %" PRIu64, at - 1, n);
	if (!up && (n == 0 || n > at))
		return pfs_fail(err, PFS_E_NOTFOUND,
				"commits are numbered from 1 to %" PRIu64 ", there is no %" PRIu64,
				at, n);
	return pfs_meta_find_ancestor(h->meta, repo, id, up ? at - n : n, id, err);
}

static int find_rev(struct pfs_history *h, int64_t repo, const char *rev, struct pfs_commit_id *out,
		    struct pfs_error *err)
{
	char name[PFS_ROW_NAME_SIZE];
	struct pfs_commit_id id;
	size_t len = strcspn(rev, "^.");
	const char *p = rev + len;
	int rc;

	if (len == 0 || len >= sizeof(name))
		return pfs_fail(err, PFS_E_INVALID,
				"it does not start with a branch or a commit id");
	memcpy(name, rev, len);
	name[len] = 0;
	rc = find_name(h, repo, name, &id, err);
	while (rc == 0 && *p) {
		if (*p != '^' && *p != '.')
			return pfs_fail(err, PFS_E_INVALID, "\"%.40s\" is neither ^ nor ^N nor .N",
					p);
		rc = take_step(h, repo, &p, &id, err);
	}
	if (rc == 0)
		*out = id;
	return rc;
}

int pfs_rev_find(struct pfs_history *h, const struct pfs_repo_row *repo, const char *rev,
		 struct pfs_commit_id *out, struct pfs_error *err)
{
	int rc = find_rev(h, repo->id, rev, out, err);

	return rc < 0 ? pfs_wrap(err, rc, "%s@%.200s", repo->name, rev) : 0;
}

int pfs_rev_resolve(struct pfs_history *h, const char *repo, const char *rev,
		    struct pfs_commit_id *out, struct pfs_error *err)
{
	struct pfs_repo_row in;
	int rc = pfs_meta_find_repo(h->meta, repo, &in, err);

	return rc < 0 ? rc : pfs_rev_find(h, &in, rev, out, err);
}
