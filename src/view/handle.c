#include "view/view_i.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * life of a handle
 *	new       nobody else knows it; not in the table
 *	entered   findable by (parent, name, stamp), or by the node's tag
 *	forgotten what it stood for is gone or moved: usable, not findable
 *	freed     the last reference went
 */

uint64_t pfs_handle_mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ (b * 0x9e3779b97f4a7c15ULL)) + 0x632be59bd9b4e019ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	x ^= x >> 31;
	/* 0 means "no inode" to the kernel and 1 is the root. */
	return x > 1 ? x : x + 2;
}

uint64_t pfs_handle_child_ino(const struct pfs_handle *dir, const char *name, size_t len)
{
	return pfs_handle_mix(dir->ino, pfs_map_hash(0, name, len));
}

const char *pfs_handle_name(const struct pfs_handle *h)
{
	return (const char *)h->key + sizeof(h->parent);
}

static size_t fill_key(unsigned char *key, struct pfs_handle *parent, const char *name, size_t len,
		       const void *stamp, size_t stamp_len)
{
	size_t n = sizeof(parent);

	memcpy(key, &parent, n);
	memcpy(key + n, name, len);
	key[n + len] = 0;
	n += len + 1;
	if (stamp_len)
		memcpy(key + n, stamp, stamp_len);
	return n + stamp_len;
}

#define STAMP_SIZE_MAX PFS_COMMIT_ID_SIZE
#define KEY_SIZE_MAX   (sizeof(struct pfs_handle *) + PFS_NAME_SIZE_MAX + 1 + STAMP_SIZE_MAX)

struct pfs_handle *pfs_handle_new(struct pfs_view *v, const struct place_ops *ops,
				  struct pfs_handle *parent, const char *name, size_t len,
				  const void *stamp, size_t stamp_len, size_t spare,
				  struct pfs_error *err)
{
	size_t key_len = sizeof(parent) + len + 1 + stamp_len;
	struct pfs_handle *h = calloc(1, sizeof(*h) + key_len + spare);

	if (!h) {
		pfs_fail_nomem(err, "a handle");
		return NULL;
	}
	h->view = v;
	h->ops = ops;
	h->refs = 1;
	h->parent = pfs_handle_ref(parent);
	h->key_len = (uint16_t)fill_key(h->key, parent, name, len, stamp, stamp_len);
	h->ino = parent ? pfs_handle_child_ino(parent, name, len) : 1;
	if (stamp_len)
		h->ino = pfs_handle_mix(h->ino, pfs_map_hash(0, stamp, stamp_len));
	return h;
}

struct pfs_handle *pfs_handle_ref_locked(struct pfs_handle *h)
{
	assert(pfs_held(&h->view->lock));
	assert(h->refs > 0);
	h->refs++;
	return h;
}

struct pfs_handle *pfs_handle_ref(struct pfs_handle *h)
{
	if (!h)
		return NULL;
	pfs_lock(&h->view->lock);
	pfs_handle_ref_locked(h);
	pfs_unlock(&h->view->lock);
	return h;
}

static void link_child(struct pfs_handle *h)
{
	struct pfs_handle *p = h->parent;

	if (!p || h->linked)
		return;
	h->linked = true;
	h->prev = NULL;
	h->next = p->child;
	if (h->next)
		h->next->prev = h;
	p->child = h;
}

static void unlink_child(struct pfs_handle *h)
{
	if (!h->linked)
		return;
	h->linked = false;
	if (h->prev)
		h->prev->next = h->next;
	else
		h->parent->child = h->next;
	if (h->next)
		h->next->prev = h->prev;
}

void pfs_handle_forget_place(struct pfs_handle *h)
{
	assert(pfs_held(&h->view->lock));
	if (h->hashed)
		pfs_map_remove(&h->view->table, h->key, h->key_len);
	h->hashed = false;
	unlink_child(h);
}

/* Drop one reference; true when it was the last and `h` is nobody's now. */
static bool drop(struct pfs_handle *h)
{
	struct pfs_view *v = h->view;
	bool last;

	pfs_lock(&v->lock);
	last = --h->refs == 0;
	if (last) {
		pfs_handle_forget_place(h);
		if (h->ops == &place_node)
			pfs_node_set_tag(h->u.node.node, NULL);
	}
	pfs_unlock(&v->lock);
	return last;
}

void pfs_handle_unref(struct pfs_handle **hp)
{
	struct pfs_handle *h = *hp;

	*hp = NULL;
	/* A parent goes with its last child: a loop, since trees are deep. */
	while (h && drop(h)) {
		struct pfs_handle *parent = h->parent;

		if (h->ops->fini)
			h->ops->fini(h);
		free(h);
		h = parent;
	}
}

void pfs_handle_free_unused(struct pfs_handle *fresh)
{
	struct pfs_handle *parent = fresh->parent;

	assert(!fresh->hashed && !fresh->linked);
	free(fresh);
	pfs_handle_unref(&parent);
}

struct pfs_handle *pfs_handle_find(struct pfs_view *v, struct pfs_handle *parent, const char *name,
				   size_t len, const void *stamp, size_t stamp_len)
{
	unsigned char key[KEY_SIZE_MAX];
	struct pfs_handle *h;
	size_t n;

	if (len > PFS_NAME_SIZE_MAX)
		return NULL;
	n = fill_key(key, parent, name, len, stamp, stamp_len);
	pfs_lock(&v->lock);
	h = pfs_map_find(&v->table, key, n);
	if (h)
		pfs_handle_ref_locked(h);
	pfs_unlock(&v->lock);
	return h;
}

int pfs_handle_enter(struct pfs_handle *fresh, struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_view *v = fresh->view;
	void *found = NULL;
	struct pfs_handle *there;
	int rc;

	pfs_lock(&v->lock);
	rc = pfs_map_add(&v->table, fresh->key, fresh->key_len, fresh, &found, err);
	there = found;
	if (there) {
		pfs_handle_ref_locked(there);
	} else if (rc == 0) {
		fresh->hashed = true;
		link_child(fresh);
	}
	pfs_unlock(&v->lock);
	if (there || rc < 0)
		pfs_handle_free_unused(fresh);
	if (rc == 0)
		*out = there ? there : fresh;
	return rc;
}

void pfs_handle_link(struct pfs_handle *h)
{
	assert(pfs_held(&h->view->lock));
	link_child(h);
}

void *pfs_handle_tag(struct pfs_handle *h)
{
	return h->tag;
}

void pfs_handle_set_tag(struct pfs_handle *h, void *tag)
{
	h->tag = tag;
}
