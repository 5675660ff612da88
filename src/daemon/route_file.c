#include "daemon/facts.h"
#include "daemon/finder.h"
#include "daemon/range.h"
#include "daemon/route.h"
#include "base/limits.h"
#include "base/path.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SMALL_FILE    (64u * 1024) /* read at once, sent with the header */
#define LISTING_CHUNK (64u * 1024)
#define CONTROL_MAX   (4u << 20) /* a control file is text that was just made */

static const char *get_repo(const struct pfs_request *rq)
{
	return pfs_request_get(rq, "repo", PFS_DEFAULT_REPO);
}

static const char *get_branch(const struct pfs_request *rq)
{
	return pfs_request_get(rq, "branch", PFS_DEFAULT_BRANCH);
}

/* ---- one file ---- */

struct sender {
	struct pfs_file *file;
	uint64_t off, left;
};

static void sender_free(void *arg)
{
	struct sender *s = arg;

	pfs_file_close(&s->file, NULL);
	free(s);
}

static int64_t sender_read(void *arg, uint64_t pos, void *out, size_t len)
{
	struct sender *s = arg;
	size_t got;

	if (len > s->left)
		len = s->left;
	if (len == 0)
		return PFS_REPLY_END;
	/* Cut off while it is being sent: the peer was promised more. */
	if (pfs_file_read(s->file, s->off, out, len, &got, NULL) < 0 || got == 0)
		return PFS_REPLY_BROKEN;
	s->off += got;
	s->left -= got;
	return (int64_t)got;
}

static int send_small(struct pfs_file *file, uint64_t off, uint64_t len, struct pfs_reply *rp,
		      struct pfs_error *err)
{
	size_t got;
	int rc = pfs_buf_reserve(&rp->body, len, err);

	if (rc == 0)
		rc = pfs_file_read(file, off, rp->body.data, len, &got, err);
	if (rc < 0)
		return rc;
	rp->body.len = got;
	return 0;
}

/* Takes *file. */
static int send_bytes(struct pfs_file **file, uint64_t off, uint64_t len, struct pfs_reply *rp,
		      struct pfs_error *err)
{
	struct sender *s;
	int local = pfs_file_local(*file);

	if (len == 0)
		return 0;
	if (len <= SMALL_FILE)
		return send_small(*file, off, len, rp, err);
	rp->size = len;
	if (local >= 0) {
		rp->fd = dup(local);
		rp->fd_off = off;
		if (rp->fd >= 0)
			return 0;
	}
	s = malloc(sizeof(*s));
	if (!s)
		return pfs_fail_nomem(err, "sending a file");
	*s = (struct sender){ *file, off, len };
	*file = NULL;
	rp->read = sender_read;
	rp->free = sender_free;
	rp->arg = s;
	return 0;
}

static void close_file(struct pfs_file **f)
{
	if (*f)
		pfs_file_close(f, NULL);
}

/* Control files have no size before they are read. */
static int send_control(struct pfs_file *file, struct pfs_reply *rp, struct pfs_error *err)
{
	char piece[4096];
	size_t got;
	int rc;

	do {
		rc = pfs_file_read(file, rp->body.len, piece, sizeof(piece), &got, err);
		if (rc == 0 && rp->body.len + got > CONTROL_MAX)
			rc = pfs_fail(err, PFS_E_LIMIT, "a control file of more than %u bytes",
				      CONTROL_MAX);
		if (rc == 0)
			rc = pfs_buf_add(&rp->body, piece, got, err);
	} while (rc == 0 && got > 0);
	return rc;
}

static int add_last_modified(const struct pfs_attr *a, struct pfs_reply *rp, struct pfs_error *err)
{
	time_t t = (time_t)(a->mtime_ns / 1000000000);
	struct tm tm;
	char text[64];

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return pfs_reply_add_header(rp, err, "Last-Modified", "%s", text);
}

