#include "workspace/audit.h"
#include "base/io.h"
#include "base/vec.h"
#include "workspace/workspace_i.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Something that a path needs: an object, or, when `lost` is set, bytes that are not there. */
struct need {
	char *path; /* owned */
	char *lost; /* owned */
	bool empty; /* nothing is known of what is lost */
	enum pfs_kind kind;
	struct pfs_id id;
};

struct needs PFS_VEC(struct need);
PFS_VEC_DEFINE(push_need, struct needs, struct need, "what a workspace needs")

static void needs_fini(struct needs *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].path);
		free(l->items[i].lost);
	}
	free(l->items);
}

/* Takes `lost`. */
static int need(struct needs *l, const char *path, enum pfs_kind kind, const struct pfs_id *id,
		char *lost, struct pfs_error *err)
{
	struct need n = { .path = strdup(path), .lost = lost, .kind = kind };
	int rc;

	if (id)
		n.id = *id;
	rc = n.path ? push_need(l, n, err) : pfs_fail_nomem(err, "what a workspace needs");
	if (rc < 0) {
		free(n.path);
		free(lost);
	}
	return rc;
}

static int need_object(struct needs *l, const char *path, enum pfs_kind kind,
		       const struct pfs_id *id, struct pfs_error *err)
{
	return pfs_id_is_zero(id) ? 0 : need(l, path, kind, id, NULL, err);
}

static int need_kept(struct needs *l, const char *path, const struct pfs_kept *k,
		     struct pfs_error *err)
{
	struct pfs_content c;

	if (!k)
		return 0;
	pfs_kept_content(k, &c);
	if (c.form == PFS_CONTENT_INLINE)
		return 0;
	return need_object(l, path, c.form == PFS_CONTENT_SEQ ? PFS_KIND_SEQNODE : PFS_KIND_CHUNK,
			   &c.id, err);
}

/* The spool file is not there, or ends before `end`; 1 then. */
static int need_spooled(struct needs *l, const char *path, struct pfs_spool *s,
			const struct pfs_spool_name *name, int fd, uint64_t end,
			struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE], *lost = NULL;
	struct pfs_spool_stat st;
	struct pfs_error why = { 0 };
	int rc = pfs_spool_stat(s, name, fd, &st, &why);

	if (rc == 0 && st.size >= end)
		return 0;
	if (rc < 0 && rc != PFS_E_CORRUPT)
		return pfs_fail(err, rc, "%s", why.text);
	if (rc < 0 ? asprintf(&lost, "%s", why.text) < 0
		   : asprintf(&lost, "spool file %s ends at %" PRIu64 ", before %" PRIu64,
			      pfs_spool_format(name, text), st.size, end) < 0)
		return pfs_fail_nomem(err, "what a workspace needs");
	rc = need(l, path, PFS_KIND_CHUNK, NULL, lost, err);
	return rc < 0 ? rc : 1;
}

static int tell(const struct needs *l, const struct pfs_workspace_audit *a, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < l->n; i++) {
		const struct need *n = &l->items[i];

		rc = n->lost ? a->lost(a->arg, n->path, n->lost, n->empty, err)
			     : a->object(a->arg, n->path, n->kind, &n->id, err);
	}
	return rc < 0 ? rc : 0;
}

/* Written from its end; `pos` is where it begins. False: it does not fit. */
struct way {
	char text[PFS_PATH_SIZE_MAX + 1];
	size_t pos;
};

static void way_begin(struct way *w)
{
	w->pos = PFS_PATH_SIZE_MAX;
	w->text[w->pos] = 0;
}

static bool way_add(struct way *w, const char *name, size_t len)
{
	bool first = w->pos == PFS_PATH_SIZE_MAX;

	if (len + !first > w->pos)
		return false;
	if (!first)
		w->text[--w->pos] = '/';
	w->pos -= len;
	memcpy(w->text + w->pos, name, len);
	return true;
}

/* --- one that is open -------------------------------------------------------- */

/* NULL for a node without a name. */
static const char *path_of(const struct pfs_node *n, struct way *w)
{
	way_begin(w);
	for (; n->place; n = n->place->dir)
		if (!way_add(w, n->place->name, n->place->name_len))
			return NULL;
	return n->ino == PFS_ROOT_INO ? w->text + w->pos : NULL;
}

static int look_at_patched(struct needs *l, const char *path, struct pfs_node *n,
			   struct pfs_error *err)
{
	struct pfs_spooled *s = n->file.spooled;
	const struct pfs_ranges *r = &s->patch->map.ranges;
	uint64_t end;
	int rc;

	pfs_lock(&s->patch->lock);
	end = r->n ? r->items[r->n - 1].end : 0;
	rc = need_kept(l, path, s->patch->base, err);
	pfs_unlock(&s->patch->lock);
	return rc < 0 ? rc : need_spooled(l, path, &n->ws->spool, &s->name, s->fd, end, err);
}

