/* Any bytes as the places that are handed over: no crash, and what is accepted is its own encoding. */
#include "base/bytes.h"
#include "view/places.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int encode(const struct pfs_places *p, struct pfs_buf *b)
{
	int rc = pfs_bytes_add_u32(b, (uint32_t)p->places.n, NULL);

	for (size_t i = 0; rc == 0 && i < p->places.n; i++)
		rc = pfs_place_encode(&p->places.items[i], b, NULL);
	if (rc == 0)
		rc = pfs_bytes_add_u32(b, (uint32_t)p->handles.n, NULL);
	for (size_t i = 0; rc == 0 && i < p->handles.n; i++)
		rc = pfs_bytes_add_u32(b, p->handles.items[i], NULL);
	if (rc == 0)
		rc = pfs_bytes_add_u32(b, (uint32_t)p->datums.n, NULL);
	for (size_t i = 0; rc == 0 && i < p->datums.n; i++)
		rc = pfs_place_datum_encode(&p->datums.items[i], b, NULL);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 26);
	struct pfs_places p = { 0 };

	if (pfs_places_decode(data, len, &p, NULL) < 0) {
		if (p.places.items || p.handles.items || p.datums.items)
			abort();
		return 0;
	}
	/* A parent is behind none of its children, and nobody is something that is not there. */
	for (size_t i = 0; i < p.places.n; i++)
		if (p.places.items[i].parent != PFS_PLACE_NONE && p.places.items[i].parent >= i)
			abort();
	if (encode(&p, &b) < 0 || b.len != len || memcmp(b.data, data, len) != 0)
		abort();
	pfs_places_fini(&p);
	return 0;
}
