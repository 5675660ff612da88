/*
 * Files: in which state the bytes of a node are, and how it changes.
 *
 *	state     kept      spooled          bytes come from
 *	CLEAN     content   NULL             the store
 *	CLEAN     content   for its users    the spool file: the same bytes
 *	NEW       NULL      the bytes        the spool file; lent once the store took it in
 *	PATCHED   NULL      some bytes       the store, or in ranges the spool file
 *
 *	             a small one is opened for writing, or cut to be small
 *	  CLEAN ──────────────────────────────────────────────────────────▶ NEW
 *	    │   ◀────────────────────────────────────────────────────────── ▲
 *	    │        settle (nobody writes, unchanged since the seal), reset│ cut to
 *	    │                                                               │ nothing
 *	    │   a large one is changed                                      │
 *	    ╰────────────────────────────▶ PATCHED ─────────────────────────╯
 *	        ◀─────────────────────────
 *	         settle (unchanged since the seal), reset
 *
 * Opening a large file for writing does nothing: most that are opened so are
 * not written. What the kernel passes through to a spool file has to be opened
 * at once, so a small one is copied then, and so is one that is lent. How spool
 * files are shared is told in spooled.h.
 */
#include "workspace/file.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "tree/content.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* What a file's bytes were when it was decided what shall become of them. */
struct plan {
	uint64_t version;
	struct pfs_kept *kept;       /* one reference, or NULL */
	struct pfs_spooled *spooled; /* to be copied: of which we are a user, or NULL */
	struct pfs_attrs attrs;
	uint64_t keep;
	bool patch;
};

/* A spool file that is not a node's yet. */
struct draft {
	struct pfs_spool_name name;
	int fd; /* negative: none */
	uint64_t size;
};

static void draft_fini(struct pfs_workspace *ws, struct draft *d)
{
	if (d->fd < 0)
		return;
	pfs_spool_unlink(&ws->spool, &d->name);
	pfs_fd_close(&d->fd);
}

/* The first bytes of what is planned, in a file of their own; a patch starts with none. */
static int draft_fill(struct pfs_workspace *ws, uint64_t ino, const struct plan *plan,
		      struct draft *d, struct pfs_error *err)
{
	struct pfs_content content;
	int rc = 0;

	d->fd = pfs_spool_create(&ws->spool, ino, &d->name, err);
	if (d->fd < 0)
		return d->fd;
	if (plan->spooled && plan->keep) {
		rc = pfs_spool_copy(plan->spooled->fd, plan->keep, d->fd, &d->size, err);
	} else if (plan->kept && !plan->patch) {
		d->size = plan->keep < plan->kept->size ? plan->keep : plan->kept->size;
		pfs_kept_content(plan->kept, &content);
		if (d->size)
			rc = pfs_content_to_fd(ws->store, &content, d->size, d->fd, err);
	}
	if (rc == 0)
		rc = pfs_spool_set_mtime(&ws->spool, &d->name, d->fd, &plan->attrs, err);
	if (rc < 0)
		draft_fini(ws, d);
	return rc;
}

bool pfs_file_is_patchable(const struct pfs_node *n)
{
	const struct pfs_node_file *f = &n->file;

	if (f->spooled)
		return f->spooled->patch != NULL;
	return f->state == PFS_FILE_CLEAN && f->kept->size >= PFS_PATCHED_SIZE_MIN;
}

/* Whether the spool file that is there will do. */
static bool is_usable(const struct pfs_node *n, uint64_t keep)
{
	const struct pfs_spooled *s = n->file.spooled;

	return s && !s->lent && (keep || !s->patch);
}

static void become(struct pfs_node *n, enum pfs_file_state state)
{
	n->file.state = state;
	pfs_kept_unref(&n->file.kept);
	n->file.version++;
	pfs_node_touch(n);
}

