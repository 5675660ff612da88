/*
 * One object, from wherever packs keep it: a record, a delta and its base, a
 * bundle, a piece of an adopted file.
 *
 * Bytes are not checked against the id of the object; what a record says of
 * itself is.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_PACKREAD_H
#define PFS_STORE_PACKREAD_H

#include "store/cache.h"
#include "store/hasher.h"
#include "store/packlog.h"

struct pfs_packread {
	struct pfs_packset *set;
	struct pfs_packlog *log; /* has what is not in a file yet; NULL: look into files only */
	const struct pfs_hasher *hasher;
	struct pfs_cache *cache; /* takes what was read along, has bases; may be NULL */
};

/* The object at this place; the caller owns it and free()s it, or hands it out. */
int pfs_packread_at(const struct pfs_packread *r, const struct pfs_id *id,
		    const struct pfs_place *place, struct pfs_counted_object **out,
		    struct pfs_error *err);

/*
 * The same for a record that was read already: `payload` of `rec`, which is no
 * bundle. `plain` has room for rec->ulen bytes.
 */
int pfs_packread_payload(const struct pfs_packread *r, const struct pfs_packrec *rec,
			 const unsigned char *payload, unsigned char *plain, struct pfs_error *err);

/*
 * Look an object up and read it, again when it moved meanwhile. *out_place is
 * where it was looked for last. PFS_E_NOTFOUND without a text when there is none.
 */
int pfs_packread_find(const struct pfs_packread *r, enum pfs_kind kind, const struct pfs_id *id,
		      struct pfs_place *out_place, struct pfs_counted_object **out,
		      struct pfs_error *err);

/*
 * The bytes against which an object that resembles `near` can be kept as a
 * delta, checked against their id: those of `near`, or of its base when it is a
 * delta itself. NULL when there are none: not stored, not durable, damaged, or
 * in a pack that is about to go. The caller owns a reference.
 */
const struct pfs_object *pfs_packread_base(const struct pfs_packread *r, enum pfs_kind kind,
					   const struct pfs_id *near, struct pfs_id *out_id);

/* What is there is damaged: a put has to store it anew. Its base too, when that is why. */
void pfs_packread_doubt(const struct pfs_packread *r, const struct pfs_id *id,
			const struct pfs_place *place);

#endif
