#include "workspace/chunk.h"
#include "base/io.h"
#include "base/stop.h"
#include "base/vec.h"
#include "tree/tree.h"
#include "workspace/chunk_i.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_SIZE_MAX (256u * 1024) /* a file being written is chunked under the lock up to this */

PFS_VEC_DEFINE(push_task, struct pfs_chunk_tasks, struct pfs_chunk_task, "a seal")

/*
 * A directory with changes, and the one that the base has in its place: its own
 * or, when it was made anew where one was removed, the namesake of that. So a
 * release that is unpacked in the place of the one before finds what it resembles.
 * For a glance the place is the path, also of a directory that was moved.
 */
struct place {
	struct pfs_node *dir; /* borrowed while the lock is held */
	struct pfs_id base;   /* zero: there is none, or it has to be found yet */
	bool sought;          /* by its name */
	size_t above;         /* place of the directory it is in; of one that is sought ... */
	size_t at;            /* ... and its name in the names of the round */
};
struct places PFS_VEC(struct place);
PFS_VEC_DEFINE(push_place, struct places, struct place, "a seal")

/* --- what is known ------------------------------------------------------- */

/* Whether the bytes of a NEW file are known as they are now; nobody writes them. */
static bool is_chunked(const struct pfs_workspace *ws, const struct pfs_node *n)
{
	const struct pfs_node_file *f = &n->file;

	return f->chunked && f->chunked_seal == ws->seals && f->chunked_stamp == n->stamp &&
	       !f->chunked_open && !pfs_node_is_written(n);
}

/*
 * Being written right now and known as it was during this seal: that is what "as it is" means.
 * Of who writes without our knowledge nobody hears, but of those who open and close we do.
 */
static bool is_known_open(const struct pfs_workspace *ws, const struct pfs_node *n)
{
	const struct pfs_node_file *f = &n->file;

	return f->chunked && f->chunked_seal == ws->seals && pfs_node_is_written(n) &&
	       f->chunked->size > OPEN_SIZE_MAX && (f->writers || f->chunked_stamp == n->stamp);
}

/*
 * Whatever of a patched file was read during this seal will do: what was
 * written later stays apart from it.
 */
static bool is_known_patched(const struct pfs_workspace *ws, const struct pfs_node *n)
{
	const struct pfs_node_file *f = &n->file;

	return f->chunked && f->chunked_seal == ws->seals && f->chunked_state == PFS_FILE_PATCHED;
}

static bool is_known(const struct pfs_workspace *ws, const struct pfs_node *n)
{
	switch (n->file.state) {
	case PFS_FILE_NEW:
		return is_chunked(ws, n) || is_known_open(ws, n);
	case PFS_FILE_PATCHED:
		return is_known_patched(ws, n);
	default:
		return true;
	}
}

int pfs_chunk_take(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_kept **out,
		   struct pfs_error *err)
{
	struct pfs_node_file *f = &n->file;

	if (f->state == PFS_FILE_CLEAN)
		*out = pfs_kept_ref(f->kept);
	else if (is_known(ws, n))
		*out = pfs_kept_ref(f->chunked);
	else if (f->state == PFS_FILE_PATCHED)
		*out = pfs_kept_ref(
			f->spooled->patch->base); /* all changes came after the seal began */
	else
		return pfs_chunk_new(ws, &f->spooled->name, f->spooled->fd, out, err);
	return 0;
}

/* --- rounds -------------------------------------------------------------- */

struct round {
	enum pfs_chunk_how how;
	const struct pfs_id *against; /* of a glance */
	struct pfs_chunk_tasks tasks;
	struct places places;
	struct pfs_buf names; /* of tasks and places */
};

static int add_name(struct round *r, const struct pfs_slot *slot, size_t *out_at,
		    struct pfs_error *err)
{
	*out_at = r->names.len;
	return pfs_buf_add(&r->names, slot->name, slot->name_len + 1u, err);
}

static int add_place(struct round *r, struct pfs_node *dir, size_t above, struct pfs_error *err)
{
	struct place place = {
		.dir = dir,
		.base = dir->dir.base,
		.sought = dir->place &&
			  (pfs_id_is_zero(&dir->dir.base) || r->how == PFS_CHUNK_GLANCE),
		.above = above,
	};
	int rc = place.sought ? add_name(r, dir->place, &place.at, err) : 0;

	return rc == 0 ? push_place(&r->places, place, err) : rc;
}

static int add_task(struct round *r, struct pfs_node *n, size_t place, struct pfs_error *err)
{
	struct pfs_chunk_task task = {
		.node = n,
		.state = n->file.state,
		.name = n->file.spooled->name,
		.stamp = n->stamp,
		.open = n->file.writers != 0,
		.unused = n->file.opens == 0,
		.several = n->n_places > 1,
		.strange = atomic_load(&n->file.spooled->strange),
		.place = place,
	};
	int rc = 0;

	task.named =
		task.state == PFS_FILE_NEW &&
		(n->place->in_base || r->places.items[place].sought || r->how == PFS_CHUNK_GLANCE);
	if (task.named)
		rc = add_name(r, n->place, &task.at, err);
	if (rc == 0)
		rc = push_task(&r->tasks, task, err);
	if (rc == 0)
		pfs_node_ref(n);
	return rc;
}