static int make_plan(struct pfs_node *n, uint64_t keep, struct plan *out, struct pfs_error *err)
{
	struct pfs_node_file *f = &n->file;
	int rc = 0;

	*out = (struct plan){ .version = f->version, .attrs = n->attrs, .keep = keep };
	if (f->spooled && keep)
		rc = pfs_spooled_use(n, &out->spooled, err);
	if (rc == 0 && !f->spooled) {
		out->kept = pfs_kept_ref(f->kept);
		out->patch = f->kept->size >= PFS_PATCHED_SIZE_MIN && keep >= PFS_PATCHED_SIZE_MIN;
	}
	return rc;
}

/* The spool file that was copied, if any, is not used any more. */
static void end_copy(struct pfs_node *n, struct plan *p)
{
	int fd;

	if (!p->spooled)
		return;
	pfs_rwlock_write(&n->ws->lock);
	fd = pfs_spooled_unuse(n, p->spooled);
	pfs_rwlock_unlock(&n->ws->lock);
	pfs_fd_close(&fd);
	p->spooled = NULL;
}

/* What was drafted becomes the spool file of the node. */
static int install(struct pfs_node *n, const struct plan *plan, struct draft *d,
		   struct pfs_error *err)
{
	struct pfs_patched *patch = NULL;
	struct pfs_spooled *s = NULL;
	int rc = plan->patch ? pfs_patched_new(plan->kept, n->file.version, &patch, err) : 0;

	if (rc == 0)
		rc = pfs_spooled_new(&d->name, d->fd, patch, &s, err);
	if (rc < 0) {
		pfs_patched_free(&patch);
		return rc;
	}
	d->fd = -1;
	s->unsynced = true;
	if (n->file.spooled)
		pfs_spooled_drop(n);
	n->file.spooled = s;
	n->file.size = patch ? plan->kept->size : d->size;
	n->file.blocks = (n->file.size + 511) / 512;
	become(n, patch ? PFS_FILE_PATCHED : PFS_FILE_NEW);
	return 0;
}

static int become_user(struct pfs_node *n, struct pfs_spooled **out, struct pfs_error *err)
{
	int rc = pfs_spooled_use(n, out, err);

	if (rc == 0 && n->file.state == PFS_FILE_CLEAN)
		become(n, PFS_FILE_NEW);
	return rc;
}

int pfs_file_use(struct pfs_node *n, uint64_t keep, struct pfs_spooled **out, struct pfs_error *err)
{
	struct pfs_workspace *ws = n->ws;
	struct draft d = { .fd = -1 };
	struct plan plan = { 0 };
	int rc;

	for (;;) {
		pfs_rwlock_write(&ws->lock);
		/* A copy may take long; whoever was quicker meanwhile wins. */
		rc = d.fd >= 0 && n->file.version == plan.version ? install(n, &plan, &d, err) : 0;
		if (rc < 0 || is_usable(n, keep))
			break;
		pfs_kept_unref(&plan.kept);
		rc = make_plan(n, keep, &plan, err);
		pfs_rwlock_unlock(&ws->lock);
		draft_fini(ws, &d);
		if (rc == 0)
			rc = draft_fill(ws, n->ino, &plan, &d, err);
		end_copy(n, &plan);
		if (rc < 0) {
			pfs_kept_unref(&plan.kept);
			return rc;
		}
	}
	if (rc == 0)
		rc = become_user(n, out, err);
	if (rc < 0)
		pfs_rwlock_unlock(&ws->lock);
	pfs_kept_unref(&plan.kept);
	draft_fini(ws, &d);
	return rc;
}

void pfs_file_keep_spooled(struct pfs_node *n)
{
	const struct pfs_spooled *s = n->file.spooled;

	if (n->file.state != PFS_FILE_CLEAN || !s || s->patch || s->lent || !s->borrowed)
		return;
	become(n, PFS_FILE_NEW);
	pfs_spooled_look(n, NULL);
}

/* --- size ---------------------------------------------------------------- */

static void set_mtime(struct pfs_node *n, int64_t ns)
{
	pfs_attrs_set_mtime(&n->attrs, ns);
	n->ctime_ns = pfs_clock_ns();
	if (n->file.spooled)
		pfs_spooled_set_mtime(n, &n->attrs, NULL);
}

