#include "daemon/finder.h"
#include "daemon/wildcard.h"
#include "base/limits.h"
#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 40 /* as the kernel */

struct component {
	const char *text; /* borrowed from the finder's pattern, or "*" */
	size_t len;
	bool is_pattern;
};

/* A directory whose names are being tried against component number `level`. */
struct frame {
	struct pfs_handle *dir;      /* owned */
	struct pfs_listing *listing; /* owned; NULL: a plain name, looked up once */
	size_t level;
	size_t path_len; /* of the finder's path, at this directory */
	bool done;
};

struct pfs_finder {
	struct pfs_view *view;
	struct pfs_handle *root;  /* owned */
	struct pfs_handle *match; /* owned: of the last match */
	char *pattern;            /* owned */
	struct component *components;
	size_t n_components;
	unsigned flags;
	struct frame *frames;
	size_t n_frames, cap_frames;
	bool descend; /* the last match is a directory to go into */
	bool rooted;  /* the root was handed out already */
	char path[PFS_PATH_SIZE_MAX + 1];
};

/* Which of the two is it that is not there? */
static int fail_missing(struct pfs_view *v, const char *repo, const char *rev,
			struct pfs_error *err)
{
	char path[PFS_NAME_SIZE_MAX + 2];
	struct pfs_handle *found = NULL;
	struct pfs_attr attr;

	snprintf(path, sizeof(path), "/%s", repo);
	if (pfs_view_walk(v, path, &found, &attr, NULL) == PFS_E_NOTFOUND)
		return pfs_fail(err, PFS_E_NOTFOUND, "there is no repo \"%s\"", repo);
	pfs_handle_unref(&found);
	return pfs_fail(err, PFS_E_NOTFOUND, "repo \"%s\" has no branch or commit \"%s\"", repo,
			rev);
}

int pfs_finder_root(struct pfs_view *v, const char *repo, const char *rev, struct pfs_handle **out,
		    struct pfs_error *err)
{
	char path[2 * PFS_NAME_SIZE_MAX + 3];
	struct pfs_attr attr;
	int rc;

	rc = pfs_path_check_repo(repo, err);
	if (rc == 0)
		rc = pfs_path_check_name(rev, strlen(rev), err);
	if (rc == 0 && rev[0] == '.')
		rc = pfs_fail(err, PFS_E_INVALID, "\"%s\" is neither a branch nor a commit", rev);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/%s/%s", repo, rev);
	rc = pfs_view_walk(v, path, out, &attr, err);
	if (rc == PFS_E_NOTFOUND)
		return fail_missing(v, repo, rev, err);
	if (rc < 0)
		return rc;
	if (attr.type == PFS_TYPE_DIR)
		return 0;
	pfs_handle_unref(out);
	return pfs_fail(err, PFS_E_NOTDIR, "\"%s\" of repo \"%s\" is no branch or commit", rev,
			repo);
}

static int parse_pattern(struct pfs_finder *f, const char *pattern, struct pfs_error *err)
{
	const char *rest, *name;
	size_t len, max = 2;
	int rc;

	for (const char *p = pattern; *p; p++)
		max += *p == '/';
	f->pattern = strdup(pattern);
	f->components = calloc(max, sizeof(*f->components));
	if (!f->pattern || !f->components)
		return pfs_fail_nomem(err, "a pattern");
	rest = f->pattern;
	while ((rc = pfs_path_next(&rest, &name, &len, err)) > 0) {
		struct component *c = &f->components[f->n_components++];

		*c = (struct component){ name, len };
		if (!(f->flags & PFS_FINDER_LITERAL))
			c->is_pattern = pfs_wildcard_is_pattern(name, len);
		if (c->is_pattern)
			rc = pfs_wildcard_check(name, len, err);
		if (rc < 0)
			return rc;
	}
	if (rc == 0 && (f->flags & PFS_FINDER_CHILDREN))
		f->components[f->n_components++] = (struct component){ "*", 1, true };
	return rc;
}

bool pfs_finder_is_pattern(const struct pfs_finder *f)
{
	for (size_t i = 0; i < f->n_components; i++)
		if (f->components[i].is_pattern)
			return true;
	return false;
}

static void pop_frame(struct pfs_finder *f)
{
	struct frame *top = &f->frames[--f->n_frames];

	pfs_listing_close(&top->listing);
	pfs_handle_unref(&top->dir);
}