static int look_at_node(struct needs *l, struct pfs_node *n, struct way *w, struct pfs_error *err)
{
	const char *path = n->dirty ? path_of(n, w) : NULL;
	int rc;

	if (!path)
		return 0;
	rc = n->xattrs ? need_object(l, path, PFS_KIND_XATTRS, n->xattrs, err) : 0;
	if (rc == 0 && n->type == PFS_ENTRY_DIR)
		return need_object(l, path, PFS_KIND_DIRNODE, &n->dir.base, err);
	if (rc < 0 || n->type != PFS_ENTRY_FILE)
		return rc;
	if (n->file.state == PFS_FILE_CLEAN)
		return need_kept(l, path, n->file.kept, err);
	if (n->file.spooled->patch)
		return look_at_patched(l, path, n, err);
	return need_spooled(l, path, &n->ws->spool, &n->file.spooled->name, n->file.spooled->fd, 0,
			    err);
}

int pfs_workspace_audit(struct pfs_workspace *ws, const struct pfs_workspace_audit *a,
			struct pfs_error *err)
{
	struct way *way = malloc(sizeof(*way));
	struct needs l = { 0 };
	struct pfs_node *n;
	size_t pos = 0;
	int rc = 0;

	if (!way)
		return pfs_fail_nomem(err, "a path");
	pfs_workspace_check(ws, a->damage, a->arg);
	pfs_rwlock_read(&ws->lock);
	rc = need_object(&l, "", PFS_KIND_DIRNODE, &ws->base.dir, err);
	while (rc >= 0 && (n = pfs_map_next(&ws->inos, &pos)))
		rc = look_at_node(&l, n, way, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc >= 0)
		rc = tell(&l, a, err);
	needs_fini(&l);
	free(way);
	return rc < 0 ? pfs_wrap(err, rc, "workspace %s", ws->folder) : 0;
}

/* --- one that is not --------------------------------------------------------- */

struct row {
	uint64_t ino, parent;
	char *name; /* owned; NULL: none yet */
	enum pfs_entry_type type;
	enum pfs_file_state state;
	uint64_t serial, end; /* so much of the spool file has to be there ... */
	uint64_t size; /* ... and so much was, of a new file, when it was last written down */
	struct pfs_id dir, xattrs;
	struct pfs_kept *kept; /* owned */
};

struct reading {
	struct pfs_map rows; /* owns them; by number */
	struct pfs_id base;
	struct pfs_spool spool;
	struct needs needs;
	struct way way;
	bool mend;
};

static void reading_free(struct reading *r)
{
	struct row *row;
	size_t pos = 0;

	while ((row = pfs_map_next(&r->rows, &pos))) {
		pfs_kept_unref(&row->kept);
		free(row->name);
		free(row);
	}
	pfs_map_fini(&r->rows);
	needs_fini(&r->needs);
	pfs_spool_close(&r->spool);
	free(r);
}

static void take_base(void *arg, const struct pfs_root *base, bool links,
		      const struct pfs_commit_id *sealed)
{
	((struct reading *)arg)->base = base->dir;
}

static int take_node(void *arg, const struct pfs_journal_node *in, struct pfs_error *err)
{
	struct reading *r = arg;
	struct row *row = calloc(1, sizeof(*row));
	int rc = 0;

	if (!row)
		return pfs_fail_nomem(err, "what a workspace needs");
	*row = (struct row){ .ino = in->ino,
			     .type = in->type,
			     .state = in->state,
			     .serial = in->serial,
			     .size = in->state == PFS_FILE_NEW && in->size <= PFS_FILE_SIZE_MAX
					     ? in->size
					     : 0,
			     .dir = in->dir,
			     .xattrs = in->xattrs };
	if (in->type == PFS_ENTRY_FILE && in->state != PFS_FILE_NEW)
		rc = pfs_kept_decode(in->blob, in->blob_len, &row->kept, err);
	if (rc == 0 && pfs_map_find(&r->rows, &row->ino, sizeof(row->ino)))
		rc = pfs_fail(err, PFS_E_CORRUPT, "journal: two nodes %" PRIx64, row->ino);
	if (rc == 0)
		rc = pfs_map_set(&r->rows, &row->ino, sizeof(row->ino), row, err);
	if (rc < 0) {
		pfs_kept_unref(&row->kept);
		free(row);
	}
	return rc;
}

static int take_name(void *arg, const struct pfs_journal_name *in, struct pfs_error *err)
{
	struct reading *r = arg;
	struct row *row = in->ino ? pfs_map_find(&r->rows, &in->ino, sizeof(in->ino)) : NULL;

	if (!row || row->name)
		return 0;
	row->parent = in->parent;
	row->name = strndup(in->name, in->name_len);
	return row->name ? 0 : pfs_fail_nomem(err, "what a workspace needs");
}