int pfs_file_truncate_spooled(struct pfs_node *n, uint64_t size, struct pfs_error *err)
{
	struct pfs_spooled *s = n->file.spooled;
	int rc = pfs_fault("spool.truncate", err);

	if (rc < 0)
		return rc;
	if (ftruncate(s->fd, (off_t)size) < 0)
		return pfs_fail_errno(err, errno, "change a file's size to %llu",
				      (unsigned long long)size);
	s->unsynced = true;
	set_mtime(n, pfs_clock_ns());
	pfs_node_touch(n);
	return pfs_spooled_look(n, err);
}

void pfs_file_become(struct pfs_node *n, struct pfs_kept *kept)
{
	assert(!n->file.spooled);
	pfs_kept_unref(&n->file.kept);
	n->file.kept = pfs_kept_ref(kept);
	n->file.state = PFS_FILE_CLEAN;
	n->file.version++;
	set_mtime(n, pfs_clock_ns());
	pfs_node_touch(n);
}

/* Empty and clean: nothing to keep in a file. 1 when that was it. */
static int resize_to_nothing(struct pfs_node *n, struct pfs_error *err)
{
	static const struct pfs_content nothing;
	struct pfs_kept *kept;

	if (n->file.spooled)
		return 0;
	kept = pfs_kept_new(&nothing);
	if (!kept)
		return pfs_fail_nomem(err, "a content");
	pfs_file_become(n, kept);
	pfs_kept_unref(&kept);
	return 1;
}

void pfs_file_tell_changed(struct pfs_node *n, struct pfs_spooled *s)
{
	if (atomic_load(&s->replaced))
		return;
	s->unsynced = true;
	pfs_node_queue(n);
}

/* With the lock held, which is let go meanwhile: who copies ranges may make us wait. */
static int resize_patched(struct pfs_node *n, struct pfs_spooled *s, uint64_t size,
			  struct pfs_error *err)
{
	bool news = false;
	int rc;

	set_mtime(n, pfs_clock_ns());
	pfs_file_tell_changed(n, s);
	pfs_rwlock_unlock(&n->ws->lock);
	rc = pfs_fault("spool.truncate", err);
	if (rc == 0)
		rc = pfs_patched_resize(s->patch, size, &news, err);
	pfs_rwlock_write(&n->ws->lock);
	if (news)
		pfs_file_tell_changed(n, s);
	return rc;
}

static int resize_used(struct pfs_node *n, uint64_t size, struct pfs_error *err)
{
	struct pfs_spooled *s;
	int fd, rc = pfs_file_use(n, size, &s, err);

	if (rc < 0)
		return rc;
	rc = s->patch ? resize_patched(n, s, size, err) : pfs_file_truncate_spooled(n, size, err);
	fd = pfs_spooled_unuse(n, s);
	pfs_rwlock_unlock(&n->ws->lock);
	pfs_fd_close(&fd);
	return rc;
}

int pfs_file_resize(struct pfs_node *n, uint64_t size, struct pfs_error *err)
{
	struct pfs_workspace *ws = n->ws;
	int rc = 0;

	if (n->type != PFS_ENTRY_FILE)
		return pfs_fail(err, n->type == PFS_ENTRY_DIR ? PFS_E_ISDIR : PFS_E_INVALID,
				"only files have a size to change");
	if (size > PFS_FILE_SIZE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "a file of %llu bytes, at most %llu fit",
				(unsigned long long)size, (unsigned long long)PFS_FILE_SIZE_MAX);
	if (size == 0) {
		pfs_rwlock_write(&ws->lock);
		rc = resize_to_nothing(n, err);
		pfs_rwlock_unlock(&ws->lock);
	}
	if (rc != 0)
		return rc < 0 ? rc : 0;
	do
		rc = resize_used(n, size, err);
	while (rc == PFS_E_CONFLICT);
	return rc;
}
