#include "view/view_i.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/text.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The control folder: facts about a branch or commit as files, and a commit as
 * a write.
 *
 *	open ─▶ text of the moment is made ─▶ reads
 *	     ─▶ writes gather a message ─▶ flush: commit ─▶ the id reads back
 *	                                       or no commit ─▶ reading fails as it did
 */

#define CONTROL_TEXT_MAX ((size_t)256 << 20)

/* What a control folder is about. */
struct subject {
	struct pfs_view *view;
	struct pfs_history *history;
	char repo[PFS_NAME_TEXT_SIZE];
	char rev[PFS_NAME_TEXT_SIZE]; /* branch name or commit id */
	bool branch;                  /* else a commit */
	bool workspace;               /* a branch that is not a pipeline's */
};

struct control {
	const char *name;
	bool workspace_only;
	uint16_t mode;
	int (*show)(const struct subject *s, struct pfs_buf *out, struct pfs_error *err);
};

bool pfs_control_is(const char *name, size_t len)
{
	return len == strlen(CONTROL_NAME) && memcmp(name, CONTROL_NAME, len) == 0;
}

int pfs_control_refuse(const char *name, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_DENIED,
			"the name \"%s\" at the top of a branch belongs to its control files",
			name);
}

/* ---- what the files say ---- */

static int show_changes(struct pfs_change *list, size_t n, struct pfs_buf *out,
			struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = pfs_buf_printf(out, err, "%c ", list[i].op);
		/* One change is one line, whatever is in its name. */
		for (const char *p = list[i].path; rc == 0 && *p; p++) {
			if (*p == '\n')
				rc = pfs_buf_add(out, "\\n", 2, err);
			else if (*p == '\\')
				rc = pfs_buf_add(out, "\\\\", 2, err);
			else
				rc = pfs_buf_add(out, p, 1, err);
		}
		if (rc == 0)
			rc = pfs_buf_add(out, list[i].is_dir ? "/\n" : "\n", list[i].is_dir ? 2 : 1,
					 err);
	}
	pfs_changes_free(&list, n);
	return rc;
}

static int show_status(const struct subject *s, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_change *list = NULL;
	size_t n = 0;
	int rc = pfs_commit_status(s->history, s->repo, s->rev, 0, &list, &n, err);

	return rc < 0 ? rc : show_changes(list, n, out, err);
}

/* The commit in question; 1 when there is one, 0 for a branch without. */
static int inspect(const struct subject *s, struct pfs_commit *c, struct pfs_error *err)
{
	struct pfs_branch b;
	int rc;

	if (s->branch) {
		rc = pfs_branch_inspect(s->history, s->repo, s->rev, &b, err);
		if (rc < 0 || !b.has_head)
			return rc;
	}
	rc = pfs_commit_inspect(s->history, s->repo, s->rev, c, err);
	return rc < 0 ? rc : 1;
}

static int show_diff(const struct subject *s, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_change *list = NULL;
	struct pfs_commit c = { 0 };
	size_t n = 0;
	int rc;

	if (s->workspace)
		return show_status(s, out, err);
	rc = inspect(s, &c, err);
	if (rc <= 0)
		return rc;
	pfs_commit_fini(&c);
	rc = pfs_commit_diff(s->history, s->repo, NULL, s->rev, 0, &list, &n, err);
	return rc < 0 ? rc : show_changes(list, n, out, err);
}

static int show_head(const struct subject *s, struct pfs_buf *out, struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	struct pfs_branch b;
	int rc;

	if (!s->branch)
		return pfs_buf_printf(out, err, "%s\n", s->rev);
	rc = pfs_branch_inspect(s->history, s->repo, s->rev, &b, err);
	if (rc < 0 || !b.has_head)
		return rc;
	return pfs_buf_printf(out, err, "%s\n", pfs_commit_id_format(&b.head, hex));
}

