#include "store/bundler.h"
#include "store/codec.h"
#include "format/bundle.h"
#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

void pfs_bundler_init(struct pfs_bundler *b)
{
	pfs_buf_init(&b->rows, PFS_BUNDLE_MEMBERS_MAX * PFS_BUNDLE_MEMBER_SIZE);
	pfs_buf_init(&b->bytes, PFS_BUNDLE_SIZE_MAX);
}

void pfs_bundler_fini(struct pfs_bundler *b)
{
	pfs_buf_fini(&b->rows);
	pfs_buf_fini(&b->bytes);
}

void pfs_bundler_clear(struct pfs_bundler *b)
{
	pfs_buf_clear(&b->rows);
	pfs_buf_clear(&b->bytes);
}

uint32_t pfs_bundler_members(const struct pfs_bundler *b)
{
	return (uint32_t)(b->rows.len / PFS_BUNDLE_MEMBER_SIZE);
}

bool pfs_bundler_fits(const struct pfs_bundler *b, size_t len)
{
	return len <= PFS_BUNDLE_SIZE_MAX - b->bytes.len &&
	       pfs_bundler_members(b) < PFS_BUNDLE_MEMBERS_MAX;
}

int pfs_bundler_add(struct pfs_bundler *b, enum pfs_kind kind, const struct pfs_id *id,
		    const void *data, size_t len, struct pfs_error *err)
{
	const struct pfs_bundle_member m = {
		.id = *id,
		.len = (uint32_t)len,
		.type = (uint8_t)kind,
	};
	unsigned char row[PFS_BUNDLE_MEMBER_SIZE];
	int rc;

	if (!pfs_bundler_fits(b, len))
		return pfs_fail(err, PFS_E_LIMIT,
				"an object of %zu bytes for a bundle of %u objects and %zu bytes",
				len, pfs_bundler_members(b), b->bytes.len);
	pfs_bundle_encode_member(&m, row);
	rc = pfs_buf_reserve(&b->rows, sizeof(row), err);
	if (rc == 0)
		rc = pfs_buf_add(&b->bytes, data, len, err);
	return rc < 0 ? rc : pfs_buf_add(&b->rows, row, sizeof(row), err);
}

int pfs_bundler_make(const struct pfs_bundler *b, const struct pfs_hasher *h,
		     struct pfs_packrec *out, unsigned char **out_payload, struct pfs_error *err)
{
	size_t table = PFS_BUNDLE_HEAD_SIZE + b->rows.len, packed = 0;
	unsigned char *payload = malloc(table + b->bytes.len);
	struct pfs_packrec rec = {
		.type = PFS_PACK_BUNDLE,
		.ulen = (uint32_t)b->bytes.len,
	};
	enum pfs_codec codec;
	int rc;

	if (!payload)
		return pfs_fail_nomem(err, "a bundle");
	pfs_bundle_encode_head(pfs_bundler_members(b), payload);
	memcpy(payload + PFS_BUNDLE_HEAD_SIZE, b->rows.data, b->rows.len);
	rc = pfs_hasher_bundle(h, b->rows.data, b->rows.len, &rec.id, err);
	if (rc == 0)
		rc = pfs_codec_encode_spare(b->bytes.data, b->bytes.len, payload + table, &packed,
					    &codec, err);
	if (rc < 0) {
		free(payload);
		return rc;
	}
	if (codec == PFS_CODEC_RAW && packed)
		memcpy(payload + table, b->bytes.data, packed);
	rec.codec = (uint8_t)codec;
	rec.clen = (uint32_t)(table + packed);
	rec.payload_crc = pfs_crc32c(0, payload, rec.clen);
	*out = rec;
	*out_payload = payload;
	return 0;
}