static int take_range(void *arg, const struct pfs_journal_range *in, struct pfs_error *err)
{
	struct reading *r = arg;
	struct row *row = pfs_map_find(&r->rows, &in->ino, sizeof(in->ino));

	if (row && in->end > row->end)
		row->end = in->end;
	return 0;
}

/* A node without a way to the root is told of by its number: then the journal is damaged. */
static const char *path_of_row(struct reading *r, const struct row *row)
{
	const struct row *at = row;

	way_begin(&r->way);
	while (at && at->ino != PFS_ROOT_INO) {
		if (!at->name || !at->name[0] || !way_add(&r->way, at->name, strlen(at->name))) {
			at = NULL;
			break;
		}
		at = pfs_map_find(&r->rows, &at->parent, sizeof(at->parent));
	}
	if (at)
		return r->way.text + r->way.pos;
	snprintf(r->way.text, sizeof(r->way.text), "<node %" PRIx64 ">", row->ino);
	return r->way.text;
}

/* What is lost was noted last. */
static int look_at_lost(struct reading *r, const struct row *row, const struct pfs_spool_name *name,
			struct pfs_error *err)
{
	r->needs.items[r->needs.n - 1].empty = row->state == PFS_FILE_NEW && row->size == 0;
	if (!r->mend)
		return 0;
	return pfs_spool_fill(&r->spool, name, row->end > row->size ? row->end : row->size, err);
}

static int look_at_row(struct reading *r, const struct row *row, struct pfs_error *err)
{
	const struct pfs_spool_name name = { row->ino, row->serial };
	const char *path = path_of_row(r, row);
	int rc = need_object(&r->needs, path, PFS_KIND_XATTRS, &row->xattrs, err);

	if (rc == 0 && row->type == PFS_ENTRY_DIR)
		rc = need_object(&r->needs, path, PFS_KIND_DIRNODE, &row->dir, err);
	if (rc == 0 && row->type == PFS_ENTRY_FILE)
		rc = need_kept(&r->needs, path, row->kept, err);
	if (rc < 0 || row->type != PFS_ENTRY_FILE || row->state == PFS_FILE_CLEAN)
		return rc;
	rc = need_spooled(&r->needs, path, &r->spool, &name, -1, row->end, err);
	return rc == 1 ? look_at_lost(r, row, &name, err) : rc;
}

static int read_rows(struct pfs_journal *j, struct reading *r, struct pfs_error *err)
{
	static const struct pfs_journal_reader reader = { take_base, take_node, take_name,
							  take_range };
	const struct row *row;
	size_t pos = 0;
	int rc = pfs_journal_load(j, &reader, r, err);

	if (rc == 0)
		rc = need_object(&r->needs, "", PFS_KIND_DIRNODE, &r->base, err);
	while (rc >= 0 && (row = pfs_map_next(&r->rows, &pos)))
		rc = look_at_row(r, row, err);
	return rc < 0 ? rc : 0;
}

static int read_journal(const char *folder, struct reading *r, const struct pfs_workspace_audit *a,
			struct pfs_error *err)
{
	static const struct pfs_root nothing;
	struct pfs_journal *j = NULL;
	int rc = pfs_journal_open(folder, &nothing, &j, err);

	if (rc == 0) {
		pfs_journal_check(j, a->damage, a->arg);
		rc = read_rows(j, r, err);
	}
	pfs_journal_close(&j);
	return rc;
}

static int open_spool(const char *folder, struct pfs_spool *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	int rc = fd < 0 ? pfs_fail_errno(err, errno, "%s", folder) : pfs_spool_open(fd, out, err);

	/* Files are looked for where they would be after the next start. */
	return rc < 0 ? rc : pfs_spool_upgrade(out, err);
}

int pfs_workspace_audit_closed(const char *folder, bool mend, const struct pfs_workspace_audit *a,
			       struct pfs_error *err)
{
	char path[PFS_PATH_SIZE_MAX + 1];
	struct reading *r;
	bool journaled = false;
	int rc;

	if (snprintf(path, sizeof(path), "%s/spool", folder) >= (int)sizeof(path))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "folder %.100s...", folder);
	/* Looking must not make one. */
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : pfs_fail_errno(err, errno, "%s", path);
	r = calloc(1, sizeof(*r));
	if (!r)
		return pfs_fail_nomem(err, "what a workspace needs");
	pfs_map_init(&r->rows);
	pfs_spool_init(&r->spool);
	r->mend = mend;
	rc = open_spool(folder, &r->spool, err);
	if (rc == 0)
		rc = pfs_journal_is_there(folder, &r->spool, &journaled, err);
	if (rc == 0 && journaled)
		rc = read_journal(folder, r, a, err);
	/* Told behind what was mended: who hears of it may look at it already. */
	if (rc == 0)
		rc = tell(&r->needs, a, err);
	reading_free(r);
	return rc < 0 ? pfs_wrap(err, rc, "workspace %s", folder) : 0;
}
