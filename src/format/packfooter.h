/*
 * What a pack says it holds, pfs-pack(5): the footer of a sealed one, the table
 * beside an adopted one, or the same as it grows with every record written or
 * found.
 *
 *	| entry | entry | ... | delta | ... | bundle | ... | member | member | ... |
 *	  48 a record           40            8              40
 *
 *	struct pfs_packwalk walk = { 0 };
 *
 *	while (pfs_packfooter_next(&f, &walk, &e))
 *		... object e.id, of e.ulen bytes, lies at e.off with e.codec ...
 *
 * Threads: one at a time per footer.
 */
#ifndef PFS_FORMAT_PACKFOOTER_H
#define PFS_FORMAT_PACKFOOTER_H

#include "format/packhdr.h"
#include "base/buf.h"

struct pfs_packfooter {
	uint8_t kind;                                     /* enum pfs_pack_kind */
	uint64_t off;                                     /* where records end */
	struct pfs_buf entries, deltas, bundles, members; /* as they are in the file */
};

void pfs_packfooter_init(struct pfs_packfooter *f, uint8_t kind);
void pfs_packfooter_fini(struct pfs_packfooter *f);

/* Records, or pieces of an adopted file. */
uint32_t pfs_packfooter_records(const struct pfs_packfooter *f);

/* Record number `i` as the footer tells it, bundles too. */
int pfs_packfooter_record(const struct pfs_packfooter *f, uint32_t i, struct pfs_packentry *out,
			  struct pfs_error *err);

/* Where a walk over the objects stands; starts with zeroes. */
struct pfs_packwalk {
	uint32_t entry, bundle, member;
	uint32_t left; /* members of this bundle to come */
	uint64_t off;  /* of its record */
	uint32_t clen;
};

/*
 * The next object; false at the end. A member of a bundle has PFS_CODEC_BUNDLED
 * and offset and clen of the bundle's record: what a pfs_place wants.
 */
bool pfs_packfooter_next(const struct pfs_packfooter *f, struct pfs_packwalk *w,
			 struct pfs_packentry *out);

/* Objects that the walk finds. */
uint32_t pfs_packfooter_objects(const struct pfs_packfooter *f);

/*
 * Objects kept as deltas: which, and against which base. A base has to stay for
 * as long as the pack does, whether the object itself is wanted or not: a put
 * of the same bytes is answered "stored already" as long as it is found.
 */
uint32_t pfs_packfooter_deltas(const struct pfs_packfooter *f);
void pfs_packfooter_delta(const struct pfs_packfooter *f, uint32_t i, struct pfs_id *out_id,
			  struct pfs_id *out_base);

/* One record more, with what its payload says of bases and members; on failure nothing is added. */
int pfs_packfooter_add(struct pfs_packfooter *f, const struct pfs_packrec *rec, uint64_t off,
		       const unsigned char *payload, struct pfs_error *err);

/* One piece of an adopted file more. */
int pfs_packfooter_add_piece(struct pfs_packfooter *f, const struct pfs_packentry *e,
			     struct pfs_error *err);

/* Bytes of all tables. */
size_t pfs_packfooter_size(const struct pfs_packfooter *f);

/* Split `len` bytes between records and trailer; the tables have to agree with each other. */
int pfs_packfooter_decode(const unsigned char *in, size_t len, const struct pfs_packtrailer *t,
			  uint8_t kind, struct pfs_packfooter *out, struct pfs_error *err);

/* The tables one behind the other, pfs_packfooter_size() bytes. */
void pfs_packfooter_encode(const struct pfs_packfooter *f, unsigned char *out);

#endif