/* `dir` is borrowed. */
static int push_frame(struct pfs_finder *f, struct pfs_handle *dir, size_t level,
		      struct pfs_error *err)
{
	struct frame fr = { .level = level, .path_len = strlen(f->path) };
	bool listed = level >= f->n_components || f->components[level].is_pattern;
	int rc = 0;

	if (f->n_frames == f->cap_frames) {
		size_t cap = f->cap_frames ? 2 * f->cap_frames : 8;
		struct frame *more = reallocarray(f->frames, cap, sizeof(*more));

		if (!more)
			return pfs_fail_nomem(err, "a deep directory");
		f->frames = more;
		f->cap_frames = cap;
	}
	if (listed)
		rc = pfs_view_list(f->view, dir, &fr.listing, err);
	if (rc < 0)
		return rc;
	fr.dir = pfs_handle_ref(dir);
	f->frames[f->n_frames++] = fr;
	return 0;
}

int pfs_finder_open(struct pfs_view *v, const char *repo, const char *rev, const char *pattern,
		    unsigned flags, struct pfs_finder **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_finder_close) struct pfs_finder *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return pfs_fail_nomem(err, "a search for files");
	f->view = v;
	f->flags = flags;
	rc = parse_pattern(f, pattern, err);
	if (rc == 0)
		rc = pfs_finder_root(v, repo, rev, &f->root, err);
	if (rc == 0 && f->n_components > 0)
		rc = push_frame(f, f->root, 0, err);
	if (rc < 0)
		return rc;
	*out = f;
	f = NULL;
	return 0;
}

void pfs_finder_close(struct pfs_finder **finder)
{
	struct pfs_finder *f = *finder;

	*finder = NULL;
	if (!f)
		return;
	while (f->n_frames)
		pop_frame(f);
	pfs_handle_unref(&f->match);
	pfs_handle_unref(&f->root);
	free(f->frames);
	free(f->components);
	free(f->pattern);
	free(f);
}

/* The next name of the top frame that fits: 1, or 0 when there is none. */
static int next_name(struct pfs_finder *f, char name[PFS_NAME_SIZE_MAX + 1], struct pfs_error *err)
{
	struct frame *top = &f->frames[f->n_frames - 1];
	const struct component *c =
		top->level < f->n_components ? &f->components[top->level] : NULL;
	struct pfs_list_item item;
	int rc;

	if (!top->listing) {
		if (top->done)
			return 0;
		top->done = true;
		memcpy(name, c->text, c->len);
		name[c->len] = 0;
		return 1;
	}
	while ((rc = pfs_listing_next(top->listing, &item, err)) > 0) {
		if (strlen(item.name) > PFS_NAME_SIZE_MAX)
			continue;
		if (c && !pfs_wildcard_match(c->text, c->len, item.name))
			continue;
		strcpy(name, item.name);
		return 1;
	}
	return rc;
}

/* Put `target`, seen in the directory that `path` ends in, before what is left to walk. */
static int expand_link(struct pfs_finder *f, struct pfs_handle *link, char *left)
{
	char target[PFS_SYMLINK_SIZE_MAX + 1];
	size_t n, m = strlen(left);
	int rc;

	rc = pfs_view_readlink(f->view, link, target, sizeof(target), NULL);
	if (rc < 0)
		return rc;
	n = strlen(target);
	if (target[0] == '/' || n + 1 + m > PFS_PATH_SIZE_MAX)
		return PFS_E_UNSUPPORTED;
	memmove(left + n + 1, left, m + 1);
	memcpy(left, target, n);
	left[n] = '/';
	return 0;
}

static void drop_last(char *path)
{
	char *slash = strrchr(path, '/');

	*(slash ? slash : path) = 0;
}

static int walk_below(struct pfs_finder *f, const char *path, struct pfs_handle **out,
		      struct pfs_attr *out_attr)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *at = pfs_handle_ref(f->root);
	const char *rest = path, *name;
	size_t len;
	int rc = pfs_view_getattr(f->view, at, out_attr, NULL);

	while (rc == 0 && (rc = pfs_path_next(&rest, &name, &len, NULL)) > 0) {
		char one[PFS_NAME_SIZE_MAX + 1];
		struct pfs_handle *next;

		memcpy(one, name, len);
		one[len] = 0;
		rc = pfs_view_lookup(f->view, at, one, &next, out_attr, NULL);
		if (rc < 0)
			return rc;
		pfs_handle_unref(&at);
		at = next;
	}
	if (rc < 0)
		return rc;
	*out = at;
	at = NULL;
	return 0;
}

/*
 * Where the link at f->path leads, following further links on the way. ".."
 * never passes the root: what is outside the commit is not there.
 */
