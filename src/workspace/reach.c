#include "workspace/reach.h"
#include "base/vec.h"
#include "workspace/workspace_i.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct root {
	enum pfs_kind kind;
	struct pfs_id id;
};

/* Noted while a lock is held, told when it is not. */
struct roots PFS_VEC(struct root);
PFS_VEC_DEFINE(push, struct roots, struct root, "the roots of a workspace")

static int note(struct roots *r, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	return pfs_id_is_zero(id) ? 0 : push(r, (struct root){ kind, *id }, err);
}

static int note_kept(struct roots *r, const struct pfs_kept *k, struct pfs_error *err)
{
	struct pfs_content c;

	if (!k)
		return 0;
	pfs_kept_content(k, &c);
	if (c.form == PFS_CONTENT_INLINE)
		return 0;
	return note(r, c.form == PFS_CONTENT_SEQ ? PFS_KIND_SEQNODE : PFS_KIND_CHUNK, &c.id, err);
}

static int tell(const struct roots *r, pfs_workspace_root_fn *each, void *arg,
		struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < r->n; i++)
		rc = each(arg, r->items[i].kind, &r->items[i].id, err);
	return rc < 0 ? rc : 0;
}

static int note_patched(struct roots *r, struct pfs_patched *p, struct pfs_error *err)
{
	int rc;

	pfs_lock(&p->lock);
	rc = note_kept(r, p->base, err);
	pfs_unlock(&p->lock);
	return rc;
}

static int note_node(struct roots *r, const struct pfs_node *n, struct pfs_error *err)
{
	int rc = n->xattrs ? note(r, PFS_KIND_XATTRS, n->xattrs, err) : 0;

	if (rc == 0 && n->type == PFS_ENTRY_DIR)
		return note(r, PFS_KIND_DIRNODE, &n->dir.base, err);
	if (rc < 0 || n->type != PFS_ENTRY_FILE)
		return rc;
	rc = note_kept(r, n->file.kept, err);
	if (rc == 0 && !n->file.chunked_aside)
		rc = note_kept(r, n->file.chunked, err);
	if (rc == 0 && n->file.spooled && n->file.spooled->patch)
		rc = note_patched(r, n->file.spooled->patch, err);
	return rc;
}

int pfs_workspace_reach(struct pfs_workspace *ws, pfs_workspace_root_fn *each, void *arg,
			struct pfs_error *err)
{
	struct roots r = { 0 };
	const struct pfs_node *n;
	size_t pos = 0;
	int rc;

	pfs_rwlock_read(&ws->lock);
	rc = note(&r, PFS_KIND_DIRNODE, &ws->base.dir, err);
	while (rc == 0 && (n = pfs_map_next(&ws->inos, &pos)))
		rc = note_node(&r, n, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0)
		rc = tell(&r, each, arg, err);
	free(r.items);
	return rc < 0 ? pfs_wrap(err, rc, "workspace %s", ws->folder) : 0;
}

struct reading {
	struct roots roots;
	struct pfs_id base;
};

static void take_base(void *arg, const struct pfs_root *base, bool links,
		      const struct pfs_commit_id *sealed)
{
	((struct reading *)arg)->base = base->dir;
}

static int take_node(void *arg, const struct pfs_journal_node *row, struct pfs_error *err)
{
	struct reading *r = arg;
	struct pfs_kept *kept = NULL;
	int rc = note(&r->roots, PFS_KIND_XATTRS, &row->xattrs, err);

	if (rc == 0 && row->type == PFS_ENTRY_DIR)
		rc = note(&r->roots, PFS_KIND_DIRNODE, &row->dir, err);
	if (rc < 0 || row->type != PFS_ENTRY_FILE || row->state == PFS_FILE_NEW)
		return rc;
	rc = pfs_kept_decode(row->blob, row->blob_len, &kept, err);
	if (rc == 0)
		rc = note_kept(&r->roots, kept, err);
	pfs_kept_unref(&kept);
	return rc;
}

static int read_journal(const char *folder, struct reading *r, struct pfs_error *err)
{
	static const struct pfs_journal_reader reader = { .base = take_base, .node = take_node };
	static const struct pfs_root nothing;
	struct pfs_journal *j = NULL;
	int rc = pfs_journal_open(folder, &nothing, &j, err);

	if (rc == 0)
		rc = pfs_journal_load(j, &reader, r, err);
	pfs_journal_close(&j);
	return rc < 0 ? rc : note(&r->roots, PFS_KIND_DIRNODE, &r->base, err);
}

int pfs_workspace_reach_closed(const char *folder, pfs_workspace_root_fn *each, void *arg,
			       struct pfs_error *err)
{
	struct reading r = { 0 };
	char path[PFS_PATH_SIZE_MAX + 1];
	int rc;

	if (snprintf(path, sizeof(path), "%s/journal.db", folder) >= (int)sizeof(path))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "folder %.100s...", folder);
	/* Looking must not make one. */
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : pfs_fail_errno(err, errno, "%s", path);
	rc = read_journal(folder, &r, err);
	if (rc == 0)
		rc = tell(&r.roots, each, arg, err);
	free(r.roots.items);
	return rc < 0 ? pfs_wrap(err, rc, "workspace %s", folder) : 0;
}

int pfs_workspace_disk_bytes(const char *folder, uint64_t *out, struct pfs_error *err)
{
	char *const paths[] = { (char *)folder, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	uint64_t bytes = 0;
	const FTSENT *e;

	if (!walk)
		return pfs_fail_errno(err, errno, "%s", folder);
	/* Files come and go while we look: one that went is none. */
	while ((e = fts_read(walk)))
		if (e->fts_info == FTS_D || (e->fts_info == FTS_F && e->fts_statp->st_nlink == 1))
			bytes += (uint64_t)e->fts_statp->st_blocks * 512;
	fts_close(walk);
	*out = bytes;
	return 0;
}