/* The head, unless somebody was to make another and could not. */
static int show_commit(const struct subject *s, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_branch b;
	int rc = pfs_branch_inspect(s->history, s->repo, s->rev, &b, err);

	if (rc == 0)
		rc = pfs_refused_check(s->view, &b, err);
	return rc < 0 ? rc : show_head(s, out, err);
}

/* The first line, as a terminal can have it. */
static int add_first_line(struct pfs_buf *out, const char *message, struct pfs_error *err)
{
	size_t len = strcspn(message, "\n"), at = out->len;
	int rc = pfs_buf_add(out, message, len, err);

	if (rc < 0)
		return rc;
	pfs_text_tame((char *)out->data + at, len);
	return pfs_buf_add(out, "\n", 1, err);
}

static int show_log(const struct subject *s, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_commit *list = NULL;
	struct pfs_commit c = { 0 };
	size_t n = 0;
	int rc = inspect(s, &c, err);

	if (rc <= 0)
		return rc;
	pfs_commit_fini(&c);
	rc = pfs_commit_list(s->history, s->repo, s->rev, 0, &list, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		char hex[PFS_COMMIT_ID_HEX_SIZE], when[PFS_CLOCK_TEXT_SIZE];

		rc = pfs_buf_printf(out, err, "%s %s ", pfs_commit_id_format(&list[i].id, hex),
				    pfs_clock_format(list[i].finished_ns, when));
		if (rc == 0)
			rc = add_first_line(out, list[i].message, err);
	}
	pfs_commits_free(&list, n);
	return rc;
}

static int show_provenance(const struct subject *s, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_commit c = { 0 };
	int rc = inspect(s, &c, err);

	if (rc <= 0)
		return rc;
	rc = 0;
	for (size_t i = 0; rc == 0 && i < c.n_provenance; i++) {
		char hex[PFS_COMMIT_ID_HEX_SIZE];

		rc = pfs_buf_printf(out, err, "%s@%s\n", c.provenance[i].repo,
				    pfs_commit_id_format(&c.provenance[i].id, hex));
	}
	pfs_commit_fini(&c);
	return rc;
}

static int show_stats(const struct subject *s, struct pfs_buf *out, struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE], when[PFS_CLOCK_TEXT_SIZE];
	struct pfs_commit c = { 0 };
	int rc = inspect(s, &c, err);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return pfs_buf_add_str(out, "files 0\nsize_bytes 0\n", err);
	rc = pfs_buf_printf(
		out, err, "commit %s\nbranch %s\nfinished %s\nfiles %llu\nsize_bytes %llu\n",
		pfs_commit_id_format(&c.id, hex), c.branch, pfs_clock_format(c.finished_ns, when),
		(unsigned long long)c.files, (unsigned long long)c.size_bytes);
	if (rc == 0 && c.error)
		rc = pfs_buf_printf(out, err, "error %s\n", c.error);
	pfs_commit_fini(&c);
	return rc;
}

/* What names names is not for others: they may be of directories that others may not look into. */
static const struct control controls[] = {
	{ "commit", true, 0644, show_commit },
	{ "diff", false, 0440, show_diff },
	{ "head", false, 0444, show_head },
	{ "log", false, 0444, show_log },
	{ "provenance", false, 0444, show_provenance },
	{ "stats", false, 0444, show_stats },
	{ "status", true, 0440, show_status },
};
#define N_CONTROLS (sizeof(controls) / sizeof(*controls))

/* ---- places ---- */

/* The place a control folder or file is about. */
static struct pfs_handle *place_of(struct pfs_handle *h)
{
	return h->ops == &place_control ? h->parent->parent : h->parent;
}

static bool has_workspace(const struct pfs_handle *place)
{
	return place->ops == &place_node;
}