static int follow(struct pfs_finder *f, struct pfs_handle **out, struct pfs_attr *out_attr)
{
	char path[PFS_PATH_SIZE_MAX + 1], left[PFS_PATH_SIZE_MAX + 1] = "";
	struct pfs_handle *at;
	int links = 0, rc;

	strcpy(path, f->path);
	for (;;) {
		char *p = left;
		size_t len;

		rc = walk_below(f, path, &at, out_attr);
		if (rc < 0)
			return rc;
		if (out_attr->type == PFS_TYPE_SYMLINK) {
			rc = ++links > LINKS_MAX ? PFS_E_LIMIT : expand_link(f, at, left);
			pfs_handle_unref(&at);
			if (rc < 0)
				return rc;
			drop_last(path);
			continue;
		}
		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len == 0) {
			*out = at;
			return 0;
		}
		pfs_handle_unref(&at);
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			if (!path[0])
				return PFS_E_DENIED;
			drop_last(path);
		} else if (!(len == 1 && p[0] == '.')) {
			size_t used = strlen(path);

			if (used + 1 + len > PFS_PATH_SIZE_MAX)
				return PFS_E_NAMETOOLONG;
			if (used)
				path[used++] = '/';
			memcpy(path + used, p, len);
			path[used + len] = 0;
		}
		memmove(left, p + len, strlen(p + len) + 1);
	}
}

/* On the way links are always followed. */
static bool wants_target(const struct pfs_finder *f, size_t level)
{
	return !(f->flags & PFS_FINDER_NOFOLLOW) || level + 1 < f->n_components;
}

/* Extend f->path and find what is there: 1, or 0 when it is gone or cannot be. */
static int find_name(struct pfs_finder *f, const char *name, struct pfs_found *out,
		     struct pfs_error *err)
{
	struct frame *top = &f->frames[f->n_frames - 1];
	struct pfs_handle *led;
	struct pfs_attr attr;
	size_t used = top->path_len;
	int rc;

	if (used + 1 + strlen(name) > PFS_PATH_SIZE_MAX)
		return 0;
	if (used)
		f->path[used++] = '/';
	strcpy(f->path + used, name);
	pfs_handle_unref(&f->match);
	out->by_link = false;
	rc = pfs_view_lookup(f->view, top->dir, name, &f->match, &out->attr, err);
	if (rc == PFS_E_NOTFOUND || rc == PFS_E_NOTDIR)
		return 0;
	if (rc < 0)
		return rc;
	if (out->attr.type == PFS_TYPE_SYMLINK && wants_target(f, top->level) &&
	    follow(f, &led, &attr) == 0) {
		pfs_handle_unref(&f->match);
		f->match = led;
		out->attr = attr;
		out->by_link = true;
	}
	out->handle = f->match;
	out->path = f->path;
	return 1;
}

/* A pattern without components means the root, once. */
static int next_root(struct pfs_finder *f, struct pfs_found *out, struct pfs_error *err)
{
	int rc = pfs_view_getattr(f->view, f->root, &out->attr, err);

	if (rc < 0)
		return rc;
	f->rooted = true;
	f->match = pfs_handle_ref(f->root);
	out->handle = f->match;
	out->path = f->path;
	out->by_link = false;
	f->descend = f->flags & PFS_FINDER_BELOW;
	return 1;
}

int pfs_finder_next(struct pfs_finder *f, struct pfs_found *out, struct pfs_error *err)
{
	char name[PFS_NAME_SIZE_MAX + 1];
	int rc = 0;

	if (f->n_components == 0 && !f->rooted)
		return next_root(f, out, err);
	if (f->descend) {
		f->descend = false;
		rc = push_frame(f, f->match, f->n_frames ? f->frames[f->n_frames - 1].level + 1 : 0,
				err);
		if (rc < 0 && rc != PFS_E_NOTFOUND)
			return rc;
	}
	while (f->n_frames) {
		size_t level = f->frames[f->n_frames - 1].level;

		rc = next_name(f, name, err);
		if (rc == 0)
			pop_frame(f);
		if (rc > 0)
			rc = find_name(f, name, out, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		if (level + 1 >= f->n_components) {
			f->descend = (f->flags & PFS_FINDER_BELOW) && !out->by_link &&
				     out->attr.type == PFS_TYPE_DIR;
			return 1;
		}
		if (out->attr.type == PFS_TYPE_DIR)
			rc = push_frame(f, f->match, level + 1, err);
		if (rc < 0 && rc != PFS_E_NOTFOUND)
			return rc;
	}
	return 0;
}
