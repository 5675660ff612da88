#include "tree/xattrs.h"
#include "format/xattrs.h"

#include <stdlib.h>
#include <string.h>

/* A set in memory; without an object: the empty one. */
struct loaded {
	const struct pfs_object *hold;
	struct pfs_xattrs set;
};

static void loaded_fini(struct loaded *l)
{
	pfs_object_unref(&l->hold);
}

static int load(struct pfs_store *st, const struct pfs_id *id, struct loaded *out,
		struct pfs_error *err)
{
	char hex[PFS_ID_HEX_SIZE];
	int rc;

	if (pfs_id_is_zero(id))
		return 0;
	rc = pfs_store_need(st, PFS_KIND_XATTRS, id, &out->hold, err);
	if (rc == 0)
		rc = pfs_xattrs_open(out->hold->data, out->hold->len, &out->set, err);
	return rc < 0 ? pfs_wrap(err, rc, "attributes %s", pfs_id_format(id, hex)) : 0;
}

static bool next(const struct loaded *l, size_t *off, struct pfs_xattr *out)
{
	return l->hold && pfs_xattrs_next(&l->set, off, out);
}

static bool is_named(const struct pfs_xattr *x, const char *name)
{
	return x->name_len == strlen(name) && memcmp(x->name, name, x->name_len) == 0;
}

static int not_found(const char *name, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "no attribute \"%.256s\"", name);
}

static int by_name(const void *a, const void *b)
{
	const struct pfs_xattr *x = a, *y = b;
	size_t both = x->name_len < y->name_len ? x->name_len : y->name_len;
	int c = memcmp(x->name, y->name, both);

	return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* `list` may be put into another order. */
static int put(struct pfs_store *st, struct pfs_xattr *list, size_t n, struct pfs_id *out,
	       struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf bytes = PFS_BUF_INIT(2 * PFS_OBJECT_SIZE_MAX);
	int rc;

	if (n == 0) {
		*out = (struct pfs_id){ 0 };
		return 0;
	}
	qsort(list, n, sizeof(*list), by_name);
	rc = pfs_xattrs_encode(list, n, &bytes, err);
	return rc < 0 ? rc : pfs_store_put(st, PFS_KIND_XATTRS, bytes.data, bytes.len, out, err);
}

static int copy_list(const struct pfs_xattr *list, size_t n, struct pfs_xattr **out,
		     struct pfs_error *err)
{
	struct pfs_xattr *copy = calloc(n + 1, sizeof(*copy));

	if (!copy)
		return pfs_fail_nomem(err, "a set of attributes");
	if (n)
		memcpy(copy, list, n * sizeof(*copy));
	*out = copy;
	return 0;
}

int pfs_xattrs_put(struct pfs_store *st, const struct pfs_xattr *list, size_t n, struct pfs_id *out,
		   struct pfs_error *err)
{
	struct pfs_xattr *copy = NULL;
	int rc = copy_list(list, n, &copy, err);

	if (rc < 0)
		return rc;
	rc = put(st, copy, n, out, err);
	free(copy);
	return rc;
}

int pfs_xattrs_get(struct pfs_store *st, const struct pfs_id *set, const char *name,
		   struct pfs_buf *out, struct pfs_error *err)
{
	PFS_AUTO(loaded_fini) struct loaded l = { 0 };
	struct pfs_xattr x;
	size_t off = 0;
	int rc = load(st, set, &l, err);

	if (rc < 0)
		return rc;
	while (next(&l, &off, &x))
		if (is_named(&x, name))
			return pfs_buf_add(out, x.value, x.value_len, err);
	return not_found(name, err);
}

int pfs_xattrs_list(struct pfs_store *st, const struct pfs_id *set, struct pfs_buf *out,
		    struct pfs_error *err)
{
	PFS_AUTO(loaded_fini) struct loaded l = { 0 };
	size_t off = 0, before = out->len;
	struct pfs_xattr x;
	int rc = load(st, set, &l, err);

	while (rc == 0 && next(&l, &off, &x)) {
		rc = pfs_buf_add(out, x.name, x.name_len, err);
		if (rc == 0)
			rc = pfs_buf_add_u8(out, 0, err);
	}
	if (rc < 0)
		out->len = before;
	return rc;
}

/* All of a set but `name`, with room for one more. */
static int list_others(const struct loaded *l, const char *name, struct pfs_xattr **out,
		       size_t *out_n, struct pfs_error *err)
{
	struct pfs_xattr *list = calloc((l->hold ? l->set.count : 0) + 1, sizeof(*list));
	size_t n = 0, off = 0;

	if (!list)
		return pfs_fail_nomem(err, "a set of attributes");
	while (next(l, &off, &list[n]))
		n += !is_named(&list[n], name);
	*out = list;
	*out_n = n;
	return 0;
}

int pfs_xattrs_set(struct pfs_store *st, const struct pfs_id *set, const char *name,
		   const void *value, size_t len, struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(loaded_fini) struct loaded l = { 0 };
	const struct pfs_xattr fresh = { name, strlen(name), value, len };
	struct pfs_xattr *list = NULL;
	size_t n;
	int rc = load(st, set, &l, err);

	if (rc == 0)
		rc = list_others(&l, name, &list, &n, err);
	if (rc < 0)
		return rc;
	list[n++] = fresh;
	rc = put(st, list, n, out, err);
	free(list);
	return rc < 0 ? pfs_wrap(err, rc, "set attribute \"%.256s\"", name) : 0;
}

int pfs_xattrs_remove(struct pfs_store *st, const struct pfs_id *set, const char *name,
		      struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(loaded_fini) struct loaded l = { 0 };
	struct pfs_xattr *list = NULL;
	size_t n;
	int rc = load(st, set, &l, err);

	if (rc == 0)
		rc = list_others(&l, name, &list, &n, err);
	if (rc < 0)
		return rc;
	if (n == (l.hold ? l.set.count : 0))
		rc = not_found(name, err);
	else
		rc = put(st, list, n, out, err);
	free(list);
	return rc;
}
