#include "tree/pair.h"

int pfs_pair_init(struct pfs_pair *p, struct pfs_store *st, const struct pfs_id *a,
		  const struct pfs_id *b, struct pfs_error *err)
{
	int rc;

	p->a.has = p->b.has = false;
	rc = pfs_walk_init(&p->a.walk, st, a, err);
	if (rc < 0)
		return rc;
	rc = pfs_walk_init(&p->b.walk, st, b, err);
	if (rc < 0)
		pfs_walk_fini(&p->a.walk);
	return rc;
}

void pfs_pair_fini(struct pfs_pair *p)
{
	pfs_walk_fini(&p->a.walk);
	pfs_walk_fini(&p->b.walk);
}

/* Stand on an item, if there is one: 1, or 0 at the end. */
static int settle(struct pfs_pair_side *s, struct pfs_error *err)
{
	int rc;

	if (s->has)
		return 1;
	rc = pfs_walk_next(&s->walk, err);
	s->has = rc > 0;
	return rc;
}

static int descend(struct pfs_pair_side *s, struct pfs_error *err)
{
	int rc = pfs_walk_descend(&s->walk, err);

	s->has = rc > 0;
	return rc < 0 ? rc : 0;
}

/*
 * Bring both sides to level 0 entries that have to be compared, skipping equal
 * nodes. *has_a and *has_b tell which side has one; neither: the end.
 */
static int bring_to_names(struct pfs_pair *p, bool *has_a, bool *has_b, struct pfs_error *err)
{
	struct pfs_pair_side *a = &p->a, *b = &p->b;

	for (;;) {
		int rc_a = settle(a, err), rc_b = rc_a < 0 ? rc_a : settle(b, err);
		unsigned level_a = rc_a > 0 ? a->walk.level : 0;
		unsigned level_b = rc_b > 0 ? b->walk.level : 0;
		int rc = 0;

		if (rc_a < 0 || rc_b < 0)
			return rc_a < 0 ? rc_a : rc_b;
		*has_a = rc_a > 0;
		*has_b = rc_b > 0;
		if (level_a == 0 && level_b == 0)
			return 0;
		if (rc_a && rc_b && level_a == level_b &&
		    pfs_id_equal(&pfs_walk_item(&a->walk)->id, &pfs_walk_item(&b->walk)->id)) {
			a->has = b->has = false;
			continue;
		}
		if (level_a >= level_b)
			rc = descend(a, err);
		if (rc == 0 && level_b >= level_a)
			rc = descend(b, err);
		if (rc < 0)
			return rc;
	}
}

int pfs_pair_next(struct pfs_pair *p, const struct pfs_treenode_entry **out_a,
		  const struct pfs_treenode_entry **out_b, struct pfs_error *err)
{
	const struct pfs_treenode_entry *a, *b;
	bool has_a = false, has_b = false;
	int order, rc = bring_to_names(p, &has_a, &has_b, err);

	if (rc < 0 || (!has_a && !has_b))
		return rc;
	a = pfs_walk_item(&p->a.walk);
	b = pfs_walk_item(&p->b.walk);
	order = has_a ? -1 : 1;
	if (has_a && has_b)
		order = pfs_treenode_name_compare(a->name, a->name_len, b->name, b->name_len);
	*out_a = order <= 0 ? a : NULL;
	*out_b = order >= 0 ? b : NULL;
	if (*out_a)
		p->a.has = false;
	if (*out_b)
		p->b.has = false;
	return 1;
}