static void subject_of(struct pfs_handle *h, struct subject *out)
{
	struct pfs_handle *place = place_of(h);
	char hex[PFS_COMMIT_ID_HEX_SIZE];

	*out = (struct subject){
		.view = h->view,
		.history = h->view->history,
		.branch = place->ops != &place_commit,
		.workspace = has_workspace(place),
	};
	/* Under the lock, since a branch may be renamed. */
	pfs_lock(&h->view->lock);
	snprintf(out->repo, sizeof(out->repo), "%s", pfs_handle_name(place->parent));
	snprintf(out->rev, sizeof(out->rev), "%s",
		 out->branch ? pfs_handle_name(place)
			     : pfs_commit_id_format(&place->u.commit.id, hex));
	pfs_unlock(&h->view->lock);
}

int pfs_control_dir(struct pfs_handle *place, struct pfs_handle **out, struct pfs_error *err)
{
	size_t len = strlen(CONTROL_NAME);
	struct pfs_handle *h;

	*out = pfs_handle_find(place->view, place, CONTROL_NAME, len, NULL, 0);
	if (*out)
		return 0;
	h = pfs_handle_new(place->view, &place_control_dir, place, CONTROL_NAME, len, NULL, 0, 0,
			   err);
	return h ? pfs_handle_enter(h, out, err) : PFS_E_NOMEM;
}

/* Whose branch it is may commit it. */
static int control_attr(struct pfs_handle *h, enum pfs_type type, uint16_t mode,
			struct pfs_attr *out, struct pfs_error *err)
{
	struct pfs_handle *place = place_of(h);
	struct pfs_attr of_place = { 0 };
	int rc = place->ops->getattr(place, &of_place, err);

	if (rc < 0)
		return rc;
	pfs_view_plain_attr(h, type, mode, of_place.mtime_ns, out);
	out->uid = of_place.uid;
	out->gid = of_place.gid;
	out->volatile_ = true;
	return 0;
}

static int dir_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	return control_attr(h, PFS_TYPE_DIR, 0555, out, err);
}

static int dir_lookup(struct pfs_handle *dir, const char *name, size_t len, struct pfs_handle **out,
		      struct pfs_error *err)
{
	bool workspace = has_workspace(dir->parent);
	struct pfs_handle *h;

	*out = pfs_handle_find(dir->view, dir, name, len, NULL, 0);
	if (*out)
		return 0;
	for (size_t i = 0; i < N_CONTROLS; i++) {
		if (strcmp(controls[i].name, name) != 0 ||
		    (controls[i].workspace_only && !workspace))
			continue;
		h = pfs_handle_new(dir->view, &place_control, dir, name, len, NULL, 0, 0, err);
		if (!h)
			return PFS_E_NOMEM;
		h->u.control = &controls[i];
		return pfs_handle_enter(h, out, err);
	}
	return pfs_fail(err, PFS_E_NOTFOUND, "no control file \"%s\"", name);
}

static int dir_list(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err)
{
	bool workspace = has_workspace(dir->parent);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < N_CONTROLS; i++) {
		const char *name = controls[i].name;
		size_t len = strlen(name);

		if (workspace || !controls[i].workspace_only)
			rc = pfs_listing_add(l, name, len, PFS_TYPE_FILE,
					     pfs_handle_child_ino(dir, name, len), err);
	}
	return rc;
}

static int control_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	return control_attr(h, PFS_TYPE_FILE, h->u.control->mode, out, err);
}

/* What is written anew has not failed yet. */
static void forget_refusal(struct pfs_handle *h)
{
	struct pfs_branch b;
	struct subject s;

	subject_of(h, &s);
	if (pfs_branch_inspect(s.history, s.repo, s.rev, &b, NULL) == 0)
		pfs_refused_clear(h->view, &b);
}

/* Shells truncate and touch what they write to. */
static int control_setattr(struct pfs_handle *h, unsigned which, const struct pfs_attr *set,
			   struct pfs_error *err)
{
	(void)set;
	if (!(h->u.control->mode & 0200))
		return pfs_view_readonly(h, err);
	if (which & ~(unsigned)(PFS_SET_SIZE | PFS_SET_MTIME | PFS_SET_ATIME))
		return pfs_fail(err, PFS_E_DENIED,
				"a control file belongs to whom its branch does");
	if (which & PFS_SET_SIZE)
		forget_refusal(h);
	return 0;
}