static int send_part(struct pfs_request *rq, struct pfs_file **file, uint64_t size,
		     struct pfs_reply *rp, struct pfs_error *err)
{
	/* Without validators of ours an If-Range can never hold. */
	const char *wanted =
		pfs_request_header(rq, "If-Range") ? NULL : pfs_request_header(rq, "Range");
	uint64_t off = 0, len = size;
	int rc = pfs_reply_add_header(rp, err, "Accept-Ranges", "bytes");

	if (rc < 0)
		return rc;
	switch (pfs_range_parse(wanted, size, &off, &len)) {
	case PFS_RANGE_UNSATISFIABLE:
		rp->status = 416;
		rc = pfs_reply_add_header(rp, err, "Content-Range", "bytes */%llu",
					  (unsigned long long)size);
		return rc < 0 ? rc
			      : pfs_fail(err, PFS_E_INVALID, "Range %.60s: the file has %llu bytes",
					 wanted, (unsigned long long)size);
	case PFS_RANGE_PART:
		rp->status = 206;
		rc = pfs_reply_add_header(
			rp, err, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)off,
			(unsigned long long)(off + len - 1), (unsigned long long)size);
		break;
	case PFS_RANGE_WHOLE:
		break;
	}
	return rc < 0 ? rc : send_bytes(file, off, len, rp, err);
}

static int send_file(struct pfs_request *rq, const struct pfs_found *found, struct pfs_reply *rp,
		     struct pfs_error *err)
{
	PFS_AUTO(close_file) struct pfs_file *file = NULL;
	int rc;

	rc = pfs_view_open(rq->daemon->view, found->handle, PFS_OPEN_READ, &file, err);
	if (rc < 0)
		return rc;
	if (found->attr.volatile_)
		return send_control(file, rp, err);
	rp->content_type = "application/octet-stream";
	rc = add_last_modified(&found->attr, rp, err);
	if (rc == 0)
		rc = send_part(rq, &file, found->attr.size_bytes, rp, err);
	return rc == PFS_E_CORRUPT ? pfs_wrap(err, rc, "%s", found->path) : rc;
}

/* ---- several files: one after the other, or as the parts of a form ---- */

struct joiner {
	struct pfs_view *view;
	struct pfs_finder *finder;
	struct pfs_file *file; /* the one being sent, or NULL */
	uint64_t off;
	bool as_form;
	bool ended;
	char boundary[33];
	struct pfs_buf pending; /* framing that goes out before the file */
	size_t sent;            /* of pending */
};

static void joiner_free(void *arg)
{
	struct joiner *j = arg;

	close_file(&j->file);
	pfs_finder_close(&j->finder);
	pfs_buf_fini(&j->pending);
	free(j);
}

/* In a quoted parameter a quote and what could break the line are percent-escaped, as browsers do. */
static int add_quoted(struct pfs_buf *b, const char *s, struct pfs_error *err)
{
	int rc = 0;

	for (; *s && rc == 0; s++)
		rc = *s == '"' || *s == '\r' || *s == '\n'
			     ? pfs_buf_printf(b, err, "%%%02X", (unsigned)*s)
			     : pfs_buf_add_u8(b, (uint8_t)*s, err);
	return rc;
}

static int add_part_header(struct joiner *j, const char *path, struct pfs_error *err)
{
	int rc = pfs_buf_printf(&j->pending, err, "--%s\r\nContent-Disposition: form-data; name=\"",
				j->boundary);

	if (rc == 0)
		rc = add_quoted(&j->pending, path, err);
	if (rc == 0)
		rc = pfs_buf_add_str(&j->pending, "\"; filename=\"", err);
	if (rc == 0)
		rc = add_quoted(&j->pending, path, err);
	if (rc == 0)
		rc = pfs_buf_add_str(&j->pending,
				     "\"\r\nContent-Type: application/octet-stream\r\n\r\n", err);
	return rc;
}

