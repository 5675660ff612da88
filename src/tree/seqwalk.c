#include "tree/seqwalk.h"

#include <inttypes.h>
#include <string.h>

static int name_the_node(struct pfs_error *err, int rc, const struct pfs_id *id)
{
	char hex[PFS_ID_HEX_SIZE];

	return pfs_wrap(err, rc, "sequence node %s", pfs_id_format(id, hex));
}

/* What a parent says about a node. */
struct expected {
	struct pfs_id id;
	uint64_t start; /* in the file */
	uint64_t bytes;
	/* These are not checked for a root, which has no parent. */
	uint64_t chunks, last_seed;
	unsigned level;
	bool root;
};

static int check_node(const struct pfs_seqnode *node, const struct expected *want,
		      struct pfs_error *err)
{
	struct pfs_seqnode_iter it;
	int rc;

	if (node->bytes != want->bytes ||
	    (!want->root && (node->level != want->level || node->chunks != want->chunks)))
		return pfs_fail(err, PFS_E_CORRUPT,
				"level %u with %" PRIu64 " bytes in %" PRIu64
				" chunks is not what its parent says",
				node->level, node->bytes, node->chunks);
	if (want->root)
		return 0;
	pfs_seqnode_iter_init(&it, node);
	rc = pfs_seqnode_iter_seek(&it, node->bytes - 1, err);
	if (rc == 0 && it.e.last_seed != want->last_seed)
		rc = pfs_fail(err, PFS_E_CORRUPT, "its last entry is not what its parent says");
	return rc;
}

static int load_node(struct pfs_seqwalk *w, const struct expected *want, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_seqwalk_frame *f;
	struct pfs_seqnode node;
	int rc;

	rc = pfs_store_need(w->st, PFS_KIND_SEQNODE, &want->id, &o, err);
	if (rc == 0)
		rc = pfs_seqnode_open(o->data, o->len, &node, err);
	if (rc == 0)
		rc = check_node(&node, want, err);
	if (rc < 0)
		return name_the_node(err, rc, &want->id);
	f = &w->frames[node.level];
	pfs_object_unref(&f->hold);
	f->hold = o;
	o = NULL;
	f->id = want->id;
	f->node = node;
	f->start = want->start;
	pfs_seqnode_iter_init(&f->it, &f->node);
	w->low = node.level;
	return 0;
}

int pfs_seqwalk_init(struct pfs_seqwalk *w, struct pfs_store *st, const struct pfs_id *root,
		     uint64_t size, struct pfs_error *err)
{
	struct expected want = { .id = *root, .bytes = size, .root = true };
	int rc;

	w->st = st;
	rc = load_node(w, &want, err);
	w->root_level = w->low;
	return rc;
}

void pfs_seqwalk_fini(struct pfs_seqwalk *w)
{
	for (unsigned i = 0; i <= PFS_TREE_LEVEL_MAX; i++)
		pfs_object_unref(&w->frames[i].hold);
}

static bool covers(const struct pfs_seqwalk_frame *f, uint64_t off)
{
	return off >= f->start && off - f->start < f->node.bytes;
}

/* Let the frame stand at the entry that holds `off`; the next one in a row costs no search. */
static int stand_at(struct pfs_seqwalk_frame *f, uint64_t off, struct pfs_error *err)
{
	uint64_t at = off - f->start;
	int rc;

	if (f->it.index > 0 && at >= f->it.start && at < f->it.next)
		return 0;
	if (at != f->it.next) {
		rc = pfs_seqnode_iter_seek(&f->it, at, err);
	} else {
		rc = pfs_seqnode_iter_next(&f->it, err);
		if (rc == 0)
			rc = pfs_fail(err, PFS_E_CORRUPT, "sequence node: ends early");
	}
	/* Its entry may be what could not be read, under the place of the one before. */
	if (rc < 0)
		pfs_seqnode_iter_init(&f->it, &f->node);
	return rc < 0 ? rc : 0;
}

/* From the item `f` stands at to the node it names, one level lower. */
static int descend(struct pfs_seqwalk *w, const struct pfs_seqwalk_frame *f, struct pfs_error *err)
{
	struct expected want = { .id = f->it.e.id,
				 .start = f->start + f->it.start,
				 .bytes = f->it.e.bytes,
				 .chunks = f->it.e.chunks,
				 .last_seed = f->it.e.last_seed,
				 .level = f->node.level - 1 };

	return load_node(w, &want, err);
}

int pfs_seqwalk_seek(struct pfs_seqwalk *w, unsigned level, uint64_t off, struct pfs_error *err)
{
	while (w->low < w->root_level && !covers(&w->frames[w->low], off))
		w->low++;
	for (;;) {
		struct pfs_seqwalk_frame *f = &w->frames[w->low > level ? w->low : level];
		int rc = stand_at(f, off, err);

		if (rc < 0 || w->low <= level)
			return rc;
		rc = descend(w, f, err);
		if (rc < 0)
			return rc;
	}
}