/* ---- open control files ---- */

struct control_file {
	struct pfs_file file;
	struct pfs_lock lock;   /* PFS_RANK_VIEW */
	pthread_cond_t cond;    /* a flush has ended */
	struct pfs_buf text;    /* to be read; protected by lock */
	struct pfs_buf message; /* written; protected by lock */
	bool pending;           /* something was written and not acted on; protected by lock */
	bool failed;            /* ... and not all of it arrived; protected by lock */
	bool flushing;          /* somebody commits it now; protected by lock */
	struct pfs_error why;   /* the last flush failed; protected by lock */
};

static struct control_file *control_of(struct pfs_file *f)
{
	return (struct control_file *)f;
}

/* The text of this moment; made without the lock, since it asks the rooms below. */
static int show(struct control_file *f, struct pfs_error *err)
{
	struct pfs_buf fresh = PFS_BUF_INIT(CONTROL_TEXT_MAX);
	struct pfs_buf old;
	struct subject s;
	int rc;

	subject_of(f->file.handle, &s);
	rc = f->file.handle->u.control->show(&s, &fresh, err);
	if (rc < 0) {
		pfs_buf_fini(&fresh);
		return rc;
	}
	pfs_lock(&f->lock);
	old = f->text;
	f->text = fresh;
	pfs_unlock(&f->lock);
	pfs_buf_fini(&old);
	return 0;
}

static int control_read(struct pfs_file *file, uint64_t off, void *data, size_t len,
			size_t *out_len, struct pfs_error *err)
{
	struct control_file *f = control_of(file);
	size_t n = 0;
	int rc = 0;

	pfs_lock(&f->lock);
	if (f->why.code < 0) {
		rc = pfs_fail(err, f->why.code, "%s", f->why.text);
	} else if (off < f->text.len) {
		n = f->text.len - off < len ? f->text.len - (size_t)off : len;
		memcpy(data, f->text.data + off, n);
	}
	pfs_unlock(&f->lock);
	if (rc == 0)
		*out_len = n;
	return rc;
}

static int control_append(struct pfs_file *file, const void *data, size_t len,
			  struct pfs_error *err)
{
	struct control_file *f = control_of(file);
	bool first;
	int rc;

	pfs_lock(&f->lock);
	/* The next message after one that was committed through the same descriptor. */
	first = !f->pending;
	if (first) {
		pfs_buf_clear(&f->message);
		f->failed = false;
		f->why.code = 0;
	}
	rc = pfs_buf_add(&f->message, data, len, err);
	/* A message that lost a part is not committed: its close fails as this write does. */
	f->failed = f->failed || rc < 0;
	f->pending = true;
	pfs_unlock(&f->lock);
	if (first)
		forget_refusal(file->handle);
	return rc;
}

/* A message is a stream: where the shell thinks it is does not matter. */
static int control_write(struct pfs_file *file, uint64_t off, const void *data, size_t len,
			 struct pfs_error *err)
{
	(void)off;
	return control_append(file, data, len, err);
}

static int commit_message(struct control_file *f, const char *message, struct pfs_error *err)
{
	struct pfs_commit_options options = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id id;
	struct subject s;
	int rc;

	subject_of(f->file.handle, &s);
	options.message = message;
	rc = pfs_commit_branch(s.history, s.repo, s.rev, &options, &id, err);
	if (rc < 0)
		return rc;
	/* The commit is made, whatever becomes of reading its id back. */
	show(f, NULL);
	return 0;
}

