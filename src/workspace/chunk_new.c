/*
 * The content of a new file.
 *
 *	short   gathered, and stored together on all processors
 *	long    cut and stored, as deltas against what the base has at its name
 *	huge    surveyed, and its spool file taken in by the store: nothing is copied
 *	glance  zeros as long as the file: it differs from what was there, whatever it has
 *
 * A huge file is taken in only when nobody has it open, since from then on its
 * spool file is not changed any more: who opens it for writing has to be given
 * another one, which is no way for what the kernel passes through to it.
 */
#include "workspace/chunk_i.h"
#include "base/io.h"
#include "store/adoption.h"
#include "tree/content.h"
#include "tree/tree.h"
#include "workspace/sealing_i.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_SIZE_MAX (64u * 1024)
#define GATHER_FILES   256u
#define GATHER_BYTES   (4u << 20)

struct pfs_chunk_batch {
	struct pfs_workspace *ws;
	struct pfs_store *store;     /* of the seal */
	const struct pfs_buf *names; /* of the round */
	enum pfs_chunk_how how;
	unsigned char *bytes; /* GATHER_BYTES */
	size_t used, n;
	struct pfs_content_item items[GATHER_FILES];
	struct pfs_content old[GATHER_FILES];
	struct pfs_chunk_task *tasks[GATHER_FILES];
};

int pfs_chunk_keep(const struct pfs_content *content, struct pfs_kept **out, struct pfs_error *err)
{
	*out = pfs_kept_new(content);
	return *out ? 0 : pfs_fail_nomem(err, "a content");
}

int pfs_chunk_batch_open(struct pfs_workspace *ws, const struct pfs_buf *names,
			 enum pfs_chunk_how how, struct pfs_chunk_batch **out,
			 struct pfs_error *err)
{
	struct pfs_chunk_batch *b = malloc(sizeof(*b));

	if (b)
		b->bytes = malloc(GATHER_BYTES);
	if (!b || !b->bytes) {
		free(b);
		return pfs_fail_nomem(err, "a seal");
	}
	b->ws = ws;
	b->store = ws->sealing->store;
	b->names = names;
	b->how = how;
	b->used = b->n = 0;
	*out = b;
	return 0;
}

void pfs_chunk_batch_close(struct pfs_chunk_batch **b)
{
	if (*b)
		free((*b)->bytes);
	free(*b);
	*b = NULL;
}

/*
 * What the base has at the file's name: 1 when that is a file, else 0. Mostly it
 * is a hint, of use when it is 1 and no loss when it fails.
 */
static int find_old(const struct pfs_chunk_batch *b, const struct pfs_chunk_task *t,
		    struct pfs_content *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	const char *name = (const char *)b->names->data + t->at;
	int rc;

	if (!t->named || pfs_id_is_zero(&t->dir))
		return 0;
	rc = pfs_tree_find(b->ws->store, &t->dir, name, strlen(name), &found, err);
	if (rc < 0)
		return rc == PFS_E_NOTFOUND ? 0 : rc;
	if (found.e.type != PFS_ENTRY_FILE)
		return 0;
	*out = found.e.content;
	return 1;
}

/* --- short --------------------------------------------------------------- */

int pfs_chunk_batch_flush(struct pfs_chunk_batch *b, struct pfs_error *err)
{
	int rc = b->n ? pfs_content_from_many(b->store, b->items, b->n, err) : 0;

	for (size_t i = 0; rc == 0 && i < b->n; i++)
		rc = pfs_chunk_keep(&b->items[i].out, &b->tasks[i]->kept, err);
	b->used = b->n = 0;
	return rc;
}

static int gather(struct pfs_chunk_batch *b, struct pfs_chunk_task *t, int fd,
		  struct pfs_error *err)
{
	struct pfs_content_item *item;
	size_t got;
	int rc = 0;

	if (b->n == GATHER_FILES || GATHER_BYTES - b->used < SHORT_SIZE_MAX)
		rc = pfs_chunk_batch_flush(b, err);
	if (rc == 0)
		rc = pfs_io_pread(fd, b->bytes + b->used, SHORT_SIZE_MAX, 0, &got, err);
	if (rc < 0)
		return rc;
	item = &b->items[b->n];
	*item = (struct pfs_content_item){ .data = b->bytes + b->used, .len = got };
	if (find_old(b, t, &b->old[b->n], NULL) == 1)
		item->old = &b->old[b->n];
	b->tasks[b->n++] = t;
	b->used += got;
	return 0;
}

/* --- huge ---------------------------------------------------------------- */

/* From now on nobody changes the spool file that was surveyed; false when somebody did, or may. */
static bool lend(struct pfs_workspace *ws, const struct pfs_chunk_task *t)
{
	struct pfs_node *n = t->node;
	struct pfs_node_file *f = &n->file;
	bool ours;

	pfs_rwlock_write(&ws->lock);
	ours = f->state == PFS_FILE_NEW && f->spooled->name.serial == t->name.serial &&
	       n->stamp == t->stamp && !f->opens && !f->spooled->users;
	if (ours) {
		/* The journal has the time from now on. */
		pfs_spooled_look(n, NULL);
		pfs_node_queue(n);
		atomic_store(&f->spooled->lent, true);
	}
	pfs_rwlock_unlock(&ws->lock);
	return ours;
}

