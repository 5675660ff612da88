#include "tree/walk.h"
#include "tree/tree.h"
#include "base/path.h"

#include <string.h>

int pfs_tree_totals(struct pfs_store *st, const struct pfs_id *dir, struct pfs_tree_totals *out,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *hold = NULL;
	struct pfs_treenode node = { 0 };
	int rc = 0;

	if (!pfs_id_is_zero(dir))
		rc = pfs_walk_load(st, dir, &hold, &node, err);
	if (rc < 0)
		return rc;
	*out = (struct pfs_tree_totals){ node.direct, node.entries, node.bytes };
	return 0;
}

void pfs_found_fini(struct pfs_found *f)
{
	pfs_object_unref(&f->hold);
	pfs_buf_fini(&f->name);
	memset(f, 0, sizeof(*f));
}

/* Let `out` stand for the entry the walk found; takes a reference of its own. */
static int keep(const struct pfs_treenode_entry *e, const struct pfs_object *hold,
		struct pfs_found *out, struct pfs_error *err)
{
	int rc;

	out->name.limit = PFS_NAME_SIZE_MAX;
	rc = pfs_buf_reserve(&out->name, PFS_NAME_SIZE_MAX - out->name.len, err);
	if (rc < 0)
		return rc;
	pfs_buf_clear(&out->name);
	rc = pfs_buf_add(&out->name, e->name, e->name_len, err);
	if (rc < 0)
		return rc;
	pfs_object_ref(hold);
	pfs_object_unref(&out->hold);
	out->hold = hold;
	pfs_entry_from_node(e, &out->e);
	out->e.name = (const char *)out->name.data;
	return 0;
}

static int not_found(const char *name, size_t name_len, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_NOTFOUND, "\"%.*s\" is not in its directory",
			(int)(name_len < PFS_NAME_SIZE_MAX ? name_len : PFS_NAME_SIZE_MAX), name);
}

int pfs_tree_find(struct pfs_store *st, const struct pfs_id *dir, const char *name, size_t name_len,
		  struct pfs_found *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_walk_fini) struct pfs_walk w;
	const struct pfs_treenode_entry *e;
	int rc;

	rc = pfs_walk_init(&w, st, dir, err);
	if (rc == 0)
		rc = pfs_walk_seek(&w, name, name_len, false, err);
	if (rc < 0)
		return rc;
	e = pfs_walk_item(&w);
	if (rc == 0 || pfs_treenode_name_compare(e->name, e->name_len, name, name_len) != 0)
		return not_found(name, name_len, err);
	return keep(e, w.frames[0].hold, out, err);
}

int pfs_tree_lookup(struct pfs_store *st, const struct pfs_id *dir, const char *path,
		    struct pfs_found *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found f = { 0 };
	struct pfs_tree_totals totals;
	const char *rest = path, *name;
	size_t len;
	int rc;

	rc = pfs_tree_totals(st, dir, &totals, err);
	if (rc < 0)
		return rc;
	f.e = (struct pfs_entry){ .name = "",
				  .type = PFS_ENTRY_DIR,
				  .dir = *dir,
				  .dir_entries = totals.entries,
				  .dir_bytes = totals.bytes };
	while ((rc = pfs_path_next(&rest, &name, &len, err)) > 0) {
		struct pfs_id in = f.e.dir;

		if (f.e.type != PFS_ENTRY_DIR)
			return pfs_fail(err, PFS_E_NOTDIR, "%s: \"%.*s\" is not a directory", path,
					(int)f.e.name_len, f.e.name);
		rc = pfs_tree_find(st, &in, name, len, &f, err);
		if (rc < 0)
			return pfs_wrap(err, rc, "%s", path);
	}
	if (rc < 0)
		return rc;
	pfs_found_fini(out);
	*out = f;
	memset(&f, 0, sizeof(f));
	return 0;
}