/* Open the next plain file: 1, or 0 after the last. */
static int next_file(struct joiner *j, struct pfs_error *err)
{
	struct pfs_found found;
	int rc;

	while ((rc = pfs_finder_next(j->finder, &found, err)) > 0) {
		if (found.attr.type != PFS_TYPE_FILE)
			continue;
		rc = pfs_view_open(j->view, found.handle, PFS_OPEN_READ, &j->file, err);
		if (rc == PFS_E_NOTFOUND)
			continue;
		if (rc == 0 && j->as_form)
			rc = add_part_header(j, found.path, err);
		j->off = 0;
		return rc < 0 ? rc : 1;
	}
	if (rc == 0 && j->as_form)
		rc = pfs_buf_printf(&j->pending, err, "--%s--\r\n", j->boundary);
	j->ended = true;
	return rc;
}

/* Send of what is pending, then of the open file; 0 when both are at their end. */
static int64_t send_some(struct joiner *j, void *out, size_t len)
{
	size_t got = j->pending.len - j->sent;

	if (got > 0) {
		got = got < len ? got : len;
		memcpy(out, j->pending.data + j->sent, got);
		j->sent += got;
		return (int64_t)got;
	}
	pfs_buf_clear(&j->pending);
	j->sent = 0;
	if (!j->file)
		return 0;
	if (pfs_file_read(j->file, j->off, out, len, &got, NULL) < 0)
		return PFS_REPLY_BROKEN;
	j->off += got;
	if (got == 0) {
		close_file(&j->file);
		if (j->as_form && pfs_buf_add_str(&j->pending, "\r\n", NULL) < 0)
			return PFS_REPLY_BROKEN;
	}
	return (int64_t)got;
}

static int64_t joiner_read(void *arg, uint64_t pos, void *out, size_t len)
{
	struct joiner *j = arg;
	size_t used = 0;

	/* Many small files go out in one piece. */
	while (used < len) {
		int64_t got = send_some(j, (char *)out + used, len - used);

		if (got < 0)
			return got;
		used += (size_t)got;
		if (got > 0 || j->file || j->pending.len)
			continue;
		if (j->ended)
			break;
		if (next_file(j, NULL) < 0)
			return PFS_REPLY_BROKEN;
	}
	return used ? (int64_t)used : PFS_REPLY_END;
}

static bool wants_form(const struct pfs_request *rq)
{
	const char *accept = pfs_request_header(rq, "Accept");

	return accept && strstr(accept, "multipart/form-data");
}

static int set_form(struct joiner *j, struct pfs_reply *rp, struct pfs_error *err)
{
	unsigned char random[16];
	int rc = pfs_rand_bytes(random, sizeof(random), err);

	for (size_t i = 0; rc == 0 && i < sizeof(random); i++)
		snprintf(j->boundary + 2 * i, 3, "%02x", random[i]);
	j->as_form = true;
	/* Old clients look for it in a header of its own. */
	if (rc == 0)
		rc = pfs_reply_add_header(rp, err, "Boundary", "%s", j->boundary);
	if (rc == 0)
		rc = pfs_reply_add_header(rp, err, "Content-Type",
					  "multipart/form-data; boundary=%s", j->boundary);
	rp->has_own_type = rc == 0;
	return rc;
}

/* Takes *finder. */
static int send_joined(struct pfs_request *rq, struct pfs_finder **finder, struct pfs_reply *rp,
		       struct pfs_error *err)
{
	struct joiner *j = calloc(1, sizeof(*j));
	int rc = 0;

	if (!j)
		return pfs_fail_nomem(err, "sending files");
	j->view = rq->daemon->view;
	j->finder = *finder;
	*finder = NULL;
	pfs_buf_init(&j->pending, 4 * PFS_PATH_SIZE_MAX + 1024);
	rp->content_type = "application/octet-stream";
	rp->arg = j;
	rp->free = joiner_free;
	rp->read = joiner_read;
	rp->size = PFS_REPLY_SIZE_UNKNOWN;
	if (wants_form(rq))
		rc = set_form(j, rp, err);
	return rc;
}

/* ---- listings ---- */

struct lister {
	struct pfs_view *view;
	struct pfs_finder *finder;
	struct pfs_buf lines;
	size_t sent;
};

