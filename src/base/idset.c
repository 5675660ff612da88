#include "base/idset.h"

#include <stdlib.h>

#define CAP_MIN 1024u

void pfs_idset_fini(struct pfs_idset *s)
{
	free(s->slots);
	*s = (struct pfs_idset){ 0 };
}

/* Where the id is, or the free slot where it would go. */
static struct pfs_id *slot_of(const struct pfs_idset *s, const struct pfs_id *id)
{
	size_t i = pfs_id_hash(id) & (s->cap - 1);

	while (!pfs_id_is_zero(&s->slots[i]) && !pfs_id_equal(&s->slots[i], id))
		i = (i + 1) & (s->cap - 1);
	return &s->slots[i];
}

static int widen(struct pfs_idset *s, struct pfs_error *err)
{
	struct pfs_idset wider = { .cap = s->cap ? 2 * s->cap : CAP_MIN, .len = s->len };

	if (s->len < s->cap - s->cap / 4)
		return 0;
	wider.slots = calloc(wider.cap, sizeof(*wider.slots));
	if (!wider.slots)
		return pfs_fail_nomem(err, "a set of ids");
	for (size_t i = 0; i < s->cap; i++)
		if (!pfs_id_is_zero(&s->slots[i]))
			*slot_of(&wider, &s->slots[i]) = s->slots[i];
	wider.zero = s->zero;
	free(s->slots);
	*s = wider;
	return 0;
}

int pfs_idset_add(struct pfs_idset *s, const struct pfs_id *id, struct pfs_error *err)
{
	struct pfs_id *slot;
	int rc;

	if (pfs_id_is_zero(id)) {
		rc = !s->zero;
		s->zero = true;
		return rc;
	}
	rc = widen(s, err);
	if (rc < 0)
		return rc;
	slot = slot_of(s, id);
	if (!pfs_id_is_zero(slot))
		return 0;
	*slot = *id;
	s->len++;
	return 1;
}

bool pfs_idset_has(const struct pfs_idset *s, const struct pfs_id *id)
{
	if (pfs_id_is_zero(id))
		return s->zero;
	return s->cap && !pfs_id_is_zero(slot_of(s, id));
}
