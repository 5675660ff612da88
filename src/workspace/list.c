/*
 * Listing: the base and the overlay merged in byte order.
 *
 * One moment under the lock fixes which base and which differences; everything
 * after it reads what cannot change.
 */
#include "workspace/workspace_i.h"
#include "tree/tree.h"
#include "workspace/group.h"

#include <stdlib.h>
#include <string.h>

/* A name that differs: there, or (type 0) hidden. */
struct difference {
	size_t name_at;
	uint64_t ino;
	uint8_t type;
	uint8_t name_len;
};

struct listing {
	struct pfs_workspace *ws;
	struct pfs_node *dir;
	struct pfs_id base;
	struct pfs_buf names;           /* of differences, each terminated */
	struct difference *differences; /* sorted */
	size_t n, at;
	int (*each)(void *arg, const struct pfs_node_name *item);
	void *arg;
};

static const char *name_of(const struct listing *l, const struct difference *d)
{
	return (const char *)l->names.data + d->name_at;
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_differences(const void *a, const void *b, void *arg)
{
	const struct difference *x = a, *y = b;
	const struct listing *l = arg;

	return compare_names(name_of(l, x), x->name_len, name_of(l, y), y->name_len);
}

static int copy_differences(struct listing *l, struct pfs_error *err)
{
	struct pfs_link *head = &l->dir->dir.pending;
	size_t cap = 0;
	int rc = 0;

	for (struct pfs_link *p = head->next; p != head; p = p->next)
		cap++;
	l->differences = malloc((cap + 1) * sizeof(*l->differences));
	if (!l->differences)
		return pfs_fail_nomem(err, "a listing");
	for (struct pfs_link *p = head->next; rc == 0 && p != head; p = p->next) {
		struct pfs_slot *s = PFS_OF_LINK(p, struct pfs_slot, pending);

		l->differences[l->n++] = (struct difference){
			.name_at = l->names.len,
			.ino = s->node ? s->node->ino : 0,
			.type = s->node ? (uint8_t)s->node->type : 0,
			.name_len = s->name_len,
		};
		rc = pfs_buf_add(&l->names, s->name, s->name_len + 1u, err);
	}
	return rc;
}

static int snapshot(struct listing *l, struct pfs_error *err)
{
	int rc;

	pfs_rwlock_read(&l->ws->lock);
	l->base = l->dir->dir.base;
	rc = copy_differences(l, err);
	pfs_rwlock_unlock(&l->ws->lock);
	if (rc == 0 && l->n)
		qsort_r(l->differences, l->n, sizeof(*l->differences), compare_differences, l);
	return rc;
}

static int give_difference(struct listing *l, const struct difference *d)
{
	struct pfs_node_name item = {
		.name = name_of(l, d),
		.name_len = d->name_len,
		.type = (enum pfs_entry_type)d->type,
		.ino = d->ino,
	};

	return d->type ? l->each(l->arg, &item) : 0;
}

/* The number it has when it is in memory, else the one it would get. */
static uint64_t ino_of(struct listing *l, const struct pfs_entry *e)
{
	struct pfs_links_file file;
	struct pfs_node *home;
	struct pfs_slot *s;
	uint64_t ino;

	pfs_rwlock_read(&l->ws->lock);
	s = pfs_slot_find(l->dir, e->name, e->name_len);
	home = pfs_group_home(l->dir, e);
	if (s && s->node)
		ino = s->node->ino;
	else if (home && pfs_links_file(l->ws->store, e, &file, NULL) == 0)
		ino = pfs_group_ino(home, &file);
	else
		ino = pfs_node_pick_ino(l->ws, l->dir->ino, e->name, e->name_len);
	pfs_rwlock_unlock(&l->ws->lock);
	return ino;
}

static int give_entry(struct listing *l, const struct pfs_entry *e)
{
	char name[PFS_NAME_SIZE_MAX + 1];
	struct pfs_node_name item = {
		.name = name,
		.name_len = e->name_len,
		.type = e->type,
		.ino = ino_of(l, e),
	};

	memcpy(name, e->name, e->name_len);
	name[e->name_len] = 0;
	return l->each(l->arg, &item);
}

/* Differences up to the name of `e` (NULL: the rest). *out_hides: one of them is that very name. */
static int give_differences(struct listing *l, const struct pfs_entry *e, bool *out_hides)
{
	int rc = 0;

	*out_hides = false;
	while (rc == 0 && !*out_hides && l->at < l->n) {
		const struct difference *d = &l->differences[l->at];
		int order =
			e ? compare_names(name_of(l, d), d->name_len, e->name, e->name_len) : -1;

		if (order > 0)
			break;
		*out_hides = order == 0;
		l->at++;
		rc = give_difference(l, d);
	}
	return rc;
}

static int merge(struct listing *l, struct pfs_error *err)
{
	PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
	const struct pfs_entry *e;
	bool hides;
	int rc = 0, more = 0;

	if (!pfs_id_is_zero(&l->base))
		rc = pfs_cursor_open(l->ws->store, &l->base, &c, err);
	while (rc == 0 && c && (more = pfs_cursor_next(c, &e, err)) > 0) {
		rc = give_differences(l, e, &hides);
		if (rc == 0 && !hides)
			rc = give_entry(l, e);
	}
	if (rc == 0 && more < 0)
		rc = more;
	return rc ? rc : give_differences(l, NULL, &hides);
}

int pfs_workspace_list(struct pfs_workspace *ws, struct pfs_node *dir,
		       int (*each)(void *arg, const struct pfs_node_name *item), void *arg,
		       struct pfs_error *err)
{
	struct listing l = {
		.ws = ws, .dir = dir, .each = each, .arg = arg, .names = PFS_BUF_INIT(SIZE_MAX / 2)
	};
	int rc;

	if (dir->type != PFS_ENTRY_DIR)
		return pfs_fail(err, PFS_E_NOTDIR, "only directories can be listed");
	rc = snapshot(&l, err);
	if (rc == 0)
		rc = merge(&l, err);
	free(l.differences);
	pfs_buf_fini(&l.names);
	return rc;
}