static void lister_free(void *arg)
{
	struct lister *l = arg;

	pfs_finder_close(&l->finder);
	pfs_buf_fini(&l->lines);
	free(l);
}

/* A directory is as large as what is in it, where that is known without looking. */
static void set_tree_size(struct lister *l, struct pfs_found *found)
{
	char text[32] = "";
	size_t len;

	if (found->attr.type != PFS_TYPE_DIR)
		return;
	found->attr.size_bytes = 0;
	if (pfs_view_getxattr(l->view, found->handle, "user.pfs.size", text, sizeof(text) - 1, &len,
			      NULL) == 0)
		found->attr.size_bytes = strtoull(text, NULL, 10);
}

static int put_found(struct lister *l, struct pfs_found *found)
{
	char target[PFS_SYMLINK_SIZE_MAX + 1];
	bool has_target =
		found->attr.type == PFS_TYPE_SYMLINK &&
		pfs_view_readlink(l->view, found->handle, target, sizeof(target), NULL) == 0;

	set_tree_size(l, found);
	return pfs_facts_file(found->path, &found->attr, has_target ? target : NULL, &l->lines,
			      NULL);
}

static int64_t lister_read(void *arg, uint64_t pos, void *out, size_t len)
{
	struct lister *l = arg;
	struct pfs_found found;
	size_t left = l->lines.len - l->sent;
	int rc = 1;

	if (left == 0) {
		pfs_buf_clear(&l->lines);
		l->sent = 0;
		while (rc > 0 && l->lines.len < LISTING_CHUNK) {
			rc = pfs_finder_next(l->finder, &found, NULL);
			if (rc <= 0)
				break;
			if (put_found(l, &found) < 0)
				rc = PFS_E_NOMEM;
		}
		left = l->lines.len;
	}
	if (rc < 0)
		return PFS_REPLY_BROKEN;
	if (left == 0)
		return PFS_REPLY_END;
	len = left < len ? left : len;
	memcpy(out, l->lines.data + l->sent, len);
	l->sent += len;
	return (int64_t)len;
}

/* Takes *finder. */
static int send_listing(struct pfs_request *rq, struct pfs_finder **finder, struct pfs_reply *rp,
			struct pfs_error *err)
{
	struct lister *l = calloc(1, sizeof(*l));

	if (!l)
		return pfs_fail_nomem(err, "a listing");
	l->view = rq->daemon->view;
	l->finder = *finder;
	*finder = NULL;
	pfs_buf_init(&l->lines, LISTING_CHUNK + 16 * PFS_PATH_SIZE_MAX);
	rp->content_type = "application/x-ndjson";
	rp->arg = l;
	rp->free = lister_free;
	rp->read = lister_read;
	rp->size = PFS_REPLY_SIZE_UNKNOWN;
	return 0;
}

/* ---- which of the three ---- */

/* Where to look, and how. */
struct place {
	struct pfs_view *view;
	const char *repo, *rev, *pattern;
};

static int open_finder(const struct place *p, unsigned flags, struct pfs_finder **out,
		       struct pfs_error *err)
{
	return pfs_finder_open(p->view, p->repo, p->rev, p->pattern, flags, out, err);
}

static int fail_missing(const struct place *p, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "no file \"%.300s\" in %s@%s", p->pattern, p->repo,
			p->rev);
}

/* Count plain files up to two; the first one stays found. */
static int count_files(struct pfs_finder *f, struct pfs_found *first, size_t *out_files,
		       size_t *out_all, struct pfs_error *err)
{
	size_t files = 0, all = 0;
	int rc = 0;

	while (files == 0 && (rc = pfs_finder_next(f, first, err)) > 0) {
		all++;
		files += first->attr.type == PFS_TYPE_FILE;
	}
	if (files == 0 && rc < 0)
		return rc;
	*out_files = files;
	*out_all = all;
	return 0;
}

