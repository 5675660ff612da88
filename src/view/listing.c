#include "view/view_i.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* A directory of a hundred million names would not fit in memory either. */
#define LISTING_TEXT_MAX ((size_t)4 << 30)

int pfs_listing_add(struct pfs_listing *l, const char *name, size_t len, enum pfs_type type,
		    uint64_t ino, struct pfs_error *err)
{
	struct listing_name *item;
	size_t off = l->text.len;
	int rc;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct listing_name *more = reallocarray(l->names, cap, sizeof(*more));

		if (!more)
			return pfs_fail_nomem(err, "a directory listing");
		l->names = more;
		l->cap = cap;
	}
	rc = pfs_buf_add(&l->text, name, len, err);
	if (rc == 0)
		rc = pfs_buf_add_u8(&l->text, 0, err);
	if (rc < 0)
		return rc;
	item = &l->names[l->n++];
	*item = (struct listing_name){ .off = off, .len = len, .type = type, .ino = ino };
	return 0;
}

int pfs_listing_of_tree(struct pfs_listing *l, const struct pfs_id *dir, struct pfs_error *err)
{
	l->tree = *dir;
	return pfs_cursor_open(l->dir->view->store, dir, &l->cursor, err);
}

static struct pfs_listing *new_listing(struct pfs_handle *dir)
{
	struct pfs_listing *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pfs_buf_init(&l->text, LISTING_TEXT_MAX);
	l->dir = pfs_handle_ref(dir);
	return l;
}

int pfs_view_list(struct pfs_view *v, struct pfs_handle *dir, struct pfs_listing **out,
		  struct pfs_error *err)
{
	PFS_AUTO(pfs_listing_close) struct pfs_listing *l = NULL;
	int rc;

	if (!dir->ops->list)
		return pfs_fail(err, PFS_E_NOTDIR, "%s is not a directory", dir->ops->what);
	l = new_listing(dir);
	if (!l)
		return pfs_fail_nomem(err, "a directory listing");
	rc = dir->ops->list(dir, l, err);
	if (rc < 0)
		return rc;
	*out = l;
	l = NULL;
	return 0;
}

void pfs_listing_close(struct pfs_listing **lp)
{
	struct pfs_listing *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	pfs_cursor_close(&l->cursor);
	pfs_buf_fini(&l->text);
	free(l->names);
	pfs_handle_unref(&l->dir);
	free(l);
}

/* ---- handing over: nothing of a tree, which stays; else each name, its type and number ---- */

int pfs_listing_hold(struct pfs_listing *l, void **out, size_t *out_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(SIZE_MAX / 2);
	int rc = pfs_buf_add_u8(&b, l->cursor == NULL, err);

	for (size_t i = 0; rc == 0 && !l->cursor && i < l->n; i++) {
		const struct listing_name *item = &l->names[i];

		rc = pfs_buf_add_u8(&b, (uint8_t)item->type, err);
		if (rc == 0)
			rc = pfs_bytes_add_u64(&b, item->ino, err);
		if (rc == 0)
			rc = pfs_buf_add_u8(&b, (uint8_t)item->len, err);
		if (rc == 0)
			rc = pfs_buf_add(&b, l->text.data + item->off, item->len, err);
	}
	if (rc < 0)
		return rc;
	*out_len = b.len;
	*out = pfs_buf_take(&b);
	return *out ? 0 : pfs_fail_nomem(err, "what is handed over");
}

static int take_names(struct pfs_listing *l, struct pfs_bytes *b, struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0 && pfs_bytes_left(b)) {
		uint8_t type = pfs_bytes_u8(b);
		uint64_t ino = pfs_bytes_u64(b);
		uint8_t len = pfs_bytes_u8(b);
		const unsigned char *name = pfs_bytes_run(b, len);

		if (b->bad || !len || type < PFS_TYPE_FILE || type > PFS_TYPE_BLK ||
		    memchr(name, 0, len))
			return pfs_fail(err, PFS_E_CORRUPT,
					"a listing that is handed over: damaged");
		rc = pfs_listing_add(l, (const char *)name, len, type, ino, err);
	}
	return rc;
}

