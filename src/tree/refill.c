#include "tree/refill.h"

int pfs_refill_put(struct pfs_refill *r, struct pfs_store *st, enum pfs_kind kind,
		   const struct pfs_store_item *item, struct pfs_error *err)
{
	struct pfs_id id;
	int rc;

	if (!pfs_idset_has(r->wanted, &item->id) || pfs_store_has(st, kind, &item->id))
		return 0;
	rc = pfs_store_put(st, kind, item->data, item->len, &id, err);
	r->put += rc == 0;
	return rc;
}
