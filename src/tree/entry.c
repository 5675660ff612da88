#include "tree/entry_i.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

bool pfs_content_equal(const struct pfs_content *a, const struct pfs_content *b)
{
	if (a->size != b->size || a->form != b->form)
		return false;
	if (a->form == PFS_CONTENT_INLINE)
		return a->size <= PFS_INLINE_SIZE_MAX && memcmp(a->bytes, b->bytes, a->size) == 0;
	return pfs_id_equal(&a->id, &b->id);
}

bool pfs_entry_same_content(const struct pfs_entry *a, const struct pfs_entry *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case PFS_ENTRY_FILE:
		return pfs_content_equal(&a->content, &b->content);
	case PFS_ENTRY_DIR:
		return pfs_id_equal(&a->dir, &b->dir);
	case PFS_ENTRY_SYMLINK:
		return a->target_len == b->target_len &&
		       memcmp(a->target, b->target, a->target_len) == 0;
	case PFS_ENTRY_CHR:
	case PFS_ENTRY_BLK:
		return a->rdev == b->rdev;
	default:
		return true;
	}
}

bool pfs_entry_equal(const struct pfs_entry *a, const struct pfs_entry *b)
{
	const struct pfs_attrs *x = &a->attrs, *y = &b->attrs;

	return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0 &&
	       x->mode == y->mode && x->uid == y->uid && x->gid == y->gid &&
	       x->mtime_sec == y->mtime_sec && x->mtime_nsec == y->mtime_nsec &&
	       pfs_id_equal(&a->xattrs, &b->xattrs) && a->link == b->link &&
	       pfs_entry_same_content(a, b);
}

/* Name and target in one piece, the name first. */
int pfs_entry_keep(const struct pfs_entry *e, struct pfs_entry *out, struct pfs_error *err)
{
	size_t target = e->type == PFS_ENTRY_SYMLINK ? e->target_len : 0;
	char *hold = malloc(e->name_len + target + 1);

	if (!hold)
		return pfs_fail_nomem(err, "a directory entry");
	*out = *e;
	memcpy(hold, e->name, e->name_len);
	out->name = hold;
	if (target) {
		memcpy(hold + e->name_len, e->target, target);
		out->target = hold + e->name_len;
	}
	return 0;
}

void pfs_entry_drop(struct pfs_entry *e)
{
	free((char *)e->name);
	memset(e, 0, sizeof(*e));
}

static void content_from_node(const struct pfs_treenode_entry *in, struct pfs_content *out)
{
	out->size = in->size;
	out->form = (enum pfs_content_form)in->kind;
	if (in->kind == PFS_TREENODE_INLINE)
		memcpy(out->bytes, in->bytes, in->size);
	else
		out->id = in->id;
}

static enum pfs_entry_type type_of(enum pfs_treenode_kind kind)
{
	return kind <= PFS_TREENODE_SEQ ? PFS_ENTRY_FILE
					: (enum pfs_entry_type)(kind - PFS_TREENODE_SEQ + 1);
}

_Static_assert(PFS_TREENODE_DIR - PFS_TREENODE_SEQ + 1 == PFS_ENTRY_DIR &&
		       PFS_TREENODE_BLK - PFS_TREENODE_SEQ + 1 == PFS_ENTRY_BLK,
	       "kinds of a node and types of an entry are in the same order");
_Static_assert((int)PFS_TREENODE_INLINE == (int)PFS_CONTENT_INLINE &&
		       (int)PFS_TREENODE_SEQ == (int)PFS_CONTENT_SEQ,
	       "forms of a content are the first kinds of a node");

void pfs_entry_from_node(const struct pfs_treenode_entry *in, struct pfs_entry *out)
{
	memset(out, 0, sizeof(*out));
	out->name = in->name;
	out->name_len = in->name_len;
	out->type = type_of(in->kind);
	out->attrs = (struct pfs_attrs){ .mode = in->mode,
					 .uid = in->uid,
					 .gid = in->gid,
					 .mtime_sec = in->mtime_sec,
					 .mtime_nsec = in->mtime_nsec };
	out->xattrs = in->xattrs;
	out->link = in->link;
	switch (out->type) {
	case PFS_ENTRY_FILE:
		content_from_node(in, &out->content);
		break;
	case PFS_ENTRY_DIR:
		out->dir = in->id;
		out->dir_entries = in->entries;
		out->dir_bytes = in->below_bytes;
		break;
	case PFS_ENTRY_SYMLINK:
		out->target = (const char *)in->bytes;
		out->target_len = in->size;
		break;
	default:
		out->rdev = in->rdev;
	}
}

static int content_to_node(const struct pfs_content *in, struct pfs_treenode_entry *out,
			   struct pfs_error *err)
{
	if (in->form > PFS_CONTENT_SEQ)
		return pfs_fail(err, PFS_E_INVALID, "file content of unknown form %d", in->form);
	out->kind = (enum pfs_treenode_kind)in->form;
	out->size = in->size;
	if (in->form == PFS_CONTENT_INLINE)
		out->bytes = in->bytes;
	else
		out->id = in->id;
	return 0;
}

int pfs_entry_to_node(const struct pfs_entry *in, const char *name, size_t name_len,
		      struct pfs_treenode_entry *out, struct pfs_error *err)
{
	int rc = pfs_path_check_name(name, name_len, err);

	if (rc < 0)
		return rc;
	if (in->type < PFS_ENTRY_FILE || in->type > PFS_ENTRY_BLK)
		return pfs_fail(err, PFS_E_INVALID, "directory entry of unknown type %d", in->type);
	memset(out, 0, sizeof(*out));
	out->name = name;
	out->name_len = name_len;
	out->mode = in->attrs.mode;
	out->uid = in->attrs.uid;
	out->gid = in->attrs.gid;
	out->mtime_sec = in->attrs.mtime_sec;
	out->mtime_nsec = in->attrs.mtime_nsec;
	out->xattrs = in->xattrs;
	out->link = in->link;
	if (in->type == PFS_ENTRY_FILE)
		return content_to_node(&in->content, out, err);
	out->kind = (enum pfs_treenode_kind)(in->type + PFS_TREENODE_SEQ - 1);
	if (in->type == PFS_ENTRY_DIR) {
		out->id = in->dir;
		out->entries = in->dir_entries;
		out->below_bytes = in->dir_bytes;
	} else if (in->type == PFS_ENTRY_SYMLINK) {
		out->bytes = (const unsigned char *)in->target;
		out->size = in->target_len;
	} else if (in->type == PFS_ENTRY_CHR || in->type == PFS_ENTRY_BLK) {
		out->rdev = in->rdev;
	}
	return 0;
}