/* What was written, less the newlines at its end; NULL when nothing was. */
static int take_message(struct control_file *f, char **out, struct pfs_error *err)
{
	size_t len;
	int rc = 0;

	assert(pfs_held(&f->lock));
	if (f->pending && f->failed) {
		rc = pfs_fail(err, PFS_E_LIMIT,
			      "nothing was committed: the message has more than %u bytes",
			      PFS_MESSAGE_SIZE_MAX);
	} else if (f->pending) {
		len = f->message.len;
		while (len && (f->message.data[len - 1] == '\n' || f->message.data[len - 1] == ' '))
			len--;
		*out = strndup(pfs_buf_str(&f->message), len);
		if (!*out)
			rc = pfs_fail_nomem(err, "a commit message");
	}
	f->pending = false;
	return rc;
}

/*
 * Flushes come from several descriptors at once: a thread that forks while
 * another one writes is enough. One of them takes the message; the others wait
 * for what becomes of it, since whoever closes takes it for done.
 */
static int begin_flush(struct control_file *f, char **out, struct pfs_error *why)
{
	int rc;

	pfs_lock(&f->lock);
	while (f->flushing)
		pfs_cond_wait(&f->cond, &f->lock, -1);
	if (!f->pending && f->why.code < 0) {
		*why = f->why;
		rc = why->code;
	} else {
		rc = take_message(f, out, why);
	}
	f->flushing = true;
	pfs_unlock(&f->lock);
	return rc;
}

static void end_flush(struct control_file *f)
{
	pfs_lock(&f->lock);
	f->flushing = false;
	pthread_cond_broadcast(&f->cond);
	pfs_unlock(&f->lock);
}

/* Nothing was committed: whoever reads the id next has to hear of it, as close(2) is not heard. */
static void remember_refusal(struct control_file *f, const struct pfs_error *why)
{
	struct pfs_branch b;
	struct subject s;
	bool known;

	pfs_lock(&f->lock);
	known = f->why.code < 0;
	f->why = *why;
	pfs_unlock(&f->lock);
	if (known)
		return;
	subject_of(f->file.handle, &s);
	if (pfs_branch_inspect(s.history, s.repo, s.rev, &b, NULL) == 0)
		pfs_refused_note(s.view, &b, why);
}

/* It was not committed, and is to be. */
static void keep_message(struct control_file *f)
{
	pfs_lock(&f->lock);
	f->pending = true;
	pfs_unlock(&f->lock);
}

/* Or it is being committed, and may be given up. */
static bool has_message(struct control_file *f)
{
	bool has;

	pfs_lock(&f->lock);
	has = f->pending || f->flushing;
	pfs_unlock(&f->lock);
	return has;
}

static int control_flush(struct pfs_file *file, struct pfs_error *err)
{
	struct control_file *f = control_of(file);
	struct pfs_view *v = file->handle->view;
	struct pfs_error why = { 0 };
	char *message = NULL;
	int rc;

	if (v->holding && has_message(f))
		return pfs_fail(err, PFS_E_CANCELLED, "the next process commits it");
	rc = begin_flush(f, &message, &why);
	if (rc == 0 && message)
		rc = commit_message(f, message, &why);
	if (rc == PFS_E_CANCELLED && message && v->holding)
		keep_message(f);
	else if (rc < 0)
		remember_refusal(f, &why);
	free(message);
	end_flush(f);
	return rc < 0 ? pfs_fail(err, rc, "%s", why.text) : 0;
}

static void control_close(struct pfs_file *file)
{
	struct control_file *f = control_of(file);

	pfs_buf_fini(&f->text);
	pfs_buf_fini(&f->message);
	pthread_cond_destroy(&f->cond);
	pfs_lock_fini(&f->lock);
	free(f);
}

/* One byte of what is so, then text, message and reason, each behind its length. */
enum { HELD_PENDING = 1, HELD_FAILED = 2 };

static int add_run(struct pfs_buf *out, const void *data, size_t len, struct pfs_error *err)
{
	int rc = pfs_bytes_add_u32(out, (uint32_t)len, err);

	return rc < 0 ? rc : pfs_buf_add(out, data, len, err);
}