/* 1 when more than one plain file matches. */
static int has_second(const struct place *p, unsigned flags, struct pfs_error *err)
{
	PFS_AUTO(pfs_finder_close) struct pfs_finder *f = NULL;
	struct pfs_found found;
	size_t files = 0;
	int rc = open_finder(p, flags, &f, err);

	while (rc == 0 && files < 2) {
		rc = pfs_finder_next(f, &found, err);
		if (rc <= 0)
			return rc;
		files += found.attr.type == PFS_TYPE_FILE;
		rc = 0;
	}
	return rc < 0 ? rc : files == 2;
}

static int fail_no_plain_file(const struct place *p, const struct pfs_found *found,
			      struct pfs_error *err)
{
	if (found->attr.type == PFS_TYPE_DIR)
		return pfs_fail(err, PFS_E_ISDIR,
				"\"/%.300s\" is a directory: \"/%.300s/*\" reads its files",
				p->pattern, p->pattern);
	return pfs_fail(err, PFS_E_UNSUPPORTED, "\"/%.300s\" is not a plain file", p->pattern);
}

static int list_files(struct pfs_request *rq, const struct place *p, unsigned flags,
		      struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(pfs_finder_close) struct pfs_finder *f = NULL;
	struct pfs_found first;
	bool is_dir;
	int rc;

	rc = open_finder(p, flags, &f, err);
	if (rc == 0)
		rc = pfs_finder_next(f, &first, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return fail_missing(p, err);
	is_dir = !pfs_finder_is_pattern(f) && first.attr.type == PFS_TYPE_DIR;
	if (is_dir)
		flags |= PFS_FINDER_CHILDREN;
	if (pfs_request_is_on(rq, "recursive"))
		flags |= PFS_FINDER_BELOW;
	pfs_finder_close(&f);
	rc = open_finder(p, flags | PFS_FINDER_NOFOLLOW, &f, err);
	return rc < 0 ? rc : send_listing(rq, &f, rp, err);
}

static int send_found(struct pfs_request *rq, const struct place *p, unsigned flags,
		      struct pfs_reply *rp, struct pfs_error *err)
{
	PFS_AUTO(pfs_finder_close) struct pfs_finder *f = NULL;
	struct pfs_found first;
	size_t files = 0, all = 0;
	int rc;

	rc = open_finder(p, flags, &f, err);
	if (rc == 0)
		rc = count_files(f, &first, &files, &all, err);
	if (rc < 0)
		return rc;
	if (all == 0 || (files == 0 && pfs_finder_is_pattern(f)))
		return fail_missing(p, err);
	if (files == 0)
		return fail_no_plain_file(p, &first, err);
	rc = pfs_finder_is_pattern(f) ? has_second(p, flags, err) : 0;
	if (rc < 0)
		return rc;
	if (rc == 0)
		return send_file(rq, &first, rp, err);
	pfs_finder_close(&f);
	rc = open_finder(p, flags, &f, err);
	return rc < 0 ? rc : send_joined(rq, &f, rp, err);
}

int pfs_route_send_files(struct pfs_request *rq, const char *repo, const char *rev,
			 const char *pattern, struct pfs_reply *rp, struct pfs_error *err)
{
	struct place p = { rq->daemon->view, repo, rev, pattern };
	bool list = pfs_request_is_on(rq, "list");
	unsigned flags = pfs_request_is_on(rq, "literal") ? PFS_FINDER_LITERAL : 0;
	int rc;

	rc = list ? list_files(rq, &p, flags, rp, err) : send_found(rq, &p, flags, rp, err);
	/* What no pattern matches may be the very name of a file: "a[1].txt". */
	if (rc == PFS_E_NOTFOUND && flags == 0)
		rc = list ? list_files(rq, &p, PFS_FINDER_LITERAL, rp, err)
			  : send_found(rq, &p, PFS_FINDER_LITERAL, rp, err);
	return rc;
}

int route_file_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *rev = pfs_request_get(rq, "commit", get_branch(rq));

	return pfs_route_send_files(rq, get_repo(rq), rev, rq->captures[0], rp, err);
}
