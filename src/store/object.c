#include "store/object.h"

#include <stdlib.h>

struct pfs_counted_object *pfs_object_new(enum pfs_kind kind, const struct pfs_id *id, size_t len)
{
	struct pfs_counted_object *o = malloc(sizeof(*o) + len);

	if (!o)
		return NULL;
	*o = (struct pfs_counted_object){ .refs = 1, .kind = kind, .id = *id };
	o->object.data = o->bytes;
	o->object.len = len;
	return o;
}

const struct pfs_object *pfs_object_ref(const struct pfs_object *o)
{
	struct pfs_counted_object *counted = (struct pfs_counted_object *)o;

	__atomic_add_fetch(&counted->refs, 1, __ATOMIC_RELAXED);
	return o;
}

void pfs_object_unref(const struct pfs_object **o)
{
	struct pfs_counted_object *counted = (struct pfs_counted_object *)*o;

	*o = NULL;
	if (counted && __atomic_sub_fetch(&counted->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(counted);
}