static int control_hold(struct pfs_file *file, struct pfs_buf *out, struct pfs_error *err)
{
	struct control_file *f = control_of(file);
	int rc;

	pfs_lock(&f->lock);
	rc = pfs_buf_add_u8(out, (f->pending ? HELD_PENDING : 0) | (f->failed ? HELD_FAILED : 0),
			    err);
	if (rc == 0)
		rc = add_run(out, f->text.data, f->text.len, err);
	if (rc == 0)
		rc = add_run(out, f->message.data, f->message.len, err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(out, (uint32_t)-f->why.code, err);
	if (rc == 0)
		rc = add_run(out, f->why.text, f->why.code ? strlen(f->why.text) : 0, err);
	pfs_unlock(&f->lock);
	return rc;
}

static int take_run(struct pfs_bytes *b, struct pfs_buf *out, struct pfs_error *err)
{
	uint32_t len = pfs_bytes_u32(b);
	const unsigned char *data = pfs_bytes_run(b, len);

	pfs_buf_clear(out);
	return data ? pfs_buf_add(out, data, len, err) : 0;
}

/* In a file nobody else knows yet. */
static int control_take(struct pfs_file *file, const void *data, size_t len, struct pfs_error *err)
{
	struct pfs_bytes b = { data, (const unsigned char *)data + len, false };
	struct control_file *f = control_of(file);
	unsigned held = pfs_bytes_u8(&b);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf why = PFS_BUF_INIT(PFS_ERROR_TEXT_SIZE - 1);
	uint32_t code;
	int rc = take_run(&b, &f->text, err);

	if (rc == 0)
		rc = take_run(&b, &f->message, err);
	code = pfs_bytes_u32(&b);
	if (rc == 0)
		rc = take_run(&b, &why, err);
	if (rc == 0 && (b.bad || b.at != b.end || code > INT16_MAX))
		rc = pfs_fail(err, PFS_E_CORRUPT, "a control file that is handed over: damaged");
	if (rc < 0)
		return rc;
	f->pending = held & HELD_PENDING;
	f->failed = held & HELD_FAILED;
	f->why.code = -(int)code;
	snprintf(f->why.text, sizeof(f->why.text), "%s", pfs_buf_str(&why));
	return 0;
}

static const struct file_ops control_file_ops = {
	.read = control_read,
	.write = control_write,
	.append = control_append,
	.flush = control_flush,
	.hold = control_hold,
	.take = control_take,
	.close = control_close,
};

static int control_open(struct pfs_handle *h, unsigned flags, struct pfs_file **out,
			struct pfs_error *err)
{
	struct control_file *f;
	int rc = 0;

	if ((flags & PFS_OPEN_WRITE) && !(h->u.control->mode & 0200))
		return pfs_fail(err, PFS_E_READONLY, "control file \"%s\" is for reading",
				h->u.control->name);
	f = calloc(1, sizeof(*f));
	if (!f)
		return pfs_fail_nomem(err, "an open control file");
	f->file = (struct pfs_file){ .ops = &control_file_ops, .handle = h, .flags = flags };
	if (pfs_cond_init(&f->cond)) {
		free(f);
		return pfs_fail_nomem(err, "an open control file");
	}
	pfs_lock_init(&f->lock, PFS_RANK_VIEW);
	pfs_buf_init(&f->text, CONTROL_TEXT_MAX);
	pfs_buf_init(&f->message, PFS_MESSAGE_SIZE_MAX);
	if (flags & PFS_OPEN_TRUNCATE)
		forget_refusal(h);
	if (flags & PFS_OPEN_READ)
		rc = show(f, err);
	if (rc < 0) {
		control_close(&f->file);
		return rc;
	}
	pfs_handle_ref(h);
	*out = &f->file;
	return 0;
}

const struct place_ops place_control_dir = {
	.what = "a control folder",
	.lookup = dir_lookup,
	.getattr = dir_getattr,
	.list = dir_list,
};

const struct place_ops place_control = {
	.what = "a control file",
	.getattr = control_getattr,
	.setattr = control_setattr,
	.open = control_open,
};