int pfs_listing_take(struct pfs_view *v, struct pfs_handle *dir, const void *data, size_t len,
		     struct pfs_listing **out, struct pfs_error *err)
{
	struct pfs_bytes b = { data, (const unsigned char *)data + len, false };
	PFS_AUTO(pfs_listing_close) struct pfs_listing *l = NULL;
	int rc;

	if (!pfs_bytes_u8(&b))
		return pfs_view_list(v, dir, out, err);
	l = new_listing(dir);
	if (!l)
		return pfs_fail_nomem(err, "a directory listing");
	rc = take_names(l, &b, err);
	if (rc < 0)
		return rc;
	*out = l;
	l = NULL;
	return 0;
}

static int step(struct pfs_listing *l, const struct pfs_entry **out, struct pfs_error *err)
{
	int rc;

	l->entry = NULL;
	rc = pfs_cursor_next(l->cursor, out, err);
	l->pos += rc > 0;
	return rc;
}

static int next_of_tree(struct pfs_listing *l, struct pfs_list_item *out, struct pfs_error *err)
{
	struct pfs_links_file file;
	const struct pfs_entry *e;
	int rc = step(l, &e, err);

	if (rc <= 0)
		return rc;
	memcpy(l->name, e->name, e->name_len);
	l->name[e->name_len] = 0;
	l->entry = e;
	out->name = l->name;
	out->type = pfs_view_type(e->type);
	out->ino = pfs_entry_ino(l->dir, e->name, e->name_len, e, &file);
	return 1;
}

int pfs_listing_next(struct pfs_listing *l, struct pfs_list_item *out, struct pfs_error *err)
{
	const struct listing_name *item;

	if (l->cursor)
		return next_of_tree(l, out, err);
	if (l->pos >= l->n)
		return 0;
	item = &l->names[l->pos++];
	out->name = (const char *)l->text.data + item->off;
	out->type = item->type;
	out->ino = item->ino;
	return 1;
}

/*
 * A commit's directory has the same entries for ever; what lists as one, like
 * the branch of a pipeline, may show another by now. And our own name means us.
 */
static bool knows(const struct pfs_listing *l, const struct pfs_handle *dir)
{
	return l->entry && l->dir == dir && !pfs_control_is(l->entry->name, l->entry->name_len);
}

int pfs_listing_lookup(struct pfs_listing *l, struct pfs_handle *dir,
		       const struct pfs_list_item *item, struct pfs_handle **out,
		       struct pfs_attr *out_attr, struct pfs_error *err)
{
	struct pfs_handle *h;
	int rc;

	if (!knows(l, dir))
		return pfs_view_lookup(dir->view, dir, item->name, out, out_attr, err);
	rc = pfs_entry_handle(dir, l->entry->name, l->entry->name_len, l->entry, &h, err);
	if (rc < 0)
		return rc;
	rc = out_attr ? pfs_view_getattr(dir->view, h, out_attr, err) : 0;
	if (rc < 0)
		pfs_handle_unref(&h);
	else
		*out = h;
	return rc;
}

/* Trees are not numbered: go to the start and step. Drivers ask for where they are already. */
static int seek_in_tree(struct pfs_listing *l, uint64_t pos, struct pfs_error *err)
{
	const struct pfs_entry *e;
	int rc;

	l->entry = NULL;
	if (pos < l->pos || pos == 0) {
		rc = pfs_cursor_seek(l->cursor, "", 0, false, err);
		if (rc < 0)
			return rc;
		l->pos = 0;
	}
	while (l->pos < pos) {
		rc = step(l, &e, err);
		if (rc <= 0)
			return rc;
	}
	return 0;
}

int pfs_listing_seek(struct pfs_listing *l, uint64_t pos, struct pfs_error *err)
{
	if (l->cursor)
		return pos && pos == l->pos ? 0 : seek_in_tree(l, pos, err);
	l->pos = pos < l->n ? pos : l->n;
	return 0;
}