/* The store took nothing in after all: it is ours alone again. */
static void see_whether_lent(struct pfs_workspace *ws, const struct pfs_chunk_task *t)
{
	struct pfs_spooled *s;
	struct pfs_spool_stat st;

	pfs_rwlock_write(&ws->lock);
	s = t->node->file.spooled;
	if (s && s->name.serial == t->name.serial &&
	    pfs_spool_stat(&ws->spool, &s->name, s->fd, &st, NULL) == 0)
		atomic_store(&s->lent, st.links > 1);
	pfs_rwlock_unlock(&ws->lock);
}

/* 1: done, or nobody needs these bytes any more. 0: not this way. */
static int adopt(struct pfs_chunk_batch *b, struct pfs_chunk_task *t, int fd, uint64_t size,
		 struct pfs_error *err)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = NULL;
	struct pfs_workspace *ws = b->ws;
	char name[PFS_SPOOL_NAME_SIZE];
	struct pfs_content content, old;
	int rc = pfs_adoption_begin(ws->store, &a, err);

	if (rc == 0)
		rc = pfs_content_survey_fd(ws->store, fd, size,
					   find_old(b, t, &old, NULL) == 1 ? &old : NULL, a,
					   &content, err);
	if (rc == PFS_E_LIMIT)
		return 0;
	if (rc < 0)
		return rc;
	if (!lend(ws, t))
		return 0;
	rc = pfs_adoption_commit(&a, ws->spool.dir, pfs_spool_format(&t->name, name), err);
	see_whether_lent(ws, t);
	if (rc == PFS_E_CONFLICT)
		return 0;
	/* Removed, or somebody opened it for writing and was given another one. */
	if (rc == PFS_E_NOTFOUND)
		return 1;
	if (rc == 0)
		rc = pfs_chunk_keep(&content, &t->kept, err);
	return rc < 0 ? rc : 1;
}

/* --- glance -------------------------------------------------------------- */

static const unsigned char zeros[SHORT_SIZE_MAX];

static int stand_in(struct pfs_store *st, uint64_t size, struct pfs_content *out,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	int rc;

	if (size <= sizeof(zeros))
		return pfs_content_from_bytes(st, zeros, (size_t)size, out, err);
	rc = pfs_content_writer_open(st, &w, err);
	if (rc == 0)
		rc = pfs_content_write_hole(w, size, err);
	return rc < 0 ? rc : pfs_content_finish(w, out, err);
}

/* 1: done, by its size alone. 0: its bytes have to be looked at. */
static int glance(struct pfs_chunk_batch *b, struct pfs_chunk_task *t, uint64_t size,
		  struct pfs_error *err)
{
	struct pfs_content content, old;
	int rc;

	/* Another of its names may be one that was there. */
	if (t->several)
		return 0;
	rc = find_old(b, t, &old, err);
	if (rc < 0)
		return rc;
	if (rc == 1 && old.size == size)
		return 0;
	rc = stand_in(b->store, size, &content, err);
	if (rc == 0)
		rc = pfs_chunk_keep(&content, &t->kept, err);
	return rc < 0 ? rc : 1;
}

/* --- any ----------------------------------------------------------------- */

static int copy(struct pfs_workspace *ws, int fd, uint64_t size, const struct pfs_content *old,
		struct pfs_kept **out, struct pfs_error *err)
{
	struct pfs_content content;
	int rc = pfs_content_from_fd(ws->sealing->store, fd, size, old, &content, err);

	return rc < 0 ? rc : pfs_chunk_keep(&content, out, err);
}

int pfs_chunk_new(struct pfs_workspace *ws, const struct pfs_spool_name *name, int fd,
		  struct pfs_kept **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int own = -1;
	struct pfs_spool_stat st;
	int rc;

	if (fd < 0)
		fd = own = pfs_spool_reopen(&ws->spool, name, err);
	if (fd < 0)
		return fd;
	rc = pfs_spool_stat(&ws->spool, name, fd, &st, err);
	return rc < 0 ? rc : copy(ws, fd, st.size, NULL, out, err);
}

int pfs_chunk_batch_add(struct pfs_chunk_batch *b, struct pfs_chunk_task *t, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_spool_reopen_read(&b->ws->spool, &t->name, err);
	struct pfs_content old;
	struct pfs_spool_stat st;
	int rc;

	if (fd == PFS_E_CORRUPT)
		return 0; /* removed since; if it was not, the snapshot will say so */
	if (fd < 0)
		return fd;
	rc = pfs_spool_stat(&b->ws->spool, &t->name, fd, &st, err);
	if (rc < 0)
		return rc;
	if (t->strange && !t->open)
		t->open = !t->unused || pfs_spool_is_written(fd);
	if (b->how == PFS_CHUNK_GLANCE)
		rc = glance(b, t, st.size, err);
	else if (b->how == PFS_CHUNK_ADOPT && t->unused && !t->open &&
		 st.size >= b->ws->lent_size_min)
		rc = adopt(b, t, fd, st.size, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (st.size <= SHORT_SIZE_MAX)
		return gather(b, t, fd, err);
	return copy(b->ws, fd, st.size, find_old(b, t, &old, NULL) == 1 ? &old : NULL, &t->kept,
		    err);
}
