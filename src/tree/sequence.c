#include "tree/sequence.h"
#include "tree/siphash.h"
#include "store/batch.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

#define SEQ_PRIORITY 128u /* keeps priorities of sequences apart from those of names */

void pfs_sequence_init(struct pfs_sequence *s, struct pfs_store *st)
{
	memset(s, 0, sizeof(*s));
	s->st = st;
	for (unsigned i = 0; i <= PFS_TREE_LEVEL_MAX; i++)
		pfs_split_init(&s->levels[i].split);
}

void pfs_sequence_fini(struct pfs_sequence *s)
{
	for (unsigned i = 0; i <= PFS_TREE_LEVEL_MAX; i++) {
		pfs_split_fini(&s->levels[i].split);
		free(s->levels[i].entries);
	}
	memset(s, 0, sizeof(*s));
}

static int make_room(struct pfs_sequence_level *l, struct pfs_error *err)
{
	size_t cap = l->cap ? 2 * l->cap : 32;
	struct pfs_seqnode_entry *entries;

	if (l->n < l->cap)
		return 0;
	entries = realloc(l->entries, cap * sizeof(*entries));
	if (!entries)
		return pfs_fail_nomem(err, "a sequence node");
	l->entries = entries;
	l->cap = cap;
	return 0;
}

uint64_t pfs_sequence_priority(const struct pfs_store *st, unsigned level, uint64_t seed)
{
	unsigned char message[8];

	pfs_put_le64(message, seed);
	return pfs_siphash(pfs_store_keys(st)->tree_key, (uint8_t)(SEQ_PRIORITY + level), message,
			   sizeof(message));
}

static int put_item(struct pfs_store *st, struct pfs_refill *refill, struct pfs_store_item *item,
		    struct pfs_error *err)
{
	int rc;

	if (!refill)
		return pfs_store_put_batch(st, PFS_KIND_SEQNODE, item, 1, err);
	rc = pfs_batch_name(st, PFS_KIND_SEQNODE, item, 1, err);
	return rc < 0 ? rc : pfs_refill_put(refill, st, PFS_KIND_SEQNODE, item, err);
}

static int make_node(struct pfs_store *st, struct pfs_refill *refill,
		     const struct pfs_seqnode_entry *entries, size_t n, unsigned level,
		     unsigned flags, const struct pfs_id *near, struct pfs_seqnode_entry *out,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf bytes = PFS_BUF_INIT(PFS_OBJECT_SIZE_MAX);
	struct pfs_seqnode_entry e = { .kind = PFS_SEQNODE_CHILD };
	struct pfs_store_item item = { .near = near };
	int rc;

	rc = pfs_seqnode_encode(entries, n, level, flags, &bytes, err);
	item.data = bytes.data;
	item.len = bytes.len;
	if (rc == 0)
		rc = put_item(st, refill, &item, err);
	if (rc < 0)
		return rc;
	e.id = item.id;
	for (size_t i = 0; i < n; i++) {
		e.bytes += entries[i].bytes;
		e.chunks += entries[i].chunks;
	}
	e.last_seed = entries[n - 1].last_seed;
	*out = e;
	return 0;
}

int pfs_sequence_put_node(struct pfs_store *st, const struct pfs_seqnode_entry *entries, size_t n,
			  unsigned level, unsigned flags, const struct pfs_id *near,
			  struct pfs_seqnode_entry *out, struct pfs_error *err)
{
	return make_node(st, NULL, entries, n, level, flags, near, out, err);
}

/* Put the first `n` pending entries as a node; *out is what the level above has to hold. */
static int put_node(struct pfs_sequence *s, unsigned level, size_t n, bool forced,
		    struct pfs_seqnode_entry *out, struct pfs_error *err)
{
	struct pfs_sequence_level *l = &s->levels[level];
	int rc;

	rc = make_node(s->st, s->refill, l->entries, n, level, forced ? PFS_SEQNODE_FORCED : 0,
		       NULL, out, err);
	if (rc < 0)
		return rc;
	l->n -= n;
	memmove(l->entries, l->entries + n, l->n * sizeof(*l->entries));
	l->nodes++;
	l->last = out->id;
	return 0;
}

static int put_certain(struct pfs_sequence *s, unsigned level, struct pfs_error *err)
{
	struct pfs_seqnode_entry node;
	size_t n;
	bool forced;
	int rc = 0;

	while (rc == 0 && pfs_split_next(&s->levels[level].split, &n, &forced)) {
		rc = put_node(s, level, n, forced, &node, err);
		if (rc == 0)
			rc = pfs_sequence_add_item(s, level + 1, &node, err);
	}
	return rc;
}

/* Calls itself for the level above, at most PFS_TREE_LEVEL_MAX deep. */
int pfs_sequence_add_item(struct pfs_sequence *s, unsigned level, const struct pfs_seqnode_entry *e,
			  struct pfs_error *err)
{
	struct pfs_sequence_level *l = &s->levels[level];
	int rc;

	if (level > PFS_TREE_LEVEL_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "file of more than %u levels",
				PFS_TREE_LEVEL_MAX);
	rc = make_room(l, err);
	if (rc < 0)
		return rc;
	l->entries[l->n++] = *e;
	l->items++;
	rc = pfs_split_add(&l->split, pfs_seqnode_weight(e),
			   pfs_sequence_priority(s->st, level, e->last_seed), err);
	return rc < 0 ? rc : put_certain(s, level, err);
}

struct pfs_seqnode_entry pfs_sequence_leaf(enum pfs_seqnode_kind kind, uint64_t bytes,
					   const struct pfs_id *id)
{
	struct pfs_seqnode_entry e = { .kind = kind, .bytes = bytes };

	if (kind != PFS_SEQNODE_HOLE)
		e.id = *id;
	e.chunks = kind != PFS_SEQNODE_HOLE;
	e.last_seed = pfs_seqnode_seed(kind, bytes, &e.id);
	return e;
}

int pfs_sequence_add(struct pfs_sequence *s, enum pfs_seqnode_kind kind, uint64_t bytes,
		     const struct pfs_id *id, struct pfs_error *err)
{
	struct pfs_seqnode_entry e = pfs_sequence_leaf(kind, bytes, id);

	return pfs_sequence_add_item(s, 0, &e, err);
}

const struct pfs_seqnode_entry *pfs_sequence_only(const struct pfs_sequence *s)
{
	const struct pfs_sequence_level *l = &s->levels[0];

	return l->items == 1 && l->entries[0].kind != PFS_SEQNODE_HOLE ? &l->entries[0] : NULL;
}

int pfs_sequence_finish(struct pfs_sequence *s, struct pfs_id *out, struct pfs_error *err)
{
	for (unsigned level = 0; level <= PFS_TREE_LEVEL_MAX; level++) {
		int rc;

		pfs_split_finish(&s->levels[level].split, false);
		rc = put_certain(s, level, err);
		if (rc < 0)
			return rc;
		if (s->levels[level].nodes == 1) {
			*out = s->levels[level].last;
			return 0;
		}
	}
	return pfs_fail(err, PFS_E_LIMIT, "file of more than %u levels", PFS_TREE_LEVEL_MAX);
}