/* Files that have to be chunked; the lock is held for reading. */
static int collect(struct pfs_workspace *ws, struct round *r, struct pfs_error *err)
{
	int rc = add_place(r, ws->root, 0, err);

	for (size_t i = 0; rc == 0 && i < r->places.n; i++) {
		struct pfs_link *head = &r->places.items[i].dir->dir.pending;

		for (struct pfs_link *p = head->next; rc == 0 && p != head; p = p->next) {
			struct pfs_slot *s = PFS_OF_LINK(p, struct pfs_slot, pending);
			struct pfs_node *n = s->node;

			/* A file of several names is met at each of them. */
			if (n && s != n->place)
				continue;
			if (n && n->type == PFS_ENTRY_DIR)
				rc = add_place(r, n, i, err);
			else if (n && n->type == PFS_ENTRY_FILE && !is_known(ws, n))
				rc = add_task(r, n, i, err);
		}
	}
	return rc;
}

/* The namesakes of directories, from the top down. They are hints, but for a glance. */
static int find_namesakes(struct pfs_workspace *ws, struct round *r, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	bool glance = r->how == PFS_CHUNK_GLANCE;
	int rc;

	if (glance)
		r->places.items[0].base = *r->against;
	for (size_t i = 0; i < r->places.n; i++) {
		struct place *p = &r->places.items[i];
		const struct pfs_id *above = &r->places.items[p->above].base;
		const char *name = (const char *)r->names.data + p->at;

		if (!p->sought)
			continue;
		p->base = (struct pfs_id){ 0 };
		if (pfs_id_is_zero(above))
			continue;
		rc = pfs_tree_find(ws->store, above, name, strlen(name), &found, err);
		if (rc == 0 && found.e.type == PFS_ENTRY_DIR)
			p->base = found.e.dir;
		if (rc < 0 && rc != PFS_E_NOTFOUND && glance)
			return rc;
	}
	for (size_t i = 0; i < r->tasks.n; i++)
		r->tasks.items[i].dir = r->places.items[r->tasks.items[i].place].base;
	return 0;
}

/* Nobody had it open for writing, and nobody opened it since. */
static void seen_unwritten(const struct pfs_chunk_task *task)
{
	const struct pfs_node_file *f = &task->node->file;

	if (f->spooled && f->spooled->name.serial == task->name.serial &&
	    task->node->stamp == task->stamp && !f->opens)
		atomic_store(&f->spooled->strange, false);
}

/* What was read goes to its nodes; whether it still counts is decided when it is used. */
static void finish_tasks(struct pfs_workspace *ws, struct round *r)
{
	struct pfs_chunk_tasks *t = &r->tasks;

	pfs_rwlock_write(&ws->lock);
	for (size_t i = 0; i < t->n; i++) {
		struct pfs_chunk_task *task = &t->items[i];
		struct pfs_node_file *f = &task->node->file;

		if (task->kept) {
			pfs_kept_unref(&f->chunked);
			f->chunked = task->kept;
			f->chunked_state = task->state;
			f->chunked_stamp = task->stamp;
			f->chunked_seal = ws->seals;
			f->chunked_open = task->open;
			f->chunked_aside = r->how == PFS_CHUNK_GLANCE;
			if (!task->open && task->strange)
				seen_unwritten(task);
		}
		pfs_node_put(&task->node);
	}
	pfs_rwlock_unlock(&ws->lock);
	free(t->items);
}

static int run_tasks(struct pfs_workspace *ws, struct round *r, struct pfs_error *err)
{
	PFS_AUTO(pfs_chunk_batch_close) struct pfs_chunk_batch *b = NULL;
	int rc = r->tasks.n ? pfs_chunk_batch_open(ws, &r->names, r->how, &b, err) : 0;

	for (size_t i = 0; rc == 0 && i < r->tasks.n; i++) {
		struct pfs_chunk_task *t = &r->tasks.items[i];

		rc = pfs_stop_check(err);
		if (rc < 0)
			break;
		if (t->state == PFS_FILE_PATCHED)
			rc = pfs_chunk_patched(ws, t->node, &t->kept, err);
		else
			rc = pfs_chunk_batch_add(b, t, err);
	}
	return rc == 0 && b ? pfs_chunk_batch_flush(b, err) : rc;
}

int pfs_chunk_round(struct pfs_workspace *ws, enum pfs_chunk_how how, const struct pfs_id *against,
		    struct pfs_error *err)
{
	struct round r = { .how = how, .against = against, .names = PFS_BUF_INIT(SIZE_MAX / 2) };
	size_t n;
	int rc;

	pfs_rwlock_read(&ws->lock);
	rc = collect(ws, &r, err);
	pfs_rwlock_unlock(&ws->lock);
	if (rc == 0 && r.tasks.n)
		rc = find_namesakes(ws, &r, err);
	if (rc == 0)
		rc = run_tasks(ws, &r, err);
	n = r.tasks.n;
	finish_tasks(ws, &r);
	free(r.places.items);
	pfs_buf_fini(&r.names);
	return rc < 0 ? rc : n > 0;
}
